"""Voice nodes: who carries calls, with how much room, and what becomes of the calls of a node that died."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tenderline.store import conversations, waiting
from tenderline.store.db import Connection, query

LEASE_S = 6.0
RENEW_EVERY_S = 2.0
"""A dead node's calls are closed within 10 s: 6 s of lease, and whoever looks each 2 s."""


@dataclass(frozen=True, slots=True)
class VoiceNode:
    """One node as the screens show it."""

    id: UUID
    sip_address: str
    calls_max: int
    calls: int
    state: str
    started_at: datetime
    lease_until: datetime


async def register(
    connection: Connection, node_id: UUID, sip_address: str, calls_max: int, *, calls_back: bool = True
) -> None:
    """A node begins. `calls_back`: it could call now whoever kept a place in line."""
    lease = timedelta(seconds=LEASE_S)
    await connection.execute(query("voice_nodes", "register"), node_id, sip_address, calls_max, lease, calls_back)


async def renew(connection: Connection, node_id: UUID, calls: int, *, calls_back: bool = True) -> str | None:
    """The node's state; None when it was declared gone meanwhile."""
    lease = timedelta(seconds=LEASE_S)
    row = await connection.fetchrow(query("voice_nodes", "renew"), node_id, lease, calls, calls_back)
    return row["state"] if row else None


async def drain(connection: Connection, node_id: UUID) -> bool:
    """It takes no new calls from now on; False when it is not up."""
    return await connection.fetchval(query("voice_nodes", "drain"), node_id) is not None


async def leave(connection: Connection, node_id: UUID) -> None:
    """It ends in order."""
    await connection.execute(query("voice_nodes", "leave"), node_id)


async def bury(connection: Connection) -> int:
    """Declares nodes without a lease gone, closes the calls of all that are and frees their agents; how many calls.
    Call it in a transaction."""
    await connection.fetch(query("voice_nodes", "bury"))
    orphans = await connection.fetch(query("voice_nodes", "orphans"))
    for row in orphans:
        await conversations.ended(connection, row["id"], datetime.now(UTC), by="system", why="the node is gone")
    await waiting.bury(connection)
    return len(orphans)


async def all_known(connection: Connection) -> list[VoiceNode]:
    """Those that are up, drain, or went lately."""
    return [VoiceNode(**row) for row in await connection.fetch(query("voice_nodes", "all"))]
