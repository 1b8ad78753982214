"""What a caller asks to be sent: the link to pay what is open, by text to the number that is on the line."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tenderline.app import Services
from tenderline.compliance.facts import Purpose
from tenderline.core.clock import utc_now
from tenderline.messengers.base import Channel
from tenderline.store import callers, people, plans
from tenderline.store.attempts import Planned
from tenderline.store.db import Connection

PAY_LINK: Final = "pay_link"
TEMPLATES: Final = frozenset({PAY_LINK})
VALID: Final = timedelta(hours=1)
_TEXT: Final = "recovery"


async def pay_link(services: Services, connection: Connection, number: str) -> bool:
    """Plans it through the gate, as her own wish; False when nothing is open there, or the gate refuses."""
    if Channel.SMS not in services.messengers:
        return False
    found = await people.find_by_address(connection, people.PHONE, number)
    known = await callers.known(connection, number)
    if found is None or known is None or known.case_id is None:
        return False
    now = utc_now()
    await people.lock(connection, found[0])
    wanted = Planned(
        person_id=found[0],
        case_id=known.case_id,
        channel=Channel.SMS.value,
        purpose=Purpose.SERVICING,
        contact_point_id=found[1],
        template=_TEXT,
        due_at=now,
        not_after=now + VALID,
        own_act_at=now,
    )
    kept = await plans.plan(connection, services.book, services.defaults, found[0], [[wanted]])
    return kept[0].why is None
