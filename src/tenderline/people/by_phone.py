"""Who calls: the person behind a telephone number, and her word to be left alone."""

from __future__ import annotations

from uuid import UUID

from tenderline.people import consent
from tenderline.store import people
from tenderline.store.db import Connection

CHANNEL = "voice"
HOW = "key"


async def person_of(connection: Connection, number: str) -> tuple[UUID, UUID]:
    """Whoever has this number (E.164), and its contact point. A number that nobody is known by becomes a person of its
    own: she is known by it from then on, whatever is imported later."""
    found = await people.find_by_address(connection, people.PHONE, number)
    if found is not None:
        return found
    person_id = await people.create(connection, name=None, locale=None)
    await people.lock(connection, person_id)
    await people.add_contact_point(connection, person_id, people.PHONE, number)
    found = await people.find_by_address(connection, people.PHONE, number)
    assert found is not None, "we, or somebody else just now, have added it"
    return found


async def paid(connection: Connection, person_id: UUID, contact_point_id: UUID, *, evidence: str) -> None:
    """Somebody paid on the telephone: her number is given for what concerns that payment (FCC 07-232)."""
    found = await people.get_contact_point(connection, contact_point_id)
    if found is not None and found[0] == person_id and found[1].kind == people.PHONE:
        await consent.given_with_a_payment(connection, person_id, found[1].value, evidence=evidence)


async def opt_out(connection: Connection, number: str, *, evidence: str) -> UUID:
    """Silence on every channel for whoever has this number, in the caller's transaction."""
    person_id, _ = await person_of(connection, number)
    await people.lock(connection, person_id)
    await consent.opt_out(connection, person_id, channel=CHANNEL, address=number, how=HOW, evidence=evidence)
    return person_id
