"""Who calls, as far as the number tells: a number is no proof, so nothing here may be said aloud unasked."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tenderline.store.db import Connection, query


@dataclass(frozen=True, slots=True)
class Known:
    """The person of a number, and the newest case that is open, with its amount in minor units."""

    id: UUID
    name: str | None
    locale: str | None
    case_id: UUID | None
    amount_minor: int | None
    currency: str | None


async def known(connection: Connection, number: str) -> Known | None:
    """The person of this number (E.164); None when it is nobody's."""
    row = await connection.fetchrow(query("callers", "known"), number)
    return Known(**row) if row else None
