"""What people say about being contacted: one opt-out for every channel, honoured the instant it is committed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tenderline.store import consents
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
    return await consents.record(
        connection, person_id, channel=channel, address=address, granted=False, how=how, evidence=evidence, at=at
    )


async def opt_in(
    connection: Connection, person_id: UUID, *, channel: str, address: str, evidence: str, at: datetime | None = None
) -> bool:
    """Takes back what the same address said before `at`; what another address said, or said later, stands.

    True when the person is not silent any more.
    """
    return await consents.record(
        connection, person_id, channel=channel, address=address, granted=True, how="reply", evidence=evidence, at=at
    )
