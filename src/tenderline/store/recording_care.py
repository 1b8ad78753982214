"""What becomes of recordings after the call: their time runs out, or the process that wrote them died."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from tenderline.core import recording_file
from tenderline.store import conversations, recordings
from tenderline.store.db import Pool
from tenderline.store.recording_store import RecordingStore

log: structlog.stdlib.BoundLogger = structlog.get_logger()

AT_ONCE_MAX = 50


async def delete_due(pool: Pool, store: RecordingStore) -> int:
    """Deletes recordings whose time is over, file first, then the key; how many."""
    async with pool.acquire() as connection, connection.transaction():
        due = await recordings.due(connection, AT_ONCE_MAX)
        for recording_id, path, sensitive in due:
            await store.delete(path, sensitive=sensitive)
            await recordings.deleted(connection, recording_id)
    return len(due)


async def adopt(pool: Pool, store: RecordingStore, *, keep: timedelta) -> int:
    """Stores what a process that died had written of its recordings: everything but the last seconds; how many."""
    adopted = 0
    for file in sorted(store.spool.glob("*.tlr"))[:AT_ONCE_MAX]:
        try:
            recording_id = UUID(file.stem)
        except ValueError:
            continue
        async with pool.acquire() as connection:
            row = await recordings.get(connection, recording_id)
            call = await conversations.get(connection, row.conversation_id) if row is not None else None
            if row is None or row.state != "open" or call is None or call.ended_at is None:
                continue  # it is being written, or it is nobody's
            duration_ms = recording_file.duration_ms(file.read_bytes())
            await store.keep(file, row.path, sensitive=row.sensitive)
            await recordings.stored(connection, recording_id, duration_ms=duration_ms, marks=row.marks, keep=keep)
        log.warning("recording adopted", recording=str(recording_id), duration_ms=duration_ms)
        adopted += 1
    return adopted
