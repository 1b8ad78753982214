"""What people say about being contacted: one opt-out for every channel, honoured the instant it is committed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tenderline.compliance.facts import ConsentClass
from tenderline.store import consents
from tenderline.store.consents import Word
from tenderline.store.db import Connection


async def opt_out(
    connection: Connection,
    person_id: UUID,
    *,
    channel: str,
    address: str,
    how: str,
    evidence: str,
    at: datetime | None = None,
) -> bool:
    """Silences a person on every channel, in the caller's transaction. True when she was not silent before.

    `how` says by what means (reply, unsubscribe link), `evidence` the words; `at` is when we received them.
    """
    word = Word(channel=channel, address=address, granted=False, how=how, evidence=evidence, at=at)
    return await consents.record(connection, person_id, word)


async def opt_in(
    connection: Connection, person_id: UUID, *, channel: str, address: str, evidence: str, at: datetime | None = None
) -> bool:
    """Takes back what the same address said before `at`; what another address said, or said later, stands.

    True when the person is not silent any more.
    """
    word = Word(
        channel=channel,
        address=address,
        granted=True,
        how="reply",
        evidence=evidence,
        at=at,
        consent_class=ConsentClass.PEC,  # she asked for messages herself, from the very number
    )
    return await consents.record(connection, person_id, word)


async def agree(connection: Connection, person_id: UUID, word: Word) -> None:
    """Keeps an agreement with its evidence."""
    assert word.granted
    assert word.consent_class is not None
    await consents.record(connection, person_id, word)
