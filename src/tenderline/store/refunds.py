"""Money that goes back: each refund that was asked for here or seen at the gateway, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from tenderline.core.money import Money
from tenderline.store.db import Connection, query

State = Literal["intended", "taken", "unknown", "succeeded", "refused", "failed"]
OPEN: Final = frozenset({"intended", "taken", "unknown"})
"""The states in which the gateway has the last word still to say."""


@dataclass(frozen=True, slots=True)
class Refund:
    """One. `reference` is the gateway's id of it; `asked_by` is None for one that was made at the gateway."""

    id: UUID
    payment_id: UUID
    gateway: str
    reference: str | None
    amount_minor: int
    currency: str
    reason: str
    asked_by: str | None
    state: str
    why: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def money(self) -> Money:
        """How much."""
        return Money(self.amount_minor, self.currency)


async def lock_payment(connection: Connection, payment_id: UUID) -> None:
    """One refund of a payment at a time is written: two at once cannot both find enough left."""
    await connection.execute(query("refunds", "lock_payment"), payment_id)


async def intend(
    connection: Connection, *, id: UUID, payment_id: UUID, gateway: str, money: Money, reason: str, asked_by: str
) -> bool:
    """A refund is about to be asked for; False when it was written before."""
    made = await connection.fetchval(
        query("refunds", "intend"), id, payment_id, gateway, money.minor, money.currency, reason, asked_by
    )
    return made is not None


async def seen(
    connection: Connection, *, id: UUID, payment_id: UUID, gateway: str, reference: str, money: Money, state: State
) -> bool:
    """A refund that nobody here asked for; False when it is known."""
    made = await connection.fetchval(
        query("refunds", "seen"), id, payment_id, gateway, reference, money.minor, money.currency, state
    )
    return made is not None


async def get(connection: Connection, refund_id: UUID, *, lock: bool = False) -> Refund | None:
    """One refund."""
    row = await connection.fetchrow(query("refunds", "lock" if lock else "get"), refund_id)
    return Refund(**row) if row else None


async def by_reference(connection: Connection, gateway: str, reference: str) -> Refund | None:
    """One by the gateway's id of it, locked."""
    row = await connection.fetchrow(query("refunds", "by_reference"), gateway, reference)
    return Refund(**row) if row else None


async def of_payment(connection: Connection, payment_id: UUID) -> list[Refund]:
    """All of a payment, in order."""
    return [Refund(**row) for row in await connection.fetch(query("refunds", "of_payment"), payment_id)]


async def held_minor(connection: Connection, payment_id: UUID) -> int:
    """How much of a payment has gone back, or may have."""
    return int(await connection.fetchval(query("refunds", "held"), payment_id))


async def gone_back_minor(connection: Connection, payment_id: UUID) -> int:
    """How much of a payment has gone back."""
    return int(await connection.fetchval(query("refunds", "gone_back"), payment_id))


async def has_come_back(connection: Connection, payment_id: UUID) -> bool:
    """Whether a refund of a payment failed."""
    return bool(await connection.fetchval(query("refunds", "has_come_back"), payment_id))


async def set_state(
    connection: Connection, refund_id: UUID, state: State, *, why: str | None = None, reference: str | None = None
) -> None:
    """How it stands now."""
    await connection.execute(query("refunds", "set_state"), refund_id, state, why, reference)


async def still_open(connection: Connection, *, older_than_s: float, limit: int) -> list[Refund]:
    """Those whose end is not known, that were not looked at for so long."""
    return [Refund(**row) for row in await connection.fetch(query("refunds", "open"), older_than_s, limit)]


async def touch(connection: Connection, refund_id: UUID) -> None:
    """It was looked at: the next look is due later."""
    await connection.execute(query("refunds", "touch"), refund_id)


async def tell(connection: Connection, refund_id: UUID) -> bool:
    """Its receipt is planned now; False when it was before."""
    return await connection.fetchval(query("refunds", "tell"), refund_id) is not None
