"""The rows of recovery cases: at most one open for each transaction, by a partial unique index."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from tenderline.core.ids import uuid7
from tenderline.store.db import Connection, query

PAGE_MAX = 200
SYSTEM = "system"
"""Who holds a case when no person does: such a hold is lifted as soon as its reason is gone."""


@dataclass(frozen=True, slots=True)
class CaseState:
    """A case as far as opening another one must know."""

    id: UUID
    person_id: UUID
    state: str
    held_why: str | None
    held_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case with what its reader wants to see beside it."""

    person_id: UUID
    id: UUID
    payment_id: UUID
    gateway: str
    transaction_id: str
    state: str
    held_why: str | None
    held_by: str | None
    reason: str
    amount_minor: int | None
    currency: str | None
    attempt_count: int
    next_retry_window: datetime | None
    disposition: str | None
    policy: str
    custom_properties: dict[str, Any]
    opened_at: datetime
    closed_at: datetime | None
    person_name: str | None
    locale: str | None
    opted_out_at: datetime | None
    zone: str | None
    payment_status: str
    transaction_status: str
    observed: str

    @property
    def pay_url(self) -> str | None:
        """A page of the gateway's own where this debt can be paid, when an event named one."""
        found = msgspec.json.decode(self.observed).get("pay_url")
        return found if isinstance(found, str) else None


async def of_transaction(connection: Connection, gateway: str, transaction_id: str) -> CaseState | None:
    """The newest case of a transaction, open or not, locked."""
    row = await connection.fetchrow(query("cases", "of_transaction"), gateway, transaction_id)
    return CaseState(**row) if row else None


async def open_case(
    connection: Connection,
    *,
    person_id: UUID,
    payment_id: UUID,
    gateway: str,
    transaction_id: str,
    held_why: str | None,
    held_by: str | None,
    reason: str,
    amount_minor: int | None,
    currency: str | None,
    policy: str,
) -> UUID | None:
    """Opens a case, held when there is a reason to; None when one is open already."""
    opened: UUID | None = await connection.fetchval(
        query("cases", "open"),
        person_id,
        uuid7(),
        payment_id,
        gateway,
        transaction_id,
        "held" if held_why else "open",
        held_why,
        held_by,
        reason,
        amount_minor,
        currency,
        policy,
    )
    return opened


async def refresh(
    connection: Connection,
    person_id: UUID,
    case_id: UUID,
    *,
    reason: str,
    amount_minor: int | None,
    currency: str | None,
) -> None:
    """What is newly known of the debt; counters and due times stay."""
    await connection.execute(query("cases", "refresh"), person_id, case_id, reason, amount_minor, currency)


async def hold(connection: Connection, person_id: UUID, case_id: UUID, why: str, *, by: str = SYSTEM) -> bool:
    """Nothing is sent for it until it is released. True when that is new."""
    return await connection.fetchval(query("cases", "hold"), person_id, case_id, why, by) is not None


async def open_of_person(connection: Connection, person_id: UUID) -> list[UUID]:
    """The cases of a person that go on, or would go on by themselves."""
    return [row["id"] for row in await connection.fetch(query("cases", "open_of_person"), person_id)]


async def held_by(connection: Connection, person_id: UUID, holder: str) -> list[UUID]:
    """The cases of a person that this holder holds."""
    return [row["id"] for row in await connection.fetch(query("cases", "held_by"), person_id, holder)]


async def release(connection: Connection, person_id: UUID, case_id: UUID) -> bool:
    """Lets it go on. True when it was held."""
    return await connection.fetchval(query("cases", "release"), person_id, case_id) is not None


async def close(connection: Connection, person_id: UUID, case_id: UUID, state: str) -> bool:
    """Ends it as recovered, stopped or exhausted. True when it was open."""
    assert state in ("recovered", "stopped", "exhausted"), state
    return await connection.fetchval(query("cases", "close"), person_id, case_id, state) is not None


async def count_contact(connection: Connection, person_id: UUID, case_id: UUID) -> None:
    """One more contact reached a provider."""
    await connection.execute(query("cases", "count_contact"), person_id, case_id)


def _case(row: Any) -> Case:
    values = dict(row)
    values["custom_properties"] = msgspec.json.decode(values["custom_properties"])
    return Case(**values)


async def get(connection: Connection, case_id: UUID) -> Case | None:
    """One case."""
    row = await connection.fetchrow(query("cases", "get"), case_id)
    return _case(row) if row else None


async def page(
    connection: Connection,
    *,
    state: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[Case]:
    """Cases newest first; `before` is the (opened_at, id) of the last one of the page before."""
    at, case_id = before or (None, None)
    rows = await connection.fetch(query("cases", "page"), state, at, case_id, min(limit, PAGE_MAX))
    return [_case(row) for row in rows]


async def spent(connection: Connection, *, patience_days: int, limit: int = 200) -> list[tuple[UUID, UUID]]:
    """(person id, case id) of open cases that have nothing left to do."""
    rows = await connection.fetch(query("cases", "spent"), patience_days, limit)
    return [(row["person_id"], row["id"]) for row in rows]
