"""The only way out of the building: due attempts are leased, their people locked, the gate asked, its answer committed.

The order is what makes it safe. Attempts are locked first, skipping what others hold; people next, in id order;
facts are read last, in a statement that starts after the locks were granted. Whatever was committed about a person
before that (a STOP, a payment) is seen; whatever comes later waits for the lock and finds the attempt already leased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from tenderline.compliance.decide import decide
from tenderline.compliance.facts import Allow, Decision, Defer, Deny, PastContact, Purpose
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.clock import steady_s
from tenderline.core.events import AttemptAllowed, AttemptDeferred, AttemptSuppressed, Event
from tenderline.core.ids import uuid7
from tenderline.core.zones import Place
from tenderline.store import events, places
from tenderline.store.db import Connection, Pool, query
from tenderline.store.gate import (
    consents_of,
    contacts_of,
    history_facts,
    person_facts,
    point_facts,
    written,
)
from tenderline.store.places import NOWHERE, Defaults
from tenderline.store.rules import RuleBook


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A contact to be decided on when it is due."""

    person_id: UUID
    case_id: UUID | None
    channel: str
    purpose: Purpose
    contact_point_id: UUID
    template: str
    due_at: datetime
    not_after: datetime
    subject: str | None = None
    own_act_at: datetime | None = None
    """The person's own act that it answers."""
    decision: str | None = None
    """What the gate said when it was planned (JSON); with a `why` it said no, and the attempt is kept as suppressed."""
    why: str | None = None
    id: UUID | None = None
    """Of the attempt; one is made for a contact without."""
    said: str | None = None
    """What its message says beside what its case tells (JSON)."""


class Leased(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that the gate let pass, held by this worker until `lease_ends_steady_s` on its own steady clock."""

    person_id: UUID
    id: UUID
    case_id: UUID | None
    channel: str
    contact_point_id: UUID
    address: str
    template: str
    fence: int
    tries: int
    person_name: str | None
    locale: str | None
    amount_minor: int | None
    currency: str | None
    planned_at: datetime
    lease_ends_steady_s: float
    said: str | None = None

    def may_send(self) -> bool:
        """Whether the lease still holds, by a clock that runs while this process is stopped."""
        return steady_s() < self.lease_ends_steady_s


@dataclass(frozen=True, slots=True)
class Claim:
    """What one turn of the gate did."""

    leased: list[Leased]
    deferred: int
    suppressed: int
    looked_at: int


async def add(connection: Connection, planned: Sequence[Planned]) -> list[UUID]:
    """Writes attempts in the caller's transaction; returns their ids. Features plan through `store.plans`."""
    ids = [one.id or uuid7() for one in planned]
    await connection.execute(
        query("attempts", "add"),
        [one.person_id for one in planned],
        ids,
        [one.case_id for one in planned],
        [one.channel for one in planned],
        [one.purpose for one in planned],
        [one.contact_point_id for one in planned],
        [one.template for one in planned],
        [one.due_at for one in planned],
        [one.not_after for one in planned],
        [one.subject for one in planned],
        [one.own_act_at for one in planned],
        [one.decision for one in planned],
        [one.why for one in planned],
        [one.said for one in planned],
    )
    return ids


class Due(NamedTuple):
    """Which due attempts a claim looks at: a statement of `attempts.sql`, and what it wants beside the limit."""

    statement: str
    arguments: tuple[Any, ...] = ()


MESSAGES: Final = Due("due")
LATE_CALLS: Final = Due("due_late_calls")


def calls_of(campaigns: Sequence[str]) -> Due:
    """Calls of these calling campaigns."""
    return Due("due_calls", (list(campaigns),))


def this_call(person_id: UUID, attempt_id: UUID) -> Due:
    """One call that is planned, if it is due."""
    return Due("due_this_call", (person_id, attempt_id))


async def claim(
    pool: Pool,
    book: RuleBook,
    *,
    batch_max: int,
    lease_s: float,
    defaults: Defaults = NOWHERE,
    of: Due = MESSAGES,
) -> Claim:
    """One turn of the gate in one transaction: at most one attempt for each person, each decided and recorded."""
    lease_ends_steady_s = steady_s() + lease_s  # taken before the database starts its own count: ours ends first
    async with pool.acquire() as connection, connection.transaction():
        due = _one_for_each_person(await connection.fetch(query("attempts", of.statement), batch_max, *of.arguments))
        if not due:
            return Claim([], 0, 0, 0)
        people = {
            row["id"]: row
            for row in await connection.fetch(query("attempts", "lock_people"), [row["person_id"] for row in due])
        }
        rules = await book.refresh(connection)
        facts = await connection.fetch(
            query("attempts", "facts"),
            list(range(len(due))),
            [row["person_id"] for row in due],
            [row["contact_point_id"] for row in due],
            [row["case_id"] for row in due],
            [row["channel"] for row in due],
        )
        now: datetime = facts[0]["now"]
        contacts = await contacts_of(connection, list(people), now - rules.look_back)
        where = await places.of_people(connection, people.values(), defaults)
        asked = _Asked(rules, where, timedelta(seconds=lease_s), now, {})
        decided = [asked.decide(due[fact["n"]], people[due[fact["n"]]["person_id"]], fact, contacts) for fact in facts]
        fences = await _record(connection, decided, asked, lease_s)
        leased = [
            _leased(one, fences[one.attempt["id"]], lease_ends_steady_s)
            for one in decided
            if isinstance(one.decision, Allow)
        ]
    deferred = sum(isinstance(one.decision, Defer) for one in decided)
    return Claim(leased, deferred, len(decided) - len(leased) - deferred, len(due))


def _one_for_each_person(rows: Sequence[Any]) -> list[Any]:
    """Two due attempts of one person must not both pass the cap: the later one waits for the next turn."""
    first: dict[UUID, Any] = {}
    for row in rows:
        first.setdefault(row["person_id"], row)
    return list(first.values())


@dataclass(frozen=True, slots=True)
class _Decided:
    attempt: Any
    person: Any
    fact: Any
    place: Place
    contacts: tuple[PastContact, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Asked:
    """The gate in one turn. `made` keeps its answers: like facts at one instant, like answer."""

    rules: Ruleset
    where: dict[UUID, Place]
    lease: timedelta
    now: datetime
    made: dict[tuple[Any, ...], Decision]

    def decide(self, attempt: Any, person: Any, fact: Any, contacts: dict[UUID, tuple[PastContact, ...]]) -> _Decided:
        place = self.where[person["id"]]
        before = contacts.get(attempt["person_id"], ())
        return _Decided(attempt, person, fact, place, before, self._answer(attempt, person, fact, place, before))

    def _answer(
        self, attempt: Any, person: Any, fact: Any, place: Place, contacts: tuple[PastContact, ...]
    ) -> Decision:
        if attempt["not_after"] <= self.now:
            return Deny(("OWN-TOO-LATE",), "it is too late for this contact")
        # Everything that `decide` is told below, but contacts, which are nobody else's.
        facts = (
            person["opted_out_at"], tuple(person["opted_out_channels"]), person["distress_until"], person["review_at"],
            person["paused_until"], tuple(person["declined_channels"]), place, attempt["purpose"], attempt["channel"],
            attempt["own_act_at"], fact["usable"], fact["state_why"],
            tuple(fact["lists"]), fact["consents"], fact["transaction_status"], fact["case_state"],
            fact["payment_status"], fact["unread_news"],
        )  # fmt: skip
        known = self.made.get(facts) if not contacts else None
        if known is None:
            known = self._ask(attempt, person, fact, place, contacts)
            if not contacts:
                self.made[facts] = known
        return known

    def _ask(self, attempt: Any, person: Any, fact: Any, place: Place, contacts: tuple[PastContact, ...]) -> Decision:
        told = (
            person_facts(person, place),
            point_facts(attempt["contact_point_id"], fact),
            Purpose(attempt["purpose"]),
            attempt["channel"],
            history_facts(person, fact, attempt, contacts),
            consents_of(fact["consents"], self.now),
            self.rules,
        )
        decision = decide(self.now, *told)
        if not isinstance(decision, Allow):
            return decision
        # It may leave at any instant of the lease: it must be lawful at the last of them too.
        at_end = decide(self.now + self.lease, *told)
        return decision if isinstance(at_end, Allow) else at_end


async def _record(connection: Connection, decided: list[_Decided], asked: _Asked, lease_s: float) -> dict[UUID, int]:
    """Writes every answer before anything leaves; returns the fences of the new leases."""
    told: list[Event] = []
    allowed: list[tuple[UUID, UUID, int]] = []
    others: list[tuple[UUID, UUID, str, datetime | None, str, str]] = []
    alike: dict[tuple[Place, tuple[str, ...], str | None, tuple[PastContact, ...]], int] = {}
    records: list[str] = []
    for one in decided:
        key = (one.attempt["person_id"], one.attempt["id"])
        decision = one.decision
        match decision:
            case Allow():
                what = (one.place, decision.rules, one.fact["consents"], one.contacts)
                place = alike.get(what)
                if place is None:
                    records.append(_written(one, asked))
                    alike[what] = place = len(records)
                allowed.append((*key, place))
            case Defer(until=until, why=why):
                others.append((*key, "planned", until, _written(one, asked), why))
            case Deny(why=why):
                others.append((*key, "suppressed", None, _written(one, asked), why))
        if event := _told(one.attempt, decision):
            told.append(event)
    fences: dict[UUID, int] = {}
    if allowed:
        rows = await connection.fetch(
            query("attempts", "record_allowed"), *_columns(allowed), records, lease_s, asked.now
        )
        fences = {row["id"]: row["fence"] for row in rows}
    if others:
        await connection.execute(query("attempts", "record_refused_or_deferred"), *_columns(others))
    await events.append(connection, told)
    return fences


def _written(one: _Decided, asked: _Asked) -> str:
    return written(
        one.decision,
        asked.now,
        asked.rules,
        one.place,
        consents=consents_of(one.fact["consents"], asked.now),
        contacts=one.contacts,
        opted_out_at=one.person["opted_out_at"],
    )


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _told(attempt: Any, decision: Decision) -> Event | None:
    about = {"person_id": attempt["person_id"], "case_id": attempt["case_id"], "attempt_id": attempt["id"]}
    channel = attempt["channel"]
    match decision:
        case Allow():
            return AttemptAllowed(**about, channel=channel)
        case Defer(until=until, rules=rules, why=why):
            if attempt["why"] == why:
                return None  # told already; it only waits on
            return AttemptDeferred(
                **about, channel=channel, until=until.isoformat(timespec="minutes"), why=why, rules=list(rules)
            )
        case Deny(rules=rules, why=why):
            return AttemptSuppressed(**about, channel=channel, why=why, rules=list(rules))


def _leased(one: _Decided, fence: int, lease_ends_steady_s: float) -> Leased:
    attempt, fact, person = one.attempt, one.fact, one.person
    return Leased(
        person_id=attempt["person_id"],
        id=attempt["id"],
        case_id=attempt["case_id"],
        channel=attempt["channel"],
        contact_point_id=attempt["contact_point_id"],
        address=fact["address"],
        template=attempt["template"],
        fence=fence,
        tries=attempt["tries"],
        person_name=person["name"],
        locale=person["locale"],
        amount_minor=fact["amount_minor"],
        currency=fact["currency"],
        planned_at=attempt["created_at"],
        lease_ends_steady_s=lease_ends_steady_s,
        said=attempt["said"],
    )


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt as its timeline shows it. `decision` is the JSON of the gate's last answer."""

    id: UUID
    channel: str
    state: str
    due_at: datetime
    tries: int
    provider: str | None
    provider_ref: str | None
    decision: str | None
    why: str | None
    updated_at: datetime


async def was_planned(connection: Connection, person_id: UUID, purpose: Purpose, *, since: datetime) -> bool:
    """Whether a contact of that purpose was planned for her since then."""
    return bool(await connection.fetchval(query("attempts", "was_planned"), person_id, purpose, since))


async def of_case(connection: Connection, person_id: UUID, case_id: UUID) -> list[AttemptRow]:
    """The attempts of a case in the order in which they were planned."""
    return [AttemptRow(**row) for row in await connection.fetch(query("attempts", "of_case"), person_id, case_id)]


async def cancel_planned(connection: Connection, case_id: UUID, why: str) -> int:
    """Suppresses what is still planned for a case. What the gate holds right now it will refuse itself."""
    rows = await connection.fetch(query("attempts", "cancel_planned"), case_id, why)
    await events.append(
        connection,
        [
            AttemptSuppressed(
                person_id=row["person_id"], case_id=case_id, attempt_id=row["id"], channel=row["channel"], why=why
            )
            for row in rows
        ],
    )
    return len(rows)
