"""Somebody has read what a payer wrote: the cases that waited for that go on."""

from __future__ import annotations

from uuid import UUID

from tenderline.core.events import CaseHeld
from tenderline.recovery.cases import REVIEW, Practice, UnreleasableCaseError, release_by_hand
from tenderline.store import audit, cases, events, people
from tenderline.store.db import Connection


async def has_been_read(connection: Connection, practice: Practice, person_id: UUID, *, by: str, decision: str) -> bool:
    """Ends the wait, and lets the cases go on that were held for it. False when nothing of hers waits any more.

    A case that cannot go on for another reason is held for that one instead, and goes on once that is put right.
    """
    person = await people.lock(connection, person_id)
    if person.review_at is None:
        return False
    released: list[str] = []
    for case_id in await cases.held_by(connection, person_id, REVIEW):
        try:
            await release_by_hand(connection, practice, person_id, case_id, by=by)
            released.append(str(case_id))
        except UnreleasableCaseError as error:
            await cases.hold(connection, person_id, case_id, error.why, by=cases.SYSTEM)
            await events.append(connection, [CaseHeld(person_id=person_id, case_id=case_id, why=error.why)])
    await people.reviewed(connection, person_id)
    await audit.append(
        connection,
        actor=by,
        action="reply.read",
        subject=f"person:{person_id}",
        data={"decision": decision, "cases": released},
    )
    return True
