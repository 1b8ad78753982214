"""Conversations on the telephone and their timelines: who, when, which parts, which steps of the flow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from tenderline.store.db import Connection, query

SegmentKind = Literal["dialing", "ivr", "secure_ivr", "provider_ivr", "queue", "agent", "external", "hold", "wrapup"]
Purpose = Literal["caller", "agent", "external", "monitor"]


@dataclass(frozen=True, slots=True)
class Started:
    """A call that arrived or was dialled."""

    id: UUID
    node_id: UUID
    direction: Literal["inbound", "outbound"]
    caller: str | None
    called: str
    campaign: str | None
    flow: str | None
    flow_version: int | None
    attestation: str | None
    at: datetime
    attempt_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row of the list of calls. `segment` and `step` are where it is, or where it ended."""

    id: UUID
    direction: str
    caller: str | None
    called: str
    campaign: str | None
    flow: str | None
    flow_version: int | None
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    why: str | None
    person_id: UUID | None
    attestation: str | None
    keys: str | None
    segment: str | None
    segment_detail: str | None
    step: str | None
    recorded_ms: int | None


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who was on the call."""

    id: UUID
    purpose: str
    address: str | None
    joined_at: datetime
    left_at: datetime | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the call."""

    ordinal: int
    kind: str
    detail: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the flow that the call took."""

    ordinal: int
    node: str
    step: str
    entered_at: datetime
    left_at: datetime | None
    exit: str | None


async def start(connection: Connection, call: Started) -> None:
    """A conversation begins; whoever is known by the caller's number is its person."""
    await connection.execute(
        query("conversations", "start"),
        call.id,
        call.node_id,
        call.direction,
        call.caller,
        call.called,
        call.campaign,
        call.flow,
        call.flow_version,
        call.attestation,
        call.at,
        call.attempt_id,
    )


async def answered(connection: Connection, conversation_id: UUID, at: datetime) -> None:
    """It was taken."""
    await connection.execute(query("conversations", "answered"), conversation_id, at)


async def ended(connection: Connection, conversation_id: UUID, at: datetime, *, by: str, why: str) -> None:
    """It is over, with every part of it that was still open."""
    await connection.execute(query("conversations", "ended"), conversation_id, at, by, why)
    await connection.execute(query("conversations", "end_parts"), conversation_id, at)


async def join(
    connection: Connection, conversation_id: UUID, id: UUID, purpose: Purpose, address: str | None, at: datetime
) -> None:
    """Somebody is on the call."""
    await connection.execute(query("conversations", "join"), conversation_id, id, purpose, address, at)


async def leave(connection: Connection, conversation_id: UUID, id: UUID, at: datetime) -> None:
    """Somebody left it."""
    await connection.execute(query("conversations", "leave"), conversation_id, id, at)


async def segment(
    connection: Connection, conversation_id: UUID, ordinal: int, kind: SegmentKind, detail: str, at: datetime
) -> None:
    """Another part begins; the one before ends."""
    await connection.execute(query("conversations", "segment"), conversation_id, ordinal, kind, detail, at)


async def step_entered(
    connection: Connection, conversation_id: UUID, ordinal: int, node: str, step: str, at: datetime
) -> None:
    """The call came to a step of its flow."""
    await connection.execute(query("conversations", "step_entered"), conversation_id, ordinal, node, step, at)


async def step_left(connection: Connection, conversation_id: UUID, ordinal: int, exit: str, at: datetime) -> None:
    """It left the step by one of its exits."""
    await connection.execute(query("conversations", "step_left"), conversation_id, ordinal, exit, at)


async def keep_keys(connection: Connection, conversation_id: UUID, keys: str) -> None:
    """The keys of a line check, of no other flow."""
    await connection.execute(query("conversations", "keys"), conversation_id, keys)


async def latest(connection: Connection, limit: int) -> list[Conversation]:
    """Live calls, then the newest."""
    return [Conversation(**row) for row in await connection.fetch(query("conversations", "latest"), limit)]


async def get(connection: Connection, conversation_id: UUID) -> Conversation | None:
    """One conversation."""
    row = await connection.fetchrow(query("conversations", "one"), conversation_id)
    return Conversation(**row) if row else None


async def participants(connection: Connection, conversation_id: UUID) -> list[Participant]:
    """Who was on it."""
    rows = await connection.fetch(query("conversations", "participants"), conversation_id)
    return [Participant(**row) for row in rows]


async def segments(connection: Connection, conversation_id: UUID) -> list[Segment]:
    """Its parts, in order."""
    return [Segment(**row) for row in await connection.fetch(query("conversations", "segments"), conversation_id)]


async def steps(connection: Connection, conversation_id: UUID) -> list[Step]:
    """The steps that it took, in order."""
    return [Step(**row) for row in await connection.fetch(query("conversations", "steps"), conversation_id)]
