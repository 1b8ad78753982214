"""An agent's browser as a telephone, the parts that need no network: checks, descriptions, keys."""

from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.browser_offer import OFFER
from tenderline.voice import packet
from tenderline.voice.browser import dtls, stun, web_sdp
from tenderline.voice.browser.dtls import Handshake, HandshakeError
from tenderline.voice.sdp import UnusableDescriptionError

PASSWORD = "a-password-of-the-session"


def test_a_check_is_read_by_whoever_knows_the_password_and_by_nobody_else():
    check = stun.read(stun.request("ours:theirs", PASSWORD), PASSWORD)
    assert check is not None
    assert (check.username, check.nominates, check.kind) == ("ours:theirs", True, stun.REQUEST)
    assert stun.read(stun.request("ours:theirs", PASSWORD), "another") is None


@given(st.binary(max_size=200))
def test_whatever_arrives_is_no_check(data):
    assert stun.read(data, PASSWORD) is None


@given(st.data())
def test_a_check_with_one_bit_turned_is_no_check_unless_it_stands_behind_the_integrity(data):
    sent = bytearray(stun.request("ours:theirs", PASSWORD))
    at = data.draw(st.integers(0, (len(sent) - 8) * 8 - 1))
    sent[at // 8] ^= 1 << (at % 8)
    read = stun.read(bytes(sent), PASSWORD)
    assert read is None


@pytest.mark.parametrize("source", [("192.0.2.7", 40_000), ("2001:db8::7", 9)])
def test_an_answer_tells_where_the_check_came_from_under_its_own_integrity(source):
    check = stun.read(stun.request("a:b", PASSWORD), PASSWORD)
    told = stun.answer(check, PASSWORD, source)
    back = stun.read(told, PASSWORD)
    assert back is not None
    assert (back.kind, back.transaction) == (stun.RESPONSE, check.transaction)
    assert int.from_bytes(told[-4:], "big") == zlib.crc32(told[:-8]) ^ 0x5354554E


def test_the_answer_to_an_offer_takes_plain_telephone_sound_and_no_keys():
    offer = web_sdp.read(OFFER)
    assert offer.fingerprint.count(":") == 31
    ours = web_sdp.Ours("ufrg", "p" * 24, "AA:BB", ("192.0.2.1",), 20_000, 7)
    answer = web_sdp.answer(offer, ours).split("\r\n")
    assert "a=ice-lite" in answer
    assert "a=setup:passive" in answer
    assert "m=audio 20000 UDP/TLS/RTP/SAVPF 0" in answer
    assert "a=candidate:1 1 udp 2130706431 192.0.2.1 20000 typ host" in answer
    assert not [line for line in answer if "telephone-event" in line or "opus" in line]


@pytest.mark.parametrize(
    ("lacks", "word"),
    [
        ("a=rtcp-mux\r\n", "rtcp-mux"),
        ("a=ice-ufrag:4ZcD\r\n", "ice-ufrag"),
        ("a=fingerprint:", "fingerprint"),
        ("a=mid:0\r\n", "mid"),
        ("m=audio", "no audio"),
    ],
)
def test_an_offer_that_lacks_something_is_refused_and_the_thing_is_named(lacks, word):
    spoilt = OFFER.replace(lacks, "m=video" if lacks == "m=audio" else "")
    with pytest.raises(UnusableDescriptionError, match=word):
        web_sdp.read(spoilt)


def test_an_offer_without_plain_telephone_sound_is_refused():
    with pytest.raises(UnusableDescriptionError, match="PCMU"):
        web_sdp.read(OFFER.replace("SAVPF 111 0 8", "SAVPF 111 8"))


@given(st.text(alphabet="vmac=0: \r\naudioSAVPF/1", max_size=400))
def test_any_text_is_read_or_refused_with_a_reason(text):
    with suppress(UnusableDescriptionError):
        assert web_sdp.read(text).mid


def shake(server, client):
    """Carries records to and fro until both have keys."""
    to_server = client.begin()
    for _ in range(10):
        to_client = [record for one in to_server for record in server.feed(one)]
        to_server = [record for one in to_client for record in client.feed(one)]
        if not to_server and not to_client:
            return
    raise AssertionError("the handshake does not end")


def test_two_sides_that_know_each_others_certificate_hear_each_other():
    one, other = dtls.identity(), dtls.identity()
    server, client = Handshake(one, other.fingerprint), Handshake(other, one.fingerprint, as_server=False)
    shake(server, client)
    plain = packet.write(0, 7, 160, 99, b"\x55" * 160)
    wire = client.secured.protect(plain)
    assert plain[12:] not in wire
    assert server.secured.unprotect(wire) == plain
    assert server.secured.unprotect(wire) is None, "once is enough: a packet that comes again is none"
    assert server.secured.unprotect(wire[:-1] + bytes([wire[-1] ^ 1])) is None
    assert client.secured.unprotect(server.secured.protect(plain)) == plain


def test_a_certificate_that_the_description_does_not_name_gets_no_keys():
    one, other, third = dtls.identity(), dtls.identity(), dtls.identity()
    server, client = Handshake(one, third.fingerprint), Handshake(other, one.fingerprint, as_server=False)
    with pytest.raises(HandshakeError, match="not the one"):
        shake(server, client)
    assert server.secured is None


def test_without_the_libraries_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(dtls.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(dtls.NoBrowserAudioError, match="browser-audio"):
        dtls.identity()
