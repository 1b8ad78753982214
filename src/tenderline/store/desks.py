"""What the desk of an agent is drawn from: one row of her and her call, and what there was with the person before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from tenderline.store.db import Connection, query

UNTOLD_S = 1_800.0
"""A call whose end she has not told is shown for so long, while she has no other."""


@dataclass(frozen=True, slots=True)
class Desk:
    """An agent and the call that is hers. Without one, what begins with `conversation_id` is None."""

    agent_id: UUID
    name: str
    telephone: str | None
    state: str
    reason: str | None
    since: datetime
    until: datetime | None
    next_state: str | None
    next_reason: str | None
    queue: str | None
    reach_kind: str | None
    is_reachable: bool
    is_hers: bool
    """She is on it, or writes it up: not only a call that is over and whose end she has not told."""
    conversation_id: UUID | None
    direction: str | None
    caller: str | None
    called: str | None
    campaign: str | None
    flow: str | None
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    attempt_id: UUID | None
    person_id: UUID | None
    fund: str | None
    line_campaign: str | None
    call_queue: str | None
    queue_title: str | None
    entered_at: datetime | None
    connected_at: datetime | None
    offered_at: datetime | None
    waited_in: str | None
    overflowed: bool | None
    tier: str | None
    skills: list[str] | None
    returned: bool | None
    recording: str | None
    segment: str | None
    segment_detail: str | None
    segment_since: datetime | None
    is_consulting: bool
    """She asked to talk with somebody else, and the caller still waits."""

    @property
    def number(self) -> str | None:
        """Of the person at the other end."""
        return self.called if self.direction == "outbound" else self.caller


@dataclass(frozen=True, slots=True)
class Past:
    """Something that was before, or is planned, with a person."""

    kind: Literal["call", "contact", "case", "payment", "callback"]
    id: UUID
    at: datetime
    what: str
    told: str
    state: str | None
    amount_minor: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call can be transferred: `queue:NAME` or `agent:UUID`."""

    target: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class DueCallback:
    """Somebody waits to be called."""

    id: UUID
    due_at: datetime
    number: str
    person_id: UUID | None
    person: str | None


async def versions(connection: Connection) -> dict[str, str]:
    """By user, a text that changes when her desk would show something else; all of them in one query."""
    rows = await connection.fetch(query("desks", "versions"), UNTOLD_S)
    return {str(row["user_id"]): row["version"] for row in rows}


async def of_user(connection: Connection, user_id: UUID) -> Desk | None:
    """The desk of a user; None when she is no agent."""
    row = await connection.fetchrow(query("desks", "desk"), user_id, UNTOLD_S)
    return Desk(**row) if row else None


async def past(connection: Connection, person_id: UUID | None, number: str | None, call: UUID) -> list[Past]:
    """Before this call, with this person; callbacks of the number too."""
    return [Past(**row) for row in await connection.fetch(query("desks", "past"), person_id, number, call)]


async def targets(connection: Connection, agent_id: UUID) -> list[Target]:
    """Where this agent's call can go."""
    return [Target(**row) for row in await connection.fetch(query("desks", "targets"), agent_id)]


async def callbacks_due(connection: Connection, limit: int) -> list[DueCallback]:
    """Of the next day, the most urgent first."""
    return [DueCallback(**row) for row in await connection.fetch(query("desks", "callbacks_due"), limit)]
