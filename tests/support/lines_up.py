"""Nodes, agents and callers in the tables of routing, without telephones."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from tenderline.routing import queues as routing
from tenderline.routing.queues import Turn, Wish
from tenderline.store import agents, callbacks, presence, queues, voice_nodes, waiting
from tenderline.store.presence import Registered
from tenderline.store.queues import Queue


def now() -> datetime:
    return datetime.now(UTC)


async def make_node(connection) -> UUID:
    node = uuid4()
    await voice_nodes.register(connection, node, "127.0.0.1:5060", 100)
    return node


async def kill(connection, node) -> None:
    """Its lease is over, and somebody finds it."""
    async with connection.transaction():
        await connection.execute("UPDATE voice_node SET lease_until = now() - interval '1 s' WHERE id = $1", node)
        await voice_nodes.bury(connection)


async def make_queue(connection, name, **more) -> None:
    await queues.put(connection, Queue(name=name, title=name, **more), by="test")


async def make_agent(connection, name, of_queues, *, node=None, skills=None, direct=True) -> UUID:
    """An agent with a telephone of her own that is an agent by itself; registered when a node is given."""
    await connection.execute(
        "INSERT INTO telephone (name, ha1_md5, ha1_sha256, queues) VALUES ($1, '', '', $2)", name, list(of_queues)
    )
    await agents.of_telephone(connection, name, of_queues, by="test")
    agent_id = await connection.fetchval("SELECT id FROM agent WHERE telephone = $1", name)
    if skills:
        for skill in skills:
            await queues.put_skill(connection, skill, skill, by="test")
        await agents.assign(connection, agent_id, of_queues=of_queues, skills=skills, by="test")
    if node is not None:
        await register(connection, node, name, direct=direct)
    return agent_id


async def register(connection, node, name, *, lasting_s=300.0, direct=True) -> None:
    await presence.reached(connection, node, [Registered(name, lasting_s, name, "127.0.0.1", 5070, direct)])


async def enter(connection, queue, node, *, caller="+12025550100", conversation_id=None, id=None, **wish):
    async with connection.transaction():
        return await routing.enter(
            connection,
            queue,
            conversation_id=conversation_id or uuid4(),
            node_id=node,
            caller=caller,
            wish=Wish(**wish),
            id=id,
        )


async def match(connection) -> Turn:
    async with connection.transaction():
        return await routing.match(connection)


async def look_round(connection) -> None:
    async with connection.transaction():
        await routing.look_round(connection)


async def offers(connection, node) -> dict[UUID, waiting.Offer]:
    return {one.id: one for one in await waiting.offers(connection, node)}


async def state_of(connection, agent_id) -> str:
    return await connection.fetchval("SELECT state FROM agent_presence WHERE agent_id = $1", agent_id)


async def answer(connection, offer) -> bool:
    """Rung, and taken."""
    async with connection.transaction():
        return await presence.take_up(connection, offer.agent_id, offer.conversation_id) and await waiting.connect(
            connection, offer.id, offer.agent_id, offer.conversation_id
        )


async def keep(connection, id, callback_id=None) -> bool:
    """She presses the key; with a `callback_id` once more. False when it comes too late."""
    async with connection.transaction():
        callback_id = callback_id or uuid4()
        await callbacks.add_in_turn(connection, callback_id, "+12025550100", asked_by="test")
        return await waiting.keep_place(connection, id, callback_id)


async def conversation_of(connection, id) -> UUID:
    return await connection.fetchval("SELECT conversation_id FROM waiting WHERE id = $1", id)


async def hours_pass(connection, seconds) -> None:
    """Everything in line happened this much earlier."""
    await connection.execute(
        "UPDATE waiting SET entered_at = entered_at - $1 * interval '1 s', rank_at = rank_at - $1 * interval '1 s',"
        " preferred_until = preferred_until - $1 * interval '1 s', offered_at = offered_at - $1 * interval '1 s',"
        " connected_at = connected_at - $1 * interval '1 s'"
        " WHERE state <> 'left'",
        float(seconds),
    )
    await connection.execute(
        "UPDATE agent_presence SET until = until - $1 * interval '1 s', since = since - $1 * interval '1 s'",
        float(seconds),
    )
