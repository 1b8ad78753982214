"""The one decision before every contact: allow, defer until an instant, or deny, always with the rules that said so.

It is pure: no clock, no database. It is asked when a contact is planned, and again inside the transaction that claims
it, over facts read after the person's row was locked; its answer is committed before anything leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tenderline.compliance import caps, hours
from tenderline.compliance.facts import (
    NO_END,
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
from tenderline.compliance.rule import Rule, RuleKind
from tenderline.compliance.ruleset import Binding, Ruleset, clocks_of
from tenderline.core.hours import LOOK_AHEAD_DAYS

# Each pass moves the instant forward; caps and hours can only push each other so often.
_PASSES_MAX = 64
NO_ZONE = "the time zone of the person is not known"
_NO_CLASSES: frozenset[str] = frozenset()
_FAMILY = {"voice_live": "voice", "voice_artificial": "voice"}


def family_of(channel: str) -> str:
    """What a refusal by this channel is a refusal of: both kinds of voice are one."""
    return _FAMILY.get(channel, channel)


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
    waits for the first instant at which all of them are content. What is not known takes the stricter branch.
    """
    classes = standing_classes(consents, channel, purpose) if consents else _NO_CLASSES
    binding = bind(now, person, purpose, channel, history, classes, rules)
    denying = [
        rule for rule in binding.denying if denies(rule, now, person, contact_point, purpose, channel, history, classes)
    ]
    if denying:
        return Deny(tuple(rule.id for rule in denying), denying[0].why)
    if not person.zones and binding.hours:
        return Deny(tuple(rule.id for rule in binding.hours), NO_ZONE)
    clocks = binding.clocks(person.zones)
    waiting = [rule for rule in binding.waiting if (until := waits_until(rule, now, person, history)) and until > now]
    if not waiting and not history.contacts and hours.is_open(now, clocks):
        return Allow(binding.ids)
    return _first_free(now, person, contact_point, history, binding, waiting)


def _first_free(
    now: datetime,
    person: PersonFacts,
    contact_point: ContactPointFacts,
    history: History,
    binding: Binding,
    waiting: list[Rule],
) -> Decision:
    """The first instant at which every rule is content: now, later, or never."""
    endless = [rule for rule in waiting if waits_until(rule, now, person, history).year >= NO_END]
    if endless:
        return Deny(tuple(rule.id for rule in endless), endless[0].why)
    clocks = binding.clocks(person.zones)
    instant = max([now, *(waits_until(rule, now, person, history) for rule in waiting)])
    # All that speaks now is named, also what would be content by the time the others are.
    pushing = [
        *waiting,
        *(rule for rule in binding.caps if _free_at(rule, now, person, contact_point, history) > now),
        *(rule for rule in binding.hours if not hours.is_open(now, clocks_of(rule, person.zones))),
    ]
    for _ in range(_PASSES_MAX):
        before = instant
        for rule in binding.caps:
            free = _free_at(rule, instant, person, contact_point, history)
            if free > instant:
                instant = free
                pushing.append(rule)
        if not hours.is_open(instant, clocks):
            closed = [rule for rule in binding.hours if not hours.is_open(instant, clocks_of(rule, person.zones))]
            pushing += closed
            opening = hours.next_open(instant, clocks)
            if opening is None:
                return Deny(tuple(dict.fromkeys(rule.id for rule in closed)), _no_opening(person))
            instant = opening
        if instant == before:
            break
    if instant == now:
        return Allow(binding.ids)
    return Defer(instant, tuple(dict.fromkeys(rule.id for rule in pushing)), pushing[0].why)


def _free_at(
    rule: Rule, instant: datetime, person: PersonFacts, contact_point: ContactPointFacts, history: History
) -> datetime:
    assert rule.cap is not None
    return caps.free_at(rule.cap, instant, history, contact_point.id, person.zones)


def bind(
    now: datetime,
    person: PersonFacts,
    purpose: Purpose,
    channel: str,
    history: History,
    classes: frozenset[str],
    rules: Ruleset,
) -> Binding:
    """The rules that speak about this contact at this instant."""
    return rules.binding(now, channel, purpose, person.regions, classes, own_act_age_s(now, history))


def own_act_age_s(now: datetime, history: History) -> int | None:
    """How long ago the person did what this contact answers, in whole seconds."""
    return None if history.own_act_at is None else int((now - history.own_act_at) / timedelta(seconds=1))


def standing_classes(consents: Sequence[Consent], channel: str, purpose: str) -> frozenset[str]:
    """The classes of agreement that hold for such a contact."""
    return frozenset(
        one.consent_class
        for one in consents
        if (not one.channels or channel in one.channels) and (not one.purposes or purpose in one.purposes)
    )


def denies(
    rule: Rule,
    now: datetime,
    person: PersonFacts,
    contact_point: ContactPointFacts,
    purpose: str,
    channel: str,
    history: History,
    classes: frozenset[str],
) -> bool:
    """Whether a rule of the denying kinds refuses the contact."""
    match rule.kind:
        case RuleKind.OPTED_OUT:
            if person.opted_out_at is None:
                return False
            elsewhere = family_of(channel) not in person.opted_out_channels and bool(person.opted_out_channels)
            return not (rule.row.except_channels_other_than_its_own and elsewhere)
        case RuleKind.SETTLED:
            return history.settled
        case RuleKind.CLOSED:
            return history.closed
        case RuleKind.UNUSABLE_ADDRESS:
            return not contact_point.usable
        case RuleKind.DECLINED:
            return family_of(channel) in person.declined_channels
        case RuleKind.DNC:
            return any(name in rule.row.lists for name in contact_point.lists)
        case RuleKind.CONSENT:
            return classes.isdisjoint(rule.row.classes)
        case RuleKind.BAN:
            return True
        case RuleKind.CONFIRMATION:
            return not _may_confirm(rule, now, person, channel, history)
        case _:
            return False


def _may_confirm(rule: Rule, now: datetime, person: PersonFacts, channel: str, history: History) -> bool:
    """One confirmation of an opt-out, soon after it, on the channel it came by."""
    silent_since, said = person.opted_out_at, history.own_act_at
    if silent_since is None or said is None or family_of(channel) not in person.opted_out_channels:
        return False
    assert rule.row.lifted_by_own_act_s is not None
    soon = now - said <= timedelta(seconds=rule.row.lifted_by_own_act_s)
    sent = any(one.purpose == Purpose.OPT_OUT_CONFIRMATION and one.at >= silent_since for one in history.contacts)
    return soon and not sent


def waits_until(rule: Rule, now: datetime, person: PersonFacts, history: History) -> datetime:
    """Until when a rule of the waiting kinds puts the contact off; `now` when it does not."""
    match rule.kind:
        case RuleKind.DISTRESS if person.distress_until is not None:
            return max(now, person.distress_until)
        case RuleKind.PAUSED if person.paused_until is not None:
            return max(now, person.paused_until)
        case RuleKind.PROCESSING if history.processing:
            return now + timedelta(seconds=rule.row.again_after_s or 0)
        case RuleKind.HELD if history.held:
            return now + timedelta(seconds=rule.row.again_after_s or 0)
        case RuleKind.UNREAD_NEWS if history.unread_news:
            return now + timedelta(seconds=rule.row.again_after_s or 0)
        case _:
            return now


def _no_opening(person: PersonFacts) -> str:
    shown = ", ".join(person.zones[:4]) + (" …" if len(person.zones) > 4 else "")
    return f"no hour in the next {LOOK_AHEAD_DAYS} days is open in all of {shown}: the person's own zone is needed"
