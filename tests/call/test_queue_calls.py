"""Queues by real SIP and RTP: a place that is kept, time to wrap up, and what becomes of who does not answer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from call.conftest import is_heard, nothing_left, put_line
from support import world
from tenderline.campaigns import calling
from tenderline.flows.spoken import said
from tenderline.store import agents, lines, presence, queues
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.store.queues import Queue
from tenderline.voice import in_line
from tenderline.voice.switch import Place
from tenderline.voice.trial_phone import TrialPhone

OURS = "+18005550100"
KEEPING = "+18005550177"
FLOW = """
name = "keeping"
title = "Keeps places"
language = "en"
start = "agents"

[node.agents]
step = "queue"
queue = "general"
comfort = "Please hold."
comfort_every_s = 10
keep_place = "Press one."
exits = { talked = "bye", timed_out = "bye", nobody = "bye", kept = "later" }

[node.later]
step = "hangup"
text = "We call you."

[node.bye]
step = "hangup"
text = "Goodbye."
"""


@pytest.fixture
async def trunk():
    async with TrialPhone(on_call=None) as phone:
        yield phone


@pytest.fixture
async def node(make_node, pool, trunk):
    """A node that calls back through the trunk, and a queue that lets places be kept at once."""
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "keeping", FLOW, by="test")
        await put_line(connection, KEEPING, "keeping")
        await queues.put(connection, Queue(name="general", title="", callback_after_s=0, wrap_up_s=60), by="test")
    made = await make_node(
        voice__trunk_host="127.0.0.1",
        voice__trunk_port=str(trunk.port),
        voice__caller_ids=OURS,
        voice__callback_campaign="back",
    )
    async with pool.acquire() as connection, connection.transaction():
        wanted = CallingCampaign(name="back", queue="general", caller_id=OURS, purpose="servicing")
        await calling.put(made.rig.services, connection, wanted, by="test")
    await made.directory.refresh()
    return made


async def agent_named(pool, name):
    async with pool.acquire() as connection:
        return next(one for one in await agents.every(connection) if one.name == name)


async def say(pool, name, state):
    found = await agent_named(pool, name)
    async with pool.acquire() as connection, connection.transaction():
        await presence.say(connection, found.id, state, reason=None, by="test")


async def until_state(pool, name, state):
    async with asyncio.timeout(20):
        while (await agent_named(pool, name)).state != state:
            await asyncio.sleep(0.05)


async def test_a_place_is_kept_and_called_back_in_its_turn_agent_first(node, pool, trunk):
    _, _, number = await world.make_person(pool)
    at = "127.0.0.1", node.endpoint.port
    async with nothing_left(node), TrialPhone(on_call=None) as agent:
        assert await agent.register(at, "anna", "secret")
        await until_state(pool, "anna", "available")
        await say(pool, "anna", "away")
        async with TrialPhone() as caller:
            assert await caller.dial(KEEPING, at, caller=number) == 200
            await caller.hear(await node.prompts.prepare(said("en", ("Press one.",))), within_s=20)
            await caller.press("1")
            await caller.hear(await node.prompts.prepare(said("en", ("We call you.",))), within_s=20)
            await caller.is_hung_up(within_s=20)
        row = await pool.fetchrow("SELECT state, kept_at, node_id FROM waiting")
        assert (row["state"], row["kept_at"] is None, row["node_id"]) == ("waiting", False, None)
        await say(pool, "anna", "available")
        await agent.pick_up(within_s=20)
        await trunk.pick_up(within_s=20)
        await is_heard(agent, trunk)
        assert (await agent_named(pool, "anna")).state == "on_call"
        agent.hang_up()
        await trunk.is_hung_up(within_s=20)
    await until_state(pool, "anna", "wrap_up")
    row = await pool.fetchrow(
        "SELECT w.outcome, a.state FROM waiting w JOIN callback c ON c.id = w.callback_id"
        " JOIN attempt a ON a.id = c.attempt_id"
    )
    assert tuple(row) == ("talked", "delivered")


async def test_who_does_not_answer_is_away_and_the_next_agent_gets_the_call(node, pool):
    at = "127.0.0.1", node.endpoint.port
    async with (
        nothing_left(node),
        TrialPhone(on_call=486) as busy,
        TrialPhone(on_call=None) as agent,
        TrialPhone() as caller,
    ):
        assert await busy.register(at, "anna", "secret")
        await until_state(pool, "anna", "available")
        assert await agent.register(at, "bob", "secret")
        assert await caller.dial(KEEPING, at) == 200
        await agent.pick_up(within_s=20)
        assert (await agent_named(pool, "anna")).state == "away"
        await until_state(pool, "bob", "on_call")
        caller.hang_up()
        await agent.is_hung_up(within_s=20)
    await until_state(pool, "bob", "wrap_up")
    assert await pool.fetchval("SELECT offers FROM waiting") == 2


async def kept(pool, node, caller_number):
    """Somebody who keeps her place, while the agent is away."""
    at = "127.0.0.1", node.endpoint.port
    await until_state(pool, "anna", "available")
    await say(pool, "anna", "away")
    async with TrialPhone() as caller:
        assert await caller.dial(KEEPING, at, caller=caller_number) == 200
        await caller.hear(await node.prompts.prepare(said("en", ("Press one.",))), within_s=20)
        await caller.press("1")
        await caller.is_hung_up(within_s=20)


async def until_outcome(pool, outcome):
    async with asyncio.timeout(20):
        while await pool.fetchval("SELECT outcome FROM waiting ORDER BY id LIMIT 1") != outcome:
            await asyncio.sleep(0.05)


@pytest.fixture
def places(monkeypatch):
    """Those that callers are offered to keep."""
    made = []

    def making():
        made.append(Place())
        return made[-1]

    monkeypatch.setattr(in_line, "Place", making)
    return made


@asynccontextmanager
async def kept_while_rung(node, pool, places, agent):
    """A caller who pressed the key, and it was taken, while the agent is rung."""
    at = "127.0.0.1", node.endpoint.port
    assert await agent.register(at, "anna", "secret")
    await until_state(pool, "anna", "available")
    async with TrialPhone() as caller:
        assert await caller.dial(KEEPING, at) == 200
        await until_state(pool, "anna", "ringing")
        await caller.hear(await node.prompts.prepare(said("en", ("Press one.",))), within_s=20)
        await caller.press("1")
        async with asyncio.timeout(20):
            await places[0].wanted.wait()
        yield caller


async def test_who_presses_the_key_while_an_agent_is_rung_and_hangs_up_is_gone_and_stops_nobody(node, pool, places):
    async with nothing_left(node), TrialPhone(on_call=None) as agent:
        async with kept_while_rung(node, pool, places, agent) as caller:
            caller.hang_up()
        await until_outcome(pool, "abandoned")
        async with TrialPhone() as another:
            assert await another.dial(KEEPING, ("127.0.0.1", node.endpoint.port)) == 200
            await until_state(pool, "anna", "ringing")
            another.hang_up()


async def test_who_presses_the_key_while_an_agent_is_rung_in_vain_keeps_her_place(node, pool, places):
    async with nothing_left(node), TrialPhone(on_call=None) as agent:
        async with kept_while_rung(node, pool, places, agent) as caller:
            await agent.decline()
            await caller.is_hung_up(within_s=20)
        row = await pool.fetchrow("SELECT state, kept_at FROM waiting")
        assert (row["state"], row["kept_at"] is None) == ("waiting", False)


async def test_a_kept_place_that_reached_nobody_is_not_counted_as_talked(node, pool, trunk):
    _, _, number = await world.make_person(pool)
    async with nothing_left(node), TrialPhone(on_call=None) as agent:
        assert await agent.register(("127.0.0.1", node.endpoint.port), "anna", "secret")
        await kept(pool, node, number)
        await say(pool, "anna", "available")
        await agent.pick_up(within_s=20)
        await trunk.decline()
        await agent.is_hung_up(within_s=20)
        await until_outcome(pool, "callback_later")
    assert (await agent_named(pool, "anna")).state == "available", "there is nothing to write up"


async def test_what_the_gate_says_of_the_call_for_a_kept_place_is_what_its_callback_says(node, pool, trunk):
    person_id, _, number = await world.make_person(pool)
    async with nothing_left(node), TrialPhone(on_call=None) as agent:
        assert await agent.register(("127.0.0.1", node.endpoint.port), "anna", "secret")
        await kept(pool, node, number)
        await pool.execute("UPDATE person SET opted_out_at = now() WHERE id = $1", person_id)
        await say(pool, "anna", "available")
        await agent.pick_up(within_s=10)
        await agent.is_hung_up(within_s=10)
        await until_outcome(pool, "callback_later")
    why, told = await pool.fetchrow(
        "SELECT c.why, a.why FROM callback_seen c, attempt a WHERE a.person_id = $1", person_id
    )
    assert why == told
    assert why


async def test_a_kept_place_whose_call_fails_before_the_agent_answers_has_its_turn_again(node, pool):
    _, _, number = await world.make_person(pool)
    async with TrialPhone(on_call=None) as agent:
        assert await agent.register(("127.0.0.1", node.endpoint.port), "anna", "secret")
        await kept(pool, node, number)
        await say(pool, "anna", "available")
        await until_state(pool, "anna", "ringing")
        for task in tuple(node._calls.values()):
            task.cancel()
        async with asyncio.timeout(20):
            while await pool.fetchval("SELECT offers FROM waiting") < 2:
                await asyncio.sleep(0.05)
        assert await pool.fetchval("SELECT outcome FROM waiting") is None


async def test_a_place_is_kept_once_and_called_once_though_every_answer_of_the_database_is_lost_once(
    node, pool, trunk, monkeypatch
):
    persist = node.queueing.persist

    async def twice(entry):
        await persist(entry)
        return await persist(entry)

    monkeypatch.setattr(node.queueing, "persist", twice)
    _, _, number = await world.make_person(pool)
    async with nothing_left(node), TrialPhone(on_call=None) as agent:
        assert await agent.register(("127.0.0.1", node.endpoint.port), "anna", "secret")
        await kept(pool, node, number)
        await say(pool, "anna", "available")
        await agent.pick_up(within_s=20)
        await trunk.pick_up(within_s=20)
        agent.hang_up()
        await trunk.is_hung_up(within_s=20)
        await until_outcome(pool, "talked")
    for table in ("waiting", "callback", "attempt"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 1, table
