"""A payer's own page in words: times as her clock shows them, zones by their cities, reasons that say something."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.compliance import ruleset
from tenderline.compliance.decide import NO_ZONE
from tenderline.compliance.facts import Purpose
from tenderline.compliance.rule import CHANNELS, RuleKind
from tenderline.compliance.ruleset import DENYING, WAITING
from tenderline.core import places, zones
from tenderline.core.errors import InvalidInputError
from tenderline.core.places import Address
from tenderline.core.zones import Evidence
from tenderline.desk import own_words, zone_names
from tenderline.people import choices

NEW_YORK, CHICAGO, AUCKLAND = "America/New_York", "America/Chicago", "Pacific/Auckland"
NOON = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)  # in New York
ANY_ZONE = st.sampled_from(sorted({zone for found in places.countries().values() for zone in found}))
INSTANTS = st.integers(1_767_225_600, 1_830_000_000).map(lambda unix_s: datetime.fromtimestamp(unix_s, UTC))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ((NEW_YORK,), "Fri 20 Nov 2026, 12:00 pm"),
        ((NEW_YORK, CHICAGO), "Fri 20 Nov 2026, 11:00 am to 12:00 pm, depending on where you are"),
        ((NEW_YORK, AUCKLAND), "Fri 20 Nov 2026, 12:00 pm to Sat 21 Nov 2026, 6:00 am, depending on where you are"),
        ((), "Fri 20 Nov 2026, 5:00 pm UTC"),
    ],
)
def test_an_instant_is_told_as_her_clock_shows_it(where, said):
    assert own_words.when(NOON, where) == said


@given(now=INSTANTS, days=st.sampled_from(choices.PAUSE_DAYS), where=st.lists(ANY_ZONE, max_size=4, unique=True))
def test_a_pause_lasts_all_its_days_in_every_zone_and_ends_at_a_midnight(now, days, where):
    until = choices.pause_end(now, days, where)
    assert timedelta(days=days) <= until - now <= timedelta(days=days + 2)
    assert choices.pause_end(now + timedelta(seconds=1), days, where) >= until
    local = [until.astimezone(ZoneInfo(zone)) for zone in where or ["UTC"]]
    for clock, zone in zip(local, where or ["UTC"], strict=True):
        assert clock.date() > now.astimezone(ZoneInfo(zone)).date() + timedelta(days=days)
    if len(where) == 1 and local[0].time() == time.min:
        day = local[0].date() - timedelta(days=1)
        assert own_words.until(until, where) == f"the end of {day:%a} {day.day} {day:%b} {day.year}"


def test_a_pause_that_is_asked_for_again_on_the_same_day_ends_at_the_same_instant():
    morning = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
    ends = {choices.pause_end(morning + timedelta(hours=hour), 7, [NEW_YORK]) for hour in range(10)}
    assert ends == {datetime(2026, 11, 28, 5, 0, tzinfo=UTC)}


def test_a_pause_that_ends_at_a_midnight_that_is_skipped_ends_after_it():
    before = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)  # in Cairo the clocks go from 24:00 to 01:00 on 24 April
    assert choices.pause_end(before, 8, ["Africa/Cairo"]) == datetime(2026, 4, 23, 22, 0, tzinfo=UTC)


def test_a_zone_is_named_by_its_city():
    assert zone_names.city("America/Indiana/Knox") == "Knox, Indiana"
    assert zone_names.label(NEW_YORK) == "New York (Eastern Time)"
    assert zone_names.label("America/Argentina/Buenos_Aires") == "Buenos Aires, Argentina"
    assert zone_names.cities([]) == ""
    assert zone_names.cities([CHICAGO, NEW_YORK]) == "Chicago or New York"
    assert zone_names.cities([CHICAGO, NEW_YORK, AUCKLAND, "Asia/Tokyo"]) == "Chicago, New York, Auckland or elsewhere"


def test_the_list_begins_where_she_may_be_and_holds_every_zone_once():
    here = zones.locate(None, None, ["+12125550143"])
    first, *others = zone_names.groups(here, NOON)
    assert first.zones[0] == (NEW_YORK, "New York (Eastern Time), now 12:00 pm")
    assert {name for name, _ in first.zones} >= {CHICAGO, "America/Denver", "Pacific/Honolulu"}
    names = [name for group in (first, *others) for name, _ in group.zones]
    assert len(names) == len(set(names)) == len({zone for found in places.countries().values() for zone in found})
    assert all(zone_names.may_be_chosen(name) and zones.is_known(name) for name in names)
    assert not zone_names.may_be_chosen("Mars/Olympus")


def test_of_whom_nothing_is_known_the_list_has_no_likely_ones():
    groups = zone_names.groups(zones.locate(None, None, []), NOON)
    assert zone_names.LIKELY not in {group.label for group in groups}


def test_every_country_has_a_name():
    listed = zone_names.countries()
    assert {code for code, _ in listed} == set(places.countries())
    assert all(name != code for code, name in listed)


@pytest.mark.parametrize(
    ("told", "address"),
    [
        (("US", "Florida", ""), Address("US", "Florida")),
        (("US", "", "02134"), Address("US", None, "02134")),
        (("CA", "QC", "H2X 1Y4"), Address("CA", "QC", "H2X 1Y4")),
        (("DE", "", ""), Address("DE")),
        (("DE", "Bayern", "80331"), Address("DE", "Bayern", "80331")),
    ],
)
def test_an_address_is_read_as_far_as_it_tells_where_she_is(told, address):
    assert choices.read_address(*told) == address


@pytest.mark.parametrize(
    "told",
    [
        ("", "", ""), ("us", "FL", ""), ("US", "", ""), ("CA", "", ""), ("US", "Bavaria", ""), ("US", "", "00000"),
        ("DE", "", "80331\n"), ("DE", "", "x" * 11), ("DE", "B\x00", ""), ("DE", "b" * 61, ""),
        ("DE", "4242 4242 " + "4242 4242", ""),
    ],
)  # fmt: skip
def test_an_address_that_tells_too_little_or_something_else_is_refused(told):
    with pytest.raises(InvalidInputError):
        choices.read_address(*told)


def test_every_channel_purpose_evidence_and_refusal_has_words_of_its_own():
    for channel in CHANNELS:
        assert own_words.way(channel) in own_words.WAYS.values()
    for purpose in Purpose:
        assert own_words.about(purpose, "Hope House")
    assert set(own_words.EVIDENCE) == set(Evidence)
    speaking = DENYING | WAITING | {RuleKind.HOURS, RuleKind.CAP, RuleKind.QUIET_AFTER}
    said = {own_words.held_back(kind, None) for kind in speaking}
    assert own_words.NOT_SENT not in said
    assert len(said) >= len(speaking) - 1
    assert own_words.held_back(RuleKind.HOURS, NO_ZONE) == own_words.ZONE_NEEDED


def test_what_was_allowed_is_explained_in_a_few_sentences():
    kinds = {rule.kind for rule in ruleset.shipped().rules if rule.binds("sms", "first_party_recovery", ("US",))}
    said = own_words.allowed(kinds, own_words.when(NOON, (NEW_YORK,)))
    assert 3 <= len(said) <= 8
    assert said[0] == "You had not asked us to stop."
    assert said[-1].endswith("Fri 20 Nov 2026, 12:00 pm.")


def test_only_the_address_the_link_came_to_is_shown_beyond_its_end():
    assert own_words.mask("phone", "+12125550143", is_hers=True) == "+1 212 ••• 0143"
    assert own_words.mask("phone", "+12125550143", is_hers=False) == "a number ending in 43"
    assert own_words.mask("email", "ann@example.org", is_hers=True) == "a•••@example.org"
    assert own_words.mask("email", "ann@example.org", is_hers=False) == "an address ending in .org"
    assert own_words.mask(None, None, is_hers=True) == "an address that we do not have any more"
