"""Queues: from the moment an agent is free until the database has said whom she is to be rung for."""

from __future__ import annotations

import random
import time
from statistics import quantiles
from uuid import UUID, uuid4

from tenderline.core.queue_rings import Ring
from tenderline.routing import queues as routing
from tenderline.store import presence, queues, voice_nodes, waiting
from tenderline.store.db import Connection
from tenderline.store.queues import Queue
from tests.bench.ground import Ground, Say
from tests.bench.report import Figure, Result
from tests.bench.sizes import Sizes

P99_MS_MAX = 50.0
QUEUES = 10
SKILLS = 5
HOW = (
    "{agents:,} agents in ten queues, each in two and with two of five skills, all of them on a call; {callers:,}"
    " callers wait, half of them with a skill that they want, in queues that widen twice. Then one agent after the"
    " other becomes free, each by the transaction that ends a call; measured is from before that transaction until the"
    " match is committed and the node has read what it is to ring. A caller comes for each who was served. Beside it:"
    " all agents free at once, one match for everybody."
)


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """One after the other on one connection, as a node does it."""
    chance = random.Random(7)  # the same crowd in every run
    async with ground.database() as url, ground.connection(url) as connection:
        say(f"routing: {sizes.agents:,} agents, {sizes.callers_in_line:,} callers")
        node = await _fill(connection, sizes, chance)
        took_ms: list[float] = []
        for agent in await _busy(connection, sizes.matches):
            began_s = time.perf_counter()
            async with connection.transaction():
                await presence.finish(connection, agent, agent)
            async with connection.transaction():
                turn = await routing.match(connection)
            found = await waiting.offers(connection, node)
            took_ms.append((time.perf_counter() - began_s) * 1000)
            for one in found:
                await waiting.leave(connection, one.id, "abandoned")
                await connection.execute(
                    "UPDATE agent_presence SET state = 'on_call', node_id = $2, conversation_id = $1"
                    " WHERE agent_id = $1",
                    one.agent_id,
                    node,
                )
            for _ in range(turn.matched):
                await _caller(connection, node, chance)
        await connection.execute(
            "UPDATE agent_presence SET state = 'available', node_id = NULL, conversation_id = NULL, until = NULL"
        )
        began_s = time.perf_counter()
        async with connection.transaction():
            crowd = await routing.match(connection)
        all_ms = (time.perf_counter() - began_s) * 1000
    cuts = quantiles(took_ms, n=100)
    is_met = cuts[98] <= P99_MS_MAX
    bar = f"at most {P99_MS_MAX:.0f}"
    figures = [
        Figure(what="free to decided, p99", value=cuts[98], kind="ms", bar=bar, met=is_met),
        Figure(what="free to decided, median", value=cuts[49], kind="ms"),
        Figure(what=f"everybody free at once: {crowd.matched:,} matched in one transaction", value=all_ms, kind="ms"),
    ]
    how = HOW.format(agents=sizes.agents, callers=sizes.callers_in_line)
    return Result(name="routing", title="Queues", how=how, figures=figures)


async def _fill(connection: Connection, sizes: Sizes, chance: random.Random) -> UUID:
    node = uuid4()
    await voice_nodes.register(connection, node, "127.0.0.1:5060", 1000)
    await connection.execute("UPDATE voice_node SET lease_until = now() + interval '1 day'")
    for number in range(SKILLS):
        await queues.put_skill(connection, f"s{number}", "", by="bench")
    for _ in range(2):  # the queues first, then the rings that join them
        for number in range(QUEUES):
            known = await queues.get(connection, f"q{number}")
            joined = (f"q{(number + 1) % QUEUES}",) if known is not None else ()
            dropped = tuple(f"s{one}" for one in range(SKILLS))
            rings = (
                Ring(proficiency_min=3),
                Ring(after_s=15),
                Ring(after_s=30, skills_dropped=dropped, queues_joined=joined),
            )
            await queues.put(connection, Queue(name=f"q{number}", title="", rings=rings, wrap_up_s=0), by="bench")
    agents = [uuid4() for _ in range(sizes.agents)]
    await connection.executemany("INSERT INTO agent (id, name) VALUES ($1, $2)", [(one, str(one)) for one in agents])
    pairs = [(one, f"q{name}") for one in agents for name in chance.sample(range(QUEUES), 2)]
    await connection.executemany("INSERT INTO agent_queue (agent_id, queue) VALUES ($1, $2)", pairs)
    known_skills = [
        (one, f"s{name}", chance.randint(1, 5)) for one in agents for name in chance.sample(range(SKILLS), 2)
    ]
    await connection.executemany("INSERT INTO agent_skill VALUES ($1, $2, $3)", known_skills)
    await connection.executemany(
        "INSERT INTO agent_presence (agent_id, state, node_id, conversation_id, reach_node, reach_until, reach_kind,"
        " reach_direct) VALUES ($1, 'on_call', $2, $1, $2, now() + interval '1 day', 'telephone', true)",
        [(one, node) for one in agents],
    )
    for _ in range(sizes.callers_in_line):
        await _caller(connection, node, chance)
    await connection.execute("VACUUM ANALYZE")
    return node


async def _busy(connection: Connection, count: int) -> list[UUID]:
    rows = await connection.fetch("SELECT agent_id FROM agent_presence ORDER BY agent_id LIMIT $1", count)
    return [row["agent_id"] for row in rows]


async def _caller(connection: Connection, node: UUID, chance: random.Random) -> None:
    one = waiting.Entering(
        id=uuid4(),
        conversation_id=uuid4(),
        node_id=node,
        queue=f"q{chance.randrange(QUEUES)}",
        caller=None,
        head_start_s=60.0 * chance.randrange(10),
        priority=0,
        tier=None,
        skills=[f"s{chance.randrange(SKILLS)}"] if chance.random() < 0.5 else [],
        preferred_agent=None,
        ring_min=0,
    )
    await waiting.enter(connection, one)
