"""The only way out of the building: due attempts are leased, their people locked, the gate asked, its answer committed.

The order is what makes it safe. Attempts are locked first, skipping what others hold; people next, in id order;
facts are read last, in a statement that starts after the locks were granted. Whatever was committed about a person
before that (a STOP, a payment) is seen; whatever comes later waits for the lock and finds the attempt already leased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import tzdata

from tenderline.compliance.decide import decide
from tenderline.compliance.facts import (
    Allow,
    ContactPointFacts,
    Decision,
    Defer,
    Deny,
    History,
    PersonFacts,
    Purpose,
)
from tenderline.compliance.ruleset import Ruleset
from tenderline.core import zones
from tenderline.core.clock import steady_s
from tenderline.core.events import AttemptAllowed, AttemptDeferred, AttemptSuppressed, Event
from tenderline.core.ids import uuid7
from tenderline.store import events
from tenderline.store.db import Connection, Pool, query

TZDATA_VERSION: str = tzdata.IANA_VERSION


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


class _DecisionRecord(msgspec.Struct, omit_defaults=True):
    """A decision as it is kept: enough to make it again."""

    answer: str
    rules: Sequence[str]
    at: datetime
    ruleset: str
    tzdata: str
    zones: Sequence[str]
    until: datetime | None = None
    why: str | None = None


async def plan(connection: Connection, planned: Sequence[Planned]) -> list[UUID]:
    """Writes attempts in the caller's transaction; returns their ids."""
    ids = [uuid7() for _ in planned]
    await connection.execute(
        query("attempts", "plan"),
        [one.person_id for one in planned],
        ids,
        [one.case_id for one in planned],
        [one.channel for one in planned],
        [one.purpose for one in planned],
        [one.contact_point_id for one in planned],
        [one.template for one in planned],
        [one.due_at for one in planned],
        [one.not_after for one in planned],
    )
    return ids


async def claim(
    pool: Pool, rules: Ruleset, *, batch_max: int, lease_s: float, default_zone: str | None = None
) -> Claim:
    """One turn of the gate in one transaction: at most one attempt for each person, each decided and recorded."""
    lease_ends_steady_s = steady_s() + lease_s  # taken before the database starts its own count: ours ends first
    async with pool.acquire() as connection, connection.transaction():
        due = _one_for_each_person(await connection.fetch(query("attempts", "due"), batch_max))
        if not due:
            return Claim([], 0, 0, 0)
        people = {
            row["id"]: row
            for row in await connection.fetch(query("attempts", "lock_people"), [row["person_id"] for row in due])
        }
        facts = await connection.fetch(
            query("attempts", "facts"),
            list(range(len(due))),
            [row["person_id"] for row in due],
            [row["contact_point_id"] for row in due],
            [row["case_id"] for row in due],
        )
        decisions: list[tuple[Any, Any, Decision]] = []
        made: dict[tuple[Any, ...], Decision] = {}
        for fact in facts:
            attempt = due[fact["n"]]
            decision = _decide(attempt, people[attempt["person_id"]], fact, fact["now"], rules, default_zone, made)
            if isinstance(decision, Allow):
                # It may leave at any instant of the lease: it must be lawful at the last of them too.
                lease_ends = fact["now"] + timedelta(seconds=lease_s)
                at_end = _decide(attempt, people[attempt["person_id"]], fact, lease_ends, rules, default_zone, made)
                decision = decision if isinstance(at_end, Allow) else at_end
            decisions.append((attempt, fact, decision))
        fences = await _record(connection, decisions, people, rules, lease_s, default_zone)
        leased = [
            _leased(attempt, fact, people[attempt["person_id"]], fences[attempt["id"]], lease_ends_steady_s)
            for attempt, fact, decision in decisions
            if isinstance(decision, Allow)
        ]
    deferred = sum(isinstance(decision, Defer) for _, _, decision in decisions)
    return Claim(leased, deferred, len(decisions) - len(leased) - deferred, len(due))


def _one_for_each_person(rows: Sequence[Any]) -> list[Any]:
    """Two due attempts of one person must not both pass the cap: the later one waits for the next turn."""
    first: dict[UUID, Any] = {}
    for row in rows:
        first.setdefault(row["person_id"], row)
    return list(first.values())


def _zones(person: Any, default_zone: str | None) -> tuple[str, ...]:
    return zones.candidates(person["zone"], tuple(person["number_zones"]), default_zone)


def _decide(
    attempt: Any,
    person: Any,
    fact: Any,
    now: datetime,
    rules: Ruleset,
    default_zone: str | None,
    made: dict[tuple[Any, ...], Decision],
) -> Decision:
    """The gate's answer for one attempt. `made` keeps those of this batch: like facts at one instant, like answer."""
    if attempt["not_after"] <= now:
        return Deny(("OWN-TOO-LATE",), "it is too late for this contact")
    # Everything that `decide` is told below, and nothing else.
    facts = (
        person["opted_out_at"], person["distress_until"], person["review_at"], person["last_contacted_at"],
        person["zone"], tuple(person["number_zones"]), attempt["purpose"], attempt["channel"],
        fact["usable"], fact["state_why"], fact["transaction_status"], fact["case_state"], fact["payment_status"],
        fact["unread_news"], now,
    )  # fmt: skip
    known = made.get(facts)
    if known is None:
        known = made[facts] = _ask(attempt, person, fact, now, rules, default_zone)
    return known


def _ask(attempt: Any, person: Any, fact: Any, now: datetime, rules: Ruleset, default_zone: str | None) -> Decision:
    return decide(
        now,
        PersonFacts(
            opted_out_at=person["opted_out_at"],
            distress_until=person["distress_until"],
            last_contacted_at=person["last_contacted_at"],
            zones=_zones(person, default_zone),
        ),
        ContactPointFacts(usable=bool(fact["usable"]), why_not=fact["state_why"]),
        Purpose(attempt["purpose"]),
        attempt["channel"],
        History(
            settled=fact["transaction_status"] == "COMPLETED" or fact["case_state"] == "recovered",
            # A case that cannot be found (its payments moved to another person) is no reason to contact anybody.
            closed=fact["case_state"] in ("stopped", "exhausted")
            or fact["payment_status"] in _OVER
            or (attempt["case_id"] is not None and fact["case_state"] is None),
            held=fact["case_state"] == "held" or person["review_at"] is not None,
            processing=fact["payment_status"] == "processing",
            unread_news=fact["unread_news"],
        ),
        (),
        rules,
    )


_OVER = frozenset({"refunded", "disputed", "stopped"})


async def _record(
    connection: Connection,
    decisions: list[tuple[Any, Any, Decision]],
    people: dict[UUID, Any],
    rules: Ruleset,
    lease_s: float,
    default_zone: str | None,
) -> dict[UUID, int]:
    """Writes every answer before anything leaves; returns the fences of the new leases."""
    told: list[Event] = []
    allowed: list[tuple[UUID, UUID, datetime | None, int]] = []
    others: list[tuple[UUID, UUID, str, datetime | None, str, str]] = []
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    records: list[str] = []
    for attempt, fact, decision in decisions:
        person = people[attempt["person_id"]]
        where = _zones(person, default_zone)
        key = (attempt["person_id"], attempt["id"])
        match decision:
            case Allow():
                place = alike.get((where, decision.rules))
                if place is None:
                    records.append(_record_of(decision, fact["now"], rules, where))
                    alike[where, decision.rules] = place = len(records)
                allowed.append((*key, person["last_contacted_at"], place))
            case Defer(until=until, why=why):
                others.append((*key, "planned", until, _record_of(decision, fact["now"], rules, where), why))
            case Deny(why=why):
                others.append((*key, "suppressed", None, _record_of(decision, fact["now"], rules, where), why))
        if event := _told(attempt, decision):
            told.append(event)
    fences: dict[UUID, int] = {}
    if allowed:
        contacted_at = decisions[0][1]["now"]
        rows = await connection.fetch(
            query("attempts", "record_allowed"), *_columns(allowed), records, lease_s, contacted_at
        )
        fences = {row["id"]: row["fence"] for row in rows}
        await connection.execute(query("attempts", "mark_contacted"), [row[0] for row in allowed], contacted_at)
    if others:
        await connection.execute(query("attempts", "record_refused_or_deferred"), *_columns(others))
    await events.append(connection, told)
    return fences


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _record_of(decision: Decision, at: datetime, rules: Ruleset, where: tuple[str, ...]) -> str:
    record = _DecisionRecord(type(decision).__name__.lower(), decision.rules, at, rules.version, TZDATA_VERSION, where)
    if not isinstance(decision, Allow):
        record.why = decision.why
    if isinstance(decision, Defer):
        record.until = decision.until
    return msgspec.json.encode(record).decode()


def _told(attempt: Any, decision: Decision) -> Event | None:
    about = {"person_id": attempt["person_id"], "case_id": attempt["case_id"], "attempt_id": attempt["id"]}
    channel = attempt["channel"]
    match decision:
        case Allow(rules=rules):
            return AttemptAllowed(**about, channel=channel, rules=list(rules))
        case Defer(until=until, rules=rules, why=why):
            if attempt["why"] == why:
                return None  # told already; it only waits on
            return AttemptDeferred(
                **about, channel=channel, until=until.isoformat(timespec="minutes"), why=why, rules=list(rules)
            )
        case Deny(rules=rules, why=why):
            return AttemptSuppressed(**about, channel=channel, why=why, rules=list(rules))


def _leased(attempt: Any, fact: Any, person: Any, fence: int, lease_ends_steady_s: float) -> Leased:
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
