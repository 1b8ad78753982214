"""Who calls: the person behind a telephone number, and her word to be left alone."""

from __future__ import annotations

from uuid import UUID

from tenderline.people import consent
from tenderline.store import people
from tenderline.store.db import Connection

CHANNEL = "voice_live"
HOW = "key"


async def opt_out(connection: Connection, number: str, *, evidence: str) -> UUID:
    """Silence on every channel for whoever has this number, in the caller's transaction. A number that nobody is known
    by is kept as a person's of its own: it must not be contacted tomorrow because it is imported then."""
    found = await people.find_by_address(connection, people.PHONE, number)
    if found is not None:
        person_id = found[0]
    else:
        person_id = await people.create(connection, name=None, locale=None)
        await people.lock(connection, person_id)
        if not await people.add_contact_point(connection, person_id, people.PHONE, number):
            raced = await people.find_by_address(connection, people.PHONE, number)
            assert raced is not None, "somebody else has just added it"
            person_id = raced[0]
    await people.lock(connection, person_id)
    await consent.opt_out(connection, person_id, channel=CHANNEL, address=number, how=HOW, evidence=evidence)
    return person_id
