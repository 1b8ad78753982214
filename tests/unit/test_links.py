"""Links name nobody, work for one purpose, and no changed link is taken for a true one."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core import links
from tenderline.core.ids import uuid7

KEY = b"k" * 32
NOW = 1_800_000_000
LATER = NOW + 86_400
ID = bytes(range(16))

payloads = st.binary(min_size=16, max_size=32)


@given(payload=payloads, left_s=st.integers(1, 10**8))
def test_a_link_gives_back_what_was_signed_until_it_ends(payload: bytes, left_s: int) -> None:
    token = links.sign(KEY, "pay", payload, NOW + left_s)
    assert links.verify(KEY, "pay", token, NOW) == payload
    assert links.verify(KEY, "pay", token, NOW + left_s - 0.001) == payload
    with pytest.raises(links.ExpiredLinkError):
        links.verify(KEY, "pay", token, NOW + left_s)


@given(payload=payloads)
def test_a_token_is_safe_in_a_path_and_short_enough_for_a_text_message(payload: bytes) -> None:
    token = links.sign(KEY, "pay", payload, LATER)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert len(token) <= (64 if len(payload) <= 28 else 70)


def test_a_link_to_one_attempt_has_48_characters() -> None:
    assert len(links.sign(KEY, "pay", uuid7().bytes, LATER)) == 48


@given(payload=payloads, data=st.data())
def test_any_flipped_bit_is_refused(payload: bytes, data: st.DataObject) -> None:
    raw = bytearray(_decode(links.sign(KEY, "pay", payload, LATER)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(links.InvalidLinkError):
        links.verify(KEY, "pay", base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), NOW)


@given(payload=payloads, data=st.data())
def test_any_changed_character_is_refused_even_where_base64_would_not_mind(payload: bytes, data: st.DataObject) -> None:
    token = links.sign(KEY, "pay", payload, LATER)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from([c for c in string.ascii_letters + "-_+/= .é٣" if c != token[place]]))
    with pytest.raises(links.InvalidLinkError):
        links.verify(KEY, "pay", token[:place] + other + token[place + 1 :], NOW)


@pytest.mark.parametrize("length", range(16, 33))
def test_the_bits_that_base64_leaves_unused_cannot_be_changed(length: int) -> None:
    token = links.sign(KEY, "pay", b"x" * length, LATER)
    for last in set(string.ascii_letters + string.digits + "-_") - {token[-1]}:
        with pytest.raises(links.InvalidLinkError):
            links.verify(KEY, "pay", token[:-1] + last, NOW)


@given(payload=payloads, cut=st.integers(1, 69))
def test_a_link_cut_short_or_made_longer_is_refused(payload: bytes, cut: int) -> None:
    token = links.sign(KEY, "pay", payload, LATER)
    for changed in (token[:-cut], token + token[:cut], token + "=", token + "\n", " " + token):
        with pytest.raises(links.InvalidLinkError):
            links.verify(KEY, "pay", changed, NOW)


@given(token=st.text(max_size=100))
def test_no_string_does_more_than_be_refused(token: str) -> None:
    with pytest.raises(links.InvalidLinkError):
        links.verify(KEY, "pay", token, NOW)


def test_a_link_for_one_purpose_is_none_for_another_nor_under_another_key() -> None:
    token = links.sign(KEY, "pay", ID, LATER)
    for key, purpose in ((KEY, "stop"), (KEY, "pa"), (b"j" * 32, "pay")):
        with pytest.raises(links.InvalidLinkError):
            links.verify(key, purpose, token, NOW)


def test_a_forged_link_that_has_ended_is_called_invalid_not_ended() -> None:
    token = links.sign(KEY, "pay", ID, NOW - 1)
    with pytest.raises(links.InvalidLinkError):
        links.verify(b"j" * 32, "pay", token, NOW)


@pytest.mark.parametrize("payload", [b"", b"x" * 15, b"x" * 33])
def test_a_payload_of_another_length_is_a_mistake_of_ours(payload: bytes) -> None:
    with pytest.raises(ValueError, match="16 to 32 bytes"):
        links.sign(KEY, "pay", payload, LATER)


@pytest.mark.parametrize(
    ("key", "purpose", "expires"),
    [(b"short", "pay", LATER), (KEY, "Pay", LATER), (KEY, "", LATER), (KEY, "pay", -1), (KEY, "pay", 1 << 32)],
)
def test_short_keys_odd_purposes_and_impossible_ends_are_mistakes_of_ours(
    key: bytes, purpose: str, expires: int
) -> None:
    with pytest.raises(ValueError, match=r"a (signing key|purpose|link)"):
        links.sign(key, purpose, ID, expires)


def _decode(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
