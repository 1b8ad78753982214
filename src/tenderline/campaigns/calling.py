"""A call of ours, planned: to a person or a number, in a calling campaign, when the gate will let it pass."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from tenderline.app import Services
from tenderline.compliance.facts import Purpose
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.phone import normalise
from tenderline.store import audit, calling_campaigns, people, plans
from tenderline.store.attempts import Planned
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.store.db import Connection

VALID: Final = timedelta(days=3)
"""How long a call is wanted unless said otherwise; after that it is not made any more."""
VALID_MAX: Final = timedelta(days=35)
"""A disposition may plan a call 31 days ahead, which then has its days."""
PURPOSES: Final = frozenset(
    {
        Purpose.FIRST_PARTY_RECOVERY,
        Purpose.THIRD_PARTY_COLLECTION,
        Purpose.CHARITY_SOLICITATION,
        Purpose.TELEMARKETING,
        Purpose.SERVICING,
    }
)


class NoSuchCampaignError(NotFoundError):
    """There is no calling campaign of this name; `tenderline calling list` shows those there are."""

    code = "calling_campaign.unknown"


class DisabledCampaignError(InvalidInputError):
    """This calling campaign is switched off; switch it on first."""

    code = "calling_campaign.disabled"
    status = 409


class CallerIdNotAllowedError(InvalidInputError):
    """Calls may only show a number of voice.caller_ids; add it there when it is yours."""

    code = "calling_campaign.caller_id"


class FlowOrQueueError(InvalidInputError):
    """A calling campaign has a flow, or a queue whose agents call; one of the two."""

    code = "calling_campaign.flow_or_queue"


class LateCallError(InvalidInputError):
    """A call must have time between when it is due and when it is not wanted any more, 35 days at most."""

    code = "call.no_time"


async def put(services: Services, connection: Connection, wanted: CallingCampaign, *, by: str) -> None:
    """Makes a campaign, or changes it, in the caller's transaction. That its flows are fit for calls of ours the caller
    has checked (`flows.fitness`). Raises `InvalidInputError`."""
    if (wanted.flow is None) == (wanted.queue is None) or (wanted.machine_flow and wanted.flow is None):
        raise FlowOrQueueError()
    if wanted.caller_id not in services.settings.voice.caller_ids:
        known = ", ".join(services.settings.voice.caller_ids) or "none is set"
        raise CallerIdNotAllowedError(f"{wanted.caller_id} is not one of voice.caller_ids ({known}).")
    if wanted.purpose not in PURPOSES:
        raise InvalidInputError(f"A call's purpose is one of: {', '.join(sorted(PURPOSES))}.")
    await calling_campaigns.put(connection, wanted, by=by)


async def plan(
    services: Services,
    connection: Connection,
    *,
    campaign: str,
    number: str,
    by: str,
    case_id: UUID | None = None,
    due_at: datetime | None = None,
    not_after: datetime | None = None,
    own_act_at: datetime | None = None,
) -> Planned:
    """Plans one call in the caller's transaction and tells what the gate says of it; audited.

    Somebody who has this number is found by it, or kept as a person of its own. `own_act_at`: she asked for the call.
    Raises `InvalidInputError` for what is no number, `NoSuchCampaignError`.
    """
    found = await calling_campaigns.get(connection, campaign)
    if found is None:
        raise NoSuchCampaignError(f"There is no calling campaign {campaign!r}; list them to find it.")
    if not found.enabled:
        raise DisabledCampaignError()
    now = utc_now()
    begin = max(due_at or now, now)
    end = not_after or begin + VALID
    if not begin < end <= now + VALID_MAX:
        raise LateCallError()
    called = normalise(number, services.settings.compliance.default_region)
    person_id, point_id = await people.of_number(connection, called)
    await people.lock(connection, person_id)
    wanted = Planned(
        person_id=person_id,
        case_id=case_id,
        channel=found.channel,
        purpose=Purpose(found.purpose),
        contact_point_id=point_id,
        template=found.name,
        due_at=begin,
        not_after=end,
        own_act_at=own_act_at,
    )
    kept = await plans.plan(connection, services.book, services.defaults, person_id, [[wanted]])
    assert len(kept) == 1, "one choice gives one answer"
    data = {"campaign": found.name, "due": kept[0].due_at.isoformat(), "why": kept[0].why}
    await audit.append(connection, actor=by, action="call_planned", subject=f"person:{person_id}", data=data)
    return kept[0]
