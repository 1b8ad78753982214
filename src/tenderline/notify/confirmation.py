"""The one message that may follow an opt-out: that it was heard."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from tenderline.app import Services
from tenderline.compliance.facts import Purpose
from tenderline.core.clock import utc_now
from tenderline.messengers.base import Channel
from tenderline.notify.delivery import CONFIRMATION
from tenderline.store import attempts, people, plans
from tenderline.store.attempts import Planned
from tenderline.store.db import Connection

VALID_MINUTES = 5


async def confirm(services: Services, connection: Connection, person_id: UUID) -> bool:
    """Plans the confirmation of a STOP that came by text, unless it was planned before; True when it did.

    The gate lets it pass within five minutes, once, on the channel by which she said it. Nobody hears twice that she
    will hear no more: a second STOP while she is silent is confirmed by silence.
    """
    person = await people.lock(connection, person_id)
    if not services.settings.compliance.confirm_opt_outs or Channel.SMS not in services.messengers:
        return False
    channel, _, address = (person.opted_out_by or "").partition(":")
    if person.opted_out_at is None or channel != Channel.SMS:
        return False
    found = await people.find_by_address(connection, people.PHONE, address)
    if found is None or found[0] != person_id:
        return False
    if await attempts.was_planned(connection, person_id, Purpose.OPT_OUT_CONFIRMATION, since=person.opted_out_at):
        return False
    now = utc_now()
    wanted = Planned(
        person_id=person_id,
        case_id=None,
        channel=channel,
        purpose=Purpose.OPT_OUT_CONFIRMATION,
        contact_point_id=found[1],
        template=CONFIRMATION,
        due_at=now,
        not_after=now + timedelta(minutes=VALID_MINUTES),
        own_act_at=person.opted_out_at,
    )
    await plans.plan(connection, services.book, services.defaults, person_id, [[wanted]])
    return True
