"""Who calls: the person behind a telephone number, and her word to be left alone."""

from __future__ import annotations

from uuid import UUID

from tenderline.people import consent
from tenderline.store import people
from tenderline.store.db import Connection

CHANNEL = "voice"
HOW = "key"


async def gave_number(connection: Connection, person_id: UUID, contact_point_id: UUID, *, evidence: str) -> None:
    """Somebody who pays was told that her number gets a text about it, and went on: it is given for that (FCC 07-232;
    a number that is only displayed is given for nothing, FCC 92-443)."""
    found = await people.get_contact_point(connection, contact_point_id)
    if found is not None and found[0] == person_id and found[1].kind == people.PHONE:
        await consent.given_with_a_payment(connection, person_id, found[1].value, evidence=evidence)


async def opt_out(connection: Connection, number: str, *, evidence: str) -> UUID:
    """Silence on every channel for whoever has this number, in the caller's transaction."""
    person_id, _ = await people.of_number(connection, number)
    await people.lock(connection, person_id)
    await consent.opt_out(connection, person_id, channel=CHANNEL, address=number, how=HOW, evidence=evidence)
    return person_id
