"""Agents as a supervisor sees them: what each does, since when, and whom she could take."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from tenderline.store import agents, queues
from tenderline.store.agents import Agent
from tenderline.store.db import Connection
from tenderline.store.queues import Queue, Skill

Doing = Literal["free", "busy", "wrap_up", "away"]
DOINGS: Final[dict[Doing, str]] = {
    "free": "could take a call",
    "busy": "on a call, or being rung",
    "wrap_up": "writing up a call",
    "away": "logged in, but cannot take a call",
}
STATES: Final = {
    "available": "Available",
    "reserved": "Chosen for a call",
    "ringing": "Ringing",
    "on_call": "On a call",
    "wrap_up": "After-call",
    "away": "Away",
    "offline": "Offline",
    "distress": "Distress",
}
_LOOKS: Final = {
    "available": ("●", "good"),
    "reserved": ("◔", "busy"),
    "ringing": ("◔", "busy"),
    "on_call": ("☎", "busy"),
    "wrap_up": ("✎", "calm"),
    "away": ("‖", "warn"),
    "distress": ("▲", "bad"),
}
_BUSY: Final = frozenset({"reserved", "ringing", "on_call", "distress"})
# Whom somebody has to look after comes first, then whoever works.
_ORDER: Final = ("distress", "on_call", "ringing", "reserved", "available", "wrap_up", "away", "offline")


@dataclass(frozen=True, slots=True)
class AgentLine:
    """An agent. `doing` is how a queue counts her; None: not at all."""

    id: UUID
    name: str
    state: str
    words: str
    mark: str
    tone: str
    doing: Doing | None
    reason: str
    since: datetime
    until: datetime | None
    then: str
    in_distress: bool
    is_out_of_reach: bool
    is_reachable: bool
    queue: str
    call_id: UUID | None
    is_on_call: bool
    queues: tuple[str, ...]
    skills: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class AgentPanel:
    """One agent with all that could be set for her. `seen`: what it stands on, so that nobody overwrites another's."""

    agent: AgentLine
    queues: tuple[Queue, ...]
    skills: tuple[Skill, ...]
    seen: str
    is_telephone: bool


def agent_lines(found: Sequence[Agent], calls_in_distress: Collection[UUID]) -> tuple[AgentLine, ...]:
    """Everybody who may take calls; whoever is in distress first."""
    made = [_line(one, calls_in_distress) for one in found if one.enabled or one.node_id is not None]
    return tuple(sorted(made, key=lambda one: (not one.in_distress, _ORDER.index(one.state), one.name.casefold())))


def _doing(one: Agent) -> Doing | None:
    if one.state == "offline":
        return None
    if one.state in _BUSY and one.node_id is not None:
        return "busy"
    if one.state == "wrap_up":
        return "wrap_up"
    return "free" if one.state == "available" and one.is_reachable else "away"


def _line(one: Agent, calls_in_distress: Collection[UUID]) -> AgentLine:
    is_busy = one.state in _BUSY and one.node_id is not None
    in_distress = one.state == "distress" or (is_busy and one.conversation_id in calls_in_distress)
    is_out_of_reach = one.state not in ("offline", "reserved", "ringing", "on_call") and not one.is_reachable
    mark, tone = _LOOKS.get("distress" if in_distress else one.state, ("○", "calm"))
    if is_out_of_reach and not in_distress:
        mark, tone = "?", "warn"
    then = f"then {STATES[one.next_state].lower()}" if one.next_state else ""
    return AgentLine(
        id=one.id,
        name=one.name,
        state=one.state,
        words=STATES[one.state],
        mark=mark,
        tone=tone,
        doing=_doing(one),
        reason=one.reason or "",
        since=one.since,
        until=one.until,
        then=f"{then}: {one.next_reason}" if then and one.next_reason else then,
        in_distress=in_distress,
        is_out_of_reach=is_out_of_reach,
        is_reachable=one.is_reachable,
        queue=one.queue or "",
        call_id=one.conversation_id,
        is_on_call=one.state in ("on_call", "distress") and one.node_id is not None,
        queues=tuple(one.queues),
        skills=tuple(sorted(one.skills.items())),
    )


def seen(one: Agent) -> str:
    """What an agent serves and is good at, in one line."""
    skills = ",".join(f"{name}={proficiency}" for name, proficiency in sorted(one.skills.items()))
    return f"{','.join(sorted(one.queues))};{skills}"


async def read_panel(connection: Connection, agent_id: UUID) -> AgentPanel:
    """Of one. Raises `NoSuchAgentError`."""
    found = await agents.get(connection, agent_id)
    return AgentPanel(
        agent=_line(found, ()),
        queues=tuple(await queues.every(connection)),
        skills=tuple(await queues.skills(connection)),
        seen=seen(found),
        is_telephone=found.automatic,
    )
