"""How soon the desk of an agent shows what happened on her call, while many desks are open."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp

from tenderline.core.ids import uuid7
from tenderline.store import agents, conversations, db, events, queues, users, voice_nodes
from tenderline.store.conversations import Started
from tenderline.web.sign_in import SESSION_COOKIE
from tests.bench.ground import BenchmarkError, Ground, Say
from tests.bench.report import Result, all_of, middle, percentile
from tests.bench.sizes import Sizes
from tests.support import edge, services

EVENTS_PER_S = 10.0
WAIT_S = 10.0
OPEN_WAIT_S = 60.0
SHOWN_MS_MAX = 100.0
QUEUE = "desks"
HOW = (
    "{desks} agents are on a call, and each has her desk open: a stream of one process. {rate:g} times a second"
    " something happens on the call of one of them: its row is committed with a hint, as a voice node writes its"
    " timeline. The clock runs from that commit to the last byte of her desk at her end of the stream. The server and"
    " the agents' ends share one process, the database runs beside them."
)


class Watching:
    """One desk's end of its stream: when each snapshot was whole."""

    def __init__(self) -> None:
        self.snapshots = 0
        self.text = ""
        self.came = asyncio.Event()

    async def read(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        """Until it is cancelled."""
        async with http.get(url, cookies={SESSION_COOKIE: token}) as answer:
            if answer.status != 200:
                raise BenchmarkError(f"a desk's stream answered {answer.status}")
            gathered: list[str] = []
            async for line in answer.content:
                if line.strip():
                    gathered.append(line.decode())
                elif gathered:
                    self.text, gathered = "".join(gathered), []
                    self.snapshots += 1
                    self.came.set()


class Desk:
    """An agent, her call, and what she sees of it."""

    def __init__(self, agent: UUID, call: UUID, token: str) -> None:
        self.agent, self.call, self.token = agent, call, token
        self.steps = 0
        self.watching = Watching()


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """All desks open, then one event after the other."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(ground.database())
        pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        say(f"desks: {sizes.desks} agents are on a call")
        desks = await _fill(pool, sizes.desks)
        made = services.make(pool)
        base, _ = await stack.enter_async_context(edge.server(made, port=edge.free_port()))
        await stack.enter_async_context(_opened(desks, base))
        say(f"desks: {sizes.desk_events} events")
        shown_ms = [await _event(pool, random.choice(desks)) for _ in range(sizes.desk_events)]
        drawn = sum(one.watching.snapshots for one in desks) - len(desks)
    seen = [one for one in shown_ms if one is not None]
    if not seen:
        raise BenchmarkError("no desk ever showed what happened")
    return Result(
        name="desks",
        title="From an event to the agent's desk",
        how=HOW.format(desks=sizes.desks, rate=EVENTS_PER_S),
        figures=[
            middle(
                f"event to desk, p99, {sizes.desks} desks open", [percentile(seen, 0.99)], unit="ms",
                at_most=SHOWN_MS_MAX,
            ),
            middle("event to desk", seen, unit="ms"),
            all_of("events that reached the desk", len(seen), sizes.desk_events),
            middle("desks drawn for each event", [drawn / sizes.desk_events], "ratio"),
        ],
    )  # fmt: skip


async def _fill(pool: Any, count: int) -> list[Desk]:
    node, at, made = uuid7(), datetime.now(UTC), []
    async with pool.acquire() as connection, connection.transaction():
        await voice_nodes.register(connection, node, "192.0.2.1:5060", count)
        await queues.ensure(connection, [QUEUE], by="bench")
        for number in range(count):
            email = f"agent{number}@example.org"
            await users.create_user(
                connection, email=email, name=f"Agent {number}", password=edge.PASSWORD, role="agent"
            )
            found = await users.find_login(connection, email)
            assert found is not None, "she was made a moment ago"
            opened = await users.open_session(connection, found[0].id, found[1], valid_h=1)
            assert opened is not None, "her password is right"
            agent = await agents.make(
                connection, name=f"Agent {number}", user_id=found[0].id, of_queues=[QUEUE], by="bench"
            )
            call = uuid7()
            number_of_caller = f"+1202555{number:04d}"
            started = Started(call, node, "inbound", number_of_caller, "gifts", "spring", "welcome", None, None, at)
            await conversations.start(connection, started)
            await conversations.segment(connection, call, 1, "agent", "her", at)
            await connection.execute(
                "UPDATE agent_presence SET state = 'on_call', node_id = $2, conversation_id = $3, queue = $4,"
                " reach_until = now() + interval '1 hour' WHERE agent_id = $1",
                agent, node, call, QUEUE,
            )  # fmt: skip
            made.append(Desk(agent, call, opened[0]))
    return made


@asynccontextmanager
async def _opened(desks: list[Desk], base: str) -> AsyncIterator[None]:
    """Every desk's stream, each with its first snapshot."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), read_bufsize=2**20) as http:
        reading = [asyncio.create_task(one.watching.read(http, f"{base}/stream/desk", one.token)) for one in desks]
        try:
            async with asyncio.timeout(OPEN_WAIT_S):
                for one in desks:
                    await one.watching.came.wait()
            yield
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)


async def _event(pool: Any, desk: Desk) -> float | None:
    """How long until she sees the step that her caller took, in ms; None when it never came."""
    desk.steps += 1
    name = f"step_of_caller_{desk.steps}"
    async with pool.acquire() as connection, connection.transaction():
        await conversations.step_entered(connection, desk.call, desk.steps, name, "say", datetime.now(UTC))
        await events.hint_with(connection)
    began_s = time.perf_counter()
    try:
        async with asyncio.timeout(WAIT_S):
            while name.replace("_", " ") not in desk.watching.text:
                desk.watching.came.clear()
                await desk.watching.came.wait()
    except TimeoutError:
        return None
    took_ms = (time.perf_counter() - began_s) * 1000
    await asyncio.sleep(1 / EVENTS_PER_S)
    return took_ms
