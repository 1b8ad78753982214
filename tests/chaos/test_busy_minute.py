"""While many wait and talk, everything dies in turn: a voice node, the worker, the API and the database itself."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from support import processes, product, telephones
from support.gift_town import GiftTown, free_udp_port, start_voice
from tenderline.store import db, lines, queues
from tenderline.store.embedded import EmbeddedPostgres
from tenderline.store.queues import Queue
from tenderline.voice.prompts.pack import Prompts
from tenderline.voice.trial_phone import CallFailedError, TrialPhone, speech_like

LINE = "busy"
FLOW = """
name = "busy"
title = "A busy line"
language = "en"
start = "agents"

[node.agents]
step = "queue"
queue = "general"
wait_max_s = 600
exits = { talked = "after", timed_out = "nobody", nobody = "nobody" }

[node.after]
step = "hangup"
text = "That was it."

[node.nobody]
step = "hangup"
text = "Nobody is there."
"""
AGENTS = ("anna", "bob", "carla", "dora")
ALL_S = 300.0
TALKS = speech_like(0.6)


async def prepare(url):
    await db.migrate(url)
    async with db.open_pool(url, size_max=2) as pool, pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "busy", FLOW, by="test")
        await lines.put_line(
            connection, number=LINE, flow="busy", campaign="test", language="en", currency="USD", fund=None,
            record=False, by="test",
        )  # fmt: skip
        await queues.put(connection, Queue(name="general", title="General", wrap_up_s=0), by="test")
        for name in AGENTS:
            await telephones.put(connection, name, "general")


class Node(GiftTown):
    """A voice process, and whoever calls it."""

    async def starts(self):
        self.town.settings["VOICE__SIP_PORT"] = str(self.sip_port)
        self.voice = await start_voice(self.town, self.at)

    async def dies(self):
        self.voice.kill()
        await self.voice.wait()


async def works(agent, taken):
    """An agent who takes every call, talks for a moment and hangs up."""
    while True:
        with suppress(TimeoutError, CallFailedError):
            party = await agent.pick_up(within_s=ALL_S)
            taken.append(agent)
            with suppress(TimeoutError):
                await asyncio.wait_for(agent.speak(TALKS), 5)
            agent.hang_up()
            party.close()


async def waits(node, number, lived):
    """A caller who stays until she has talked; `lost` when the node that carried her call was killed."""
    async with AsyncExitStack() as stack:
        while True:
            phone, carried = await stack.enter_async_context(node.giver(number)), node.voice
            with suppress(CallFailedError):  # the node died as it rang: nothing was promised yet, she dials again
                if await phone.dial(LINE, node.at, caller=phone.caller) == 200:
                    break
            await asyncio.sleep(0.2)
        died = asyncio.ensure_future(carried.wait())
        heard = asyncio.ensure_future(phone.hears("That was it.", within_s=ALL_S))
        await asyncio.wait((died, heard), return_when=asyncio.FIRST_COMPLETED)
        if heard.done():
            lived[number] = str(heard.exception() or "talked")
        else:
            lived[number] = "lost"
        for one in (died, heard):
            one.cancel()
        await asyncio.gather(died, heard, return_exceptions=True)


async def a_wave(nodes, numbers, lived):
    """Callers of both nodes, a moment apart."""
    async with asyncio.TaskGroup() as callers:
        for number in numbers:
            callers.create_task(waits(nodes[number % 2], number, lived))
            await asyncio.sleep(0.1)


async def test_no_caller_is_forgotten_and_no_agent_is_stuck_when_everything_dies_in_turn():
    with processes.open_folder() as folder:
        server = EmbeddedPostgres(folder)  # durable: what it has committed it keeps
        await asyncio.to_thread(server.start)
        try:
            await prepare(server.url)
            async with asyncio.timeout(ALL_S):
                await _a_busy_minute(server, folder)
        finally:
            await asyncio.to_thread(server.stop)


@asynccontextmanager
async def at_work(agents, taken):
    """The agents answer; an agent who fails fails the test."""
    tasks = [asyncio.ensure_future(works(one, taken)) for one in agents]
    try:
        yield
        assert not any(one.done() for one in tasks)
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def everybody_is_there(town):
    """Every agent may be offered the next call: that a telephone registered is written down a moment later."""
    there = "SELECT count(*) = 4 FROM agent_presence WHERE state = 'available' AND reach_until > now()"
    await product.until(lambda: town.fetchval(there), "every agent to be there for the next call")


async def nobody_was_forgotten(town, lived):
    """Each has talked. Of one who did not hear the last words, as a busy machine loses sound, the books say so; most
    have heard them."""
    unheard = {number: how for number, how in lived.items() if how != "talked"}
    assert "lost" not in unheard.values(), unheard
    outcome = (
        "SELECT coalesce(max(outcome), 'never in line') FROM waiting WHERE caller = $1 HAVING count(*) = count(outcome)"
    )
    for number, how in unheard.items():
        one = await product.until(
            lambda caller=f"+1202555{number:04d}": town.fetchval(outcome, caller), f"the end of {number}"
        )
        assert (number, how, one) == (number, how, "talked")
    assert len(unheard) <= len(lived) // 4, unheard


async def _a_busy_minute(server, folder):
    lived, taken = {}, []
    async with AsyncExitStack() as stack:
        town = await stack.enter_async_context(
            product.open_town(server.url, folder, VOICE__UNLIMITED_NETWORKS="127.0.0.0/8")
        )
        prompts = Prompts(folder)
        nodes = [Node(town, free_udp_port("127.0.0.1"), prompts, None) for _ in range(2)]
        for node in nodes:
            await node.starts()
        api, worker = await town.start("api"), await town.start("work")
        agents = [await stack.enter_async_context(TrialPhone(on_call=None)) for _ in AGENTS]
        for at, (agent, name) in enumerate(zip(agents, AGENTS, strict=True)):
            assert await agent.register(nodes[at % 2].at, name, "secret")
        await everybody_is_there(town)
        await stack.enter_async_context(at_work(agents, taken))

        async def talked(count):
            await product.until(
                lambda: list(lived.values()).count("talked") >= count, f"{count} callers to have talked"
            )

        waves = asyncio.ensure_future(a_wave(nodes, range(24), lived))
        await talked(2)
        for process in (api, worker):
            process.kill()
            await process.wait()
        await talked(5)
        os.kill(processes.postmaster_pid(folder), signal.SIGKILL)
        await asyncio.to_thread(server.start)
        await talked(9)
        await nodes[0].dies()
        await nodes[0].starts()
        for agent, name in zip(agents[::2], AGENTS[::2], strict=True):
            assert await agent.register(nodes[0].at, name, "secret")
        await town.start("api")
        await town.start("work")
        await waves
        assert set(lived) == set(range(24))
        was_lost = {number for number, how in lived.items() if how == "lost" and number % 2 == 0}  # with its node
        await nobody_was_forgotten(town, {number: how for number, how in lived.items() if number not in was_lost})

        await product.until(
            lambda: town.fetchval("SELECT count(*) = 0 FROM waiting WHERE state <> 'left'"), "the line to be empty"
        )
        await everybody_is_there(town)
        taken.clear()
        await a_wave(nodes, range(100, 116), lived)
        await nobody_was_forgotten(town, {number: how for number, how in lived.items() if number >= 100})
        assert set(taken) == set(agents), "each of them takes calls again"
