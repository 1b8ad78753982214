"""Recordings: where each lies, under which sealed key, which parts are silent on purpose, and until when it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from tenderline.store.db import Connection, query


class Mark(msgspec.Struct, frozen=True):
    """From here it is silent on purpose (`paused`), or sounds again."""

    at_ms: int
    paused: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording."""

    id: UUID
    conversation_id: UUID
    sensitive: bool
    sealed_key: bytes
    path: str
    state: str
    why: str | None
    started_at: datetime
    duration_ms: int | None
    marks: list[Mark]
    delete_after: datetime | None


_marks = msgspec.json.Decoder(list[Mark]).decode


async def begin(
    connection: Connection,
    recording_id: UUID,
    conversation_id: UUID,
    *,
    sensitive: bool,
    sealed_key: bytes,
    path: str,
    at: datetime,
) -> None:
    """A recording begins."""
    await connection.execute(
        query("recordings", "begin"), recording_id, conversation_id, sensitive, sealed_key, path, at
    )


async def mark_sensitive(connection: Connection, recording_id: UUID) -> None:
    """From now on it belongs to the sensitive ones, while it is being made."""
    await connection.execute(query("recordings", "mark_sensitive"), recording_id)


async def stored(
    connection: Connection, recording_id: UUID, *, duration_ms: int, marks: list[Mark], keep: timedelta
) -> None:
    """It is whole and in its store."""
    encoded = msgspec.json.encode(marks).decode()
    await connection.execute(query("recordings", "stored"), recording_id, duration_ms, encoded, keep)


async def failed(connection: Connection, recording_id: UUID, *, why: str, duration_ms: int, marks: list[Mark]) -> None:
    """It could not be kept, or not whole."""
    encoded = msgspec.json.encode(marks).decode()
    await connection.execute(query("recordings", "failed"), recording_id, why, duration_ms, encoded)


async def of(connection: Connection, conversation_id: UUID) -> list[Recording]:
    """Those of a conversation."""
    rows = await connection.fetch(query("recordings", "of"), conversation_id)
    return [_recording(dict(row)) for row in rows]


async def get(connection: Connection, recording_id: UUID) -> Recording | None:
    """One recording."""
    row = await connection.fetchrow(query("recordings", "one"), recording_id)
    return _recording(dict(row)) if row else None


async def after(connection: Connection, recording_id: UUID, limit: int) -> list[Recording]:
    """The next ones in the order of their ids."""
    return [_recording(dict(row)) for row in await connection.fetch(query("recordings", "page"), recording_id, limit)]


async def is_known(connection: Connection, path: str, *, sensitive: bool) -> bool:
    """Whether a file belongs to a recording that is kept."""
    return bool(await connection.fetchval(query("recordings", "is_known"), path, sensitive))


def _recording(row: dict[str, object]) -> Recording:
    return Recording(**{**row, "marks": _marks(str(row["marks"]))})  # type: ignore[arg-type]


async def due(connection: Connection, limit: int) -> list[tuple[UUID, str, bool]]:
    """Those whose time is over, locked: (id, path, sensitive)."""
    rows = await connection.fetch(query("recordings", "due"), limit)
    return [(row["id"], row["path"], row["sensitive"]) for row in rows]


async def deleted(connection: Connection, recording_id: UUID) -> None:
    """Its file is gone, and its key with it."""
    await connection.execute(query("recordings", "deleted"), recording_id)
