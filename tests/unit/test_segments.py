"""Segments: the boundaries of the document, ties, and rules that go wrong."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core.donor import Donor, Given
from tenderline.core.money import Money
from tenderline.routing import segments
from tenderline.routing.segments import InvalidSegmentsError, decide, months_between, parse, shipped, shipped_text

TODAY = date(2026, 11, 21)
LONG_AGO = date(2025, 11, 21)


def donor(**known: object) -> Donor:
    return Donor(crm_id="D-1", **known)  # type: ignore[arg-type]


def usd(units: str) -> Money:
    return Money(int(Decimal(units) * 100), "USD")


def segment(one: Donor | None) -> str:
    return decide(shipped(), one, TODAY).name


def test_nobody_and_whoever_never_gave_are_new() -> None:
    assert segment(None) == "Acquisition_New"
    assert segment(donor()) == "Acquisition_New"
    assert segment(donor(gift_count=0, lifetime_value=usd("0"))) == "Acquisition_New"


def test_over_five_thousand_is_high_value_and_exactly_five_thousand_is_not() -> None:
    assert segment(donor(lifetime_value=usd("5000.01"))) == "High_Value_Donor"
    assert segment(donor(lifetime_value=usd("5000.00"), last_gift=Given(TODAY))) == "Acquisition_New"


def test_repeat_gifts_within_a_year_are_high_value_also_two_on_one_day() -> None:
    assert segment(donor(gifts_last_year=2, last_gift=Given(TODAY, usd("5")))) == "High_Value_Donor"
    assert segment(donor(gifts_last_year=1, last_gift=Given(TODAY, usd("5")))) == "Acquisition_New"


def test_twelve_months_without_a_gift_are_a_risk_from_that_day_on_when_gifts_were_significant() -> None:
    lapsed = donor(last_gift=Given(LONG_AGO), largest_gift=usd("500"), gift_count=1)
    assert segment(lapsed) == "Retention_Churn_Risk"
    still = donor(last_gift=Given(LONG_AGO + timedelta(days=1)), largest_gift=usd("500"), gift_count=1)
    assert segment(still) == "Acquisition_New"
    small = donor(last_gift=Given(LONG_AGO), largest_gift=usd("499.99"), lifetime_value=usd("499.99"), gift_count=1)
    assert segment(small) == "Acquisition_New"


def test_high_value_comes_before_risk() -> None:
    both = donor(last_gift=Given(LONG_AGO), largest_gift=usd("9000"), lifetime_value=usd("9000"))
    assert segment(both) == "High_Value_Donor"


def test_all_refunded_is_as_if_nothing_was_given() -> None:
    assert segment(donor(lifetime_value=usd("-10"), gifts_last_year=0, gift_count=0)) == "Acquisition_New"


def test_another_currency_counts_by_its_rate_and_is_not_known_without_one() -> None:
    euros = donor(lifetime_value=Money(500_000, "EUR"))
    found = decide(shipped(), euros, TODAY)
    assert found.name == "Acquisition_New"
    assert "EUR" in found.told
    rated = parse(shipped_text().replace('# EUR = "1.08"', 'EUR = "1.08"\nJPY = "0.0065"'))
    assert decide(rated, euros, TODAY).name == "High_Value_Donor"
    assert decide(rated, donor(lifetime_value=Money(800_000, "JPY")), TODAY).name == "High_Value_Donor"
    assert decide(rated, donor(lifetime_value=Money(700_000, "JPY")), TODAY).name == "Acquisition_New"


RULES = """
currency = "USD"
default = "Rest"
[[segment]]
name = "Broken"
when = '{when}'
[[segment]]
name = "Never_Reached"
when = "true"
"""


@pytest.mark.parametrize("when", ["gift_count / 0 > 1", "tier > gift_count", "gift_count", "tags[5] == tier"])
def test_a_rule_without_an_answer_gives_the_default_and_says_so(when: str) -> None:
    found = decide(parse(RULES.format(when=when)), donor(), TODAY)
    assert found.name == "Rest"
    assert "Broken" in found.told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        (shipped_text().replace("USD", "XQX"), "currency"),
        (shipped_text().replace("lifetime >", "liftime >"), "liftime"),
        (shipped_text().replace('"5000"', '"five"'), "high_value"),
        (shipped_text().replace("repeat_gifts = 2", "gift_count = 2"), "gift_count"),
        (shipped_text().replace('# EUR = "1.08"', 'EUR = "0"'), "EUR"),
        (RULES.format(when="1 +"), "Broken"),
        (RULES.format(when="true") + "[more]\n", "more"),
        ("x" * 20_000, "longer"),
    ],
)
def test_rules_that_cannot_be_used_are_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(Exception, match=said) as refused:
        parse(text)
    assert isinstance(refused.value, segments.InvalidInputError)


money = st.none() | st.builds(Money, st.integers(-(10**12), 10**12), st.sampled_from(["USD", "EUR", "JPY", "KWD"]))
donors = st.builds(
    Donor,
    crm_id=st.text(max_size=5),
    tier=st.none() | st.text(max_size=5),
    segment=st.none() | st.text(max_size=5),
    urgency_score=st.none() | st.integers(-(10**9), 10**9),
    lifetime_value=money,
    last_gift=st.none() | st.builds(Given, st.dates(), money),
    largest_gift=money,
    gift_count=st.none() | st.integers(0, 10**6),
    gifts_last_year=st.none() | st.integers(0, 10**6),
    is_recurring=st.none() | st.booleans(),
    tags=st.lists(st.text(max_size=5), max_size=3).map(tuple),
)


@given(donors, st.dates())
def test_every_donor_is_of_one_segment_that_there_is(one: Donor, today: date) -> None:
    found = decide(shipped(), one, today)
    assert found.name in shipped().names
    assert "no answer" not in found.told


@given(donors)
def test_more_given_never_makes_a_donor_less_than_high_value(one: Donor) -> None:
    before = decide(shipped(), one, TODAY).name
    if before == "High_Value_Donor" and one.lifetime_value is not None and one.lifetime_value.currency == "USD":
        from msgspec.structs import replace

        more = replace(one, lifetime_value=Money(one.lifetime_value.minor + 1, "USD"))
        assert decide(shipped(), more, TODAY).name == before


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(0, 2000))
def test_months_grow_with_days_and_a_year_is_twelve(start: date, days: int) -> None:
    assert months_between(start, start + timedelta(days=days)) <= months_between(
        start, start + timedelta(days=days + 1)
    )
    assert months_between(start, start.replace(year=start.year + 1, day=min(start.day, 28))) >= 11


def test_a_refused_rule_is_ours_to_explain() -> None:
    with pytest.raises(InvalidSegmentsError):
        parse("default = 1")
