"""The rows of payments. `transaction_status` becomes COMPLETED in `payments/settle.py` and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenderline.core.errors import DatabaseUnavailableError, InvalidInputError
from tenderline.core.money import Money
from tenderline.store import people
from tenderline.store.db import Connection, query
from tenderline.store.people import Person

MOVES_MAX = 3


@dataclass(frozen=True, slots=True)
class KnownPayment:
    """A payment's row, with the fold of all that was observed of it (JSON)."""

    person_id: UUID
    id: UUID
    status: str
    transaction_status: str
    reason: str | None
    payer_conflict: bool
    observed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """What is written of a payment."""

    person_id: UUID
    id: UUID
    gateway: str
    transaction_id: str
    status: str
    transaction_status: str
    amount_minor: int | None
    currency: str | None
    reason: str | None
    invoice_reference: str | None
    subscription_reference: str | None
    payer_conflict: bool
    observed: str

    @property
    def amount_text(self) -> str:
        """The amount for people, or what was given when it is not usable."""
        try:
            return Money.parse(self.amount_minor, self.currency).format()
        except InvalidInputError:
            return f"{self.amount_minor} {self.currency or '?'}"


async def serialise(connection: Connection, gateway: str, *transaction_ids: str) -> None:
    """Two webhooks about one new payment must not make two: one waits here until the other has committed."""
    await connection.execute(query("payments", "serialise"), gateway, sorted(transaction_ids))


async def known(connection: Connection, gateway: str, transaction_id: str) -> KnownPayment | None:
    """The payment of a transaction; None when it is new. Who holds its person's lock may change it."""
    row = await connection.fetchrow(query("payments", "known"), gateway, transaction_id)
    return KnownPayment(**row) if row else None


async def find(connection: Connection, gateway: str, transaction_id: str) -> tuple[UUID, UUID] | None:
    """(person id, payment id) of a transaction."""
    row = await connection.fetchrow(query("payments", "find"), gateway, transaction_id)
    return (row["person_id"], row["id"]) if row else None


async def get(connection: Connection, payment_id: UUID) -> PaymentRow:
    """A payment as it stands."""
    row = await connection.fetchrow(query("payments", "get"), payment_id)
    assert row is not None, "payments are never deleted"
    return PaymentRow(**{key: row[key] for key in PaymentRow.__dataclass_fields__})


async def find_by_id(connection: Connection, payment_id: UUID) -> PaymentRow | None:
    """A payment as it stands; None when there is none of this id."""
    row = await connection.fetchrow(query("payments", "get"), payment_id)
    return PaymentRow(**{key: row[key] for key in PaymentRow.__dataclass_fields__}) if row else None


async def get_with_person(connection: Connection, payment_id: UUID) -> tuple[Person, PaymentRow]:
    """A payment and its person, whose row is locked.

    Between looking and locking the payment may have moved to the person its payer turned out to be: then again.
    """
    for _ in range(MOVES_MAX):
        person = await people.lock(connection, (await get(connection, payment_id)).person_id)
        payment = await get(connection, payment_id)
        if payment.person_id == person.id:
            return person, payment
    raise DatabaseUnavailableError("The payment keeps moving between people; it is tried again.")


async def transaction_of_invoice(connection: Connection, gateway: str, reference: str) -> str | None:
    """The transaction that is known to belong to an invoice."""
    found: str | None = await connection.fetchval(query("payments", "of_invoice"), gateway, reference)
    return found


async def succeeded_at(connection: Connection, payment_id: UUID) -> datetime | None:
    """When its money arrived, by the gateway's clock; None when no gateway has told."""
    found: datetime | None = await connection.fetchval(query("payments", "succeeded_at"), payment_id)
    return found


async def save(connection: Connection, row: PaymentRow) -> None:
    """Writes a payment, new or changed."""
    await connection.execute(
        query("payments", "save"),
        row.person_id,
        row.id,
        row.gateway,
        row.transaction_id,
        row.status,
        row.transaction_status,
        row.amount_minor,
        row.currency,
        row.reason,
        row.invoice_reference,
        row.subscription_reference,
        row.payer_conflict,
        row.observed,
    )


@dataclass(frozen=True, slots=True)
class Stop:
    """The news that a subscription ended."""

    event_id: str
    occurred_at_unix_s: int


async def remember_stop(
    connection: Connection, gateway: str, reference: str, event_id: str, occurred_at_unix_s: int
) -> list[str]:
    """Keeps that a subscription ended, and returns the transactions it concerns so far."""
    await connection.execute(query("payments", "stop"), gateway, reference, event_id, occurred_at_unix_s)
    rows = await connection.fetch(query("payments", "of_subscription"), gateway, reference)
    return [row["transaction_id"] for row in rows]


async def stop_of(connection: Connection, gateway: str, reference: str) -> Stop | None:
    """That the subscription ended, perhaps before its failure became known."""
    row = await connection.fetchrow(query("payments", "stop_of"), gateway, reference)
    return Stop(**row) if row else None
