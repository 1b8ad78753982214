"""Payments that an agent started on a live call: who asked, how far each is, and how it ended. No card data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg
import msgspec

from tenderline.core.errors import TenderlineError
from tenderline.store.db import Connection, query

Mode = Literal["leave", "attended"]
Result = Literal["success", "pending", "declined", "abandoned", "cancelled", "system_problem", "distress"]
State = Literal["PENDING", "COMPLETED", "FAILED"]


class AlreadyOpenError(TenderlineError):
    """A payment is being taken on this call; wait for its end, or cancel it."""

    code = "secure_session.already_open"
    status = 409


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the caller is. `count` digits of `field` are keyed; `said` names the last prompt (`expired`, …)."""

    field: str = ""
    count: int = 0
    brand: str | None = None
    said: str = ""
    last_four: str | None = None


@dataclass(frozen=True, slots=True)
class SecureSession:
    """One of them. `result` is None while it lasts."""

    id: UUID
    conversation_id: UUID
    participant_id: UUID
    source_participant_id: UUID
    mode: str
    flow: str
    disconnect: bool
    user_data: dict[str, Any]
    asked_by: str
    result: str | None
    capture_session_id: UUID | None
    last_four: str | None
    progress: Progress
    started_at: datetime
    ended_at: datetime | None
    reference: str | None
    """Of what may have been charged, or may be paid elsewhere."""
    transaction_status: str | None
    """Of what was charged, by the gateway's news; of what may be paid elsewhere, PENDING while it may be."""
    is_elsewhere: bool
    """It is paid by the link that whoever hung up gets, or at a provider; if at all."""

    @property
    def state(self) -> State:
        """COMPLETED only when the gateway has said that the money arrived; PENDING also while it has not, and may."""
        if self.ended_at is None:
            return "PENDING"
        if self.transaction_status == "COMPLETED":
            return "COMPLETED"
        return "PENDING" if self.transaction_status == "PENDING" else "FAILED"


async def begin(
    connection: Connection,
    *,
    id: UUID,
    conversation_id: UUID,
    participant_id: UUID,
    source_participant_id: UUID,
    mode: Mode,
    flow: str,
    disconnect: bool,
    user_data: dict[str, Any],
    asked_by: str,
) -> None:
    """One begins. Raises `AlreadyOpenError`."""
    text = msgspec.json.encode(user_data).decode()
    made = await connection.fetchval(
        query("secure_sessions", "open"), id, conversation_id, participant_id, source_participant_id, mode, flow,
        disconnect, text, asked_by,
    )  # fmt: skip
    if made is None:
        raise AlreadyOpenError()


async def progress(connection: Connection, session_id: UUID, so_far: Progress) -> None:
    """How far it is now."""
    await connection.execute(query("secure_sessions", "progress"), session_id, msgspec.json.encode(so_far).decode())


async def end(
    connection: Connection,
    session_id: UUID,
    at: datetime,
    result: Result,
    *,
    capture_session_id: UUID | None = None,
    last_four: str | None = None,
) -> None:
    """It is over; the first end stands."""
    await connection.execute(query("secure_sessions", "end"), session_id, at, result, capture_session_id, last_four)


async def pays(connection: Connection, conversation_id: UUID, capture_session_id: UUID) -> None:
    """What is paid on this call from now on is what its agent asked for, when one did."""
    await connection.execute(query("secure_sessions", "pays"), conversation_id, capture_session_id)


async def get(connection: Connection, session_id: UUID) -> SecureSession | None:
    """One, or None."""
    row = await connection.fetchrow(query("secure_sessions", "of"), session_id, None)
    return _session(row) if row else None


async def of_conversation(connection: Connection, conversation_id: UUID) -> list[SecureSession]:
    """Those of a call, the newest first."""
    return [_session(row) for row in await connection.fetch(query("secure_sessions", "of"), None, conversation_id)]


def _session(row: asyncpg.Record) -> SecureSession:
    found = dict(row)
    found["user_data"] = msgspec.json.decode(found["user_data"])
    found["progress"] = msgspec.json.decode(found["progress"], type=Progress)
    return SecureSession(**found)
