"""Money that nobody here can explain: one row for each reason, until somebody settles it with a note."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from tenderline.core.ids import uuid7
from tenderline.store.db import Connection, query

Kind = Literal[
    "not_begun_here",
    "charge_unknown",
    "not_told",
    "refused_but_paid",
    "other_amount",
    "paid_twice",
    "refund_not_asked",
    "refund_other_amount",
    "refund_unknown",
]


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A row. `subject` is a transaction of the gateway's, its refund, or the id of our charge or refund."""

    id: UUID
    kind: str
    gateway: str
    subject: str
    transaction_id: str | None
    payment_id: UUID | None
    session_id: UUID | None
    amount_minor: int | None
    currency: str | None
    expected_minor: int | None
    expected_currency: str | None
    found_at: datetime
    settled_at: datetime | None
    settled_by: str | None
    note: str | None
    conversation_id: UUID | None
    reference: str | None
    person_name: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """The session that a transaction belongs to. `charge_state` is None where it was paid by a link."""

    session_id: UUID
    amount_minor: int
    currency: str
    charge_state: str | None
    paid_before: bool


@dataclass(frozen=True, slots=True)
class LateCharge:
    """A charge of which nobody told the end in time."""

    id: UUID
    state: str
    gateway: str
    transaction_id: str | None
    session_id: UUID
    amount_minor: int
    currency: str
    payment_id: UUID | None


@dataclass(frozen=True, slots=True)
class LateRefund:
    """A refund of which nobody told the end in time."""

    id: UUID
    gateway: str
    payment_id: UUID
    amount_minor: int
    currency: str
    transaction_id: str


async def add(
    connection: Connection,
    kind: Kind,
    gateway: str,
    subject: str,
    *,
    transaction_id: str | None = None,
    payment_id: UUID | None = None,
    session_id: UUID | None = None,
    money: tuple[int | None, str | None] = (None, None),
    expected: tuple[int | None, str | None] = (None, None),
) -> bool:
    """Puts something on the page; False when it was there already, settled or not."""
    made = await connection.fetchval(
        query("unmatched", "add"),
        uuid7(),
        kind,
        gateway,
        subject,
        transaction_id,
        payment_id,
        session_id,
        *money,
        *expected,
    )
    return made is not None


async def still_open(connection: Connection, limit: int) -> list[Unmatched]:
    """What waits for somebody, the longest first."""
    return [Unmatched(**row) for row in await connection.fetch(query("unmatched", "open"), limit)]


async def settled(connection: Connection, limit: int) -> list[Unmatched]:
    """What was settled last."""
    return [Unmatched(**row) for row in await connection.fetch(query("unmatched", "settled"), limit)]


async def count(connection: Connection) -> int:
    """How much waits."""
    return int(await connection.fetchval(query("unmatched", "count")))


async def settle(connection: Connection, row_id: UUID, *, by: str, note: str) -> dict[str, str] | None:
    """Somebody has explained it: its kind, gateway and subject; None when it does not wait (any more)."""
    row = await connection.fetchrow(query("unmatched", "settle"), row_id, by, note)
    return dict(row) if row else None


async def exists(connection: Connection, row_id: UUID) -> bool:
    """Whether there is such a row, settled or not."""
    return await connection.fetchval(query("unmatched", "exists"), row_id) is not None


async def source_of(connection: Connection, gateway: str, transaction_id: str) -> Source | None:
    """The session that a transaction was made for."""
    row = await connection.fetchrow(query("unmatched", "sources"), gateway, transaction_id)
    return Source(**row) if row else None


async def is_asked_for(connection: Connection, payment_id: UUID) -> bool:
    """Whether a case of ours asked for it."""
    return bool(await connection.fetchval(query("unmatched", "is_ours"), payment_id))


async def late_charges(connection: Connection, *, older_than_s: float, limit: int) -> list[LateCharge]:
    """Charges without an end that are not on the page yet."""
    return [
        LateCharge(**row) for row in await connection.fetch(query("unmatched", "late_charges"), older_than_s, limit)
    ]


async def late_refunds(connection: Connection, *, older_than_s: float, limit: int) -> list[LateRefund]:
    """Refunds without an end that are not on the page yet."""
    return [
        LateRefund(**row) for row in await connection.fetch(query("unmatched", "late_refunds"), older_than_s, limit)
    ]


async def take_off_what_ended(connection: Connection) -> None:
    """What the gateway has told the end of since."""
    await connection.execute(query("unmatched", "ended"))
