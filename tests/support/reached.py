"""When calls find an agent: a moment after her browser shows that it is ready, that is written where queues look."""

from __future__ import annotations

import asyncio

from tenderline.store.db import Pool

REACHED = """
    SELECT EXISTS (
        SELECT FROM agent_presence p JOIN agent a ON a.id = p.agent_id
        WHERE a.name = $1 AND p.reach_kind = 'browser' AND p.reach_until > clock_timestamp())"""


async def by_browser(pool: Pool, email: str) -> None:
    """Waits until the queues may ring her browser."""
    async with asyncio.timeout(20):
        while not await pool.fetchval(REACHED, email):
            await asyncio.sleep(0.02)
