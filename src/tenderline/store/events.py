"""Facts in the past tense, written with the change they tell of, and the jobs of those who react to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from tenderline.core.events import AnyEvent, Event, decode, encode, kind_of
from tenderline.core.ids import uuid7
from tenderline.store import jobs
from tenderline.store.db import Connection, Pool, query

CHANNEL = "tenderline_event"
"""NOTIFY channel: a hint that there is something new to look at, never the news itself."""
LISTED_MAX = 500

_subscriptions: dict[str, tuple[str, ...]] = {}


def subscribe(reactions: Mapping[str, Sequence[str]]) -> None:
    """Which job names react to which kind of event. Called once at start, with the map of `worker/reactions.py`."""
    _subscriptions.clear()
    _subscriptions.update({kind: tuple(names) for kind, names in reactions.items()})


class StoredEvent(msgspec.Struct, frozen=True):
    """An event with its place in time. Ids sort by time."""

    id: UUID
    at: datetime
    event: AnyEvent


async def append(connection: Connection, events: Iterable[Event]) -> list[UUID]:
    """Writes events, and a job for each reaction, in the caller's transaction."""
    listed = list(events)
    if not listed:
        return []
    ids = [uuid7() for _ in listed]
    payloads = [encode(event) for event in listed]
    await connection.execute(
        query("events", "append"),
        ids,
        [kind_of(event) for event in listed],
        [event.person_id for event in listed],
        [event.payment_id for event in listed],
        [event.case_id for event in listed],
        [event.attempt_id for event in listed],
        [payload.decode() for payload in payloads],
    )
    for event_id, event, payload in zip(ids, listed, payloads, strict=True):
        for name in _subscriptions.get(kind_of(event), ()):
            await jobs.enqueue(connection, name, payload, key=f"{name}:{event_id}")
    return ids


async def hint(pool: Pool) -> None:
    """Tells whoever listens to look. Losing it costs a tick of delay, nothing else."""
    await pool.execute("SELECT pg_notify($1, '')", CHANNEL)


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(row["id"], row["at"], decode(row["data"]))


async def newest(connection: Connection, *, limit: int = 50, after: UUID | None = None) -> list[StoredEvent]:
    """The newest events first; with `after`, only those younger than it."""
    rows = await connection.fetch(query("events", "newest"), min(limit, LISTED_MAX), after)
    return [_stored(row) for row in rows]


async def of_case(connection: Connection, case_id: UUID, person_id: UUID, payment_id: UUID) -> list[StoredEvent]:
    """What concerns a case, oldest first: its own events, its payment's, and its person's own; the newest of them."""
    rows = await connection.fetch(query("events", "of_case"), case_id, payment_id, person_id, LISTED_MAX)
    return [_stored(row) for row in reversed(rows)]
