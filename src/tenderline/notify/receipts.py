"""Receipts: of a payment by telephone, when the money has arrived, and of money that has gone back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from tenderline.app import Services
from tenderline.compliance.facts import Purpose
from tenderline.core.clock import utc_now
from tenderline.messengers.base import Channel
from tenderline.notify.delivery import RECEIPT, REFUND_RECEIPT, Thanks
from tenderline.store import captures, payments, people, plans, refunds
from tenderline.store.attempts import Planned
from tenderline.store.captures import CaptureSession
from tenderline.store.db import Connection

VALID: Final = timedelta(days=1)
_KINDS: Final = ((Channel.SMS, people.PHONE), (Channel.EMAIL, people.EMAIL))


async def completed(connection: Connection, payment_id: UUID) -> CaptureSession | None:
    """The session whose money has just arrived, marked so; None for what was paid otherwise, or was marked before."""
    payment = await payments.get(connection, payment_id)
    session = await captures.of_transaction(connection, payment.gateway, payment.transaction_id)
    if session is None:
        return None
    await people.lock(connection, session.person_id)  # before what is hers, as whoever ends the session does
    return session if await captures.set_state(connection, session.id, "completed") else None


async def plan(services: Services, connection: Connection, session: CaptureSession) -> None:
    """Plans the receipt: by text where that is possible, else by e-mail. The gate decides, as about every contact.
    Whoever calls this has locked her row, as `completed` does."""
    if choices := await _choices(services, connection, session):
        await plans.plan(connection, services.book, services.defaults, session.person_id, [choices])


async def plan_refund(services: Services, connection: Connection, refund_id: UUID) -> None:
    """Plans to tell her of money that went back, once, if an address of hers is known. Nothing of hers asked for it:
    unlike the receipt of a payment it does not follow a word of silence."""
    refund = await refunds.get(connection, refund_id)
    assert refund is not None, "refunds are never deleted"
    if refund.asked_by is None:
        return  # given back at the gateway itself, by somebody who may have told her
    person, payment = await payments.get_with_person(connection, refund.payment_id)
    if not await refunds.tell(connection, refund_id):
        return
    session = await captures.of_transaction(connection, payment.gateway, payment.transaction_id)
    said = Thanks(refund.amount_minor, refund.currency, session.reference if session else "")
    first = session.contact_point_id if session else None
    choices = await _ways(services, connection, person.id, REFUND_RECEIPT, said, first=first)
    if choices:
        await plans.plan(connection, services.book, services.defaults, person.id, [choices])


async def _choices(services: Services, connection: Connection, session: CaptureSession) -> list[Planned]:
    said = Thanks(session.amount_minor, session.currency, session.reference)
    first, act = session.contact_point_id, session.started_at
    return await _ways(services, connection, session.person_id, RECEIPT, said, first=first, own_act_at=act)


async def _ways(
    services: Services,
    connection: Connection,
    person_id: UUID,
    template: str,
    said: Thanks,
    *,
    first: UUID | None,
    own_act_at: datetime | None = None,
) -> list[Planned]:
    now = utc_now()
    points = await people.contact_points(connection, person_id)
    # The number that called comes first: it is hers who paid.
    points.sort(key=lambda point: point.id != first)
    return [
        Planned(
            person_id=person_id,
            case_id=None,
            channel=channel.value,
            purpose=Purpose.SERVICING,
            contact_point_id=point.id,
            template=template,
            due_at=now,
            not_after=now + VALID,
            own_act_at=own_act_at,
            said=msgspec.json.encode(said).decode(),
        )
        for channel, kind in _KINDS
        for point in points
        if channel in services.messengers and point.kind == kind and point.usable
    ]
