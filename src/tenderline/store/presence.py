"""What each agent does now, and where she is reached. Every change leaves a row behind, by the database itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from tenderline.store import agents, audit
from tenderline.store.db import Connection, query

AWAY_S = 30.0
"""A telephone that is an agent by itself and did not answer is left alone for this long."""

Said = Literal["available", "away", "offline", "distress"]


@dataclass(frozen=True, slots=True)
class Registered:
    """A telephone that registered at a node. `direct`: its own address is the one it was heard from, so that other
    nodes reach it too; behind a translation of addresses only the node that it talks to does."""

    telephone: str
    lasting_s: float
    user: str
    host: str
    port: int
    direct: bool


@dataclass(frozen=True, slots=True)
class Reserved:
    """An agent who was reserved for a call that we make."""

    agent_id: UUID
    name: str
    reach_kind: str | None
    reach_node: UUID | None
    reach_user: str | None
    reach_host: str | None
    reach_port: int | None
    telephone: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which agent for which call, and of which queue her time to write it up is. `monitors`: she only listens to it."""

    agent_id: UUID
    node_id: UUID
    conversation_id: UUID
    queue: str | None
    monitors: bool


@dataclass(frozen=True, slots=True)
class Serving:
    """Agents who serve the same, with the same skills. `node` alone can ring them, unless it is None."""

    node: UUID | None
    queues: frozenset[str]
    skills: dict[str, int]


@dataclass(frozen=True, slots=True)
class Free:
    """An agent who could take a call now; since when, in seconds of the database's clock. `calls_back`: the node that
    reaches her could call whoever kept a place."""

    id: UUID
    free_since_s: float
    calls_back: bool
    serving: Serving


def _serving(row: Any) -> Serving:
    skills = dict(zip(row["skills"], row["proficiencies"], strict=True))
    return Serving(row["node"], frozenset(row["queues"]), skills)


async def free(connection: Connection) -> list[Free]:
    """Every agent who is available and can be reached."""
    rows = await connection.fetch(query("presence", "free"))
    return [Free(row["id"], row["free_since_s"], row["calls_back"], _serving(row)) for row in rows]


async def logged_in(connection: Connection, queues: Sequence[str]) -> list[Serving]:
    """What agents of these queues serve who could be reached, busy or not."""
    return [_serving(row) for row in await connection.fetch(query("presence", "logged_in"), list(queues))]


async def come_back(connection: Connection) -> None:
    """Pauses that are over by themselves end."""
    await connection.execute(query("presence", "come_back"))


async def lapse(connection: Connection) -> None:
    """Telephones that are agents by themselves and did not register again are offline."""
    await connection.execute(query("presence", "lapse"))


async def reached(connection: Connection, node_id: UUID, telephones: Sequence[Registered]) -> int:
    """These telephones are registered at this node; how many belong to agents."""
    rows = await connection.fetch(
        query("presence", "reached"),
        node_id,
        [one.telephone for one in telephones],
        [one.lasting_s for one in telephones],
        [one.user for one in telephones],
        [one.host for one in telephones],
        [one.port for one in telephones],
        [one.direct for one in telephones],
    )
    return len(rows)


async def unreached(connection: Connection, node_id: UUID, telephones: Sequence[str]) -> None:
    """These are registered at this node no more."""
    await connection.fetch(query("presence", "unreached"), node_id, list(telephones))


async def reached_by_browser(
    connection: Connection, agent_ids: Collection[UUID], node_id: UUID, *, lasting_s: float
) -> None:
    """The audio of their browsers is at this node, for so long unless it is said again."""
    await connection.execute(query("presence", "reached_by_browser"), list(agent_ids), node_id, lasting_s)


async def browser_gone(connection: Connection, agent_ids: Collection[UUID], node_id: UUID) -> None:
    """The audio of their browsers is not at this node any more."""
    await connection.execute(query("presence", "browser_gone"), list(agent_ids), node_id)


async def say(connection: Connection, agent_id: UUID, state: Said, *, reason: str | None, by: str) -> str:
    """An agent, or somebody for her, says what she does; her state after it: on a call it counts from its end on.

    Raises `NoSuchAgentError`; audited.
    """
    found = await connection.fetchval(query("presence", "say"), agent_id, state, reason)
    if found is None:
        raise agents.NoSuchAgentError()
    data = {"state": state, "reason": reason}
    await audit.append(connection, actor=by, action="agent_state", subject=str(agent_id), data=data)
    return str(found)


async def reserve_for_call(connection: Connection, queue: str, node_id: UUID, conversation_id: UUID) -> Reserved | None:
    """The agent free for longest whom this node can ring, for a call that we make; None while callers wait."""
    row = await connection.fetchrow(query("presence", "reserve_for_call"), queue, node_id, conversation_id)
    return Reserved(**row) if row else None


async def reserve_agent(connection: Connection, wanted: Wanted) -> Reserved | None:
    """Reserves one agent whom this node can ring; None when she is not free. Free is also whoever writes up this very
    call; whoever only monitors may be away, and is so again afterwards."""
    row = await connection.fetchrow(
        query("presence", "reserve_agent"),
        wanted.agent_id,
        wanted.node_id,
        wanted.conversation_id,
        wanted.queue,
        wanted.monitors,
    )
    return Reserved(**row) if row else None


async def free_for_calls(connection: Connection, queue: str, node_id: UUID) -> int:
    """How many could be reserved so."""
    return int(await connection.fetchval(query("presence", "free_for_calls"), queue, node_id))


async def take_up(connection: Connection, agent_id: UUID, conversation_id: UUID) -> bool:
    """Her telephone rings from now on; False when the reservation was taken back: then it must not."""
    return await connection.fetchval(query("presence", "take_up"), agent_id, conversation_id) is not None


async def talks(connection: Connection, agent_id: UUID, conversation_id: UUID) -> bool:
    """She answered; False when she is not thought to be rung for this call any more."""
    return await connection.fetchval(query("presence", "talks"), agent_id, conversation_id) is not None


async def did_not_answer(connection: Connection, agent_id: UUID, conversation_id: UUID, reason: str) -> None:
    """She is away from now on."""
    await connection.execute(query("presence", "did_not_answer"), agent_id, conversation_id, reason, AWAY_S)


async def free_again(connection: Connection, agent_id: UUID, conversation_id: UUID) -> None:
    """Whom she was reserved or rung for is gone."""
    await connection.execute(query("presence", "free_again"), agent_id, conversation_id)


async def finish(connection: Connection, agent_id: UUID, conversation_id: UUID) -> None:
    """Her call is over; twice is no error."""
    await connection.execute(query("presence", "finish"), agent_id, conversation_id)


async def clear_strays(connection: Connection, node_id: UUID, live: Sequence[UUID], *, older_s: float) -> None:
    """Agents whom a node holds for calls that it does not carry any more are free."""
    for row in await connection.fetch(query("presence", "strays"), node_id, list(live), older_s):
        await free_again(connection, row["agent_id"], row["conversation_id"])


async def bury(connection: Connection) -> int:
    """Frees agents of nodes that are gone; how many."""
    return len(await connection.fetch(query("presence", "bury")))
