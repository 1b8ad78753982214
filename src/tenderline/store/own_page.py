"""The rows behind a payer's own page: her contacts of the last months, and what she chooses there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from tenderline.store.db import Connection, query

CONTACTS_MAX = 200
LEFT_OUT = "the payer left it out"
"""Why an attempt is suppressed that she took off herself."""


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A contact that left (`at` is when), was held back (`at` is since when) or is planned. `decision` is JSON."""

    id: UUID
    case_id: UUID | None
    channel: str
    purpose: str
    subject: str | None
    own_act_at: datetime | None
    state: str
    due_at: datetime
    why: str | None
    decision: str | None
    contact_point_id: UUID
    address_kind: str | None
    address: str | None
    has_left: bool
    at: datetime


async def contacts(connection: Connection, person_id: UUID, *, since: datetime) -> list[ContactRow]:
    """What was sent to her, or held back, since then, the newest first; and what is planned."""
    rows = await connection.fetch(query("own_page", "contacts"), person_id, since, CONTACTS_MAX)
    return [ContactRow(**row) for row in rows]


async def lock_planned(connection: Connection, person_id: UUID) -> list[UUID]:
    """What a machine is to ask her, locked. Lock it before the person: the gate takes its locks in that order."""
    return [row["id"] for row in await connection.fetch(query("own_page", "lock_planned"), person_id)]


async def shift_planned(connection: Connection, person_id: UUID, ids: Sequence[UUID], by: timedelta) -> None:
    """Moves planned contacts, with the last instant at which each is of use: their order and distances stay."""
    await connection.execute(query("own_page", "shift_planned"), person_id, list(ids), by)


async def leave_out(connection: Connection, person_id: UUID, attempt_id: UUID) -> tuple[UUID | None, str] | None:
    """Takes back a planned contact of hers; (case id, channel), or None when nothing of the kind is planned."""
    row = await connection.fetchrow(query("own_page", "leave_out"), person_id, attempt_id, LEFT_OUT)
    return (row["case_id"], row["channel"]) if row else None


async def set_pause(connection: Connection, person_id: UUID, until: datetime | None) -> None:
    """Until when no machine contacts her. The caller holds her lock."""
    await connection.execute(query("own_page", "set_pause"), person_id, until)


async def set_declined(connection: Connection, person_id: UUID, channels: Sequence[str]) -> None:
    """The channels that she does not want. The caller holds her lock."""
    await connection.execute(query("own_page", "set_declined"), person_id, list(channels))


async def address(connection: Connection, person_id: UUID) -> dict[str, str | bool | None]:
    """Her postal address as it is kept; empty when none is known."""
    kept = await connection.fetchval(query("own_page", "address"), person_id)
    return msgspec.json.decode(kept, type=dict[str, str | bool | None]) if kept else {}


async def has_refused(connection: Connection, person_id: UUID, *, channel: str, address: str) -> bool:
    """Whether the last word of this address about contact was a refusal."""
    granted: bool | None = await connection.fetchval(query("own_page", "last_word"), person_id, channel, address)
    return granted is False
