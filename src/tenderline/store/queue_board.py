"""How each queue stands: who waits, for how long, and how many were served in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tenderline.store.db import Connection, query


@dataclass(frozen=True, slots=True)
class QueueNow:
    """One queue, with what happened in it since some instant."""

    name: str
    title: str
    service_level_s: int
    service_level_percent: int
    waiting: int
    kept: int
    oldest_s: float | None
    connected: int
    in_time: int
    lost_late: int
    overflowed: int


async def every(connection: Connection, since: datetime) -> list[QueueNow]:
    """All of them, by name."""
    return [QueueNow(**row) for row in await connection.fetch(query("queue_board", "queues"), since)]
