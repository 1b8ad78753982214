"""What people have said about being contacted, append-only; what stands is derived from it, never set.

For each address the latest word counts, and a refusal before an agreement of the same instant. A person is silent on
every channel while the latest word of any of her addresses is a refusal. So the order in which words are read does not
matter: a START that is read late does not undo a STOP that was said later, and lifts only what its own address said.
An agreement with a class (`ConsentClass`) stands until it ends or the same address refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenderline.core.events import PersonOptedIn, PersonOptedOut
from tenderline.core.ids import uuid7
from tenderline.store import audit, events, people
from tenderline.store.db import Connection, query

EVIDENCE_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Something a person said about contact by one channel (`sms`, `voice`, `email`, `push`) at one address.

    `how` says by what means it came (reply, unsubscribe link, carrier, form), `evidence` the words or where they are
    kept; `at` is when we received it (None: now).
    """

    channel: str
    address: str
    granted: bool
    how: str
    evidence: str
    at: datetime | None = None
    consent_class: str | None = None
    """What kind of agreement it is; None for a mere STOP or START."""
    purposes: Sequence[str] = ()
    """What was agreed to; empty means every purpose."""
    expires_at: datetime | None = None
    disclosure_sha256: bytes | None = None
    """Of the text that was shown when she agreed."""


async def record(connection: Connection, person_id: UUID, word: Word) -> bool:
    """Keeps a person's word and what follows from it, in the caller's transaction; locks the person.

    True when it silenced her or lifted her silence.
    """
    person = await people.lock(connection, person_id)
    evidence = word.evidence[:EVIDENCE_LENGTH_MAX]
    await connection.execute(
        query("consents", "add"),
        person_id,
        uuid7(),
        word.channel,
        word.address,
        word.granted,
        word.how,
        evidence,
        word.at,
        word.consent_class,
        list(word.purposes),
        word.expires_at,
        word.disclosure_sha256,
    )
    await connection.execute(query("consents", "derive_standing"), person_id, word.address)
    refusal = await connection.fetchrow(query("consents", "derive_opt_out"), person_id)
    assert refusal is not None
    silenced = refusal["opted_out_at"] is not None
    if silenced == (person.opted_out_at is not None):
        return False  # silent before and after, or neither
    await events.append(
        connection,
        [
            PersonOptedOut(person_id=person_id, channel=word.channel, text=evidence)
            if silenced
            else PersonOptedIn(person_id=person_id, channel=word.channel)
        ],
    )
    await audit.append(
        connection,
        actor=f"person:{person_id}",
        action="opt_out" if silenced else "opt_in",
        subject=f"person:{person_id}",
        data={"channel": word.channel, "how": word.how},
    )
    return True


@dataclass(frozen=True, slots=True)
class Said:
    """A word as it is kept."""

    channel: str
    address: str
    granted: bool
    how: str
    evidence: str | None
    at: datetime
    consent_class: str | None
    purposes: tuple[str, ...]
    expires_at: datetime | None


async def of_person(connection: Connection, person_id: UUID, *, limit: int = 200) -> list[Said]:
    """What a person has said, newest first."""
    rows = await connection.fetch(query("consents", "of_person"), person_id, limit)
    return [Said(**{**row, "purposes": tuple(row["purposes"])}) for row in rows]
