"""The supervisor's look at queues and agents, as the screens show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tenderline.store import agents, queue_board
from tenderline.store.agents import Agent
from tenderline.store.db import Connection
from tenderline.store.queue_board import QueueNow


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue and its service level in percent; None until somebody was served, or was not in time."""

    now: QueueNow
    level_percent: int | None

    @property
    def is_below(self) -> bool:
        """Whether the target is missed."""
        return self.level_percent is not None and self.level_percent < self.now.service_level_percent


@dataclass(frozen=True, slots=True)
class Floor:
    """Queues and agents at one instant; agents in distress stand first."""

    queues: list[QueueRow]
    agents: list[Agent]


async def floor(connection: Connection, since: datetime) -> Floor:
    """How it stands, counted from `since` on."""
    rows = [QueueRow(one, _level_percent(one)) for one in await queue_board.every(connection, since)]
    found = [one for one in await agents.every(connection) if one.enabled]
    return Floor(rows, sorted(found, key=lambda one: (one.state != "distress", one.name)))


def _level_percent(now: QueueNow) -> int | None:
    counted = now.connected + now.lost_late
    return round(100 * now.in_time / counted) if counted else None
