"""Writes what happens on calls into the database, in order, without any call waiting for it.

What cannot be written now is tried again, and waits in memory up to a bound; a database that is away for an hour costs
the oldest entries, never a call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from tenderline.core.loops import goes_on
from tenderline.store import events
from tenderline.store.db import Connection, Pool

log: structlog.stdlib.BoundLogger = structlog.get_logger()

ENTRIES_MAX = 50_000
BATCH_MAX = 200
PAUSE_S_MAX = 5.0
CLOSE_WAIT_S = 10.0

Entry = Callable[[Connection], Awaitable[object]]

_LATER = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)


class Timeline:
    """A line of entries and one task that writes them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._entries: deque[Entry] = deque()
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        self.lost_entries = 0

    def start(self) -> None:
        """Begins to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def put(self, entry: Entry) -> None:
        """`entry` is run with a connection, after those before it; it must be safe to run twice."""
        if len(self._entries) >= ENTRIES_MAX:
            self._entries.popleft()
            self.lost_entries += 1
        self._entries.append(entry)
        self._empty.clear()
        self._arrived.set()

    async def written(self) -> None:
        """Returns when everything so far is in the database."""
        await self._empty.wait()

    async def close(self) -> None:
        """Writes what is left, for a while, and ends."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), CLOSE_WAIT_S)
        if self._entries:
            log.error("timeline_lost", entries=len(self._entries))
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        pause_s = 0.1
        while goes_on():
            await self._arrived.wait()
            batch = [self._entries[index] for index in range(min(BATCH_MAX, len(self._entries)))]
            try:
                await self._write(batch)
            except _LATER as error:
                log.warning("timeline_waits", why=type(error).__name__, entries=len(self._entries))
                await asyncio.sleep(pause_s)
                pause_s = min(PAUSE_S_MAX, pause_s * 2)
                continue
            pause_s = 0.1
            for _ in range(len(batch)):
                self._entries.popleft()
            batch.clear()  # else the last calls, their media and the keys of their recordings stay until the next one
            if not self._entries:
                self._arrived.clear()
                self._empty.set()

    async def _write(self, batch: list[Entry]) -> None:
        """All in one commit; when one of them fails for itself, the others are written and it is named."""
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    for entry in batch:
                        await entry(connection)
                    await events.hint_with(connection)
            except _LATER:
                raise
            except Exception:  # noqa: BLE001  # also a defect of an entry: it is named when it fails alone
                await self._write_singly(connection, batch)

    async def _write_singly(self, connection: Connection, batch: list[Entry]) -> None:
        for entry in batch:
            try:
                async with connection.transaction():
                    await entry(connection)
            except _LATER:
                raise
            except Exception:
                self.lost_entries += 1
                log.exception("timeline_entry_failed")
        async with connection.transaction():
            await events.hint_with(connection)
