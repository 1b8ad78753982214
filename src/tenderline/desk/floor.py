"""The floor as plain data: queues with their service level, callers in line, agents, alerts, and what runs beside them.

Times are told as instants, which the browser lets run: a floor on which nothing happens is drawn the same each time,
and nobody is sent anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tenderline.core.clock import utc_now
from tenderline.desk import secure, words
from tenderline.desk.distress import SOURCES
from tenderline.desk.floor_agents import AgentLine, agent_lines
from tenderline.store import agents, alerts, donors, floor, voice_nodes
from tenderline.store import waiting as line
from tenderline.store.alerts import Alert
from tenderline.store.db import Connection
from tenderline.store.donors import Health
from tenderline.store.floor import (
    CallbackCounts,
    CallerRow,
    CallRow,
    CardEntryRow,
    LookUpRow,
    Period,
    QueueNow,
    Tally,
)
from tenderline.store.voice_nodes import VoiceNode

CALLERS_SHOWN: Final = 100
CARD_ENTRIES_SHOWN: Final = 100
LOOK_UPS_SHOWN: Final = 5
DETAIL_SHOWN_MAX: Final = 4

PERIODS: Final[dict[Period, str]] = {"lately": "last 30 min", "today": "today"}
ALERTS: Final = {
    "distress": "Distress",
    "escalation": "An agent asks for a supervisor",
    "callback_overdue": "A callback is overdue",
}
OUTCOMES: Final = {
    "talked": "answered",
    "abandoned": "hung up",
    "timed_out": "waited as long as the queue lets",
    "nobody": "nobody was logged in",
    "node_gone": "cut off: the node went away",
    "system": "cut off by a fault",
}
_CARD_MODES: Final = {"leave": "agent waits outside", "attended": "agent stays, tones are taken out"}


@dataclass(frozen=True, slots=True)
class Level:
    """A service level against its target."""

    period: Period
    tally: Tally
    percent: int | None
    is_met: bool


@dataclass(frozen=True, slots=True)
class QueueLine:
    """A queue. `free`, `busy`, `wrap_up`, `away`: its agents who are logged in; each is one of them."""

    name: str
    title: str
    target_s: int
    target_percent: int
    waiting: int
    kept: int
    oldest_at: datetime | None
    is_late: bool
    """Whether the longest waiting caller has waited longer than was promised."""
    expected_s: int | None
    """How long somebody who came now would wait, as things are; None while nobody serves the queue."""
    levels: tuple[Level, ...]
    free: int
    busy: int
    wrap_up: int
    away: int

    @property
    def is_bare(self) -> bool:
        """Whether callers wait and nobody is logged in who could serve them."""
        return self.waiting > 0 and not (self.free or self.busy or self.wrap_up or self.away)


@dataclass(frozen=True, slots=True)
class CallerLine:
    """Somebody in line, or who was. `has_priority`: agents of other queues may take the call already."""

    id: UUID
    call_id: UUID | None
    caller: str
    queue: str
    tier: str
    priority: int
    has_priority: bool
    skills: str
    entered_at: datetime
    waited_s: int | None
    """None while she waits."""
    agent: str
    outcome: str
    kept_at: datetime | None


@dataclass(frozen=True, slots=True)
class AlertLine:
    """Something that a supervisor should look at now. `said` is what the alert tells of itself."""

    id: UUID
    kind: str
    title: str
    said: str
    call_id: UUID | None
    caller: str
    is_live: bool
    person_id: UUID | None
    raised_at: datetime
    taken_by: str | None
    taken_at: datetime | None


@dataclass(frozen=True, slots=True)
class CardEntry:
    """A call on which a card is keyed in: how far, never what."""

    call_id: UUID
    caller: str
    since: datetime
    mode: str
    far: str
    by: str


@dataclass(frozen=True, slots=True)
class CrmNow:
    """Look-ups of the last quarter of an hour. `paused_why`: the CRM is left alone just now."""

    health: Health
    reasons: dict[str, int]
    newest: tuple[LookUpRow, ...]
    paused_why: str | None


@dataclass(frozen=True, slots=True)
class Floor:
    """Everything on the floor."""

    queues: tuple[QueueLine, ...]
    callers: tuple[CallerLine, ...]
    callers_waiting: int
    agents: tuple[AgentLine, ...]
    alerts: tuple[AlertLine, ...]
    callbacks: CallbackCounts
    card_entries: tuple[CardEntry, ...]
    crm: CrmNow
    nodes: tuple[VoiceNode, ...]

    @property
    def here(self) -> tuple[AgentLine, ...]:
        """Agents who are logged in."""
        return tuple(one for one in self.agents if one.doing is not None)

    @property
    def offline(self) -> tuple[AgentLine, ...]:
        """Agents who are not."""
        return tuple(one for one in self.agents if one.doing is None)


async def read(connection: Connection) -> Floor:
    """The whole floor. Read it in one transaction, so that its numbers and its rows agree."""
    now = utc_now()
    found = await floor.queues(connection)
    waiting = await floor.in_line(connection, None, kept=False, limit=CALLERS_SHOWN)
    open_alerts = await alerts.open_ones(connection)
    staff = agent_lines(await agents.every(connection), _in_distress(open_alerts))
    ids = [one.conversation_id for one in open_alerts if one.conversation_id is not None]
    calls = await floor.calls(connection, ids)
    tallies = await floor.tallies(connection)
    rules = {one.name: one for one in found}
    waits_s = {one.queue: one.wait_s for one in await line.paces(connection)}
    return Floor(
        queues=tuple(_queue(one, tallies, staff, waits_s.get(one.name), now) for one in found),
        callers=tuple(caller_line(one, rules.get(one.queue), now) for one in waiting),
        callers_waiting=sum(one.waiting for one in found),
        agents=staff,
        alerts=tuple(_alert(one, calls) for one in open_alerts),
        callbacks=await floor.callback_counts(connection),
        card_entries=tuple(_card_entry(one) for one in await floor.in_card_entry(connection, CARD_ENTRIES_SHOWN)),
        crm=await _crm(connection),
        nodes=tuple(await voice_nodes.all_known(connection)),
    )


def _in_distress(open_alerts: list[Alert]) -> frozenset[UUID]:
    return frozenset(one.conversation_id for one in open_alerts if one.kind == "distress" and one.conversation_id)


def _queue(
    one: QueueNow,
    tallies: Mapping[tuple[str, str], Tally],
    staff: tuple[AgentLine, ...],
    wait_s: float | None,
    now: datetime,
) -> QueueLine:
    mine = [agent.doing for agent in staff if one.name in agent.queues]
    promised = timedelta(seconds=one.service_level_s)
    return QueueLine(
        name=one.name,
        title=one.title,
        target_s=one.service_level_s,
        target_percent=one.service_level_percent,
        waiting=one.waiting,
        kept=one.kept,
        oldest_at=one.oldest_at,
        is_late=one.oldest_at is not None and now - one.oldest_at > promised,
        expected_s=None if wait_s is None else round(wait_s),
        levels=tuple(_level(one, period, tallies.get((one.name, period), Tally())) for period in PERIODS),
        free=mine.count("free"),
        busy=mine.count("busy"),
        wrap_up=mine.count("wrap_up"),
        away=mine.count("away"),
    )


def _level(queue: QueueNow, period: Period, tally: Tally) -> Level:
    percent = tally.level_percent
    return Level(period, tally, percent, percent is None or percent >= queue.service_level_percent)


def caller_line(one: CallerRow, queue: QueueNow | None, now: datetime) -> CallerLine:
    """A row of those in line, or of those who were."""
    over_at = one.connected_at or one.left_at
    waited_s = None if over_at is None else max(0, round((over_at - one.entered_at).total_seconds()))
    outcome = "" if over_at is None else OUTCOMES.get(one.outcome or "talked", one.outcome or "")
    return CallerLine(
        id=one.id,
        call_id=one.call_id,
        caller=one.caller or "withheld",
        queue=one.queue,
        tier=(one.tier or "").replace("_", " "),
        priority=one.priority,
        has_priority=one.overflowed or (queue is not None and over_at is None and _overflows(one, queue, now)),
        skills=", ".join(one.skills),
        entered_at=one.entered_at,
        waited_s=waited_s,
        agent=one.agent or "",
        outcome=outcome,
        kept_at=one.kept_at,
    )


def _overflows(one: CallerRow, queue: QueueNow, now: datetime) -> bool:
    waited_s = (now - one.entered_at).total_seconds()
    return any(
        ring.queues_joined and (number <= one.ring_min or waited_s >= ring.after_s)
        for number, ring in enumerate(queue.rings)
    )


def alert_said(detail: Mapping[str, Any]) -> str:
    """What an alert tells of itself, cut to fit and without ids; whoever raised it knows more keys than this page."""
    told = [str(detail["reason"])] if detail.get("reason") else []
    source = SOURCES.get(str(detail.get("source")))
    if source:
        told.append(source)
    others = [
        f"{name.replace('_', ' ')}: {value}"
        for name, value in detail.items()
        if name != "reason"
        and not (name == "source" and source)
        and not name.endswith("_id")
        and isinstance(value, str | int)
        and not isinstance(value, bool)
    ]
    return words.short(words.plain("; ".join(told + others[:DETAIL_SHOWN_MAX])))


def _alert(one: Alert, calls: Mapping[UUID, CallRow]) -> AlertLine:
    call = calls.get(one.conversation_id) if one.conversation_id is not None else None
    return AlertLine(
        id=one.id,
        kind=one.kind,
        title=ALERTS.get(one.kind, one.kind.replace("_", " ")),
        said=alert_said(one.detail),
        call_id=None if call is None else call.id,
        caller="" if call is None else _other_end(call),
        is_live=call is not None and call.is_live,
        person_id=one.person_id,
        raised_at=one.raised_at,
        taken_by=one.taken_by,
        taken_at=one.taken_at,
    )


def _other_end(call: CallRow | CardEntryRow) -> str:
    return call.called if call.direction == "outbound" else call.caller or "withheld"


def _card_entry(one: CardEntryRow) -> CardEntry:
    far = "" if one.progress is None else secure.how_far(one.progress)
    mode = "at the payment provider" if one.kind == "provider_ivr" else _CARD_MODES.get(one.mode or "", "by herself")
    return CardEntry(one.call_id, _other_end(one), one.since, mode, far, one.asked_by or "")


async def _crm(connection: Connection) -> CrmNow:
    newest = tuple(await floor.look_ups(connection, "asked", limit=LOOK_UPS_SHOWN))
    last = next((one for one in newest if one.state != "asking"), None)
    return CrmNow(
        health=await donors.health(connection, within_s=floor.LOOK_UPS_WITHIN_S),
        reasons=await donors.reasons(connection, within_s=floor.LOOK_UPS_WITHIN_S),
        newest=newest,
        paused_why=last.detail or "it was not asked" if last is not None and last.state == "skipped" else None,
    )
