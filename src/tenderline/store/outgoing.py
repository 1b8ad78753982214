"""Webhooks to others, as rows: one for each event and endpoint, leased, tried, kept until they have arrived.

A row's `tries` is its fence: each lease counts it up, and what became of a try is recorded only by who holds that
number. A process killed between sending and recording sends again, under the same webhook-id, once its lease has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from tenderline.core.clock import utc_now
from tenderline.core.events import decode
from tenderline.core.ids import uuid7, uuid7s
from tenderline.core.outgoing import TEST, TOLD, Reached, body_of, kinds_of, told_of
from tenderline.store.db import Connection, Pool, query
from tenderline.store.webhook_endpoints import ENDPOINTS_MAX, WHY_LENGTH_MAX

LISTED_MAX: Final = 1_000
ADDRESSES_MAX: Final = 100
KEPT_DAYS: Final = 100
SWEPT_MAX: Final = 1_000
REACTION_DAYS: Final = 30
"""A reaction that was parked longer tells nothing of itself: that is for a replay."""
UNDER_WAY_MAX: Final = 4
"""Tries of one endpoint at once, over all workers."""
FAILURES_MAX: Final = 5
PAUSE_FIRST_S: Final = 5.0
PAUSE_MAX_S: Final = 300.0
HOPELESS_DAYS: Final = 5


async def tell(connection: Connection, person_id: UUID) -> int:
    """A message to everybody who is to be told of what a person said and was not told yet; returns how many.

    It looks at what is there, not at one event: however often it runs, there is one row for each event and endpoint.
    """
    rows = await connection.fetch(query("outgoing", "untold_of"), person_id, kinds_of(), REACTION_DAYS)
    if not rows:
        return 0
    wanted = {row["id"]: set(row["events"]) for row in await connection.fetch(query("outgoing", "subscriptions"))}
    return await plan(
        connection, [row for row in rows if TOLD[type(decode(row["data"]))].name in wanted.get(row["endpoint_id"], ())]
    )


async def plan(connection: Connection, untold: Sequence[Any]) -> int:
    """Messages about rows of `untold_of` or `untold_since`; those that are there already stay as they are."""
    if not untold:
        return 0
    reached = await _reached(connection, list({row["person_id"] for row in untold if row["person_id"]}))
    said = [told_of(decode(row["data"]), row["at"], reached.get(row["person_id"], Reached())) for row in untold]
    added = await connection.fetch(
        query("outgoing", "plan"),
        [row["person_id"] for row in untold],
        uuid7s(len(untold)),
        [row["endpoint_id"] for row in untold],
        [row["message_id"] for row in untold],
        [name for name, _ in said],
        [body for _, body in said],
    )
    return len(added)


async def _reached(connection: Connection, person_ids: list[UUID]) -> dict[UUID, Reached]:
    rows = await connection.fetch(query("outgoing", "reached"), person_ids, ADDRESSES_MAX * max(1, len(person_ids)))
    return {
        person_id: Reached(
            phone_numbers=[row["value"] for row in rows if (row["person_id"], row["kind"]) == (person_id, "phone")],
            email_addresses=[row["value"] for row in rows if (row["person_id"], row["kind"]) == (person_id, "email")],
        )
        for person_id in person_ids
    }


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is leased to be sent now. Secrets are sealed; `try_number` counts since it was planned or
    replayed, `tries` is the fence."""

    id: UUID
    endpoint_id: UUID
    message_id: UUID
    kind: str
    body: str
    tries: int
    try_number: int
    url: str
    secret: bytes
    old_secret: bytes | None


async def lease(pool: Pool, *, lease_s: float, room: int = UNDER_WAY_MAX * ENDPOINTS_MAX) -> list[Due]:
    """What is due, about `room` messages; at most `UNDER_WAY_MAX` of each endpoint under way, of one that fails one."""
    async with pool.acquire() as connection, connection.transaction():
        endpoints_max = max(1, room // UNDER_WAY_MAX)
        ready = [row["id"] for row in await connection.fetch(query("outgoing", "lock_ready"), endpoints_max)]
        if not ready:
            return []
        return [Due(**row) for row in await connection.fetch(query("outgoing", "lease"), ready, lease_s, UNDER_WAY_MAX)]


async def record(
    connection: Connection, due: Due, *, state: str, status: int | None, why: str | None, next_in_s: float | None = None
) -> bool:
    """What became of a try, in the caller's transaction. False: somebody else has the message, or it is gone."""
    await connection.execute(query("outgoing", "lock_endpoints"), [due.endpoint_id])
    recorded = await connection.fetchval(
        query("outgoing", "record"), due.id, due.tries, state, status, why and why[:WHY_LENGTH_MAX], next_in_s or 0.0
    )
    return recorded is not None


async def note_success(connection: Connection, endpoint_id: UUID) -> None:
    """The endpoint takes what it is sent."""
    await connection.execute(query("outgoing", "note_success"), endpoint_id)


async def note_failure(connection: Connection, endpoint_id: UUID, *, retry_after_s: float) -> bool:
    """The endpoint did not take it: after some of these it is left alone for a while. True: it has failed for days."""
    is_hopeless = await connection.fetchval(
        query("outgoing", "note_failure"),
        endpoint_id,
        retry_after_s,
        FAILURES_MAX,
        PAUSE_MAX_S,
        PAUSE_FIRST_S,
        HOPELESS_DAYS,
    )
    return bool(is_hopeless)


async def sweep(connection: Connection) -> None:
    """Forgets what is over for long."""
    await connection.execute(query("outgoing", "sweep"), KEPT_DAYS, SWEPT_MAX)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to an endpoint, and how far it got."""

    id: UUID
    endpoint_id: UUID
    message_id: UUID
    kind: str
    state: str
    tries: int
    next_try_at: datetime | None
    last_try_at: datetime | None
    last_status: int | None
    why: str | None
    created_at: datetime
    url: str


async def page(
    connection: Connection,
    *,
    state: str | None = None,
    endpoint_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[Delivery]:
    """Messages, newest first."""
    at, row_id = before or (None, None)
    rows = await connection.fetch(query("outgoing", "page"), state, endpoint_id, at, row_id, min(limit, LISTED_MAX))
    return [Delivery(**row) for row in rows]


async def plan_test(pool: Pool, endpoint_id: UUID, *, lease_s: float) -> Due:
    """A message that tells nothing, leased to the caller, who sends it at once."""
    async with pool.acquire() as connection, connection.transaction():
        row_id, body = uuid7(), body_of(TEST, utc_now(), {"note": "This is a test; nothing happened."})
        await connection.fetch(query("outgoing", "plan"), [None], [row_id], [endpoint_id], [uuid7()], [TEST], [body])
        (row,) = await connection.fetch(query("outgoing", "lease_one"), row_id, lease_s)
        return Due(**row)
