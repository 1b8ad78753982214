"""The gate's decision: what denies, what defers, and that nothing passes outside any candidate window."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenderline.compliance import ruleset
from tenderline.compliance.decide import decide
from tenderline.compliance.facts import Allow, ContactPointFacts, Defer, Deny, History, PersonFacts, Purpose
from tenderline.compliance.ruleset import InvalidRuleError
from tenderline.core import zones

RULES = ruleset.shipped()
NOON_IN_NEW_YORK = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
NEW_YORK = ("America/New_York",)
AWKWARD_ZONES = ["America/New_York", "America/Phoenix", "Pacific/Honolulu", "America/Adak", "America/St_Johns",
                 "Australia/Lord_Howe", "Asia/Kathmandu", "Europe/London", "Pacific/Auckland", "Asia/Tokyo",
                 "America/Los_Angeles", "Pacific/Guam"]  # fmt: skip


def ask(now=NOON_IN_NEW_YORK, person=None, point=None, history=None):
    return decide(
        now,
        person or PersonFacts(zones=NEW_YORK),
        point or ContactPointFacts(),
        Purpose.FIRST_PARTY_RECOVERY,
        "sms",
        history or History(),
        (),
        RULES,
    )


def test_a_contact_that_nothing_speaks_against_is_allowed_and_names_every_rule_asked():
    decision = ask()
    assert isinstance(decision, Allow)
    assert set(decision.rules) == {rule.id for rule in RULES.rules}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"person": PersonFacts(zones=NEW_YORK, opted_out_at=NOON_IN_NEW_YORK)}, "OWN-OPT-OUT"),
        ({"history": History(settled=True)}, "OWN-SETTLED"),
        ({"history": History(closed=True)}, "OWN-CLOSED"),
        ({"point": ContactPointFacts(usable=False)}, "OWN-ADDRESS"),
        ({"person": PersonFacts(zones=())}, "OWN-HOURS"),
    ],
)
def test_what_denies_names_its_rule(changes, rule):
    decision = ask(**changes)
    assert isinstance(decision, Deny)
    assert rule in decision.rules


@pytest.mark.parametrize(
    ("changes", "rule", "until"),
    [
        ({"history": History(held=True)}, "OWN-HELD", NOON_IN_NEW_YORK + timedelta(seconds=300)),
        ({"history": History(processing=True)}, "OWN-PROCESSING", NOON_IN_NEW_YORK + timedelta(hours=1)),
        ({"history": History(unread_news=True)}, "OWN-UNREAD", NOON_IN_NEW_YORK + timedelta(seconds=2)),
        (
            {"person": PersonFacts(zones=NEW_YORK, distress_until=NOON_IN_NEW_YORK + timedelta(hours=2))},
            "OWN-DISTRESS",
            NOON_IN_NEW_YORK + timedelta(hours=2),
        ),
        (
            {"person": PersonFacts(zones=NEW_YORK, last_contacted_at=NOON_IN_NEW_YORK - timedelta(hours=23))},
            "OWN-CAP-24H",
            NOON_IN_NEW_YORK + timedelta(hours=1),
        ),
    ],
)
def test_what_defers_names_its_rule_and_the_instant(changes, rule, until):
    decision = ask(**changes)
    assert isinstance(decision, Defer)
    assert decision.rules == (rule,)
    assert decision.until == until


@pytest.mark.parametrize(
    ("at", "allowed"), [("07:59:59", False), ("08:00:00", True), ("20:59:59", True), ("21:00:00", False)]
)
def test_the_window_opens_inclusive_and_closes_exclusive(at, allowed):
    local = datetime.combine(date(2026, 11, 20), time.fromisoformat(at), tzinfo=ZoneInfo("America/New_York"))
    assert isinstance(ask(now=local.astimezone(UTC)), Allow) is allowed


def test_a_cap_that_ends_at_night_waits_for_the_morning():
    person = PersonFacts(zones=NEW_YORK, last_contacted_at=datetime(2026, 11, 20, 2, 30, tzinfo=UTC))
    decision = ask(now=datetime(2026, 11, 20, 14, 0, tzinfo=UTC), person=person)
    assert isinstance(decision, Defer)
    assert decision.until == datetime(2026, 11, 21, 13, 0, tzinfo=UTC)  # 08:00 in New York
    assert set(decision.rules) == {"OWN-CAP-24H", "OWN-HOURS"}


def test_zones_that_never_share_a_lawful_hour_are_denied_with_the_reason():
    zones_apart = ("Europe/London", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata")
    decision = ask(person=PersonFacts(zones=zones_apart))
    assert isinstance(decision, Deny)
    assert "no hour" in decision.why


instants = st.integers(1_767_225_600, 1_830_000_000).map(lambda unix_s: datetime.fromtimestamp(unix_s, UTC))
zone_sets = st.lists(st.sampled_from(AWKWARD_ZONES), min_size=1, max_size=3, unique=True).map(tuple)


@settings(max_examples=300, deadline=None)
@given(instants, zone_sets, st.none() | instants)
def test_nothing_is_allowed_outside_any_candidate_window_or_within_a_day_of_the_last_contact(now, where, last):
    decision = ask(now=now, person=PersonFacts(zones=where, last_contacted_at=last))
    if isinstance(decision, Allow):
        assert all(time(8) <= now.astimezone(ZoneInfo(zone)).time() < time(21) for zone in where)
        assert last is None or now - last >= timedelta(hours=24)
    elif isinstance(decision, Defer):
        assert decision.until > now
        again = ask(now=decision.until, person=PersonFacts(zones=where, last_contacted_at=last))
        assert isinstance(again, Allow), "the instant a contact is put off to is one at which it may leave"


@settings(max_examples=200, deadline=None)
@given(instants, zone_sets, st.integers(1, 3600 * 24))
def test_next_open_is_open_and_nothing_before_it_is(now, where, probe_s):
    opening = zones.next_open(now, where, time(8), time(21))
    if opening is None:
        return
    assert opening >= now
    assert zones.is_open(opening, where, time(8), time(21))
    probe = now + timedelta(seconds=probe_s)
    if probe < opening:
        assert not zones.is_open(probe, where, time(8), time(21))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule]]\nid='A'\nkind='nope'", "unknown kind"),
        ("[[rule]]\nid='A'\nkind='closed'\ntypo=1", "typo"),
        ("[[rule]]\nid='A'\nkind='closed'", "lacks"),
        (
            "[[rule]]\nid='A'\nkind='hours'\nwhy='w'\nsource='s'\nconfidence='high'\neffective_from=2026-01-01\n"
            "opens=21:00:00\ncloses=08:00:00",
            "never open",
        ),
        ("rule = 1 1", "not valid TOML"),
    ],
)
def test_a_rule_that_cannot_be_right_is_refused_by_name(text, said):
    with pytest.raises(InvalidRuleError, match=said):
        ruleset.parse({"test.toml": text})


def test_zone_rules_come_from_the_pinned_package_and_not_from_the_host():
    import zoneinfo

    from tenderline.store.attempts import TZDATA_VERSION

    assert zoneinfo.TZPATH == ()
    assert TZDATA_VERSION >= "2026"
    # British Columbia keeps one time all year from 2026 on: a host with older zone rules says otherwise.
    winter = datetime(2027, 1, 15, 12, tzinfo=UTC).astimezone(ZoneInfo("America/Vancouver"))
    assert winter.utcoffset() == timedelta(hours=-7)
