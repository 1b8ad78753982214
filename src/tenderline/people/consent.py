"""What people have said about being contacted: one global opt-out, honoured the instant it is committed."""

from __future__ import annotations

from uuid import UUID

from tenderline.core.events import PersonOptedIn, PersonOptedOut
from tenderline.store import audit, events
from tenderline.store import people as rows
from tenderline.store.db import Connection

EVIDENCE_LENGTH_MAX = 500


async def opt_out(
    connection: Connection, person_id: UUID, *, channel: str, address: str, how: str, evidence: str
) -> bool:
    """Silences a person on every channel, in the caller's transaction. True when she was not silent before.

    `how` says by what means (reply, unsubscribe header, carrier), `evidence` the words, shortened.
    """
    await rows.lock(connection, person_id)
    evidence = evidence[:EVIDENCE_LENGTH_MAX]
    await rows.add_consent(
        connection, person_id, channel=channel, address=address, granted=False, how=how, evidence=evidence
    )
    if not await rows.opt_out(connection, person_id, by=f"{channel}:{address}"):
        return False
    await events.append(connection, [PersonOptedOut(person_id=person_id, channel=channel, text=evidence)])
    await audit.append(
        connection,
        actor=f"person:{person_id}",
        action="opt_out",
        subject=f"person:{person_id}",
        data={"channel": channel, "how": how},
    )
    return True


async def opt_in(connection: Connection, person_id: UUID, *, channel: str, address: str, evidence: str) -> bool:
    """Takes back an opt-out that came from the same address; from another address it changes nothing."""
    await rows.lock(connection, person_id)
    if not await rows.opt_in(connection, person_id, by=f"{channel}:{address}"):
        return False
    await rows.add_consent(
        connection,
        person_id,
        channel=channel,
        address=address,
        granted=True,
        how="reply",
        evidence=evidence[:EVIDENCE_LENGTH_MAX],
    )
    await events.append(connection, [PersonOptedIn(person_id=person_id, channel=channel)])
    await audit.append(
        connection,
        actor=f"person:{person_id}",
        action="opt_in",
        subject=f"person:{person_id}",
        data={"channel": channel},
    )
    return True
