"""Calling campaigns: what a call of ours says or who speaks in it, under which number, and for which purpose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from tenderline.store import audit, queues
from tenderline.store.db import Connection, query


class CallingCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign. With a `flow` whoever answers hears that flow; with a `queue` an agent of it calls."""

    name: str
    caller_id: str
    purpose: str
    flow: str | None = None
    machine_flow: str | None = None
    """What an answering machine is told after its greeting; without it we hang up on one."""
    queue: str | None = None
    language: str = "en"
    currency: str = "USD"
    fund: str | None = None
    ring_s: int = 25
    enabled: bool = True
    updated_at: datetime | None = None
    updated_by: str | None = None

    @property
    def first(self) -> str:
        """Who is on the line first: an agent, or the donor, to whom a flow speaks and whom it then queues."""
        return "agent" if self.queue is not None else "donor"

    @property
    def channel(self) -> str:
        """The channel of its calls, as the gate and the law know it."""
        return "voice_live" if self.queue is not None else "voice_artificial"


@dataclass(frozen=True, slots=True)
class CallAhead:
    """A call that is planned."""

    id: UUID
    person_id: UUID
    number: str
    campaign: str
    state: str
    due_at: datetime
    why: str | None
    tries: int


async def every(connection: Connection) -> list[CallingCampaign]:
    """All of them, by name."""
    return [CallingCampaign(**row) for row in await connection.fetch(query("calling_campaigns", "all"))]


async def get(connection: Connection, name: str) -> CallingCampaign | None:
    """One."""
    row = await connection.fetchrow(query("calling_campaigns", "one"), name)
    return CallingCampaign(**row) if row else None


async def put(connection: Connection, wanted: CallingCampaign, *, by: str) -> None:
    """The campaign as it is from now on; audited. Its queue is made if there is none."""
    if wanted.queue is not None:
        await queues.ensure(connection, [wanted.queue], by=by)
    await connection.execute(
        query("calling_campaigns", "put"),
        wanted.name,
        wanted.flow,
        wanted.machine_flow,
        wanted.queue,
        wanted.caller_id,
        wanted.purpose,
        wanted.language,
        wanted.currency,
        wanted.fund,
        wanted.ring_s,
        wanted.enabled,
        by,
    )
    data = {name: value for name, value in msgspec.structs.asdict(wanted).items() if not name.startswith("updated")}
    await audit.append(connection, actor=by, action="calling_campaign_set", subject=wanted.name, data=data)


async def calls_ahead(connection: Connection, limit: int) -> list[CallAhead]:
    """Calls that are planned, the next one first."""
    return [CallAhead(**row) for row in await connection.fetch(query("calling_campaigns", "calls_ahead"), limit)]
