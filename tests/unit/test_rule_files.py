"""Rule files: what cannot be right is refused with its place, and every row of the tables does what it says."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tenderline.compliance import rule_file, ruleset
from tenderline.compliance.decide import decide
from tenderline.compliance.facts import (
    Allow,
    Consent,
    ConsentClass,
    ContactPointFacts,
    History,
    PastContact,
    PersonFacts,
    Purpose,
)
from tenderline.compliance.rule import CHANNELS, RuleKind
from tenderline.compliance.rule_file import InvalidRuleError

TABLE = Path(__file__).with_name("rule_table.txt")
FOLDER = resources.files(ruleset.RULES_PACKAGE)
NAMES = sorted(entry.name for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))
NAMES += ["presets/safe_everywhere.toml"]
ZONE = {"US": "America/Chicago", "CA": "America/Toronto", "GB": "Europe/London", "FR": "Europe/Paris",
        "AU": "Australia/Sydney", "EU": "Europe/Vienna", "DE": "Europe/Berlin"}  # fmt: skip
MONDAY = datetime(2026, 10, 5)  # noqa: DTZ001  # by the wall clock of each place
HOLIDAY = datetime(2026, 12, 25)  # noqa: DTZ001
HALF_HOUR = timedelta(minutes=30)


def rows_of(name):
    return tomllib.loads(FOLDER.joinpath(name).read_text("utf-8"))["rule"]


def zone_of(rule):
    return rule.fixed_zones[0] if rule.fixed_zones else ZONE.get((rule.row.jurisdiction or "US")[:2], "UTC")


# --- what each row does: looked at from outside, through `decide`, and written down -----------------------------------


def behaviour(rule):
    """What a rule does to the contacts it binds, as lines of text."""
    row = rule.row
    purposes = row.purposes or tuple(Purpose)
    channels = row.channels or CHANNELS
    bound = [
        f"{purpose}/{channel}"
        for purpose in Purpose
        for channel in CHANNELS
        if rule.binds(channel, purpose, where(rule))
    ]
    yield f"{rule.id} {rule.kind} {row.jurisdiction or '*'} {row.effective_from}..{row.effective_to or ''}"
    yield f"  binds {' '.join(bound) if len(bound) < 30 else 'all'}"
    if row.lifted_by:
        yield f"  lifted by {' '.join(row.lifted_by)}"
    purpose, channel = Purpose(purposes[0]), channels[0]
    if rule.schedule is not None:
        for day in (MONDAY + timedelta(days=days) for days in range(7)):
            yield f"  {day:%a} {open_spans(rule, purpose, channel, day)}"
        yield f"  holiday {open_spans(rule, purpose, channel, HOLIDAY)}"
    elif rule.cap is not None:
        yield f"  {cap_in_words(rule, purpose, channel)}"
    elif rule.kind in (RuleKind.CONSENT, RuleKind.DNC):
        yield f"  {' '.join(row.classes + row.lists)}"
    elif rule.kind is RuleKind.PRACTICE:
        yield f"  {row.how}"


def where(rule):
    return frozenset({rule.row.jurisdiction or "US"})


@lru_cache(maxsize=8)
def alone(rule):
    return ruleset.Ruleset([rule], "alone")


def ask(rule, at, purpose, channel, contacts=(), consents=()):
    regions = {"EU": "AT"}.get(rule.row.jurisdiction, rule.row.jurisdiction)
    person = PersonFacts(zones=(zone_of(rule),), regions=(regions,) if regions else ())
    return decide(at, person, ContactPointFacts(), purpose, channel, History(contacts=contacts), consents, alone(rule))


def open_spans(rule, purpose, channel, day):
    """The open spans of a local day, found by asking at every half hour and a second before it."""
    zone = ZoneInfo(zone_of(rule))
    edges, was_open = [], False
    for step in range(48):
        for moment in (day + step * HALF_HOUR, day + (step + 1) * HALF_HOUR - timedelta(seconds=1)):
            is_open = isinstance(ask(rule, moment.replace(tzinfo=zone).astimezone(UTC), purpose, channel), Allow)
            if is_open != was_open:
                edges.append(f"{moment:%H:%M:%S}")
                was_open = is_open
    return " ".join(edges) or "closed"


def cap_in_words(rule, purpose, channel):
    """How many contacts are let pass at once, and when the next one is."""
    cap = rule.cap
    at = datetime(2026, 10, 7, 15, tzinfo=UTC)
    counted = sorted(cap.channels)
    contacts: list[PastContact] = []
    told = {"connected": True, "conversation": True, "refused": True}
    while isinstance(ask(rule, at, purpose, channel, tuple(contacts)), Allow):
        contacts.append(PastContact(at=at, channel=counted[0], purpose=purpose, **told))
        assert len(contacts) < 100
    until = ask(rule, at, purpose, channel, tuple(contacts)).until
    return f"{len(contacts)} {cap.counts} of {cap.key} by {','.join(counted)}, then after {until - at}"


def table(rules):
    return "\n".join(line for rule in rules for line in behaviour(rule)) + "\n"


def shipped_rules():
    return ruleset.shipped("safe_everywhere").rules


def test_every_row_does_what_the_table_says():
    """The table is made by asking the gate, and read by people when it changes: REWRITE_RULE_TABLE=1 writes it."""
    import os

    made = table(shipped_rules())
    if os.environ.get("REWRITE_RULE_TABLE"):
        TABLE.write_text(made, "utf-8")
    assert made.splitlines() == TABLE.read_text("utf-8").splitlines()


# --- mutations: a flipped boundary or a dropped row is seen -----------------------------------------------------------


def told_apart(rule, mutated):
    return list(behaviour(rule)) != list(behaviour(mutated))


def mutants(row):
    """The row with one boundary moved by half an hour, one number by one, one word left out."""
    for number, span in enumerate(row.get("hours", ())):
        for edge in ("opens", "closes"):
            for minutes in (-30, 30):
                moved = (datetime.combine(MONDAY, span[edge]) + timedelta(minutes=minutes)).time()
                changed = {**span, edge: moved}
                yield {**row, "hours": [changed if at == number else one for at, one in enumerate(row["hours"])]}
        yield {**row, "hours": [one for at, one in enumerate(row["hours"]) if at != number]}
    for key in ("count", "window_h", "window_d", "quiet_d"):
        for step in (-1, 1):
            if key in row:
                yield {**row, key: row[key] + step}
    for key in ("purposes", "channels", "classes", "lists", "lifted_by"):
        if len(row.get(key, ())) > 1 or key == "lifted_by" in row:
            yield {**row, key: row[key][1:]}
    if row.get("holidays") == "closed":
        yield {key: value for key, value in row.items() if key != "holidays"}


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_boundary_is_seen(name):
    seen = 0
    for row in rows_of(name):
        rule = rule_file.of_row(row, name)
        for mutant in mutants(row):
            try:
                mutated = rule_file.of_row(mutant, name)
            except InvalidRuleError:
                seen += 1
                continue
            assert told_apart(rule, mutated), (rule.id, mutant)
            seen += 1
    assert seen or name == "own.toml"


def test_a_dropped_row_is_seen():
    lines = TABLE.read_text("utf-8")
    for rule in shipped_rules():
        assert f"{rule.id} {rule.kind} " in lines, "a row that is not in the table could be dropped unseen"
    assert sum(not line.startswith(" ") for line in lines.splitlines()) == len(shipped_rules())


def test_what_is_safe_everywhere_is_inside_every_row_but_a_disputed_saturday():
    """At every half hour of a week, and a second before it: what the preset allows, every row of a place allows."""
    safe = ruleset.Ruleset([rule for rule in shipped_rules() if rule.id.startswith("SAFE-")], "safe")
    outside = set()
    for rule in ruleset.shipped().rules:
        for purpose in set(rule.row.purposes or Purpose) - {Purpose.SERVICING, Purpose.OPT_OUT_CONFIRMATION}:
            for channel in rule.row.channels or CHANNELS:
                if rule.schedule is not None:
                    outside |= {(rule.id, f"{at:%a}") for at in _let_out(safe, rule, Purpose(purpose), channel)}
    assert outside == {("US-PA-HOURS", "Sat")}


def _let_out(safe, rule, purpose, channel):
    zone = zone_of(rule)
    regions = {"EU": "AT"}.get(rule.row.jurisdiction, rule.row.jurisdiction)
    person = PersonFacts(zones=(zone,), regions=(regions,) if regions else ())
    for step in range(7 * 48):
        for moment in (MONDAY + step * HALF_HOUR, MONDAY + step * HALF_HOUR - timedelta(seconds=1)):
            at = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
            told = (at, person, ContactPointFacts(), purpose, channel, History(), ())
            if isinstance(decide(*told, safe), Allow) and not isinstance(decide(*told, alone(rule)), Allow):
                yield moment


# --- what cannot be right ---------------------------------------------------------------------------------------------

BASE = "[[rule]]\nid='A'\nwhy='w'\nsource='s'\nconfidence='high'\neffective_from=2026-01-01\n"
NINE_TO_FIVE = "{days='mon-fri',opens=09:00:00,closes=17:00:00}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule = 1 1", "test.toml is not valid TOML: .*line 1"),
        ("[[rules]]\nid='A'", "unknown table 'rules'"),
        ("rule = 3", r"written as \[\[rule\]\]"),
        (BASE + "kind='nope'", "kind: Invalid enum value 'nope'"),
        (BASE + "kind='closed'\ntypo=1", "test.toml:1: rule 'A': .*typo"),
        ("\n\n# remark\n" + BASE + "kind='closed'\ntypo=1", "test.toml:4: rule 'A'"),
        (BASE.replace("why='w'\n", "") + "kind='closed'", "missing required field `why`"),
        (BASE + "kind='closed'\ncount=3", "'count', which means nothing in a rule of kind 'closed'"),
        (BASE + "kind='hours'", "lacks 'hours'"),
        (BASE + "kind='hours'\nhours=[]", "names no hours"),
        (BASE + f"kind='hours'\nhours=[{NINE_TO_FIVE.replace('17', '08')}]", "can never open on mon-fri"),
        (BASE + f"kind='hours'\nhours=[{NINE_TO_FIVE},{NINE_TO_FIVE}]", "two spans of mon overlap"),
        (BASE + f"kind='hours'\nhours=[{NINE_TO_FIVE.replace('mon-fri', 'mo')}]", "'mo' names no days"),
        (BASE + f"kind='hours'\nhours=[{NINE_TO_FIVE.replace('mon-fri', 'fri-mon')}]", "runs backwards"),
        (BASE + f"kind='hours'\nhours=[{NINE_TO_FIVE.replace('mon-fri', 'mon,mon')}]", "names a day twice"),
        (BASE + f"kind='hours'\nzone='America/Chicgo'\nhours=[{NINE_TO_FIVE}]", "'America/Chicgo' is no time zone"),
        (BASE + f"kind='hours'\nholidays='closed'\nhours=[{NINE_TO_FIVE}]", "needs a 'jurisdiction'"),
        (BASE + "kind='cap'\ncount=0\nkey='person'\ncounts='attempt'\nwindow_h=1", "count: Expected `int` >= 1"),
        (BASE + "kind='cap'\ncount=1\nkey='person'\ncounts='attempt'", "either 'window_h' or 'window_d'"),
        (
            BASE + "kind='cap'\ncount=1\nkey='person'\ncounts='attempt'\nwindow_h=1\nwindow='local_date'",
            "given in days",
        ),
        (BASE + "kind='cap'\ncount=1\nkey='everybody'\ncounts='attempt'\nwindow_h=1", "key: Invalid enum value"),
        (BASE + "kind='closed'\npurposes=['marketing']", "'marketing' is none of the purposes"),
        (BASE + "kind='closed'\nchannels=['fax']", "'fax' is none of the channels"),
        (BASE + "kind='consent'\nclasses=['verbal']", "'verbal' is none of the consent classes"),
        (BASE + "kind='closed'\njurisdiction='US-ZZ'", "'US-ZZ' is no jurisdiction"),
        (BASE + "kind='closed'\njurisdiction='usa'", "jurisdiction: Expected `str` matching regex"),
        (BASE + "kind='closed'\neffective_to=2026-01-01", "never in force"),
        (BASE + "kind='closed'\n" + BASE + "kind='closed'", "in force together with the one of test.toml:1"),
    ],
)
def test_a_rule_that_cannot_be_right_is_refused_with_its_place(text, said):
    with pytest.raises(InvalidRuleError, match=said):
        ruleset.parse({"test.toml": text})


def test_every_error_of_a_file_is_told_not_only_the_first():
    text = BASE + "kind='closed'\ntypo=1\n" + BASE.replace("'A'", "'B'") + "kind='nope'"
    assert len(list(ruleset.check({"test.toml": text}))) == 2


def test_rows_of_one_rule_may_follow_each_other_in_time():
    first = BASE + "kind='closed'\neffective_to=2027-01-01\n"
    second = BASE.replace("2026", "2027") + "kind='ban'\n"
    rules = ruleset.parse({"test.toml": first + second})
    assert rules.find("A", datetime(2026, 6, 1, tzinfo=UTC).date()).kind is RuleKind.CLOSED
    assert rules.find("A", datetime(2027, 6, 1, tzinfo=UTC).date()).kind is RuleKind.BAN


def test_a_consent_lifts_only_what_says_so():
    rule = ruleset.shipped().find("US-VA-HOURS")
    night = datetime(2026, 10, 6, 3, tzinfo=UTC)
    for one in ConsentClass:
        lifted = isinstance(
            ask(rule, night, Purpose.TELEMARKETING, "voice_live", consents=(Consent(one.value),)), Allow
        )
        assert lifted is (one is ConsentClass.PEWC)


def test_the_rules_of_the_states_name_their_state():
    for rule in ruleset.shipped().rules:
        if rule.row.jurisdiction and not rule.id.startswith("US-MS-CHARITY"):
            assert rule.id.startswith(rule.row.jurisdiction.split("-")[0])
            if rule.row.jurisdiction.count("-") == 1:
                assert rule.id.startswith(rule.row.jurisdiction)
