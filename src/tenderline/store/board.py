"""What the board and the lists read, and the replay of what failed: bounded queries, nothing that locks work out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from pgqueuer.types import JobId

from tenderline.core import events as core_events
from tenderline.store import inbox
from tenderline.store.db import Connection, query

PAGE_MAX = 200
HELD_FIRST_MAX = 10
EVENTS_LOOKED_BACK_MAX = 500
ATTEMPTS_OF_CASE_MAX = 100
TIMELINE_MAX = 500


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as a line of a timeline. `sentence` is None when a newer version than this one wrote the event."""

    id: UUID
    at: datetime
    kind: str
    case_id: UUID | None
    attempt_id: UUID | None
    person_name: str | None
    sentence: str | None


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case as a line of a list, with the contact that comes next."""

    id: UUID
    state: str
    held_why: str | None
    held_by: str | None
    reason: str
    amount_minor: int | None
    currency: str | None
    attempt_count: int
    opened_at: datetime
    person_name: str | None
    opted_out_at: datetime | None
    next_channel: str | None
    next_state: str | None
    next_due_at: datetime | None
    next_why: str | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt as a line of a list. `decision` is the JSON of the gate's last answer."""

    id: UUID
    case_id: UUID | None
    channel: str
    state: str
    due_at: datetime
    tries: int
    provider: str | None
    decision: str | None
    why: str | None
    updated_at: datetime
    person_name: str | None
    address_kind: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class UnreadRow:
    """A webhook that is stored and not read yet."""

    id: int
    source: str
    event_type: str
    event_id: str
    received_at: datetime
    tries: int
    next_try_at: datetime
    error: str | None


async def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many there are, by (cases | attempts | inbox | jobs | people, state)."""
    return {(row["what"], row["state"]): row["count"] for row in await connection.fetch(query("board", "counts"))}


def _event(row: Any, case_id: UUID | None, person_name: str | None) -> EventRow:
    data = msgspec.json.decode(row["data"])
    try:
        sentence = core_events.sentence(core_events.decode(row["data"]))
    except msgspec.ValidationError:
        sentence = None  # while processes of two versions run side by side, the newer one's words are strange to us
    attempt_id = data.get("attempt_id")
    kind = data.get("kind", "?")
    return EventRow(
        row["id"], row["at"], kind, case_id, UUID(attempt_id) if attempt_id else None, person_name, sentence
    )


async def newest_events(connection: Connection, limit: int) -> list[EventRow]:
    """The newest events first, with whom they are about."""
    rows = await connection.fetch(query("board", "newest_events"), min(limit, PAGE_MAX))
    return [_event(row, row["case_id"], row["person_name"]) for row in rows]


async def events_of_case(connection: Connection, case_id: UUID, person_id: UUID, payment_id: UUID) -> list[EventRow]:
    """What concerns a case, oldest first; the newest of it when there is too much."""
    rows = await connection.fetch(query("board", "events_of_case"), case_id, payment_id, person_id, TIMELINE_MAX)
    return [_event(row, case_id, None) for row in reversed(rows)]


async def events_of_attempt(connection: Connection, person_id: UUID, attempt_id: UUID) -> list[EventRow]:
    """What was told of an attempt, oldest first."""
    rows = await connection.fetch(query("board", "events_of_attempt"), person_id, attempt_id, TIMELINE_MAX)
    return [_event(row, row["case_id"], None) for row in rows]


async def newest_cases(connection: Connection, limit: int) -> list[CaseRow]:
    """Cases that are held, then the newest."""
    rows = await connection.fetch(query("board", "newest_cases"), min(limit, PAGE_MAX), HELD_FIRST_MAX)
    return [CaseRow(**row) for row in rows]


async def cases(
    connection: Connection, *, state: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> list[CaseRow]:
    """A page of cases, newest first; `before` is (opened_at, id) of the last one of the page before."""
    at, case_id = before or (None, None)
    rows = await connection.fetch(query("board", "cases"), state, at, case_id, min(limit, PAGE_MAX))
    return [CaseRow(**row) for row in rows]


async def newest_attempts(connection: Connection, limit: int) -> list[AttemptRow]:
    """The attempts of which something was told last."""
    rows = await connection.fetch(query("board", "newest_attempts"), min(limit, PAGE_MAX), EVENTS_LOOKED_BACK_MAX)
    return [AttemptRow(**row) for row in rows]


async def attempts(connection: Connection, *, state: str | None, before: UUID | None, limit: int) -> list[AttemptRow]:
    """A page of attempts, newest first; `before` is the id of the last one of the page before."""
    rows = await connection.fetch(query("board", "attempts"), state, before, min(limit, PAGE_MAX))
    return [AttemptRow(**row) for row in rows]


async def attempts_of_case(connection: Connection, person_id: UUID, case_id: UUID) -> list[AttemptRow]:
    """The attempts of a case, in the order in which they are due."""
    rows = await connection.fetch(query("board", "attempts_of_case"), person_id, case_id, ATTEMPTS_OF_CASE_MAX)
    return [AttemptRow(**row) for row in rows]


async def unread(connection: Connection, limit: int) -> list[UnreadRow]:
    """The webhooks that are read next."""
    return [UnreadRow(**row) for row in await connection.fetch(query("board", "unread"), min(limit, PAGE_MAX))]


async def replay_jobs(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Puts parked jobs back into the queue, in the caller's transaction; returns those that were parked."""
    found = [row["id"] for row in await connection.fetch(query("board", "lock_dead_jobs"), list(ids))]
    if found:
        driver = AsyncpgDriver(connection)  # type: ignore[arg-type]  # a pool's proxy answers the same calls
        await Queries(driver).requeue_jobs([JobId(job_id) for job_id in found])
    return found


async def replay_webhooks(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Puts unreadable webhooks back to be read, in the caller's transaction; returns those that were dead."""
    found = [row["id"] for row in await connection.fetch(query("board", "lock_dead_webhooks"), list(ids))]
    if found:
        await inbox.replay(connection, found)
    return found
