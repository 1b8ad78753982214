"""What became of an attempt after the gate let it pass: handed over, taken, refused, in doubt, delivered.

Every write names the fence of the lease it belongs to. A worker that slept through its lease finds a higher fence and
changes nothing, whatever it did meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from tenderline.core.events import (
    AttemptAccepted,
    AttemptBackedOff,
    AttemptDelivered,
    AttemptFailed,
    AttemptInDoubt,
    Event,
)
from tenderline.store import cases, events
from tenderline.store.attempts import Leased
from tenderline.store.db import Connection, Pool, query

EXPIRED_MAX = 500
CHECKED_MAX = 100


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """What was given to the provider, kept so that it can be asked about it."""

    to: str
    text: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An attempt whose provider is to be asked: in doubt, or accepted with no receipt since."""

    person_id: UUID
    id: UUID
    case_id: UUID | None
    channel: str
    state: str
    fence: int
    provider: str
    provider_ref: str | None
    message: HandedOver
    handed_over_at: datetime
    since_handover_s: float


async def hand_over(pool: Pool, leased: Sequence[tuple[Leased, str, HandedOver]]) -> set[UUID]:
    """Marks attempts as on their way to a provider, in one commit; returns the ids that are still ours to send."""
    rows = await pool.fetch(
        query("attempts", "hand_over"),
        [one.person_id for one, _, _ in leased],
        [one.id for one, _, _ in leased],
        [one.fence for one, _, _ in leased],
        [provider for _, provider, _ in leased],
        [msgspec.json.encode(message).decode() for _, _, message in leased],
    )
    return {row["id"] for row in rows}


async def record_accepted(
    connection: Connection, leased: Leased, provider: str, provider_ref: str, *, receipt_poll_after_s: float | None
) -> bool:
    """The provider took it. False: the lease was lost meanwhile, and nothing was changed. With None for the seconds
    nobody is asked how far it got: of a call we know ourselves."""
    row = await connection.fetchrow(
        query("attempts", "record_accepted"),
        leased.person_id,
        leased.id,
        leased.fence,
        provider_ref,
        receipt_poll_after_s,
    )
    if row is None:
        return False
    await events.append(connection, [AttemptAccepted(**_about(leased, row), channel=row["channel"], provider=provider)])
    return True


async def record_refused(connection: Connection, one: Leased | Doubtful, why: str) -> bool:
    """The provider will never send it. It does not count as a contact."""
    row = await connection.fetchrow(
        query("attempts", "record_refused"), one.person_id, one.id, one.fence, why, isinstance(one, Leased)
    )
    if row is None:
        return False
    await events.append(connection, [AttemptFailed(**_about(one, row), channel=row["channel"], why=why)])
    return True


async def record_not_sent(
    connection: Connection, one: Leased | Doubtful, why: str, *, again_after_s: float, tries_max: int
) -> bool:
    """It surely did not leave: planned again, and the gate will be asked again; failed after `tries_max` tries."""
    row = await connection.fetchrow(
        query("attempts", "record_busy"),
        one.person_id,
        one.id,
        one.fence,
        why,
        again_after_s,
        tries_max,
        isinstance(one, Leased),  # the sweep may have put the lease in doubt: its own worker knows better
    )
    if row is None:
        return False
    told: Event
    if row["state"] == "failed":
        told = AttemptFailed(**_about(one, row), channel=row["channel"], why=why)
    else:
        until = row["due_at"].isoformat(timespec="seconds")
        told = AttemptBackedOff(**_about(one, row), channel=row["channel"], until=until, why=why)
    await events.append(connection, [told])
    return True


async def record_talk(
    connection: Connection, leased: Leased, *, connected_at: datetime, conversation_at: datetime | None
) -> None:
    """A call was answered, and perhaps spoken with a person: caps count these too."""
    await connection.execute(
        query("attempts", "record_talk"), leased.person_id, leased.id, connected_at, conversation_at
    )


async def record_unknown(connection: Connection, leased: Leased, why: str, *, can_be_asked: bool) -> bool:
    """It may have left. Until the provider tells, it counts as a contact and is not sent again."""
    row = await connection.fetchrow(
        query("attempts", "record_unknown"), leased.person_id, leased.id, leased.fence, why, can_be_asked
    )
    if row is None:
        return False
    await events.append(connection, [AttemptInDoubt(**_about(leased, row), channel=row["channel"], why=why)])
    return True


async def expire_leases(pool: Pool, *, askable: frozenset[str]) -> int:
    """Takes back leases that ran out. `askable`: the providers that can tell what became of a message.

    What was not handed over cannot leave any more (its worker asks the database right before sending): it is planned
    again. What was handed over may have left: in doubt.
    """
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(query("attempts", "expired"), EXPIRED_MAX)
        told: list[Event] = []
        for row in rows:
            if row["handed_over"]:
                why = "its worker stopped before it recorded what the provider answered"
                await connection.execute(
                    query("attempts", "expire_to_doubt"), row["person_id"], row["id"], why, row["provider"] in askable
                )
                told.append(
                    AttemptInDoubt(
                        person_id=row["person_id"],
                        case_id=row["case_id"],
                        attempt_id=row["id"],
                        channel=row["channel"],
                        why=why,
                    )
                )
            else:
                why = "its worker stopped before it was handed over"
                await connection.execute(query("attempts", "expire_to_planned"), row["person_id"], row["id"], why)
        await events.append(connection, told)
    return len(rows)


async def to_check(pool: Pool, *, again_after_s: float) -> list[Doubtful]:
    """What a provider is to be asked about now; each is offered again after `again_after_s`."""
    rows = await pool.fetch(query("attempts", "to_check"), CHECKED_MAX, again_after_s)
    return [
        Doubtful(**{**row, "message": msgspec.json.decode(row["message"], type=HandedOver)})
        for row in rows
        if row["message"] is not None
    ]


async def found_accepted(
    connection: Connection, doubtful: Doubtful, provider_ref: str, *, receipt_poll_after_s: float
) -> bool:
    """The provider knows the message: it left, once."""
    row = await connection.fetchrow(
        query("attempts", "found_accepted"),
        doubtful.person_id,
        doubtful.id,
        doubtful.fence,
        provider_ref,
        receipt_poll_after_s,
    )
    if row is None:
        return False
    told = AttemptAccepted(**_about(doubtful, row), channel=row["channel"], provider=doubtful.provider)
    await events.append(connection, [told])
    return True


async def stop_checking(connection: Connection, doubtful: Doubtful) -> None:
    """Nothing more can be learnt by asking; a receipt may still come."""
    await connection.execute(query("attempts", "stop_checking"), doubtful.person_id, doubtful.id)


@dataclass(frozen=True, slots=True)
class Receipted:
    """What a receipt changed."""

    person_id: UUID
    attempt_id: UUID
    case_id: UUID | None
    contact_point_id: UUID


async def apply_receipt(
    connection: Connection,
    *,
    reference: UUID | None,
    provider: str,
    provider_ref: str,
    state: str,
    why: str | None,
    receipt_poll_after_s: float | None,
) -> Receipted | None:
    """Moves an attempt along by what its provider tells; None when it knows nothing new or speaks of none of ours.

    A receipt may overtake the provider's own answer, or come after we thought the message lost: then it is the receipt
    that counts the contact.
    """
    found = await connection.fetchrow(query("attempts", "by_receipt"), reference, provider, provider_ref)
    if found is None:
        return None
    row = await connection.fetchrow(
        query("attempts", "apply_receipt"),
        found["person_id"],
        found["id"],
        state,
        provider,
        provider_ref,
        why,
        receipt_poll_after_s,
    )
    if row is None:
        return None
    if row["taken"] and row["case_id"] is not None:
        await cases.count_contact(connection, found["person_id"], row["case_id"])
    about = {"person_id": found["person_id"], "attempt_id": found["id"], "case_id": row["case_id"]}
    told: Event
    match row["state"]:
        case "delivered":
            told = AttemptDelivered(**about, channel=row["channel"])
        case "failed":
            told = AttemptFailed(**about, channel=row["channel"], why=why or "the carrier gave no reason")
        case _:
            told = AttemptAccepted(**about, channel=row["channel"], provider=provider)
    await events.append(connection, [told])
    return Receipted(found["person_id"], found["id"], row["case_id"], row["contact_point_id"])


@dataclass(frozen=True, slots=True)
class Address:
    """Where an attempt went."""

    person_id: UUID
    contact_point_id: UUID
    channel: str
    value: str


async def address_of(connection: Connection, attempt_id: UUID) -> Address | None:
    """Where an attempt goes or went; None when there is no such attempt."""
    row = await connection.fetchrow(query("attempts", "address_of"), attempt_id)
    return Address(**row) if row else None


async def case_of(connection: Connection, attempt_id: UUID) -> UUID | None:
    """The case an attempt belongs to."""
    found: UUID | None = await connection.fetchval(query("attempts", "case_of"), attempt_id)
    return found


def _about(one: Leased | Doubtful, row: Any) -> dict[str, Any]:
    return {"person_id": one.person_id, "attempt_id": one.id, "case_id": row["case_id"]}
