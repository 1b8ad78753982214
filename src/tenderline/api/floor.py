"""The floor as one JSON read: what the supervisors' screen shows, for wall boards and reports of others."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, get

from tenderline.api.auth import SCOPE
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.desk import floor as desk
from tenderline.desk.floor_agents import AgentLine
from tenderline.store.floor import LOOK_UPS_WITHIN_S

READ_SCOPE: Final = "contactcenter:read"
ROUTE: Final = "/api/v2/routing/floor"


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class ServiceLevelEntity(_Json, frozen=True):
    """Of those who got in line in a period: `lately`, the last half hour, or `today`, since midnight UTC.

    `percent`: `answeredInTime` of `answered` and `abandonedLate` together, rounded down; null when there was nobody."""

    period: str
    percent: int | None
    is_met: bool
    answered: int
    answered_in_time: int
    abandoned: int
    abandoned_late: int
    overflowed: int


class QueueObservationEntity(_Json, frozen=True):
    """A queue now. The agents who are logged in are free, busy, writing up, or away: each is one of these."""

    name: str
    title: str
    service_level_s: int
    service_level_percent: int
    waiting: int
    keeping_their_place: int
    oldest_at: datetime | None
    expected_wait_s: int | None
    agents_free: int
    agents_busy: int
    agents_wrapping_up: int
    agents_away: int
    levels: list[ServiceLevelEntity]


class AgentObservationEntity(_Json, frozen=True):
    """An agent now."""

    id: UUID
    name: str
    state: str
    since: datetime
    reason: str
    in_distress: bool
    is_reachable: bool
    queue: str
    conversation_id: UUID | None
    queues: list[str]
    skills: dict[str, int]


class AlertEntity(_Json, frozen=True):
    """An alert that nobody has closed."""

    id: UUID
    kind: str
    conversation_id: UUID | None
    person_id: UUID | None
    raised_at: datetime
    taken_by: str | None


class CallbacksEntity(_Json, frozen=True):
    """Callbacks that wait: overdue (nobody called within an hour, or within the window), due until the next
    hour is over, or later."""

    overdue: int
    due: int
    later: int


class CrmEntity(_Json, frozen=True):
    """Look-ups at the CRM within so many seconds. `pausedWhy`: it is left alone just now."""

    within_s: int
    asked: int
    late: int
    failed: int
    skipped: int
    p95_ms: int | None
    paused_why: str | None
    reasons: dict[str, int]


class FloorEntity(_Json, frozen=True):
    """Everything at one instant. `inCardEntry`: calls on which a card is being keyed in."""

    at: datetime
    queues: list[QueueObservationEntity]
    agents: list[AgentObservationEntity]
    alerts: list[AlertEntity]
    callbacks: CallbacksEntity
    in_card_entry: list[UUID]
    crm: CrmEntity


def _queue(one: desk.QueueLine) -> QueueObservationEntity:
    counted = ("answered", "answered_in_time", "abandoned", "abandoned_late", "overflowed")
    return QueueObservationEntity(
        name=one.name,
        title=one.title,
        service_level_s=one.target_s,
        service_level_percent=one.target_percent,
        waiting=one.waiting,
        keeping_their_place=one.kept,
        oldest_at=one.oldest_at,
        expected_wait_s=one.expected_s,
        agents_free=one.free,
        agents_busy=one.busy,
        agents_wrapping_up=one.wrap_up,
        agents_away=one.away,
        levels=[
            ServiceLevelEntity(
                period=level.period,
                percent=level.percent,
                is_met=level.is_met,
                **{name: getattr(level.tally, name) for name in counted},
            )
            for level in one.levels
        ],
    )


def _agent(one: AgentLine) -> AgentObservationEntity:
    return AgentObservationEntity(
        id=one.id,
        name=one.name,
        state=one.state,
        since=one.since,
        reason=one.reason,
        in_distress=one.in_distress,
        is_reachable=one.is_reachable,
        queue=one.queue,
        conversation_id=one.call_id,
        queues=list(one.queues),
        skills=dict(one.skills),
    )


@get(
    ROUTE,
    opt={SCOPE: READ_SCOPE},
    operation_id="getRoutingFloor",
    summary="Queues, agents, alerts and callbacks at this instant",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
)
async def get_floor(request: Request[Any, Any, Any]) -> FloorEntity:
    """Read in one transaction: its numbers agree."""
    services: Services = request.app.state.services
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await desk.read(connection)
    health = found.crm.health
    return FloorEntity(
        at=utc_now(),
        queues=[_queue(one) for one in found.queues],
        agents=[_agent(one) for one in found.agents],
        alerts=[
            AlertEntity(
                id=one.id,
                kind=one.kind,
                conversation_id=one.call_id,
                person_id=one.person_id,
                raised_at=one.raised_at,
                taken_by=one.taken_by,
            )
            for one in found.alerts
        ],
        callbacks=CallbacksEntity(
            overdue=found.callbacks.overdue, due=found.callbacks.due, later=found.callbacks.later
        ),
        in_card_entry=[one.call_id for one in found.card_entries],
        crm=CrmEntity(
            within_s=round(LOOK_UPS_WITHIN_S),
            asked=health.asked,
            late=health.late,
            failed=health.failed,
            skipped=health.skipped,
            p95_ms=health.p95_ms,
            paused_why=found.crm.paused_why,
            reasons=found.crm.reasons,
        ),
    )
