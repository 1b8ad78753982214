"""TEMPORARY stand-in of the alerts that come with distress: what the floor reads, by the interface agreed on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from tenderline.core.errors import NotFoundError
from tenderline.core.ids import uuid7
from tenderline.store import audit
from tenderline.store.db import Connection, query


class NoSuchAlertError(NotFoundError):
    """There is no such alert any more; it was closed."""

    code = "alert.unknown"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a supervisor should look at now."""

    id: UUID
    kind: str
    conversation_id: UUID | None
    person_id: UUID | None
    detail: dict[str, Any]
    raised_at: datetime
    taken_by: str | None
    taken_at: datetime | None


async def raise_one(
    connection: Connection, kind: str, conversation_id: UUID | None, person_id: UUID | None, detail: dict[str, Any]
) -> UUID:
    """A new one."""
    made = uuid7()
    text = msgspec.json.encode(detail).decode()
    await connection.execute(query("alerts", "raise_one"), made, kind, conversation_id, person_id, text)
    return made


async def open_ones(connection: Connection) -> list[Alert]:
    """Those that nobody has closed, the oldest first."""
    rows = await connection.fetch(query("alerts", "open_ones"))
    return [Alert(**{**row, "detail": msgspec.json.decode(row["detail"])}) for row in rows]


async def take(connection: Connection, id: UUID, by: str) -> None:
    """Somebody looks after it. Raises `NoSuchAlertError`; audited."""
    if await connection.fetchval(query("alerts", "take"), id, by) is None:
        raise NoSuchAlertError()
    await audit.append(connection, actor=by, action="alert_taken", subject=f"alert:{id}", data={})


async def close(connection: Connection, id: UUID, by: str, note: str) -> None:
    """It is over. Raises `NoSuchAlertError`; audited."""
    if await connection.fetchval(query("alerts", "close"), id, by, note) is None:
        raise NoSuchAlertError()
    await audit.append(connection, actor=by, action="alert_closed", subject=f"alert:{id}", data={"note": note})
