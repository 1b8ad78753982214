"""Calls as they stand in the books, with a caller and an agent; no telephone is involved."""

from __future__ import annotations

from datetime import UTC, datetime

from tenderline.core.ids import uuid7
from tenderline.store import conversations, voice_nodes


async def make_call(pool, caller, *, is_over=False):
    """The id of a call from `caller`, which lasts unless `is_over`."""
    node, call, at = uuid7(), uuid7(), datetime.now(UTC)
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, node, "192.0.2.1:5060", 150)
        started = conversations.Started(call, node, "inbound", caller, "gifts", "spring", "welcome", None, None, at)
        await conversations.start(connection, started)
        await conversations.join(connection, call, uuid7(), "caller", caller, at)
        await conversations.join(connection, call, uuid7(), "agent", "anna", at)
        await conversations.segment(connection, call, 0, "agent", "anna", at)
        if is_over:
            await conversations.ended(connection, call, at, by="caller", why="hung up")
    return call
