"""People whose words wait to be read by somebody: nothing leaves for them until then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from tenderline.store.db import Connection, query


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who wrote something, since when it waits, and the case that it may be about."""

    person_id: UUID
    name: str | None
    since: datetime
    opted_out_at: datetime | None
    case_id: UUID | None


@dataclass(frozen=True, slots=True)
class Written:
    """A message of hers. `id` is that of its event: later messages have greater ones."""

    id: UUID
    at: datetime
    channel: str
    text: str


class _Message(msgspec.Struct):
    channel: str
    text: str


_decode = msgspec.json.Decoder(_Message).decode


async def waiting(connection: Connection, limit: int) -> list[Waiting]:
    """Those who wait, the longest first."""
    return [Waiting(**row) for row in await connection.fetch(query("reviews", "waiting"), limit)]


async def count(connection: Connection) -> int:
    """How many wait."""
    return int(await connection.fetchval(query("reviews", "count")))


async def written(connection: Connection, person_ids: Sequence[UUID], each_max: int) -> dict[UUID, list[Written]]:
    """The newest messages of each of these people, the newest first."""
    found: dict[UUID, list[Written]] = {}
    for row in await connection.fetch(query("reviews", "written"), list(person_ids), each_max):
        message = _decode(row["data"])
        found.setdefault(row["person_id"], []).append(Written(row["id"], row["at"], message.channel, message.text))
    return found
