"""Whatever a CRM says becomes a donor with sound figures, or a failure with a reason; nothing else."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core.donor import TEXT_CHARACTERS_MAX, Donor, Given
from tenderline.core.money import Money
from tenderline.crm import record
from tenderline.crm.base import Failure, LookupFailed
from tenderline.crm.record import Record, choose
from tenderline.crm.web import read_json

WHO = "The CRM"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
fields = st.dictionaries(st.sampled_from(Record.__struct_fields__), json_values, max_size=8)


def donor(**said: object) -> Donor:
    return record.donor(read_json(msgspec.json.encode(said), Record, WHO), WHO, "USD")


@given(fields)
def test_any_object_is_a_donor_or_a_failure(said: dict[str, object]) -> None:
    found, reason = None, None
    try:
        found = donor(**said)
    except LookupFailed as failed:
        reason = failed.reason
    if found is None:
        assert reason is Failure.WRONG_SHAPE
        return
    again = msgspec.json.decode(msgspec.json.encode(found), type=Donor)
    assert again == found, "it is kept as it is"
    assert all(one is None or len(one) <= TEXT_CHARACTERS_MAX for one in (found.name, found.tier, found.email))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_failure(body: bytes) -> None:
    reason = Failure.NO_JSON
    try:
        read_json(body, Record, WHO)
    except LookupFailed as failed:
        reason = failed.reason
    assert reason in (Failure.NO_JSON, Failure.WRONG_SHAPE)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe{}", b"", b"<html>", b"null", b"[]"])
def test_what_only_looks_like_json_is_refused(body: bytes) -> None:
    with pytest.raises(LookupFailed):
        read_json(body, Record, WHO)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12500.00", "USD", 1_250_000),
        (12500, "USD", 1_250_000),
        (0.1, "USD", 10),
        ("-3", "USD", -300),
        (500, "JPY", 500),
    ],
)
def test_amounts_are_exact_in_their_currency(amount: object, currency: str, minor: int) -> None:
    assert donor(lifetime_value=amount, currency=currency).lifetime_value == Money(minor, currency)


@pytest.mark.parametrize("amount", ["1.005", "NaN", "sNaN", "1e999999999", "a lot", "-Infinity", "1" * 6_000, 10**20])
def test_an_amount_that_is_none_is_a_failure(amount: object) -> None:
    with pytest.raises(LookupFailed) as failed:
        donor(lifetime_value=amount)
    assert failed.value.reason is Failure.WRONG_SHAPE


def test_a_note_is_one_line_without_a_card_number() -> None:
    number = "4242" * 4
    found = donor(notes=[f"card {number}\n\x00call  later", "x" * 1_000])
    assert number not in found.notes[0]
    assert found.notes[0].endswith("call later")
    assert len(found.notes[1]) == TEXT_CHARACTERS_MAX


def test_of_a_household_who_gave_last_is_taken_then_who_gave_more() -> None:
    old = Donor(crm_id="1", last_gift=Given(date(2025, 1, 1)), lifetime_value=Money(10**9, "USD"))
    new = Donor(crm_id="2", last_gift=Given(date(2026, 1, 1)))
    rich = Donor(crm_id="3", last_gift=Given(date(2026, 1, 1)), lifetime_value=Money(500, "USD"))
    assert choose([old, new, rich]) is rich
    assert choose([rich, old]) is rich
    assert choose([]) is None


@pytest.mark.parametrize("said", ["+12025550161", "(202) 555-0161", "1-202-555-0161", "202.555.0161"])
def test_a_number_is_the_same_in_every_spelling(said: str) -> None:
    record.require_number(["nonsense", None, said], "+12025550161", "US", WHO)
    with pytest.raises(LookupFailed) as failed:
        record.require_number([said], "+12025550162", "US", WHO)
    assert failed.value.reason is Failure.ANOTHER_PERSON


def test_the_usual_spellings_are_asked_for() -> None:
    spelled = record.spellings("+12025550161")
    assert {"+12025550161", "12025550161", "(202) 555-0161", "+1 202-555-0161", "2025550161"} <= set(spelled)
    assert "020 7946 0123" in record.spellings("+442079460123")
