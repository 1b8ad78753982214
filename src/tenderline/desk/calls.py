"""Calls as a screen shows them: who, since when, in which part, by which way through the flow; and the recording."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final
from uuid import UUID

from tenderline.core.clock import utc_now
from tenderline.desk import donors, payments
from tenderline.desk.donors import DonorView
from tenderline.desk.payments import PaymentLine
from tenderline.store import calling_campaigns, conversations, lines, recordings, voice_nodes
from tenderline.store.calling_campaigns import CallAhead
from tenderline.store.conversations import Conversation, Participant, Step
from tenderline.store.db import Connection
from tenderline.store.recordings import Recording
from tenderline.store.voice_nodes import VoiceNode

CALLS_SHOWN: Final = 100
CALLBACKS_SHOWN: Final = 50

SEGMENTS: Final = {
    "dialing": "Dialling",
    "ivr": "Menu",
    "secure_ivr": "Card entry",
    "provider_ivr": "Payment provider",
    "queue": "Waiting",
    "agent": "Agent",
    "external": "Forwarded",
    "hold": "On hold",
    "wrapup": "After the call",
}
ENDS: Final = {
    "caller": "the caller hung up",
    "agent": "the agent hung up",
    "flow": "the flow ended it",
    "system": "ended by the system",
    "nobody": "nobody was reached",
}
AHEAD_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class CallLine:
    """A row of the list."""

    id: UUID
    started_at: datetime
    direction: str
    caller: str
    called: str
    campaign: str
    is_live: bool
    where: str
    lasted_s: int
    recorded_s: int | None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a call, with its place in the bar: `begin` and `width` in thousandths of the whole."""

    kind: str
    name: str
    detail: str
    started_at: datetime
    lasted_s: int
    begin: int
    width: int


@dataclass(frozen=True, slots=True)
class Silence:
    """A part of a recording that is silent on purpose, in thousandths of the whole."""

    begin: int
    width: int
    begin_s: int
    lasted_s: int


@dataclass(frozen=True, slots=True)
class Tape:
    """A recording as the player shows it."""

    id: UUID
    state: str
    why: str | None
    duration_s: int
    sensitive: bool
    silences: tuple[Silence, ...]
    delete_after: datetime | None


@dataclass(frozen=True, slots=True)
class CallView:
    """The page of one call."""

    line: CallLine
    conversation: Conversation
    ended: str | None
    participants: tuple[Participant, ...]
    parts: tuple[Part, ...]
    steps: tuple[Step, ...]
    tapes: tuple[Tape, ...]
    payments: tuple[PaymentLine, ...]
    donor: DonorView | None
    flow_text: str | None
    """The text of the version of the flow that the call took; None for one that is shipped, or for no flow."""


@dataclass(frozen=True, slots=True)
class CallBoard:
    """The page of all calls."""

    calls: tuple[CallLine, ...]
    nodes: tuple[VoiceNode, ...]
    callbacks: tuple[lines.Callback, ...]
    ahead: tuple[CallAhead, ...]

    @property
    def live(self) -> int:
        """How many last now, of those shown."""
        return sum(call.is_live for call in self.calls)


async def read_board(connection: Connection) -> CallBoard:
    """Live calls, then the newest; nodes; callbacks; planned calls. Read it in one transaction."""
    found = await conversations.latest(connection, CALLS_SHOWN)
    return CallBoard(
        tuple(_line(one) for one in found),
        tuple(await voice_nodes.all_known(connection)),
        tuple(await lines.callbacks(connection, CALLBACKS_SHOWN)),
        tuple(await calling_campaigns.calls_ahead(connection, AHEAD_SHOWN)),
    )


async def read_call(connection: Connection, conversation_id: UUID, zone: tzinfo) -> CallView | None:
    """One call; `zone`: by whose days gifts are booked. Read it in one transaction."""
    found = await conversations.get(connection, conversation_id)
    if found is None:
        return None
    version = None
    if found.flow is not None and found.flow_version is not None:
        version = await lines.flow_version(connection, found.flow, found.flow_version)
    segments = await conversations.segments(connection, conversation_id)
    return CallView(
        line=_line(found),
        conversation=found,
        ended=_end(found) if found.ended_at else None,
        participants=tuple(await conversations.participants(connection, conversation_id)),
        parts=_parts(found, segments),
        steps=tuple(await conversations.steps(connection, conversation_id)),
        tapes=tuple(_tape(one) for one in await recordings.of(connection, conversation_id)),
        payments=await payments.read(connection, conversation_id=conversation_id),
        donor=await donors.read(connection, conversation_id, zone),
        flow_text=version.content if version else None,
    )


def _line(one: Conversation) -> CallLine:
    end = one.ended_at or utc_now()
    where = SEGMENTS.get(one.segment or "", "") + (f": {one.segment_detail}" if one.segment_detail else "")
    if one.ended_at is not None:
        where = _end(one)
    elif one.segment == "ivr" and one.step:
        where = f"Menu: {one.step}"
    return CallLine(
        id=one.id,
        started_at=one.started_at,
        direction=one.direction,
        caller=one.caller or "withheld",
        called=one.called,
        campaign=one.campaign or "",
        is_live=one.ended_at is None,
        where=where,
        lasted_s=max(0, round((end - one.started_at).total_seconds())),
        recorded_s=None if one.recorded_ms is None else round(one.recorded_ms / 1000),
    )


def _end(one: Conversation) -> str:
    if one.ended_by == "nobody":
        return one.why or ENDS["nobody"]
    if one.ended_by == "caller" and one.direction == "outbound":
        return "whoever was called hung up"
    return ENDS.get(one.ended_by or "", "")


def _parts(call: Conversation, segments: list[conversations.Segment]) -> tuple[Part, ...]:
    end = call.ended_at or utc_now()
    whole_s = max(0.001, (end - call.started_at).total_seconds())
    parts = []
    for one in segments:
        begin_s = (one.started_at - call.started_at).total_seconds()
        lasted_s = ((one.ended_at or end) - one.started_at).total_seconds()
        begin = min(1000, max(0, round(1000 * begin_s / whole_s)))
        width = min(1000 - begin, max(0, round(1000 * lasted_s / whole_s)))
        name = SEGMENTS[one.kind]
        parts.append(Part(one.kind, name, one.detail, one.started_at, max(0, round(lasted_s)), begin, width))
    return tuple(parts)


def _tape(one: Recording) -> Tape:
    whole_ms = max(1, one.duration_ms or 1)
    silences, since = [], None
    for mark in [*one.marks, recordings.Mark(whole_ms, False)]:
        if mark.paused:
            since = mark.at_ms
        elif since is not None:
            begin, width = 1000 * since // whole_ms, 1000 * (mark.at_ms - since) // whole_ms
            silences.append(Silence(begin, width, since // 1000, (mark.at_ms - since) // 1000))
            since = None
    return Tape(
        one.id,
        one.state,
        one.why,
        round((one.duration_ms or 0) / 1000),
        one.sensitive,
        tuple(silences),
        one.delete_after,
    )
