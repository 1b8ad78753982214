"""What is held for a person in distress: payments on her call, and every automated contact to her."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from tenderline.compliance.facts import NO_END
from tenderline.core.errors import TenderlineError
from tenderline.store.db import Connection, query

HELD_SHOWN_MAX: Final = 500
UNTIL_LIFTED: Final = datetime(NO_END, 12, 31, tzinfo=UTC)


class PaymentOffError(TenderlineError):
    """Payment is off for this call: the caller was in distress. A supervisor may call back; nothing is charged now."""

    code = "payment.off"
    status = 409


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call about which distress is reported."""

    id: UUID
    direction: str
    caller: str | None
    called: str
    person_id: UUID | None
    node_id: UUID
    ended_at: datetime | None
    payment_off_at: datetime | None
    payment_off_why: str | None
    started_at: datetime

    @property
    def number(self) -> str | None:
        """Of whoever we talk to; None when she withholds it."""
        return self.called if self.direction == "outbound" else self.caller


@dataclass(frozen=True, slots=True)
class HeldPerson:
    """Somebody whom nothing automatic contacts until a supervisor lifts it."""

    person_id: UUID
    name: str | None
    distress_at: datetime | None
    distress_why: str | None
    distress_until: datetime
    number: str | None
    conversation_id: UUID | None
    alert_id: UUID | None
    taken_by: str | None
    callback_id: UUID | None
    callback_at: datetime | None
    callback_state: str | None


async def call(connection: Connection, conversation_id: UUID) -> HeldCall | None:
    """One call."""
    row = await connection.fetchrow(query("holds", "call"), conversation_id)
    return HeldCall(**row) if row else None


async def people_of_call(connection: Connection, conversation_id: UUID) -> set[UUID]:
    """Whoever is known to be on this call: whom the flow identified, or the number's owner, and who pays on it."""
    rows = await connection.fetch(query("holds", "people_of_call"), conversation_id)
    return {row["person_id"] for row in rows}


async def set_person(connection: Connection, conversation_id: UUID, person_id: UUID) -> str | None:
    """She is the one who calls; why payment is off for this call, if it is. The caller holds her row."""
    why: str | None = await connection.fetchval(query("holds", "set_person"), conversation_id, person_id)
    return why


async def turn_payment_off(connection: Connection, conversation_id: UUID, person_id: UUID | None, why: str) -> bool:
    """From the commit on no payment is begun or charged on this call; False when it was off already. The call's row is
    held by the caller's transaction either way."""
    if await connection.fetchval(query("holds", "payment_off"), conversation_id, why, person_id) is not None:
        return True
    await connection.fetchval(query("holds", "lock_call"), conversation_id)
    return False


async def is_payment_on(connection: Connection, conversation_id: UUID) -> bool:
    """Until the caller's transaction ends it stays so."""
    return await connection.fetchval(query("holds", "may_pay"), conversation_id) is not False


async def require_payment_on(connection: Connection, conversation_id: UUID) -> None:
    """The same; raises `PaymentOffError`."""
    if not await is_payment_on(connection, conversation_id):
        raise PaymentOffError()


async def hold(connection: Connection, person_id: UUID, why: str) -> bool:
    """Nothing automatic reaches her from the commit on, until it is lifted; False when she was held already. The caller
    holds her row."""
    return await connection.fetchval(query("holds", "hold"), person_id, UNTIL_LIFTED, why) is not None


async def lift(connection: Connection, person_id: UUID) -> bool:
    """False when she was not held. What the gate refused meanwhile stays refused. The caller holds her row."""
    return await connection.fetchval(query("holds", "lift"), person_id) is not None


async def held(connection: Connection) -> list[HeldPerson]:
    """Everybody who is held, the longest first."""
    return [HeldPerson(**row) for row in await connection.fetch(query("holds", "held"), HELD_SHOWN_MAX)]


async def unled(connection: Connection, queue: str, *, every_s: float, times_max: int) -> list[tuple[UUID, str]]:
    """(call, why) where a caller in distress has no supervisor yet, and somebody of this queue has become free."""
    rows = await connection.fetch(query("holds", "unled"), queue, every_s, times_max)
    return [(row["id"], row["why"] or "") for row in rows]


async def keep_line(
    connection: Connection, conversation_id: UUID, *, participant: str, text: str, at: datetime
) -> None:
    """A line of a transcript, from which card numbers are gone."""
    line = uuid5(conversation_id, f"{participant} {at.isoformat()} {text}")
    await connection.execute(query("holds", "keep_line"), line, conversation_id, participant, text, at)


async def forget_lines(connection: Connection, *, older_than_days: int, limit: int) -> None:
    """Lines that were kept long enough."""
    await connection.execute(query("holds", "forget_lines"), older_than_days, limit)
