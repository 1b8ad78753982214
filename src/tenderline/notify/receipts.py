"""The receipt of a payment by telephone: by text to the number that called, when the money has arrived."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from tenderline.app import Services
from tenderline.compliance.facts import Purpose
from tenderline.core.clock import utc_now
from tenderline.messengers.base import Channel
from tenderline.notify.delivery import RECEIPT, Thanks
from tenderline.store import captures, payments, people, plans
from tenderline.store.attempts import Planned
from tenderline.store.captures import CaptureSession
from tenderline.store.db import Connection

VALID: Final = timedelta(days=1)
_KINDS: Final = ((Channel.SMS, people.PHONE), (Channel.EMAIL, people.EMAIL))


async def completed(connection: Connection, payment_id: UUID) -> CaptureSession | None:
    """The session whose money has just arrived, marked so; None for what was paid otherwise, or was marked before."""
    payment = await payments.get(connection, payment_id)
    session = await captures.of_transaction(connection, payment.gateway, payment.transaction_id)
    if session is None or not await captures.set_state(connection, session.id, "completed"):
        return None
    return session


async def plan(services: Services, connection: Connection, session: CaptureSession) -> None:
    """Plans the receipt: by text where that is possible, else by e-mail. The gate decides, as about every contact."""
    await people.lock(connection, session.person_id)
    if choices := await _choices(services, connection, session):
        await plans.plan(connection, services.book, services.defaults, session.person_id, [choices])


async def _choices(services: Services, connection: Connection, session: CaptureSession) -> list[Planned]:
    now = utc_now()
    said = Thanks(session.amount_minor, session.currency, session.reference)
    points = await people.contact_points(connection, session.person_id)
    # The number that called comes first: it is hers who paid.
    points.sort(key=lambda point: point.id != session.contact_point_id)
    return [
        Planned(
            person_id=session.person_id,
            case_id=None,
            channel=channel.value,
            purpose=Purpose.SERVICING,
            contact_point_id=point.id,
            template=RECEIPT,
            due_at=now,
            not_after=now + VALID,
            own_act_at=session.started_at,
            said=msgspec.json.encode(said).decode(),
        )
        for channel, kind in _KINDS
        for point in points
        if channel in services.messengers and point.kind == kind and point.usable
    ]
