"""What a supervisor watches: who waits where, what became of those who did, what is due, what goes on. Read only.

The numbers and the rows behind them are asked alike; a test holds one against the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from tenderline.core.queue_rings import Ring
from tenderline.store.db import Connection, query
from tenderline.store.lines import Callback
from tenderline.store.secure_sessions import Progress

LATELY_S: Final = 1_800.0
DUE_WITHIN_S: Final = 3_600.0
LOOK_UPS_WITHIN_S: Final = 900.0
ROWS_MAX: Final = 500

Period = Literal["today", "lately"]
Counted = Literal["level", "answered", "abandoned", "overflowed"]
Due = Literal["overdue", "due", "later"]


@dataclass(frozen=True, slots=True)
class QueueNow:
    """A queue with whoever waits in it."""

    name: str
    title: str
    rings: tuple[Ring, ...]
    service_level_s: int
    service_level_percent: int
    waiting: int
    kept: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of those who got in line in a period. Who gave up sooner than the promised time counts for nothing
    in the service level: nobody had a fair chance to answer."""

    answered: int = 0
    answered_in_time: int = 0
    abandoned: int = 0
    abandoned_late: int = 0
    overflowed: int = 0

    @property
    def counted(self) -> int:
        """Those of whom the service level is made."""
        return self.answered + self.abandoned_late

    @property
    def level_percent(self) -> int | None:
        """Answered in time, of those who were answered and those who left later than that; rounded down, so that a
        target that is missed never looks met. None when there was nobody."""
        return None if not self.counted else 100 * self.answered_in_time // self.counted


@dataclass(frozen=True, slots=True)
class CallerRow:
    """Somebody in line, or who was. `call_id` is None while the call's own row is not written yet."""

    id: UUID
    call_id: UUID | None
    queue: str
    caller: str | None
    priority: int
    tier: str | None
    skills: list[str]
    overflowed: bool
    ring_min: int
    entered_at: datetime
    connected_at: datetime | None
    left_at: datetime | None
    outcome: str | None
    kept_at: datetime | None
    agent: str | None


@dataclass(frozen=True, slots=True)
class CallRow:
    """Who calls whom."""

    id: UUID
    caller: str | None
    called: str
    direction: str
    is_live: bool


@dataclass(frozen=True, slots=True)
class CallbackCounts:
    """Callbacks that wait, by when they are due; when they are overdue the view `callback_seen` says."""

    overdue: int
    due: int
    later: int


@dataclass(frozen=True, slots=True)
class CardEntryRow:
    """A call on which a card is being keyed in. `mode` is None when no agent started it; then nobody sees how far."""

    call_id: UUID
    caller: str | None
    called: str
    direction: str
    since: datetime
    kind: str
    mode: str | None
    progress: Progress | None
    asked_by: str | None


@dataclass(frozen=True, slots=True)
class LookUpRow:
    """One look-up at the CRM."""

    conversation_id: UUID
    call_id: UUID | None
    caller: str | None
    crm: str
    state: str
    reason: str | None
    detail: str | None
    is_late: bool
    took_ms: int | None
    asked_at: datetime


async def queues(connection: Connection) -> list[QueueNow]:
    """All of them, by name."""
    rows = await connection.fetch(query("floor", "queues"))
    return [QueueNow(**{**row, "rings": _rings(row["rings"])}) for row in rows]


def _rings(text: str) -> tuple[Ring, ...]:
    return msgspec.json.decode(text, type=tuple[Ring, ...])


async def tallies(connection: Connection) -> dict[tuple[str, str], Tally]:
    """Of each queue since midnight (UTC), and of the last half hour."""
    names = Tally.__slots__
    rows = await connection.fetch(query("floor", "periods"), LATELY_S)
    return {(row["queue"], row["period"]): Tally(**{name: row[name] for name in names}) for row in rows}


async def in_line(connection: Connection, queue: str | None, *, kept: bool, limit: int) -> list[CallerRow]:
    """Those who wait on the line, or keep their place, in the order in which they are served; None: of all queues."""
    rows = await connection.fetch(query("floor", "in_line"), queue, kept, min(limit, ROWS_MAX))
    return [CallerRow(**row) for row in rows]


async def counted(connection: Connection, queue: str, period: Period, what: Counted) -> list[CallerRow]:
    """The rows behind one number of a queue, the newest first."""
    rows = await connection.fetch(query("floor", "counted"), queue, period, LATELY_S, what, ROWS_MAX)
    return [CallerRow(**row) for row in rows]


async def calls(connection: Connection, ids: list[UUID]) -> dict[UUID, CallRow]:
    """Of these calls, those that are written down."""
    if not ids:
        return {}
    return {row["id"]: CallRow(**row) for row in await connection.fetch(query("floor", "calls"), ids)}


async def callback_counts(connection: Connection) -> CallbackCounts:
    """How many wait."""
    row = await connection.fetchrow(query("floor", "callbacks"), DUE_WITHIN_S)
    assert row is not None, "a count has one row"
    return CallbackCounts(**row)


async def callbacks(connection: Connection, which: Due) -> list[Callback]:
    """Those that are counted so, the most urgent first."""
    rows = await connection.fetch(query("floor", "callback_rows"), DUE_WITHIN_S, which, ROWS_MAX)
    return [Callback(**row) for row in rows]


async def in_card_entry(connection: Connection, limit: int) -> list[CardEntryRow]:
    """Calls on which a card is being keyed in now, the longest first."""
    rows = await connection.fetch(query("floor", "in_card_entry"), limit)
    return [CardEntryRow(**{**row, "progress": _progress(row["progress"])}) for row in rows]


def _progress(text: str | None) -> Progress | None:
    return None if text is None else msgspec.json.decode(text, type=Progress)


async def look_ups(connection: Connection, what: str, *, limit: int = ROWS_MAX) -> list[LookUpRow]:
    """The newest of the last quarter of an hour: asked (all), late, failed, skipped, or of one reason."""
    rows = await connection.fetch(query("floor", "look_ups"), LOOK_UPS_WITHIN_S, what, limit)
    return [LookUpRow(**row) for row in rows]
