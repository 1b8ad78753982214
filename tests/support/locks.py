"""Who waits for whom in the database: so that a test of two who take turns knows when the second waits."""

from __future__ import annotations

import asyncio
from typing import Any

WAIT_S = 20.0


async def waits_for(pool: Any, connection: Any) -> None:
    """Somebody waits for what `connection` has locked."""
    holder = await connection.fetchval("SELECT pg_backend_pid()")
    waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))"
    async with asyncio.timeout(WAIT_S):
        while not await pool.fetchval(waiting, holder):
            await asyncio.sleep(0.01)
