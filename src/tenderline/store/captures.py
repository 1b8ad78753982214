"""Payments that are taken on the telephone: what somebody wants to pay, and each try with a card. No card data.

COMPLETED is nothing that is written here: it is read off the payment, which `payments/settle.py` alone completes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from tenderline.core.money import Money
from tenderline.store.db import Connection, query

Mode = Literal["automated", "leave", "attended", "provider"]
State = Literal["open", "charged", "completed", "declined", "abandoned", "cancelled", "failed"]
ChargeState = Literal["intended", "taken", "declined", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class CaptureSession:
    """What a caller wants to pay. `reference` is what she is told; `contact_point_id` where her receipt goes."""

    id: UUID
    person_id: UUID
    conversation_id: UUID
    mode: str
    gateway: str
    amount_minor: int
    currency: str
    campaign: str | None
    fund: str | None
    reference: str
    state: str
    why: str | None
    declines: int
    contact_point_id: UUID | None
    link_transaction_id: str | None
    """Of the link that a caller got who hung up before paying."""
    started_at: datetime
    updated_at: datetime

    @property
    def money(self) -> Money:
        """The amount."""
        return Money(self.amount_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Charge:
    """One try with one card."""

    id: UUID
    session_id: UUID
    gateway: str
    transaction_id: str | None
    brand: str
    last_four: str
    state: str
    reason: str | None
    created_at: datetime
    answered_at: datetime | None


async def open_session(
    connection: Connection,
    *,
    id: UUID,
    person_id: UUID,
    conversation_id: UUID,
    mode: Mode,
    gateway: str,
    money: Money,
    campaign: str | None,
    fund: str | None,
    reference: str,
    contact_point_id: UUID | None,
) -> bool:
    """Somebody wants to pay; False when the reference is taken already."""
    made = await connection.fetchval(
        query("captures", "open"),
        id,
        person_id,
        conversation_id,
        mode,
        gateway,
        money.minor,
        money.currency,
        campaign,
        fund,
        reference,
        contact_point_id,
    )
    return made is not None


async def get(connection: Connection, session_id: UUID, *, lock: bool = False) -> CaptureSession:
    """One session."""
    row = await connection.fetchrow(query("captures", "lock" if lock else "get"), session_id)
    assert row is not None, "sessions are never deleted"
    return CaptureSession(**row)


async def of_transaction(connection: Connection, gateway: str, transaction_id: str) -> CaptureSession | None:
    """The session of a transaction; None when it was not made on the telephone."""
    row = await connection.fetchrow(query("captures", "of_transaction"), gateway, transaction_id)
    return CaptureSession(**row) if row else None


@dataclass(frozen=True, slots=True)
class Listed:
    """A session with its last try, and how the money of that stands."""

    session: CaptureSession
    brand: str | None
    last_four: str | None
    charge_state: str | None
    transaction_id: str | None
    transaction_status: str | None
    payment_id: UUID | None
    refunded_minor: int
    """How much of it has gone back."""


async def listed(connection: Connection, limit: int, *, conversation_id: UUID | None = None) -> list[Listed]:
    """Those first whose money is in doubt, then the newest; or those of one call, the newest first."""
    names = CaptureSession.__dataclass_fields__
    if conversation_id is None:
        rows = await connection.fetch(query("captures", "list"), limit)
    else:
        rows = await connection.fetch(query("captures", "of_call"), conversation_id, limit)
    return [
        Listed(
            CaptureSession(**{name: row[name] for name in names}),
            row["brand"],
            row["last_four"],
            row["charge_state"],
            row["transaction_id"],
            row["transaction_status"],
            row["payment_id"],
            row["refunded_minor"],
        )
        for row in rows
    ]


async def set_state(connection: Connection, session_id: UUID, state: State, why: str | None = None) -> bool:
    """Where it stands; False when it stood there already, or is completed."""
    return await connection.fetchval(query("captures", "set_state"), session_id, state, why) is not None


async def link(connection: Connection, session_id: UUID, transaction_id: str) -> bool:
    """What is left can be paid by a link, on this transaction; False when there is a link already."""
    return await connection.fetchval(query("captures", "link"), session_id, transaction_id) is not None


async def intend(
    connection: Connection, *, id: UUID, session: CaptureSession, token: str, brand: str, last_four: str
) -> bool:
    """A try is about to be made; False while another one of the session may have taken money."""
    made = await connection.fetchval(
        query("captures", "intend"), id, session.id, session.gateway, token, brand, last_four
    )
    return made is not None


async def may_have_paid(connection: Connection, session_id: UUID) -> bool:
    """Whether a try of the session is under way, or may have taken money."""
    return bool(await connection.fetchval(query("captures", "may_have_paid"), session_id))


async def was_repeated(connection: Connection, session: CaptureSession) -> bool:
    """Whether a session that she began after this one, in the same call, is paid, or may be: now or by its link."""
    values = session.conversation_id, session.id, session.started_at
    return bool(await connection.fetchval(query("captures", "was_repeated"), *values))


async def prepared(connection: Connection, charge_id: UUID, transaction_id: str) -> bool:
    """The gateway has made the transaction on which the try is made; False when the try was written off meanwhile."""
    return await connection.fetchval(query("captures", "prepared"), charge_id, transaction_id) is not None


async def write_off(connection: Connection, charge_id: UUID, why: str) -> bool:
    """The try was never made, and cannot be any more; False when its transaction has become known meanwhile."""
    return await connection.fetchval(query("captures", "write_off"), charge_id, why) is not None


async def answer(connection: Connection, charge_id: UUID, state: ChargeState, reason: str | None = None) -> bool:
    """What became of the try; False when that was known. What was taken may fall through. A decline is counted."""
    session_id = await connection.fetchval(query("captures", "answer"), charge_id, state, reason)
    if session_id is not None and state == "declined":
        await connection.execute(query("captures", "count_decline"), session_id)
    return session_id is not None


async def charges_of(connection: Connection, session_id: UUID) -> list[Charge]:
    """The tries of a session, in order."""
    return [Charge(**row) for row in await connection.fetch(query("captures", "charges_of"), session_id)]


async def forsaken(connection: Connection, *, older_than_s: float, provider_s: float, limit: int) -> list[UUID]:
    """Sessions that nobody is at any more: their call is over and no try of theirs is open. Those at a provider get
    longer."""
    rows = await connection.fetch(query("captures", "forsaken"), older_than_s, provider_s, limit)
    return [row["id"] for row in rows]


async def in_doubt(connection: Connection, *, older_than_s: float, limit: int) -> list[Charge]:
    """Tries of which nobody wrote down the end; the one first that was looked at longest ago."""
    return [Charge(**row) for row in await connection.fetch(query("captures", "in_doubt"), older_than_s, limit)]


async def unsettled(connection: Connection, *, older_than_s: float, limit: int) -> list[Charge]:
    """Tries that were taken, and of whose money no webhook has told for so long, nor the gateway when it was asked."""
    return [Charge(**row) for row in await connection.fetch(query("captures", "unsettled"), older_than_s, limit)]


async def touch(connection: Connection, session_id: UUID) -> None:
    """It was looked at: the next look is due later."""
    await connection.execute(query("captures", "touch"), session_id)


async def settlement(connection: Connection, session_id: UUID) -> str | None:
    """PENDING, COMPLETED or FAILED, as the gateway's news have it; None when nothing was taken."""
    found: str | None = await connection.fetchval(query("captures", "settlement"), session_id)
    return found
