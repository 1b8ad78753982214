"""What people have said about being contacted, append-only; what stands is derived from it, never set.

For each address the latest word counts, and a refusal before an agreement of the same instant. A person is silent on
every channel while the latest word of any of her addresses is a refusal. So the order in which words are read does not
matter: a START that is read late does not undo a STOP that was said later, and lifts only what its own address said.
An agreement with a class (`ConsentClass`) is another thing: it stands until it ends or the same address refuses, and
lifts no silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
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


FAMILIES: Final = frozenset({"sms", "voice", "email", "push"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What a person agreed to: contact by these channels at one address, for these purposes (none: every purpose).

    `how`, `evidence` and `at` are as of a `Word`; `disclosure_sha256` is of the text that was shown when she agreed.
    """

    consent_class: str
    channels: Sequence[str]
    address: str
    purposes: Sequence[str]
    how: str
    evidence: str
    at: datetime | None = None
    expires_at: datetime | None = None
    disclosure_sha256: bytes | None = None


async def agree(connection: Connection, person_id: UUID, agreement: Agreement, *, once: bool = False) -> None:
    """Keeps an agreement, in the caller's transaction; the caller holds the person's lock.

    `once`: unless the same was kept before, by the same means. So what is told again and again renews nothing.
    """
    kept = await connection.fetch(
        query("consents", "agree"),
        person_id,
        [uuid7() for _ in agreement.channels],
        list(agreement.channels),
        agreement.address,
        agreement.how,
        agreement.evidence[:EVIDENCE_LENGTH_MAX],
        agreement.at,
        agreement.consent_class,
        list(agreement.purposes),
        agreement.expires_at,
        agreement.disclosure_sha256,
        once,
    )
    if kept:
        await connection.execute(query("consents", "derive_standing"), person_id, agreement.address)


async def record(connection: Connection, person_id: UUID, word: Word) -> bool:
    """Keeps a person's word and what follows from it, in the caller's transaction; locks the person.

    True when it silenced her or lifted her silence.
    """
    assert word.channel in FAMILIES, "a word is said by a family of channels: the gate compares it with those"
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
    )
    await connection.execute(query("consents", "derive_standing"), person_id, word.address)
    refusal = await connection.fetchrow(query("consents", "derive_opt_out"), person_id)
    assert refusal is not None
    silenced = refusal["opted_out_at"] is not None
    if silenced == (person.opted_out_at is not None):
        return False  # silent before and after, or neither
    said_at = word.at.isoformat() if word.at else ""
    about: dict[str, Any] = {"channel": word.channel, "how": word.how, "address": word.address, "said_at": said_at}
    await events.append(
        connection,
        [
            PersonOptedOut(person_id=person_id, text=evidence, **about)
            if silenced
            else PersonOptedIn(person_id=person_id, **about)
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
