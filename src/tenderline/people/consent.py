"""What people say about being contacted: one opt-out for every channel, honoured the instant it is committed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tenderline.compliance.facts import ConsentClass, Purpose
from tenderline.store import consents
from tenderline.store.consents import Agreement, Word
from tenderline.store.db import Connection

GIVEN_FOR = (Purpose.FIRST_PARTY_RECOVERY, Purpose.SERVICING)


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
    word = Word(channel=channel, address=address, granted=True, how="reply", evidence=evidence, at=at)
    lifted = await consents.record(connection, person_id, word)
    # She asks for messages herself, from the very address: what she had agreed to before her STOP she agrees to again.
    again = Agreement(
        consent_class=ConsentClass.PEC,
        channels=[channel],
        address=address,
        purposes=GIVEN_FOR,
        how="reply",
        evidence=evidence,
        at=at,
    )
    await consents.agree(connection, person_id, again)
    return lifted


async def given_with_a_payment(connection: Connection, person_id: UUID, number: str, *, evidence: str) -> None:
    """A number that the payer gave for her payment is agreement to be called and texted about it (FCC 07-232)."""
    given = Agreement(
        consent_class=ConsentClass.PEC,
        channels=["sms", "voice"],
        address=number,
        purposes=GIVEN_FOR,
        how="given with a payment",
        evidence=evidence,
    )
    await consents.agree(connection, person_id, given, once=True)
