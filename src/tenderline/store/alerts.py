"""What a supervisor must look at: one open alert of one kind for one conversation, however often it is reported."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from tenderline.core.errors import NotFoundError, TenderlineError
from tenderline.core.ids import uuid7
from tenderline.store import audit, events
from tenderline.store.db import Connection, query

OPEN_SHOWN_MAX: Final = 500
Kind = Literal["distress", "escalation", "callback_overdue"]
Detail = dict[str, Any]


class AlertTakenError(TenderlineError):
    """Somebody else has taken this alert; it shows who."""

    code = "alert.taken"
    status = 409


@dataclass(frozen=True, slots=True)
class Alert:
    """One that is open. `taken_by`: whose it is."""

    id: UUID
    kind: str
    conversation_id: UUID | None
    person_id: UUID | None
    detail: Detail
    raised_at: datetime
    taken_by: str | None
    taken_at: datetime | None


async def raise_one(
    connection: Connection, kind: Kind, conversation_id: UUID | None, person_id: UUID | None, detail: Detail
) -> UUID:
    """Raises it in the caller's transaction, or finds the one that is open; its id. Screens hear with the commit.

    An overdue callback (`callback_id` in its detail) is one by itself, whichever call it came from.
    """
    about = _about(kind, conversation_id, person_id, detail)
    made = uuid7()
    text = msgspec.json.encode(detail).decode()
    for _ in range(2):
        raised = await connection.fetchval(
            query("alerts", "raise"), made, kind, about, conversation_id, person_id, text
        )
        if raised is not None:
            await events.hint_with(connection)
            return made
        same: UUID | None = await connection.fetchval(query("alerts", "same"), kind, about)
        if same is not None:
            return same
    raise AlertTakenError("The alert was closed while it was raised again; report it once more.")


def _about(kind: Kind, conversation_id: UUID | None, person_id: UUID | None, detail: Detail) -> str:
    if kind == "callback_overdue" and "callback_id" in detail:
        return f"callback:{detail['callback_id']}"
    if conversation_id is not None:
        return f"conversation:{conversation_id}"
    return f"person:{person_id}"


async def open_ones(connection: Connection) -> list[Alert]:
    """All that are open: people in distress first, then the longest waiting."""
    return [_alert(row) for row in await connection.fetch(query("alerts", "open"), OPEN_SHOWN_MAX)]


async def of_conversation(connection: Connection, conversation_id: UUID) -> list[Alert]:
    """Those about one call that are open."""
    rows = await connection.fetch(query("alerts", "of_conversation"), f"conversation:{conversation_id}")
    return [_alert(row) for row in rows]


def _alert(row: Any) -> Alert:
    values = {name: value for name, value in dict(row).items() if name != "closed_at"}
    return Alert(**{**values, "detail": msgspec.json.decode(values["detail"])})


async def take(connection: Connection, id: UUID, by: str) -> Alert:
    """It is theirs who look at it; audited. Raises `NotFoundError`, `AlertTakenError`."""
    found = await _lock(connection, id)
    if found.taken_by == by:
        return found
    if found.taken_by is not None:
        raise AlertTakenError(f"{found.taken_by} has taken this alert.")
    await connection.execute(query("alerts", "take"), id, by)
    await events.hint_with(connection)
    await audit.append(connection, actor=by, action="alert_taken", subject=f"alert:{id}", data={"kind": found.kind})
    return await _lock(connection, id)


async def close(connection: Connection, id: UUID, by: str, note: str) -> None:
    """It was looked at, and this came of it; audited. What it held stays held. Raises `NotFoundError`."""
    found = await _lock(connection, id)
    await connection.execute(query("alerts", "close"), id, by, note)
    await events.hint_with(connection)
    data = {"kind": found.kind, "note": note}
    await audit.append(connection, actor=by, action="alert_closed", subject=f"alert:{id}", data=data)


async def settle_callback(connection: Connection, callback_id: UUID, by: str, note: str) -> bool:
    """An overdue callback was made, moved or given up: its alert closes with it; False when there was none."""
    about = f"callback:{callback_id}"
    closed = await connection.fetchval(query("alerts", "close_same"), "callback_overdue", about, by, note)
    if closed is not None:
        await events.hint_with(connection)
    return closed is not None


async def _lock(connection: Connection, id: UUID) -> Alert:
    row = await connection.fetchrow(query("alerts", "lock"), id)
    if row is None or row["closed_at"] is not None:
        raise NotFoundError("There is no open alert of this id; the list of alerts shows those there are.")
    return _alert(row)
