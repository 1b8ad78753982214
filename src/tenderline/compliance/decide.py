"""The one decision before every contact: allow, defer until an instant, or deny, always with the rules that said so.

It is pure: no clock, no database. It is asked inside the transaction that claims the contact, over facts read after
the person's row was locked, and its answer is committed before anything leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tenderline.compliance.facts import (
    Allow,
    Consent,
    ContactPointFacts,
    Decision,
    Defer,
    Deny,
    History,
    PersonFacts,
    Purpose,
)
from tenderline.compliance.ruleset import Rule, RuleKind, Ruleset
from tenderline.core import zones

# Each pass moves the instant forward to the next opening; two rules can only push each other so often in 8 days.
_PASSES_MAX = 32


def decide(
    now: datetime,
    person: PersonFacts,
    contact_point: ContactPointFacts,
    purpose: Purpose,
    channel: str,
    history: History,
    consents: Sequence[Consent],
    rules: Ruleset,
) -> Decision:
    """Whether this contact may leave at `now` (aware UTC).

    Every binding rule must allow it. A rule that denies wins over any that defers; of those that defer, the contact
    waits for the first instant at which all of them are content. `consents` bind rules of later kinds.
    """
    del consents  # no rule shipped so far rests on a consent; the argument is the gate's contract
    binding = rules.binding(now.date(), channel, purpose)
    denying = [rule for rule in binding.denying if _denies(rule, person, contact_point, history)]
    if denying:
        return Deny(tuple(rule.id for rule in denying), _why_denied(denying[0]))
    instant, deferring = _content(binding.deferring, now, now, person, history)
    if instant is None:
        return Deny((deferring[-1].id,), _no_opening(person))
    if not deferring:
        return Allow(binding.ids)
    for _ in range(_PASSES_MAX):
        later, more = _content(binding.deferring, instant, now, person, history)
        if later is None:
            return Deny((more[-1].id,), _no_opening(person))
        if later == instant:
            break
        instant = later
        deferring += [rule for rule in more if rule not in deferring]
    return Defer(instant, tuple(rule.id for rule in deferring), deferring[0].why)


def _content(
    rules: Sequence[Rule], instant: datetime, now: datetime, person: PersonFacts, history: History
) -> tuple[datetime | None, list[Rule]]:
    """One pass over the rules: how far they push the instant, and which of them did. None: the last one sees no end."""
    pushing: list[Rule] = []
    for rule in rules:
        later = _not_before(rule, instant, now, person, history)
        if later is None:
            return None, [*pushing, rule]
        if later > instant:
            instant = later
            pushing.append(rule)
    return instant, pushing


def _denies(rule: Rule, person: PersonFacts, contact_point: ContactPointFacts, history: History) -> bool:
    match rule.kind:
        case RuleKind.OPTED_OUT:
            return person.opted_out_at is not None
        case RuleKind.SETTLED:
            return history.settled
        case RuleKind.CLOSED:
            return history.closed
        case RuleKind.UNUSABLE_ADDRESS:
            return not contact_point.usable
        case RuleKind.HOURS:
            return not person.zones
        case _:
            return False


def _not_before(rule: Rule, instant: datetime, now: datetime, person: PersonFacts, history: History) -> datetime | None:
    """The first instant from `instant` on at which the rule is content; None when there is none in sight."""
    match rule.kind:
        case RuleKind.HOURS:
            assert rule.opens is not None
            assert rule.closes is not None
            return zones.next_open(instant, person.zones, rule.opens, rule.closes)
        case RuleKind.CAP:
            assert rule.window_s is not None
            if person.last_contacted_at is not None:
                return max(instant, person.last_contacted_at + timedelta(seconds=rule.window_s))
        case RuleKind.DISTRESS:
            if person.distress_until is not None:
                return max(instant, person.distress_until)
        case RuleKind.PROCESSING if history.processing:
            return max(instant, now + timedelta(seconds=rule.again_after_s or 0))
        case RuleKind.HELD if history.held:
            return max(instant, now + timedelta(seconds=rule.again_after_s or 0))
        case RuleKind.UNREAD_NEWS if history.unread_news:
            return max(instant, now + timedelta(seconds=rule.again_after_s or 0))
        case _:
            pass
    return instant


def _why_denied(rule: Rule) -> str:
    return "the time zone of the person is not known" if rule.kind is RuleKind.HOURS else rule.why


def _no_opening(person: PersonFacts) -> str:
    return f"no hour in the next {zones.LOOK_AHEAD_DAYS} days is open in all of {', '.join(person.zones[:4])}"
