"""Who calls: the person behind a telephone number, and her word to be left alone."""

from __future__ import annotations

from uuid import UUID

from tenderline.people import consent
from tenderline.store import people
from tenderline.store.db import Connection

CHANNEL = "voice"
HOW = "key"


async def paid(connection: Connection, person_id: UUID, contact_point_id: UUID, *, evidence: str) -> None:
    """Somebody paid on the telephone: her number is given for what concerns that payment (FCC 07-232)."""
    found = await people.get_contact_point(connection, contact_point_id)
    if found is not None and found[0] == person_id and found[1].kind == people.PHONE:
        await consent.given_with_a_payment(connection, person_id, found[1].value, evidence=evidence)


async def opt_out(connection: Connection, number: str, *, evidence: str) -> UUID:
    """Silence on every channel for whoever has this number, in the caller's transaction."""
    person_id, _ = await people.of_number(connection, number)
    await people.lock(connection, person_id)
    await consent.opt_out(connection, person_id, channel=CHANNEL, address=number, how=HOW, evidence=evidence)
    return person_id
