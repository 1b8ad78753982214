"""What people have said about being contacted, append-only; whether somebody is silent is derived from it, never set.

For each address the latest word counts, and a refusal before an agreement of the same instant. A person is silent on
every channel while the latest word of any of her addresses is a refusal. So the order in which words are read does not
matter: a START that is read late does not undo a STOP that was said later, and lifts only what its own address said.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tenderline.core.events import PersonOptedIn, PersonOptedOut
from tenderline.core.ids import uuid7
from tenderline.store import audit, events, people
from tenderline.store.db import Connection, query

EVIDENCE_LENGTH_MAX = 500


async def record(
    connection: Connection,
    person_id: UUID,
    *,
    channel: str,
    address: str,
    granted: bool,
    how: str,
    evidence: str,
    at: datetime | None = None,
) -> bool:
    """Keeps a person's word and what follows from it, in the caller's transaction; locks the person.

    `how` says by what means it came (reply, unsubscribe link, carrier), `evidence` the words, shortened; `at` is when
    we received it (now, unless told). True when it silenced her or lifted her silence.
    """
    person = await people.lock(connection, person_id)
    evidence = evidence[:EVIDENCE_LENGTH_MAX]
    await connection.execute(query("consents", "add"), person_id, uuid7(), channel, address, granted, how, evidence, at)
    refusal = await connection.fetchrow(query("consents", "standing_refusal"), person_id)
    since, by = (refusal["at"], refusal["by"]) if refusal else (None, None)
    if (since, by) == (person.opted_out_at, person.opted_out_by):
        return False
    await connection.execute(query("consents", "set_opt_out"), person_id, since, by)
    if (since is None) == (person.opted_out_at is None):
        return False  # silent before and after; only whose word holds her silence changed
    silenced = since is not None
    await events.append(
        connection,
        [
            PersonOptedOut(person_id=person_id, channel=channel, text=evidence)
            if silenced
            else PersonOptedIn(person_id=person_id, channel=channel)
        ],
    )
    await audit.append(
        connection,
        actor=f"person:{person_id}",
        action="opt_out" if silenced else "opt_in",
        subject=f"person:{person_id}",
        data={"channel": channel, "how": how},
    )
    return True
