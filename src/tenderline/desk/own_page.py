"""A payer's own page as plain data: what she was sent and why, what was held back, what comes next, what she chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from tenderline.compliance.decide import family_of
from tenderline.compliance.facts import Decision, Defer, Deny, Purpose
from tenderline.compliance.rule import RuleKind
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.errors import NotFoundError
from tenderline.core.zones import Place
from tenderline.desk import own_words, zone_names
from tenderline.desk.zone_names import ZoneGroup
from tenderline.store import explanations, people, places
from tenderline.store import own_page as rows
from tenderline.store.db import Connection
from tenderline.store.explanations import Question, Target
from tenderline.store.gate import DecisionRecord
from tenderline.store.own_page import ContactRow
from tenderline.store.people import Person
from tenderline.store.places import Defaults
from tenderline.store.rules import RuleBook

LOOK_BACK_DAYS: Final = 365
_KINDS: Final = {people.PHONE: ("sms", "voice"), people.EMAIL: ("email",)}
"""What can be turned off, by the addresses that she has."""
_TOO_LATE: Final = "OWN-TOO-LATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One contact in her words. `reasons` say why it was made; of one that was not made there is one, why not."""

    way: str
    to: str
    at: datetime
    when: str
    about: str
    became: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The contact that is planned next, as the gate would let it pass by what is known now.

    `why` is what puts it off, or refuses it (`may_come`), when something does; `more` come after it.
    """

    id: UUID
    way: str
    to: str
    at: datetime
    when: str
    about: str
    why: str | None
    may_come: bool
    more: int


@dataclass(frozen=True, slots=True)
class Way:
    """A channel that she can turn off or on again."""

    channel: str
    name: str
    is_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPage:
    """Everything that is shown."""

    has_stopped: bool
    paused_until: str | None
    next: Next | None
    ways: tuple[Way, ...]
    sent: tuple[Contact, ...]
    held_back: tuple[Contact, ...]
    is_cut: bool
    """There was more than is shown."""
    where: str
    """Her cities, or nothing."""
    where_by: str
    local_now: str
    zones: tuple[ZoneGroup, ...]
    own_zone: str | None


async def read(
    connection: Connection,
    book: RuleBook,
    defaults: Defaults,
    person: Person,
    contact_point_id: UUID,
    organisation: str,
    now: datetime,
) -> OwnPage:
    """The page of a person, for whoever holds the link that came to this address. Read it in one transaction."""
    rules = await book.refresh(connection)
    place = await places.of_person(connection, person.id, defaults)
    points = await people.contact_points(connection, person.id)
    found = await rows.contacts(connection, person.id, since=now - timedelta(days=LOOK_BACK_DAYS))
    view = _View(rules, place, contact_point_id, organisation)
    declined = frozenset(person.declined_channels)
    planned = sorted(
        (row for row in found if row.state == "planned" and family_of(row.channel) not in declined),
        key=lambda row: (row.due_at, row.id),
    )
    coming = None
    if planned and person.opted_out_at is None:
        at = max(planned[0].due_at, now)
        answer = await _ask(connection, book, defaults, person.id, planned[0], at if at > now else None)
        coming = view.next(planned[0], at, answer, len(planned) - 1)
    paused = person.paused_until if person.paused_until and person.paused_until > now else None
    return OwnPage(
        has_stopped=person.opted_out_at is not None,
        paused_until=own_words.until(paused, place.zones) if paused else None,
        next=coming,
        ways=tuple(
            Way(channel, own_words.CHANNELS[channel], channel not in declined)
            for kind, channels in _KINDS.items()
            if any(point.kind == kind for point in points)
            for channel in channels
        ),
        sent=tuple(view.sent(row) for row in found if row.has_left),
        held_back=tuple(view.held_back(row) for row in found if not row.has_left and row.state != "planned"),
        is_cut=len(found) == rows.CONTACTS_MAX,
        where=zone_names.cities(place.zones),
        where_by=own_words.EVIDENCE[place.evidence],
        local_now=own_words.when(now, place.zones),
        zones=zone_names.groups(place, now),
        own_zone=person.zone,
    )


async def _ask(
    connection: Connection, book: RuleBook, defaults: Defaults, person_id: UUID, row: ContactRow, at: datetime | None
) -> Decision | None:
    """What the gate would say to a planned contact at the instant at which it is due."""
    if row.address_kind is None or row.address is None:
        return None  # its payments turned out to be another person's
    question = Question(
        channel=row.channel,
        purpose=Purpose(row.purpose),
        at=at,
        person_id=person_id,
        address=row.address,
        case_id=row.case_id,
        subject=row.subject,
        own_act_at=row.own_act_at,
    )
    target = Target(row.address_kind, row.address, person_id, row.contact_point_id)
    try:
        told = await explanations.facts(connection, book, defaults, question, target)
    except NotFoundError:
        return None  # so did its case
    return told.explain(question).decision


@dataclass(frozen=True, slots=True)
class _View:
    """What every line needs to know."""

    rules: Ruleset
    place: Place
    contact_point_id: UUID
    organisation: str

    def sent(self, row: ContactRow) -> Contact:
        """A contact that left, and why it was let pass."""
        record = _record(row)
        kinds = self._kinds(record.rules, record.at) if record and record.answer == "allow" else []
        when = own_words.when(row.at, self.place.zones)
        return self._contact(row, when, own_words.BECAME.get(row.state, row.state), own_words.allowed(set(kinds), when))

    def held_back(self, row: ContactRow) -> Contact:
        """A contact that was not made, and why not."""
        when = own_words.when(row.at, self.place.zones)
        return self._contact(row, when, "not sent", (self._why_not(row),))

    def next(self, row: ContactRow, at: datetime, answer: Decision | None, more: int) -> Next:
        """What comes next, when, and why not sooner."""
        at = answer.until if isinstance(answer, Defer) else at
        why = None
        if isinstance(answer, Defer | Deny):
            why = self._said_no(answer.rules, at, answer.why)
        elif (record := _record(row)) is not None and record.answer == "defer":
            why = self._why_not(row)
        return Next(
            id=row.id,
            way=own_words.way(row.channel),
            to=self._masked(row),
            at=at,
            when=own_words.when(at, self.place.zones),
            about=own_words.about(row.purpose, self.organisation),
            why=why,
            may_come=not isinstance(answer, Deny),
            more=more,
        )

    def _contact(self, row: ContactRow, when: str, became: str, reasons: tuple[str, ...]) -> Contact:
        return Contact(
            way=own_words.way(row.channel),
            to=self._masked(row),
            at=row.at,
            when=when,
            about=own_words.about(row.purpose, self.organisation),
            became=became,
            reasons=reasons,
        )

    def _masked(self, row: ContactRow) -> str:
        return own_words.mask(row.address_kind, row.address, is_hers=row.contact_point_id == self.contact_point_id)

    def _why_not(self, row: ContactRow) -> str:
        record = _record(row)
        if (said := own_words.taken_back(row.state, row.why)) is not None:
            return said
        if record is None or record.answer == "allow":
            return own_words.NOT_SENT
        return self._said_no(record.rules, record.at, record.why)

    def _said_no(self, rule_ids: Sequence[str], at: datetime, why: str | None) -> str:
        if _TOO_LATE in rule_ids:
            return own_words.TOO_LATE
        kinds = self._kinds(rule_ids, at)
        return own_words.held_back(kinds[0] if kinds else None, why)

    def _kinds(self, rule_ids: Sequence[str], at: datetime) -> list[RuleKind]:
        """What the rules of a decision looked at; rules that are there no more tell nothing."""
        found = (self.rules.find(rule_id, at.date()) for rule_id in rule_ids)
        return [rule.kind for rule in found if rule is not None]


def _record(row: ContactRow) -> DecisionRecord | None:
    """What the gate wrote down; None when it was not asked yet, or a newer version wrote it."""
    if row.decision is None:
        return None
    try:
        return msgspec.json.decode(row.decision, type=DecisionRecord)
    except msgspec.ValidationError:
        return None
