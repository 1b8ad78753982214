"""What was known of callers, and what we know of them ourselves; how the CRM is doing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from tenderline.core.donor import Donor, Given
from tenderline.core.money import Money
from tenderline.store.db import Connection, query

State = Literal["asking", "late", "found", "nobody", "failed", "skipped"]
_decoder = msgspec.json.Decoder(Donor)


@dataclass(frozen=True, slots=True)
class Own:
    """Whoever has a number in our own database: the open case, and what she gave through us."""

    id: UUID
    name: str | None
    locale: str | None
    email: str | None
    amount_minor: int | None
    currency: str | None
    gifts: int | None
    gifts_last_year: int | None
    given_currency: str | None
    total_minor: int | None
    largest_minor: int | None
    last_on: date | None
    last_minor: int | None

    @property
    def balance(self) -> Money | None:
        """Of the newest case that is open."""
        if self.amount_minor is None or self.currency is None:
            return None
        return Money(self.amount_minor, self.currency)

    def donor(self, phone: str) -> Donor:
        """As a donor without a CRM."""

        def money(minor: int | None) -> Money | None:
            return None if minor is None or self.given_currency is None else Money(minor, self.given_currency)

        last = None if self.last_on is None else Given(self.last_on, money(self.last_minor))
        return Donor(
            crm_id="",
            name=self.name,
            phone=phone,
            email=self.email,
            language=self.locale,
            lifetime_value=money(self.total_minor),
            last_gift=last,
            largest_gift=money(self.largest_minor),
            gift_count=self.gifts,
            gifts_last_year=self.gifts_last_year,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is written of a look-up."""

    conversation_id: UUID
    caller: str | None
    person_id: UUID | None = None
    crm: str | None = None
    state: State
    reason: str | None = None
    detail: str | None = None
    is_late: bool = False
    took_ms: int | None = None
    donor: Donor | None = None
    segment: str | None = None
    segment_version: int | None = None
    segment_why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Told):
    """A look-up as it stands."""

    asked_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Health:
    """How look-ups went lately."""

    asked: int
    late: int
    failed: int
    skipped: int
    p95_ms: int | None
    last_failure: str | None
    last_failure_at: datetime | None


async def own(connection: Connection, number: str, *, zone: str) -> Own | None:
    """Whoever has this number (E.164), her gifts by the days of a zone; None when it is nobody's."""
    row = await connection.fetchrow(query("donors", "own"), number, zone)
    return Own(**row) if row else None


async def look_up_by(connection: Connection, called: str) -> str | None:
    """By which number a line's callers are looked up: ANI, DNIS or none; None for a number that is no line."""
    found: str | None = await connection.fetchval(query("donors", "look_up_by"), called)
    return found


async def begin(connection: Connection, conversation_id: UUID, caller: str | None, crm: str, at: datetime) -> None:
    """The CRM is being asked."""
    await connection.execute(query("donors", "begin"), conversation_id, caller, crm, at)


async def tell(connection: Connection, told: Told) -> None:
    """How it stands from now on; what was late once stays so."""
    donor = None if told.donor is None else msgspec.json.encode(told.donor).decode()
    await connection.execute(
        query("donors", "tell"),
        told.conversation_id,
        told.caller,
        told.person_id,
        told.crm,
        told.state,
        told.reason,
        told.detail,
        told.is_late,
        told.took_ms,
        donor,
        told.segment,
        told.segment_version,
        told.segment_why,
    )


async def get(connection: Connection, conversation_id: UUID) -> Snapshot | None:
    """What was known of the caller; None when nobody was looked up."""
    row = await connection.fetchrow(query("donors", "get"), conversation_id)
    if row is None:
        return None
    values = dict(row)
    if values["donor"] is not None:
        values["donor"] = _decoder.decode(values["donor"])
    return Snapshot(**values)


async def health(connection: Connection, *, within_s: float) -> Health:
    """Over the last so many seconds, of all nodes."""
    row = await connection.fetchrow(query("donors", "health"), within_s)
    assert row is not None, "a count has one row"
    return Health(**row)


async def reasons(connection: Connection, *, within_s: float) -> dict[str, int]:
    """How often each reason was met, the most frequent first."""
    rows = await connection.fetch(query("donors", "reasons"), within_s)
    return {row["reason"]: row["times"] for row in rows}


async def forget(connection: Connection, *, older_than_days: int, limit: int) -> None:
    """What was known of old calls goes; the CRM still has it."""
    await connection.execute(query("donors", "forget"), older_than_days, limit)
