"""Those who wait in line for an agent, and those who did: what service levels are counted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from tenderline.store import presence
from tenderline.store.db import Connection, query

CHANNEL = "routing"
IN_LINE_MAX = 5_000
OFFER_STALE_S = 5.0
STRAY_S = 10.0
TALK_S_USUAL = 240.0
"""What a call lasts until a queue has calls of its own to count."""

Outcome = Literal["talked", "abandoned", "timed_out", "nobody", "called_back", "callback_later", "system"]


@dataclass(frozen=True, slots=True)
class Entering:
    """Somebody who gets in line."""

    id: UUID
    conversation_id: UUID
    node_id: UUID
    queue: str
    caller: str | None
    head_start_s: float
    priority: int
    tier: str | None
    skills: Sequence[str]
    preferred_agent: UUID | None
    ring_min: int


@dataclass(frozen=True, slots=True)
class Offer:
    """An agent is reserved for somebody in line, and is to be rung by one node."""

    id: UUID
    conversation_id: UUID
    queue: str
    agent_id: UUID
    agent: str
    telephone: str | None
    caller: str | None
    tier: str | None
    overflowed: bool
    ring: int
    kept_at: datetime | None
    callback_id: UUID | None
    reach_kind: str | None
    reach_node: UUID | None
    reach_user: str | None
    reach_host: str | None
    reach_port: int | None
    waited_s: float
    ring_s: float


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one queue, what an estimate of the wait rests on."""

    queue: str
    talk_s: float | None
    wrap_up_s: float
    agents: int
    free: int
    ahead: int

    @property
    def wait_s(self) -> float | None:
        """How long somebody who came now would wait, as things are; None while nobody serves the queue."""
        if not self.agents:
            return None
        if self.free > self.ahead:
            return 0.0
        each_s = (self.talk_s if self.talk_s is not None else TALK_S_USUAL) + self.wrap_up_s
        return (self.ahead - self.free + 1) * each_s / self.agents


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody in line, as matching needs it; instants are seconds of the database's clock."""

    id: UUID
    queue: str
    node_id: UUID | None
    skills: list[str]
    ring_min: int
    returned: bool
    preferred_agent: UUID | None
    entered_s: float
    rank_s: float
    preferred_until_s: float
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """This agent for that caller."""

    waiting_id: UUID
    agent_id: UUID
    ring: int
    overflowed: bool


class _NotRungError(Exception):
    pass


async def lock(connection: Connection) -> float:
    """One match at a time, until the transaction ends; the database's clock in seconds."""
    return float(await connection.fetchval(query("waiting", "lock")))


async def in_line(connection: Connection, queues: Sequence[str]) -> list[Waiting]:
    """Those who wait in these queues, by rank."""
    rows = await connection.fetch(query("waiting", "in_line"), list(queues), IN_LINE_MAX)
    return [Waiting(**row) for row in rows]


async def queues_in_line(connection: Connection) -> list[str]:
    """The queues that somebody waits in."""
    return [row["queue"] for row in await connection.fetch(query("waiting", "queues_in_line"))]


async def assign(connection: Connection, found: Sequence[Assignment]) -> list[UUID]:
    """Reserves; for each that stands, the node that rings."""
    rows = await connection.fetch(
        query("waiting", "assign"),
        [one.waiting_id for one in found],
        [one.agent_id for one in found],
        [one.ring for one in found],
        [one.overflowed for one in found],
    )
    return [row["node_id"] for row in rows]


async def return_stale_offers(connection: Connection) -> None:
    """Reservations that no node took up are none any more, nor offers whose agent is not held for them."""
    await connection.execute(query("waiting", "stale_offers"), OFFER_STALE_S)


async def skip_rings(connection: Connection, rings: Mapping[UUID, int]) -> None:
    """These are in this ring at least: nobody is logged in for narrower ones."""
    await connection.execute(query("waiting", "set_ring_min"), list(rings), list(rings.values()))


async def nobody_there(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Nobody is logged in who could ever serve these: they are out of the line; the nodes that they wait on."""
    rows = await connection.fetch(query("waiting", "nobody_there"), list(ids))
    return {row["node_id"] for row in rows if row["node_id"] is not None}


async def enter(connection: Connection, one: Entering) -> float | None:
    """In line from now on, by the database's clock; None when there is no such queue."""
    entered_s: float | None = await connection.fetchval(
        query("waiting", "enter"),
        one.id,
        one.conversation_id,
        one.node_id,
        one.queue,
        one.caller,
        one.head_start_s,
        one.priority,
        one.tier,
        list(one.skills),
        one.preferred_agent,
        one.ring_min,
    )
    return entered_s


async def last_agent(connection: Connection, caller: str, queue: str) -> UUID | None:
    """Who talked to this caller last in this queue, when she could be reached now."""
    found: UUID | None = await connection.fetchval(query("waiting", "last_agent"), caller, queue)
    return found


async def offers(connection: Connection, node_id: UUID) -> list[Offer]:
    """What this node has to ring now."""
    return [Offer(**row) for row in await connection.fetch(query("waiting", "offers"), node_id)]


async def taken_out(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Of these, the ones that somebody else took out of the line, and why."""
    rows = {row["id"]: row for row in await connection.fetch(query("waiting", "still_there"), list(ids))}
    gone = {one: "system" for one in ids if one not in rows}
    return gone | {one: row["outcome"] or "system" for one, row in rows.items() if row["state"] == "left"}


async def connect(connection: Connection, id: UUID, agent_id: UUID, conversation_id: UUID) -> bool:
    """The agent answered; False when the offer does not stand any more, or she is not rung for it: then nothing is
    changed."""
    try:
        async with connection.transaction():
            if await connection.fetchval(query("waiting", "connect"), id, agent_id, conversation_id) is None:
                return False
            if not await presence.talks(connection, agent_id, conversation_id):
                raise _NotRungError
    except _NotRungError:
        return False
    return True


async def give_back(connection: Connection, id: UUID, agent_id: UUID, conversation_id: UUID, *, reason: str) -> None:
    """The agent did not answer: the caller is at the head of the line, the agent away."""
    await connection.execute(query("waiting", "give_back"), id, agent_id)
    await presence.did_not_answer(connection, agent_id, conversation_id, reason)


async def put_back(connection: Connection, id: UUID, agent_id: UUID, conversation_id: UUID) -> None:
    """The call failed before anybody was called for this place: it is at the head of the line, the agent free."""
    await connection.execute(query("waiting", "put_back"), id, agent_id, conversation_id)
    await presence.free_again(connection, agent_id, conversation_id)


async def leave(connection: Connection, id: UUID, outcome: Outcome) -> None:
    """Out of the line; an agent who was reserved for her is free again, one who talked to her has her time to wrap up.
    Twice is no error."""
    row = await connection.fetchrow(query("waiting", "leave"), id, outcome)
    if row is None or row["agent_id"] is None:
        return
    settle = presence.finish if outcome == "talked" else presence.free_again
    await settle(connection, row["agent_id"], row["conversation_id"])


async def keep_place(connection: Connection, id: UUID, callback_id: UUID) -> bool:
    """Hangs up and stays in line; False when she is not in line any more, or has no number."""
    return await connection.fetchval(query("waiting", "keep_place"), id, callback_id) is not None


async def call_of(connection: Connection, id: UUID, agent_id: UUID, conversation_id: UUID) -> bool:
    """The call that we make for a place that was kept begins with its agent; False when it is not its turn any more."""
    return await connection.fetchval(query("waiting", "call_of"), id, agent_id, conversation_id) is not None


async def clear_strays(connection: Connection, node_id: UUID, live: Sequence[UUID]) -> None:
    """What a node holds for calls that it does not carry any more is let go: a task that was ended between two steps
    leaves nothing behind."""
    for row in await connection.fetch(query("waiting", "strays"), node_id, list(live), STRAY_S):
        await leave(connection, row["id"], "callback_later" if row["is_kept"] else "abandoned")
    await presence.clear_strays(connection, node_id, live, older_s=STRAY_S)


async def position(connection: Connection, id: UUID) -> int:
    """How many are served before her in her own queue, plus one."""
    return int(await connection.fetchval(query("waiting", "position"), id))


async def paces(connection: Connection, queue: str | None = None) -> list[Pace]:
    """Of every queue, or of one: none when there is no such queue."""
    return [Pace(**row) for row in await connection.fetch(query("waiting", "paces"), queue)]


async def hint(connection: Connection, node: UUID | None = None) -> None:
    """Something changed that may make a match, or there is something for a node to ring. Losing it costs one tick."""
    await connection.execute(query("waiting", "hint"), str(node) if node else "")


async def bury(connection: Connection) -> int:
    """Closes the waiting of nodes that are gone, and frees their agents; how many callers. Call it in a transaction."""
    if not await connection.fetchval(query("waiting", "has_orphans")):
        return 0
    await lock(connection)
    gone = await connection.fetch(query("waiting", "bury"))
    await presence.bury(connection)
    return len(gone)
