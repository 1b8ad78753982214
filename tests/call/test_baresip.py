"""A telephone that is not ours, baresip, calls a voice node, and is called by one, over a network of its own."""

from __future__ import annotations

import asyncio

import pytest

from call.conftest import NUMBER, nothing_left
from support import baresip
from support.baresip import Baresip
from tenderline.store import lines
from tenderline.voice.trial_phone import TrialPhone

pytestmark = pytest.mark.real_voice
KEYS = "15903377"
ASKED = "Some keys, please."

FLOW = f"""
name = "line_check"
title = "Keys"
language = "en"
start = "ask"
[node.ask]
step = "collect"
text = "{ASKED}"
variable = "keyed"
digits_min = 3
digits_max = {len(KEYS)}
timeout_s = 20
tries_max = 1
exits = {{ collected = "stay", no_input = "bye", invalid = "bye" }}
[node.stay]
step = "collect"
text = "Stay."
variable = "more"
timeout_s = 20
tries_max = 1
exits = {{ collected = "bye", no_input = "bye", invalid = "bye" }}
[node.bye]
step = "hangup"
text = "Goodbye."
"""


@pytest.fixture
async def wire():
    """A cable to where the telephone stands."""
    async with baresip.wire() as made:
        yield made


@pytest.fixture
async def near_node(make_node, wire):
    """A voice node at one end of it."""
    # baresip 1.0 gives up registering at the first algorithm that it does not know, though MD5 is offered too.
    return await make_node(voice__bind_host=wire.node_host, voice__telephones_md5_only="true")


async def until(pool, condition):
    """Waits until a query gives true."""
    async with asyncio.timeout(20):
        while not await pool.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.05)


async def test_baresip_calls_hears_the_flow_presses_keys_that_arrive_exactly_and_hangs_up(
    near_node, wire, pool, tmp_path
):
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "line_check", FLOW, by="test")
    await near_node.directory.refresh()
    address = f"{wire.node_host}:{near_node.endpoint.port}"
    phone = Baresip(tmp_path / "baresip", wire, f"<sip:caller@{address}>;regint=0")
    async with nothing_left(near_node), phone.running():
        await phone.command("dial", f"sip:check@{address}")
        await phone.told("CALL_ESTABLISHED")
        await phone.heard(await near_node.prompts.clip(ASKED, "en"))
        for key in KEYS:
            await phone.press(key)
        await until(pool, "count(*) = 1 FROM flow_step WHERE exit = 'collected'")
        await phone.command("hangup")
        await until(pool, "count(*) = 1 FROM conversation WHERE ended_at IS NOT NULL")
    row = await pool.fetchrow("SELECT keys, ended_by, caller FROM conversation")
    assert (row["keys"], row["ended_by"]) == (KEYS, "caller")


async def test_baresip_registers_by_digest_and_takes_a_call_from_the_queue(near_node, wire, pool, tmp_path):
    address = f"{wire.node_host}:{near_node.endpoint.port}"
    agent = Baresip(tmp_path / "agent", wire, f"<sip:anna@{address}>;auth_pass=secret;regint=60")
    async with nothing_left(near_node), agent.running(), TrialPhone(host=wire.node_host) as caller:
        await agent.told("REGISTER_OK")
        assert set(near_node.registrar.bindings) == {"anna"}
        assert await caller.dial(NUMBER, (wire.node_host, near_node.endpoint.port)) == 200
        await caller.press("1")
        await agent.told("CALL_INCOMING")
        await agent.command("accept")
        await agent.told("CALL_ESTABLISHED")
        await until(pool, "count(*) = 1 FROM segment WHERE kind = 'agent'")
        said = await near_node.prompts.clip("Press a key.", "en")
        await asyncio.gather(caller.speak(said), agent.heard(said))
        await agent.command("hangup")
        await caller.hear(await frames_of(near_node, "That was it."), within_s=10)
        await caller.is_hung_up(within_s=10)


async def test_baresip_with_a_wrong_password_is_shut_out_as_it_tries_on(near_node, wire, tmp_path):
    address = f"{wire.node_host}:{near_node.endpoint.port}"
    async with Baresip(tmp_path / "wrong", wire, f"<sip:anna@{address}>;auth_pass=guessed;regint=60").running():
        async with asyncio.timeout(20):
            while not near_node.endpoint.counts["blocked_sources"]:
                await asyncio.sleep(0.05)
    assert not near_node.registrar.bindings


async def frames_of(node, text):
    """A clip, in frames."""
    clip = await node.prompts.clip(text, "en")
    return [clip[at : at + 160] for at in range(0, len(clip) - 159, 160)]
