"""Digits lie in one buffer that nothing shows, copies or compares, and that is zero when it is wiped."""

import copy
import json
import logging
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.card_calls import TODAY, VISA, Caller, digits
from tenderline.cardholder.capture import Capture, Policy
from tenderline.cardholder.card import Card
from tenderline.cardholder.digits import CardDataRefused, Digits, luhn_ok
from tenderline.core import pan

KEYED = st.text("0123456789", max_size=19)


def holders():
    """Every kind of object that holds digits, with digits in it."""
    caller = Caller()
    caller.keys(VISA)
    return [digits(VISA), caller.capture, caller.capture._card]


@pytest.mark.parametrize("holder", holders(), ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(
    "way",
    [
        pickle.dumps, copy.copy, copy.deepcopy, hash, list, tuple, set, bytes, bytearray, int, float, iter, json.dumps,
        msgspec.json.encode, msgspec.to_builtins, memoryview, vars, lambda one: one == one,
        lambda one: one != one, lambda one: one in [object()], lambda one: 4 in one, lambda one: one[0],
        lambda one: {one: 1}, lambda one: one.__getstate__(), lambda one: one.__reduce__(), lambda one: b"%b" % one,
        lambda one: one + one,
    ],
)  # fmt: skip
def test_no_way_of_python_copies_or_lists_what_holds_digits(holder, way):
    with pytest.raises((TypeError, CardDataRefused)) as raised:
        way(holder)
    assert not any(character.isdigit() for character in str(raised.value))


@pytest.mark.parametrize("holder", holders(), ids=lambda one: type(one).__name__)
def test_no_way_of_printing_shows_a_digit(holder, caplog):
    logging.getLogger("t").error("%s %r %a", holder, holder, [holder])
    shown = f"{holder} {holder!r} {holder!s:>40} {[holder]} {holder}" + caplog.text.split(":", 1)[-1]
    assert VISA[:4] not in shown
    assert "not shown" in shown


def test_the_buffer_never_moves_and_never_grows():
    kept = Digits(3)
    before = kept._buffer
    assert [kept.push(code) for code in (7, 3, 9, 1)] == [True, True, True, False]
    assert kept._buffer is before
    assert (len(kept), len(before)) == (3, 3)
    assert not kept.push(-1)
    assert not Digits(3).push(10)


@given(KEYED)
def test_a_buffer_that_is_cleared_or_wiped_holds_zeros(text):
    kept = digits(text)
    view = kept.view()
    assert bytes(view) == text.encode()
    kept.clear()
    assert not any(kept._buffer)
    assert not any(view)
    assert len(kept) == 0
    assert kept.push(5)
    kept.wipe()
    assert not any(kept._buffer)
    assert not kept.push(5)
    assert len(kept) == 0


def test_a_view_cannot_change_the_digits():
    with pytest.raises(TypeError):
        digits("12").view()[0] = 0


@given(KEYED, KEYED)
def test_two_buffers_compare_as_their_digits_do(first, second):
    assert digits(first).compare(digits(second)) is (first == second)
    assert digits(first).compare(digits(first))


@given(KEYED)
def test_only_the_last_four_and_the_issuers_part_come_out(text):
    kept = digits(text)
    if len(text) >= 12:
        assert kept.last_four() == text[-4:]
        assert kept.prefix(8) == int(text[:8])
    else:
        with pytest.raises(CardDataRefused):
            kept.last_four()
    for count in (0, 9, len(text) + 1):
        with pytest.raises(CardDataRefused):
            kept.prefix(count)
    for at in (len(text), -len(text) - 1):
        with pytest.raises(CardDataRefused):
            kept.digit(at)


@given(st.text("0123456789", min_size=1, max_size=19))
def test_the_checksum_is_the_one_of_text(text):
    assert luhn_ok(digits(text)) is pan.luhn_ok(text)


def test_nothing_is_no_number():
    assert not luhn_ok(Digits(19))


def test_holders_have_no_dictionary_that_a_debugger_would_list():
    for holder in (Digits(1), Card(), Capture(Policy(), TODAY)):
        assert not hasattr(holder, "__dict__")
