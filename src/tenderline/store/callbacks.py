"""Callbacks: who is to be called, from when until when, why, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from tenderline.core.clock import utc_now
from tenderline.core.ids import uuid7
from tenderline.store import people
from tenderline.store.db import Connection, query

LISTED_MAX: Final = 200
IN_TURN: Final = "she keeps a place in line: her turn is when an agent is free"
"""The view `callback_seen` knows it by these words, and says otherwise when it is not so any more."""
Kind = Literal["wish", "agent", "distress"]


@dataclass(frozen=True, slots=True)
class Callback:
    """One as it is shown. `state`: ahead, due, overdue, done or cancelled; `why`: what the gate said, or why it waits
    for a person."""

    id: UUID
    person_id: UUID | None
    conversation_id: UUID | None
    number: str
    due_at: datetime
    not_after: datetime | None
    kind: str
    campaign: str | None
    zone: str | None
    note: str | None
    created_at: datetime
    asked_by: str | None
    closed_by: str | None
    closed_at: datetime | None
    attempt_state: str | None
    attempt_due_at: datetime | None
    state: str
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A callback as it is asked for. Without `attempt_id` a person calls."""

    person_id: UUID | None
    conversation_id: UUID | None
    number: str
    due_at: datetime
    not_after: datetime | None
    attempt_id: UUID | None = None
    kind: Kind = "wish"
    campaign: str | None = None
    zone: str | None = None
    note: str | None = None
    why: str | None = None
    asked_by: str


async def add(connection: Connection, wanted: Wanted, *, id: UUID | None = None) -> UUID | None:
    """Its id; None when this `id`, or a callback for the distress of this call, is there already."""
    made: UUID | None = await connection.fetchval(
        query("callbacks", "add"), id or uuid7(), wanted.person_id, wanted.conversation_id, wanted.number,
        wanted.due_at, wanted.not_after, wanted.attempt_id, wanted.kind, wanted.campaign, wanted.zone, wanted.note,
        wanted.why, wanted.asked_by,
    )  # fmt: skip
    return made


async def of_distress(connection: Connection, conversation_id: UUID) -> UUID | None:
    """The callback that waits for the distress of this call."""
    found: UUID | None = await connection.fetchval(query("callbacks", "of_distress"), conversation_id)
    return found


async def waiting(connection: Connection) -> list[Callback]:
    """Those that wait, the most urgent first."""
    return await _listed(connection, "waiting")


async def over(connection: Connection) -> list[Callback]:
    """Those that are done or cancelled, the newest first."""
    return await _listed(connection, "over")


async def get(connection: Connection, callback_id: UUID) -> Callback | None:
    """One."""
    found = await _listed(connection, "one", callback_id)
    return found[0] if found else None


async def _listed(connection: Connection, which: str, callback_id: UUID | None = None) -> list[Callback]:
    rows = await connection.fetch(query("callbacks", "listed"), which, LISTED_MAX, callback_id)
    return [Callback(**row) for row in rows]


async def lock(connection: Connection, callback_id: UUID) -> Any:
    """The row, held by the caller's transaction; None when there is none."""
    return await connection.fetchrow(query("callbacks", "lock"), callback_id)


async def add_in_turn(connection: Connection, callback_id: UUID, number: str, *, asked_by: str) -> None:
    """Whoever hung up and keeps a place in line is called when it is her turn; with the same id twice is once. The row
    of her call, from which she asked, may be written later than this."""
    known = await people.find_by_address(connection, people.PHONE, number)
    wanted = Wanted(
        person_id=known[0] if known is not None else None,
        conversation_id=None,
        number=number,
        due_at=utc_now(),
        not_after=None,
        why=IN_TURN,
        asked_by=asked_by,
    )
    await add(connection, wanted, id=callback_id)


async def explain(connection: Connection, callback_id: UUID, why: str) -> None:
    """Why nobody calls by itself."""
    await connection.execute(query("callbacks", "explain"), callback_id, why)


async def answer(connection: Connection, callback_id: UUID, attempt_id: UUID) -> None:
    """This call answers the wish."""
    await connection.execute(query("callbacks", "answer"), callback_id, attempt_id)


async def move(
    connection: Connection,
    callback_id: UUID,
    *,
    due_at: datetime,
    not_after: datetime | None,
    attempt_id: UUID | None,
    why: str | None,
    zone: str | None,
    campaign: str | None,
) -> None:
    """Another time, and the call that is planned for it."""
    await connection.execute(
        query("callbacks", "move"), callback_id, due_at, not_after, attempt_id, why, zone, campaign
    )


async def close(connection: Connection, callback_id: UUID, state: Literal["done", "cancelled"], *, by: str) -> bool:
    """It waits no more; False when it did not."""
    return await connection.fetchval(query("callbacks", "close"), callback_id, state, by) is not None


async def take_back(connection: Connection, person_id: UUID, attempt_id: UUID, why: str) -> tuple[str, str] | None:
    """A call that is planned is not made. The state that it had, and its channel; None when there is none."""
    row = await connection.fetchrow(query("callbacks", "take_back"), person_id, attempt_id, why)
    return (row["state"], row["channel"]) if row is not None else None


async def overdue(connection: Connection, *, limit: int) -> list[Any]:
    """Those nobody made in time and nobody was told of."""
    found: list[Any] = await connection.fetch(query("callbacks", "overdue"), limit)
    return found


async def place_of(connection: Connection, callback_id: UUID) -> UUID | None:
    """The place in a queue that it keeps; None when it has a time."""
    found: UUID | None = await connection.fetchval(query("callbacks", "place_of"), callback_id)
    return found
