"""What the CRM was told of each gift and of the end of each call; one job at a time tells it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tenderline.core.ids import uuid7
from tenderline.store.db import Connection, query


@dataclass(slots=True)
class Held:
    """An entry that nobody else tells meanwhile. `told`: how it stands in the CRM; None when it is not there."""

    key: UUID
    holder: UUID
    told: str | None


async def hold(connection: Connection, key: UUID, *, is_call: bool, crm: str, lease_s: float) -> Held | None:
    """Takes an entry for so long; None while another job has it."""
    holder = uuid7()
    row = await connection.fetchrow(query("crm_told", "hold"), key, is_call, crm, holder, lease_s)
    return None if row is None else Held(key, holder, row["told"])


async def let_go(connection: Connection, held: Held) -> None:
    """Others may tell it again; what was told stays known."""
    await connection.execute(query("crm_told", "let_go"), held.key, held.holder, held.told)


async def forget(connection: Connection, *, older_than_days: int, limit: int) -> None:
    """The ends of old calls do not change any more."""
    await connection.execute(query("crm_told", "forget"), older_than_days, limit)
