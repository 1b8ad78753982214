"""The gate's decision: what denies, what defers, and that nothing passes outside any candidate window."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenderline.compliance import ruleset
from tenderline.compliance.decide import decide
from tenderline.compliance.explain import explain
from tenderline.compliance.facts import (
    Allow,
    Consent,
    ContactPointFacts,
    Defer,
    Deny,
    History,
    PastContact,
    PersonFacts,
    Purpose,
)
from tenderline.compliance.rule import CHANNELS, RuleKind
from tenderline.store.gate import TZDATA_VERSION

RULES = ruleset.shipped()
OWN = ruleset.Ruleset([rule for rule in RULES.rules if rule.id.startswith("OWN-")], "own")
NOON_IN_NEW_YORK = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
NEW_YORK = ("America/New_York",)
RECOVERY = Purpose.FIRST_PARTY_RECOVERY
ASKING = [purpose for purpose in Purpose if purpose not in (Purpose.SERVICING, Purpose.OPT_OUT_CONFIRMATION)]
AWKWARD_ZONES = ["America/New_York", "America/Phoenix", "Pacific/Honolulu", "America/Adak", "America/St_Johns",
                 "Australia/Lord_Howe", "Asia/Kathmandu", "Europe/London", "Pacific/Auckland", "Asia/Tokyo",
                 "America/Los_Angeles", "Pacific/Guam"]  # fmt: skip
DEBT, OTHER_DEBT = UUID(int=1), UUID(int=2)


def ask(
    now=NOON_IN_NEW_YORK,
    *,
    person=None,
    point=None,
    purpose=RECOVERY,
    channel="sms",
    history=None,
    consents=(),
    rules=OWN,
    how=decide,
):
    return how(
        now,
        person or PersonFacts(zones=NEW_YORK),
        point or ContactPointFacts(),
        purpose,
        channel,
        history or History(),
        consents,
        rules,
    )


def past(ago, *, channel="sms", purpose=RECOVERY, now=NOON_IN_NEW_YORK, **more):
    return PastContact(at=now - ago, channel=channel, purpose=purpose, **more)


def hours(count):
    return timedelta(hours=count)


def test_a_contact_that_nothing_speaks_against_is_allowed_and_names_every_rule_asked():
    decision = ask()
    assert isinstance(decision, Allow)
    assert set(decision.rules) == {rule.id for rule in OWN.rules if rule.binds("sms", RECOVERY, ())}


SILENT = PersonFacts(zones=NEW_YORK, opted_out_at=NOON_IN_NEW_YORK, opted_out_channels=frozenset({"sms"}))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"person": SILENT}, "OWN-OPT-OUT"),
        ({"history": History(settled=True)}, "OWN-SETTLED"),
        ({"history": History(closed=True)}, "OWN-CLOSED"),
        ({"point": ContactPointFacts(usable=False)}, "OWN-ADDRESS"),
        ({"point": ContactPointFacts(lists=("internal",))}, "OWN-DNC"),
        ({"person": PersonFacts(zones=NEW_YORK, declined_channels=frozenset({"sms"}))}, "OWN-DECLINED"),
        ({"person": PersonFacts(zones=())}, "OWN-HOURS"),
        ({"person": PersonFacts(zones=NEW_YORK, distress_until=datetime(9999, 12, 31, tzinfo=UTC))}, "OWN-DISTRESS"),
    ],
)
def test_what_denies_names_its_rule(changes, rule):
    decision = ask(**changes)
    assert isinstance(decision, Deny)
    assert rule in decision.rules


def test_who_is_in_distress_is_called_by_a_person_about_her_own_matter_and_asked_for_nothing():
    held = PersonFacts(zones=NEW_YORK, distress_until=datetime(9999, 12, 31, tzinfo=UTC))
    assert isinstance(ask(person=held, channel="voice_live", purpose=Purpose.SERVICING), Allow)
    for purpose in ASKING:
        decision = ask(person=held, channel="voice_live", purpose=purpose)
        assert isinstance(decision, Deny), purpose
        assert "OWN-DISTRESS-BY-HAND" in decision.rules


@pytest.mark.parametrize(
    ("changes", "rule", "until"),
    [
        ({"history": History(held=True)}, "OWN-HELD", NOON_IN_NEW_YORK + timedelta(seconds=300)),
        ({"history": History(processing=True)}, "OWN-PROCESSING", NOON_IN_NEW_YORK + hours(1)),
        ({"history": History(unread_news=True)}, "OWN-UNREAD", NOON_IN_NEW_YORK + timedelta(seconds=2)),
        (
            {"person": PersonFacts(zones=NEW_YORK, distress_until=NOON_IN_NEW_YORK + hours(2))},
            "OWN-DISTRESS",
            NOON_IN_NEW_YORK + hours(2),
        ),
        (
            {"person": PersonFacts(zones=NEW_YORK, paused_until=NOON_IN_NEW_YORK + hours(24))},
            "OWN-PAUSED",
            NOON_IN_NEW_YORK + hours(24),
        ),
        ({"history": History(contacts=(past(hours(23)),))}, "OWN-CAP-24H", NOON_IN_NEW_YORK + hours(1)),
        (
            {"history": History(contacts=(past(hours(23), channel="email"),))},
            "OWN-CAP-24H",
            NOON_IN_NEW_YORK + hours(1),
        ),
    ],
)  # fmt: skip
def test_what_defers_names_its_rule_and_the_instant(changes, rule, until):
    decision = ask(**changes)
    assert isinstance(decision, Defer)
    assert decision.rules == (rule,)
    assert decision.until == until


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("purpose", ASKING)
def test_an_opt_out_stops_every_asking_on_every_channel(purpose, channel):
    decision = ask(person=SILENT, purpose=purpose, channel=channel)
    assert isinstance(decision, Deny)
    assert "OWN-OPT-OUT" in decision.rules


@pytest.mark.parametrize(
    ("channel", "allowed"), [("sms", False), ("email", True), ("push", True), ("voice_live", True)]
)
def test_after_an_opt_out_servicing_goes_another_way_than_the_one_it_came_by(channel, allowed):
    assert isinstance(ask(person=SILENT, purpose=Purpose.SERVICING, channel=channel), Allow) is allowed


def test_an_opt_out_by_voice_is_one_of_both_kinds_of_voice():
    silent = PersonFacts(zones=NEW_YORK, opted_out_at=NOON_IN_NEW_YORK, opted_out_channels=frozenset({"voice"}))
    for channel in ("voice_live", "voice_artificial"):
        assert isinstance(ask(person=silent, purpose=Purpose.SERVICING, channel=channel), Deny)


@pytest.mark.parametrize(
    ("channel", "after", "sent", "allowed"),
    [
        ("sms", timedelta(seconds=300), False, True),
        ("sms", timedelta(seconds=301), False, False),
        ("email", timedelta(seconds=1), False, False),
        ("sms", timedelta(seconds=10), True, False),
    ],
)
def test_an_opt_out_is_confirmed_once_within_five_minutes_where_it_was_said(channel, after, sent, allowed):
    night = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # 3 a.m.: it answers what she just did
    silent = PersonFacts(zones=NEW_YORK, opted_out_at=night, opted_out_channels=frozenset({"sms"}))
    before = (PastContact(at=night, channel="sms", purpose=Purpose.OPT_OUT_CONFIRMATION),) if sent else ()
    decision = ask(
        night + after,
        person=silent,
        purpose=Purpose.OPT_OUT_CONFIRMATION,
        channel=channel,
        history=History(contacts=before, own_act_at=night),
    )
    assert isinstance(decision, Allow) is allowed


PAUSED = PersonFacts(zones=NEW_YORK, paused_until=NOON_IN_NEW_YORK + timedelta(days=7))


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("purpose", [*ASKING, Purpose.SERVICING])
def test_a_pause_puts_off_what_a_machine_sends_and_not_what_a_person_says(purpose, channel):
    decision = ask(person=PAUSED, purpose=purpose, channel=channel)
    if channel == "voice_live":
        assert isinstance(decision, Allow)
    else:
        assert isinstance(decision, Defer)
        assert decision.rules == ("OWN-PAUSED",)
        assert decision.until == PAUSED.paused_until


@pytest.mark.parametrize("left_s", [1, 0, -1])
def test_a_pause_is_over_at_its_instant(left_s):
    over = PersonFacts(zones=NEW_YORK, paused_until=NOON_IN_NEW_YORK + timedelta(seconds=left_s))
    assert isinstance(ask(person=over), Allow) is (left_s <= 0)


def test_a_pause_that_ends_at_night_lasts_until_the_morning():
    night = datetime(2026, 11, 25, 5, 0, tzinfo=UTC)  # midnight in New York
    decision = ask(person=PersonFacts(zones=NEW_YORK, paused_until=night))
    assert isinstance(decision, Defer)
    assert decision.until == datetime(2026, 11, 25, 13, 0, tzinfo=UTC)


def test_a_word_that_a_stop_was_heard_may_come_during_a_pause():
    now = NOON_IN_NEW_YORK
    silent = PersonFacts(
        zones=NEW_YORK, opted_out_at=now, opted_out_channels=frozenset({"sms"}), paused_until=now + hours(24)
    )
    history = History(own_act_at=now)
    assert isinstance(ask(person=silent, purpose=Purpose.OPT_OUT_CONFIRMATION, history=history), Allow)


@pytest.mark.parametrize("purpose", [*ASKING, Purpose.SERVICING])
@pytest.mark.parametrize(
    ("declined", "silent"),
    [("sms", {"sms"}), ("email", {"email"}), ("push", {"push"}), ("voice", {"voice_live", "voice_artificial"})],
)
def test_a_channel_that_is_not_wanted_is_silent_for_everything_and_the_others_are_not(declined, silent, purpose):
    person = PersonFacts(zones=NEW_YORK, declined_channels=frozenset({declined}))
    denied = {one for one in CHANNELS if isinstance(ask(person=person, purpose=purpose, channel=one), Deny)}
    assert denied == silent


@pytest.mark.parametrize(
    ("channel", "act_ago_s", "allowed"),
    [
        ("sms", 900, True), ("sms", 901, False), ("push", 60, True), ("sms", None, False), ("email", None, True),
        ("voice_live", 60, False), ("voice_artificial", None, False),
    ],
)  # fmt: skip
def test_servicing_at_night_leaves_at_once_when_it_answers_an_act_or_goes_by_email(channel, act_ago_s, allowed):
    night = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    act = None if act_ago_s is None else night - timedelta(seconds=act_ago_s)
    decision = ask(night, purpose=Purpose.SERVICING, channel=channel, history=History(own_act_at=act))
    assert isinstance(decision, Allow) is allowed


def test_a_receipt_is_not_an_asking_for_the_cap():
    paid = History(contacts=(past(hours(1), purpose=Purpose.SERVICING),))
    assert isinstance(ask(history=paid), Allow)


@pytest.mark.parametrize(
    ("at", "allowed"), [("07:59:59", False), ("08:00:00", True), ("20:59:59", True), ("21:00:00", False)]
)
def test_the_window_opens_inclusive_and_closes_exclusive(at, allowed):
    local = datetime.combine(date(2026, 11, 20), time.fromisoformat(at), tzinfo=ZoneInfo("America/New_York"))
    assert isinstance(ask(local.astimezone(UTC)), Allow) is allowed


def test_a_cap_that_ends_at_night_waits_for_the_morning():
    now = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
    last = PastContact(at=datetime(2026, 11, 20, 2, 30, tzinfo=UTC), channel="sms", purpose=RECOVERY)
    decision = ask(now, history=History(contacts=(last,)))
    assert isinstance(decision, Defer)
    assert decision.until == datetime(2026, 11, 21, 13, 0, tzinfo=UTC)  # 08:00 in New York
    assert set(decision.rules) == {"OWN-CAP-24H", "OWN-HOURS"}


def test_zones_that_never_share_a_lawful_hour_are_denied_and_the_zone_is_asked_for():
    zones_apart = ("Europe/London", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kolkata")
    decision = ask(person=PersonFacts(zones=zones_apart))
    assert isinstance(decision, Deny)
    assert "zone is needed" in decision.why


def test_an_explanation_names_every_rule_asked_with_what_it_looked_at():
    told = ask(history=History(contacts=(past(hours(23)),), held=True), how=explain)
    assert {verdict.rule.id for verdict in told.verdicts} == {
        rule.id for rule in OWN.rules if rule.binds("sms", RECOVERY, ())
    }
    says = {verdict.rule.id: verdict for verdict in told.verdicts}
    assert says["OWN-CAP-24H"].says == "defers"
    assert says["OWN-CAP-24H"].looked_at == "1 of 1 used"
    assert says["OWN-HOURS"].says == "content"
    assert "Fri 12:00 in America/New_York" in says["OWN-HOURS"].looked_at
    assert [verdict.says for verdict in told.verdicts][:2] == ["defers", "defers"]  # what spoke stands first


instants = st.integers(1_767_225_600, 1_830_000_000).map(lambda unix_s: datetime.fromtimestamp(unix_s, UTC))
zone_sets = st.lists(st.sampled_from(AWKWARD_ZONES), min_size=1, max_size=3, unique=True).map(tuple)


@settings(max_examples=300, deadline=None)
@given(instants, zone_sets, st.none() | instants)
def test_nothing_is_allowed_outside_any_candidate_window_or_within_a_day_of_the_last_contact(now, where, last):
    contacts = () if last is None else (PastContact(at=last, channel="email", purpose=RECOVERY),)
    told = {"person": PersonFacts(zones=where), "history": History(contacts=contacts)}
    decision = ask(now, **told)
    if isinstance(decision, Allow):
        assert all(time(8) <= now.astimezone(ZoneInfo(zone)).time() < time(21) for zone in where)
        assert last is None or now - last >= hours(24)
    elif isinstance(decision, Defer):
        assert decision.until > now
        again = ask(decision.until, **told)
        assert isinstance(again, Allow), "the instant a contact is put off to is one at which it may leave"


@settings(max_examples=300, deadline=None)
@given(
    instants, zone_sets, st.lists(st.integers(0, 10 * 86_400), max_size=4), st.sampled_from(ASKING),
    st.sampled_from(CHANNELS),
)  # fmt: skip
def test_an_explanation_agrees_with_the_decision(now, where, contacts, purpose, channel):
    history = History(contacts=tuple(past(timedelta(seconds=ago_s), now=now) for ago_s in contacts), debt=DEBT)
    regions = ("US-NY", "US-FL")
    consents = (Consent("PEC"),)
    told = ask(
        now, person=PersonFacts(zones=where, regions=regions), purpose=purpose, channel=channel, history=history,
        consents=consents, rules=RULES, how=explain,
    )  # fmt: skip
    said = {
        says: {verdict.rule.id for verdict in told.verdicts if verdict.says == says} for says in ("denies", "defers")
    }
    match told.decision:
        case Allow():
            assert not said["denies"]
            assert not said["defers"]
        case Defer(rules=rules):
            assert not said["denies"]
            assert said["defers"] <= set(rules)  # it may name rules that speak only later
        case Deny(rules=rules):
            assert said["denies"] | said["defers"]
            assert set(rules) <= said["denies"] | said["defers"]


def test_every_kind_is_in_use_or_of_the_operators():
    assert {rule.kind for rule in RULES.rules} >= set(RuleKind) - {RuleKind.BAN}


def test_zone_rules_come_from_the_pinned_package_and_not_from_the_host():
    assert zoneinfo.TZPATH == ()
    assert TZDATA_VERSION >= "2026"
    # British Columbia keeps one time all year from 2026 on: a host with older zone rules says otherwise.
    winter = datetime(2027, 1, 15, 12, tzinfo=UTC).astimezone(ZoneInfo("America/Vancouver"))
    assert winter.utcoffset() == timedelta(hours=-7)
