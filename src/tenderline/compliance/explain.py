"""Why a contact is allowed, put off or refused: what every rule said, with the facts it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tenderline.compliance import caps, hours
from tenderline.compliance.decide import NO_ZONE, bind, decide, denies, own_act_age_s, standing_classes, waits_until
from tenderline.compliance.facts import (
    Consent,
    ContactPointFacts,
    Decision,
    History,
    PersonFacts,
    Purpose,
)
from tenderline.compliance.rule import Rule, RuleKind
from tenderline.compliance.ruleset import Ruleset, clocks_of, lifted, zones_of
from tenderline.core.hours import zone

Says = Literal["content", "denies", "defers", "lifted"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says. `until` when it defers; `looked_at` is what it rests on here, in words."""

    rule: Rule
    says: Says
    until: datetime | None = None
    looked_at: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, and what each rule that binds such a contact said to it."""

    decision: Decision
    verdicts: tuple[Verdict, ...]
    local_times: tuple[tuple[str, datetime], ...]
    """The instant by the wall clock of every zone the person may be in."""
    ruleset: str


def explain(
    now: datetime,
    person: PersonFacts,
    contact_point: ContactPointFacts,
    purpose: Purpose,
    channel: str,
    history: History,
    consents: Sequence[Consent],
    rules: Ruleset,
) -> Explanation:
    """The same question as `decide`, with the whole answer."""
    classes = standing_classes(consents, channel, purpose)
    decision = decide(now, person, contact_point, purpose, channel, history, consents, rules)
    asked = bind(now, person, purpose, channel, history, classes, rules).rules
    unlifted = rules.binding(now, channel, purpose, person.regions).rules
    age_s = own_act_age_s(now, history)
    verdicts = [
        Verdict(rule, "lifted", looked_at=lifted(rule, classes, age_s)) for rule in unlifted if rule not in asked
    ]
    for rule in asked:
        if rule.kind is RuleKind.HOURS:
            verdicts.append(_of_hours(rule, now, person))
        elif rule.cap is not None:
            verdicts.append(_of_cap(rule, now, person, contact_point, history))
        elif denies(rule, now, person, contact_point, purpose, channel, history, classes):
            verdicts.append(Verdict(rule, "denies", looked_at=_looked_at(rule, person, contact_point, classes)))
        else:
            until = waits_until(rule, now, person, history)
            looked_at = _looked_at(rule, person, contact_point, classes)
            verdicts.append(
                Verdict(rule, "defers", until, looked_at) if until > now else Verdict(rule, "content", None, looked_at)
            )
    order = {rule: place for place, rule in enumerate(rules.rules)}
    verdicts.sort(key=lambda verdict: (_LOUD[verdict.says], order[verdict.rule]))
    local = tuple((name, now.astimezone(zone(name))) for name in person.zones)
    return Explanation(decision, tuple(verdicts), local, rules.version)


_LOUD: dict[Says, int] = {"denies": 0, "defers": 1, "lifted": 2, "content": 3}


def _of_hours(rule: Rule, now: datetime, person: PersonFacts) -> Verdict:
    clocks = clocks_of(rule, person.zones)
    if not person.zones and rule.by_recipient:
        return Verdict(rule, "denies", looked_at=NO_ZONE)
    where = zones_of(rule, person.zones)
    looked_at = ", ".join(f"{now.astimezone(zone(name)):%a %H:%M} in {name}" for name in where[:6])
    if len(where) > 6:
        looked_at += f" and {len(where) - 6} more zones"
    if hours.is_open(now, clocks):
        return Verdict(rule, "content", looked_at=looked_at)
    opening = hours.next_open(now, clocks)
    return Verdict(rule, "defers" if opening else "denies", opening, looked_at)


def _of_cap(
    rule: Rule, now: datetime, person: PersonFacts, contact_point: ContactPointFacts, history: History
) -> Verdict:
    assert rule.cap is not None
    free = caps.free_at(rule.cap, now, history, contact_point.id, person.zones)
    inside = caps.inside(rule.cap, now, history, contact_point.id, person.zones)
    looked_at = f"{inside} of {rule.cap.count} used"
    return Verdict(rule, "defers", free, looked_at) if free > now else Verdict(rule, "content", None, looked_at)


def _looked_at(rule: Rule, person: PersonFacts, contact_point: ContactPointFacts, classes: frozenset[str]) -> str:
    match rule.kind:
        case RuleKind.OPTED_OUT if person.opted_out_at is not None:
            return f"silent since {person.opted_out_at:%Y-%m-%d %H:%M} UTC, said by {_named(person.opted_out_channels)}"
        case RuleKind.CONSENT:
            return f"stands: {_named(classes)}; needs one of {_named(rule.row.classes)}"
        case RuleKind.DNC:
            return f"on {_named(contact_point.lists)}" if contact_point.lists else "on no list"
        case RuleKind.PAUSED if person.paused_until is not None:
            return f"paused until {person.paused_until:%Y-%m-%d %H:%M} UTC"
        case RuleKind.DECLINED if person.declined_channels:
            return f"declined: {_named(person.declined_channels)}"
        case RuleKind.UNUSABLE_ADDRESS if contact_point.why_not:
            return contact_point.why_not
        case _:
            return ""


def _named(words: Sequence[str] | frozenset[str]) -> str:
    return ", ".join(sorted(words)) or "none"
