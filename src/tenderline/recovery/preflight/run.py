"""Playing a policy for everybody in a file: each step is asked of the real gate, by the planning of the product."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID

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
from tenderline.compliance.hours import WEEKDAYS
from tenderline.compliance.plan import Choice, Chosen, plan
from tenderline.compliance.ruleset import Ruleset
from tenderline.core import zones
from tenderline.core.hours import zone
from tenderline.recovery.policy import CONTACT_KINDS, Policy
from tenderline.recovery.preflight.audience import Contact

VALID: Final = timedelta(days=7)
POINTS: Final = {"phone": UUID(int=1), "email": UUID(int=2)}
REMEMBERED_MAX: Final = 200_000
_GIVEN: Final = frozenset({Purpose.FIRST_PARTY_RECOVERY, Purpose.SERVICING})


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What is played."""

    policy: Policy
    rules: Ruleset
    purpose: Purpose
    start: datetime
    days: int
    default_zone: str | None
    default_region: str | None

    @property
    def end(self) -> datetime:
        """When the curtain falls: what would be sent later is not counted."""
        return self.start + timedelta(days=self.days)


@dataclass(slots=True)
class Outcome:
    """What would happen, counted. Adding two gives that of both audiences."""

    people: int = 0
    sent: int = 0
    later: int = 0
    """Contacts that would leave after the last day."""
    by_day: Counter[str] = field(default_factory=Counter)
    by_local_hour: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(weekday, hour) by the wall clock of the first zone of the person."""
    by_channel: Counter[str] = field(default_factory=Counter)
    by_step: Counter[int] = field(default_factory=Counter)
    held_by: Counter[str] = field(default_factory=Counter)
    """Contacts that a rule put off."""
    refused_by: Counter[str] = field(default_factory=Counter)
    """Contacts that a rule refused."""
    contacts_of_a_person: Counter[int] = field(default_factory=Counter)
    waited_h: Counter[int] = field(default_factory=Counter)
    """Hours by which contacts were put off."""

    def add(self, other: Outcome) -> None:
        """Adds what happened to others."""
        self.people += other.people
        self.sent += other.sent
        self.later += other.later
        for name in ("by_day", "by_local_hour", "by_channel", "by_step", "held_by", "refused_by"):
            getattr(self, name).update(getattr(other, name))
        self.contacts_of_a_person.update(other.contacts_of_a_person)
        self.waited_h.update(other.waited_h)


@dataclass(frozen=True, slots=True)
class Played:
    """One step of one person: when it would leave and by which channel, or why not."""

    step: int
    channel: str
    wanted_at: datetime
    at: datetime | None
    rules: tuple[str, ...]
    held: bool


def play(rehearsal: Rehearsal, contacts: Iterable[Contact]) -> Outcome:
    """What would happen to these people."""
    remembered = lru_cache(maxsize=REMEMBERED_MAX)(lambda *facts: _steps(rehearsal, *facts))
    outcome = Outcome()
    for contact in contacts:
        _count(outcome, rehearsal, *steps_of(rehearsal, contact, remembered))
    return outcome


def steps_of(rehearsal: Rehearsal, contact: Contact, steps=None) -> tuple[zones.Place, tuple[Played, ...]]:  # type: ignore[no-untyped-def]  # the remembering form of `_steps`
    """Every step of one person. People of whom all the same is known are played once."""
    numbers = (contact.phone,) if contact.phone else ()
    place = zones.locate(contact.zone, contact.address, numbers, rehearsal.default_zone, rehearsal.default_region)
    failed_at = contact.failed_at or rehearsal.start
    told = (
        place,
        contact.phone is not None,
        contact.email is not None,
        contact.consents,
        contact.opted_out,
        contact.last_contact_at,
        max(failed_at, rehearsal.start),
    )
    return place, (steps or (lambda *facts: _steps(rehearsal, *facts)))(*told)


def _steps(
    rehearsal: Rehearsal,
    place: zones.Place,
    has_phone: bool,
    has_email: bool,
    classes: tuple[str, ...],
    opted_out: bool,
    last_contact_at: datetime | None,
    first_due: datetime,
) -> tuple[Played, ...]:
    kinds = {kind for kind, there in (("phone", has_phone), ("email", has_email)) if there}
    consents = tuple(Consent(one, purposes=frozenset(_GIVEN) if one == "PEC" else frozenset()) for one in classes)
    past = () if last_contact_at is None else (_past(last_contact_at, rehearsal.purpose),)
    person = PersonFacts(
        opted_out_at=rehearsal.start if opted_out else None,
        opted_out_channels=frozenset({"sms"}) if opted_out else frozenset(),
        zones=place.zones,
        regions=place.regions,
    )
    steps = [
        [
            Choice(
                channel=channel,
                purpose=rehearsal.purpose,
                point=ContactPointFacts(id=POINTS[CONTACT_KINDS[channel]]),
                history=History(contacts=past, subject="debt"),
                consents=consents,
                due_at=first_due + timedelta(hours=step.after_h),
                not_after=first_due + timedelta(hours=step.after_h) + VALID,
            )
            for channel in step.channels
            if CONTACT_KINDS[channel] in kinds
        ]
        for step in rehearsal.policy.step
    ]
    found = plan(steps, person, rehearsal.rules)
    return tuple(
        _played(number, choices[chosen.place], chosen)
        for number, (choices, chosen) in enumerate(zip(steps, found, strict=True))
        if chosen is not None
    )


def _past(at: datetime, purpose: Purpose) -> PastContact:
    return PastContact(at=at, channel="sms", purpose=purpose)


def _played(number: int, choice: Choice, chosen: Chosen) -> Played:
    match chosen.answer:
        case Allow():
            return Played(number, choice.channel, choice.due_at, chosen.due_at, (), held=False)
        case Defer(rules=rules):
            return Played(number, choice.channel, choice.due_at, chosen.due_at, rules, held=True)
        case Deny(rules=rules):
            return Played(number, choice.channel, choice.due_at, None, rules, held=False)


def _count(outcome: Outcome, rehearsal: Rehearsal, place: zones.Place, played: tuple[Played, ...]) -> None:
    outcome.people += 1
    sent = 0
    for one in played:
        if one.at is None:
            outcome.refused_by.update(one.rules)
        elif one.at >= rehearsal.end:
            outcome.later += 1
        else:
            sent += 1
            local = one.at.astimezone(zone(place.zones[0]))
            outcome.by_day[f"{one.at:%Y-%m-%d}"] += 1
            outcome.by_local_hour[WEEKDAYS[local.weekday()], local.hour] += 1
            outcome.by_channel[one.channel] += 1
            outcome.by_step[one.step + 1] += 1
            if one.held:
                outcome.held_by.update(one.rules)
                outcome.waited_h[int((one.at - one.wanted_at).total_seconds() // 3600)] += 1
    outcome.sent += sent
    outcome.contacts_of_a_person[sent] += 1
