"""Facts in the past tense, written with the change they tell of, and the jobs of those who react to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from tenderline.core.events import Event, encode, kind_of
from tenderline.core.ids import uuid7s
from tenderline.store import jobs
from tenderline.store.db import Connection, Pool, query

CHANNEL = "tenderline_event"
"""NOTIFY channel: a hint that there is something new to look at, never the news itself."""

_subscriptions: dict[str, tuple[str, ...]] = {}


def subscribe(reactions: Mapping[str, Sequence[str]]) -> None:
    """Which job names react to which kind of event. Called once at start, with the map of `worker/reactions.py`."""
    _subscriptions.clear()
    _subscriptions.update({kind: tuple(names) for kind, names in reactions.items()})


async def append(connection: Connection, events: Iterable[Event]) -> list[UUID]:
    """Writes events, and a job for each reaction, in the caller's transaction."""
    listed = list(events)
    if not listed:
        return []
    ids = uuid7s(len(listed))
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


async def hint_with(connection: Connection) -> None:
    """The same, with the commit of the caller's transaction."""
    await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
