"""Calls that we make, on real SIP and RTP: a telephone of the tests is the trunk and whoever is behind it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager

import numpy as np
import pytest

from call.conftest import nothing_left, talk_to_each_other
from support import world
from tenderline.campaigns import calling
from tenderline.core.errors import InvalidInputError
from tenderline.flows import check, fitness
from tenderline.flows.spoken import Spoken, Words
from tenderline.people import consent
from tenderline.store import calling_campaigns, lines
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.voice import codec, placing, sip_text
from tenderline.voice.packet import PCMU
from tenderline.voice.placing import Unplaced
from tenderline.voice.trial_phone import TrialPhone, speech_like

OURS = "+18005550100"

NOTICE = """
name = "notice"
title = "A call of ours"
language = "en"
start = "say"

[node.say]
step = "menu"
text = "This is a call from us. Press 9 to get no more calls."
keys = ["9"]
tries_max = 1
timeout_s = 2
[node.say.exits]
9 = "stop"
no_input = "bye"
no_match = "bye"

[node.stop]
step = "opt_out"
exits = { noted = "bye", unknown = "bye" }

[node.bye]
step = "hangup"
text = "Goodbye."
"""

BARE = """
name = "bare"
title = "No way to say stop"
language = "en"
start = "bye"
[node.bye]
step = "hangup"
text = "Goodbye."
"""


@pytest.fixture
async def trunk():
    async with TrialPhone(on_call=None) as phone:
        yield phone


@pytest.fixture
async def make_calling_node(make_node, pool):
    """Makes a node that calls out through a trunk on this port."""

    async def make(port: int, **flags):
        async with pool.acquire() as connection, connection.transaction():
            await lines.put_flow(connection, "notice", NOTICE, by="test")
        node = await make_node(
            voice__trunk_host="127.0.0.1", voice__trunk_port=str(port), voice__caller_ids=OURS, **flags
        )
        async with pool.acquire() as connection, connection.transaction():
            for one in (
                CallingCampaign(name="notices", flow="notice", caller_id=OURS, purpose="servicing"),
                CallingCampaign(name="by_agents", queue="general", caller_id=OURS, purpose="servicing"),
                CallingCampaign(name="asking", flow="notice", caller_id=OURS, purpose="first_party_recovery"),
            ):
                await calling.put(node.rig.services, connection, one, by="test")
        await node.directory.refresh()
        return node

    return make


@pytest.fixture
async def node(make_calling_node, trunk):
    return await make_calling_node(trunk.port)


async def plan(node, number, campaign="notices", **more):
    async with node.rig.services.pool.acquire() as connection, connection.transaction():
        return await calling.plan(node.rig.services, connection, campaign=campaign, number=number, by="test", **more)


async def state_of(pool, planned):
    return await pool.fetchrow("SELECT * FROM attempt WHERE id = $1", planned.id)


async def until(pool, planned, *states, within_s=20.0):
    """The attempt, once it is in one of these states."""
    async with asyncio.timeout(within_s):
        while (row := await state_of(pool, planned))["state"] not in states:
            await asyncio.sleep(0.05)
    return row


async def begins_no_call(node):
    """Whether it finds nothing to call, though it looks and the trunk is there."""
    async with asyncio.timeout(20):
        while not await node._calling_out._probe.is_there():
            await asyncio.sleep(0.1)
    for _ in range(2):
        await node._calling_out.turn()
    return node._calling_out._out == 0


async def frames(node, text):
    return await node.prompts.prepare(Spoken("en", (Words(text),)))


@asynccontextmanager
async def agent_phone(node, name="anna"):
    async with TrialPhone(on_call=None) as phone:
        assert await phone.register(("127.0.0.1", node.endpoint.port), name, "secret")
        yield phone


async def test_whoever_answers_hears_the_flow_and_may_say_stop_by_a_key(node, trunk, pool):
    person_id, _, number = await world.make_person(pool)
    async with nothing_left(node):
        planned = await plan(node, number)
        party = await trunk.pick_up()
        assert sip_text.user_of(party.dialog.invite.first("from")) == OURS
        assert sip_text.user_of(party.dialog.invite.uri) == number
        await trunk.speak(speech_like(0.4))
        await trunk.hear(await frames(node, "This is a call from us. Press 9 to get no more calls."), within_s=20)
        await trunk.press("9")
        await trunk.is_hung_up(within_s=15)
    row = await until(pool, planned, "delivered")
    assert row["provider"] == "telephone"
    assert row["connected_at"] is not None
    assert row["conversation_at"] is not None
    call = await pool.fetchrow("SELECT * FROM conversation WHERE attempt_id = $1", planned.id)
    assert (call["direction"], call["caller"], call["called"]) == ("outbound", OURS, number)
    assert (call["person_id"], call["flow"], call["campaign"]) == (person_id, "notice", "notices")
    kinds = [row["kind"] for row in await pool.fetch("SELECT kind FROM segment ORDER BY ordinal")]
    assert kinds[0] == "dialing"
    assert kinds[-1] == "ivr"
    assert await pool.fetchval("SELECT opted_out_at FROM person WHERE id = $1", person_id) is not None


async def test_a_busy_line_counts_as_a_contact_and_is_not_called_again_by_itself(make_calling_node, pool):
    async with TrialPhone(on_call=486) as busy:
        node = await make_calling_node(busy.port)
        _, _, number = await world.make_person(pool)
        planned = await plan(node, number)
        row = await until(pool, planned, "failed")
        assert row["why"] == "the line was busy (SIP 486)"
        assert row["provider_ref"] is not None
        call = await pool.fetchrow("SELECT * FROM conversation WHERE attempt_id = $1", planned.id)
        assert (call["ended_by"], call["answered_at"]) == ("nobody", None)


async def test_a_number_that_is_gone_is_not_tried_again(make_calling_node, pool):
    async with TrialPhone(on_call=410) as gone:
        node = await make_calling_node(gone.port)
        _, point_id, number = await world.make_person(pool)
        await until(pool, await plan(node, number), "failed")
        point = await pool.fetchrow("SELECT state, state_why FROM contact_point WHERE id = $1", point_id)
        assert point["state"] == "unusable"
        assert "no such number" in point["state_why"]


async def test_a_call_that_the_trunk_did_not_take_is_planned_again(make_calling_node, pool):
    async with TrialPhone(on_call=503) as full:
        node = await make_calling_node(full.port)
        _, _, number = await world.make_person(pool)
        planned = await plan(node, number)
        async with asyncio.timeout(20):
            while (row := await state_of(pool, planned))["tries"] == 0:
                await asyncio.sleep(0.05)
        assert row["state"] == "planned"
        assert row["due_at"] > planned.due_at
        assert row["provider_ref"] is None


async def test_nobody_is_called_while_the_trunk_is_silent(make_calling_node, pool):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        node = await make_calling_node(deaf.getsockname()[1])
        planned = await plan(node, (await world.make_person(pool))[2])
        deaf.settimeout(20)
        asked = (await asyncio.to_thread(deaf.recv, 4_000)).decode()
        assert asked.startswith("OPTIONS ")
        assert (await state_of(pool, planned))["state"] == "planned"
        assert not node.rig.timeline.lost_entries


async def test_a_call_of_which_nothing_is_heard_is_held_and_not_made_twice(make_calling_node, pool, monkeypatch):
    """The trunk answers OPTIONS and then says nothing to the INVITE: perhaps it calls, perhaps not."""
    monkeypatch.setattr(placing, "SETUP_S_MAX", 1.0)
    async with TrialPhone(on_call=None) as trunk:
        node = await make_calling_node(trunk.port)
        _, _, number = await world.make_person(pool)
        invites = []
        screen = trunk._endpoint._stack.server  # what arrives is dropped before it is answered

        def drop(message, source):
            if message.method == "INVITE":
                invites.append(message.first("call-id"))
                return False
            return trunk._endpoint._screen(message, source)

        screen._screen = drop
        planned = await plan(node, number)
        row = await until(pool, planned, "in_doubt")
        assert "did not say" in row["why"]
        assert await begins_no_call(node)
        assert len(set(invites)) == 1


async def test_a_telephone_rings_for_its_time_and_no_longer(node, trunk):
    async with nothing_left(node):
        found = await node.exchange.place("+12025550123", ring_s=1.0, caller_id=OURS, keys_offered=True)
        assert found == Unplaced("no_answer")
        dialog = trunk._ringing.get_nowait()
        async with asyncio.timeout(20):
            while dialog.ended is None:
                await asyncio.sleep(0.02)


async def test_only_numbers_and_only_allowed_caller_ids_are_dialled(node, trunk):
    for to, shown in (("+12025550123", "+19995550123"), ("sip:x@example.org", OURS), ("911", OURS)):
        assert await node.exchange.place(to, ring_s=1, caller_id=shown, keys_offered=True) == Unplaced("not_sent")
    assert trunk._ringing.empty()


async def test_an_agent_is_on_the_line_before_anybody_is_called(node, trunk, pool):
    _, _, number = await world.make_person(pool)
    async with nothing_left(node), agent_phone(node) as agent:
        planned = await plan(node, number, "by_agents")
        await agent.pick_up()
        await trunk.pick_up()
        await talk_to_each_other(trunk, agent)
        agent.hang_up()
        await trunk.is_hung_up(within_s=20)
    row = await until(pool, planned, "delivered")
    assert row["channel"] == "voice_live"
    assert row["conversation_at"] is not None
    people = await pool.fetch("SELECT purpose, address FROM participant")
    assert {(one["purpose"], one["address"]) for one in people} == {("caller", number), ("agent", "anna")}


async def test_without_a_free_agent_nobody_is_called(node, trunk, pool):
    planned = await plan(node, (await world.make_person(pool))[2], "by_agents")
    assert await begins_no_call(node)
    assert trunk._ringing.empty()
    assert (await state_of(pool, planned))["state"] == "planned"


async def test_an_agent_who_hangs_up_while_it_rings_ends_the_call(node, trunk, pool):
    async with nothing_left(node), agent_phone(node) as agent:
        planned = await plan(node, (await world.make_person(pool))[2], "by_agents")
        await agent.pick_up()
        async with asyncio.timeout(20):
            dialog = await trunk._ringing.get()
        agent.hang_up()
        async with asyncio.timeout(20):
            while dialog.ended is None:
                await asyncio.sleep(0.02)
    row = await until(pool, planned, "failed")
    assert "the agent hung up" in row["why"]


async def test_a_word_to_stop_that_comes_while_the_agent_is_rung_still_counts(node, trunk, pool):
    person_id, _, number = await world.make_person(pool)
    async with nothing_left(node), agent_phone(node) as agent:
        planned = await plan(node, number, "by_agents")
        async with asyncio.timeout(20):
            while agent._ringing.empty():
                await asyncio.sleep(0.02)
        async with pool.acquire() as connection, connection.transaction():
            await consent.opt_out(connection, person_id, channel="voice", address=number, how="key", evidence="a test")
        await agent.pick_up()
        await agent.is_hung_up(within_s=20)
        assert trunk._ringing.empty()
    assert (await state_of(pool, planned))["handed_over_at"] is None


async def test_somebody_who_said_stop_is_not_called(node, trunk, pool):
    person_id, _, number = await world.make_person(pool)
    planned = await plan(node, number, "asking")
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(connection, person_id, channel="sms", address=number, how="reply", evidence="STOP")
    await node._calling_out.turn()
    assert (await until(pool, planned, "suppressed", "delivered", "failed"))["state"] == "suppressed"
    again = await plan(node, number, "asking")
    assert again.why is not None
    assert trunk._ringing.empty()


async def test_a_killed_nodes_call_is_not_made_again(make_node, trunk, pool, database_url, tmp_path, node):
    """It rang: the person was contacted, and no other node calls her because the first one died."""
    await node.close()
    _, _, number = await world.make_person(pool)
    planned = await plan(node, number)
    environment = {
        **os.environ,
        "TENDERLINE_DATABASE_URL": database_url,
        "TENDERLINE_DATA_DIR": str(tmp_path / "victim"),
        "TENDERLINE_VOICE__SIP_PORT": "0",
        "TENDERLINE_VOICE__TRUNK_HOST": "127.0.0.1",
        "TENDERLINE_VOICE__TRUNK_PORT": str(trunk.port),
        "TENDERLINE_VOICE__CALLER_IDS": OURS,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tenderline", "voice", env=environment)
    try:
        async with asyncio.timeout(60):
            await trunk._ringing.get()
        await until(pool, planned, "accepted")
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await make_node(voice__trunk_host="127.0.0.1", voice__trunk_port=str(trunk.port), voice__caller_ids=OURS)
    async with asyncio.timeout(20):
        while await pool.fetchval("SELECT count(*) FROM conversation WHERE ended_at IS NULL"):
            await asyncio.sleep(0.1)
    assert trunk._ringing.empty()
    assert (await state_of(pool, planned))["state"] == "accepted"


async def test_a_call_that_no_node_took_in_its_time_is_refused_by_the_gate(node, pool):
    await node.close()
    planned = await plan(node, (await world.make_person(pool))[2])
    await pool.execute("UPDATE attempt SET due_at = now() - interval '2 h', not_after = now() - interval '1 h'")
    from tenderline.worker.run import Worker

    await Worker(node.rig.services)._keep_house()
    row = await state_of(pool, planned)
    assert row["state"] == "suppressed"
    assert "too late" in row["why"]


async def test_what_a_calling_campaign_must_be(node, pool):
    good = {"name": "x", "caller_id": OURS, "purpose": "servicing", "flow": "notice"}
    for wrong in (
        {"caller_id": "+19995550123"},
        {"queue": "general"},
        {"flow": None},
        {"purpose": "opt_out_confirmation"},
    ):
        async with pool.acquire() as connection, connection.transaction():
            with pytest.raises(InvalidInputError):
                await calling.put(node.rig.services, connection, CallingCampaign(**{**good, **wrong}), by="test")
    async with pool.acquire() as connection, connection.transaction():
        check.checked("bare.toml", BARE)
        await lines.put_flow(connection, "bare", BARE, by="test")
        await fitness.require(connection, "bare", purpose="servicing")
        with pytest.raises(fitness.NoOptOutError):
            await fitness.require(connection, "bare", purpose="charity_solicitation")
        with pytest.raises(fitness.UnknownFlowError):
            await fitness.require(connection, "nothing", purpose="servicing")
        with pytest.raises(calling.NoSuchCampaignError):
            await calling.plan(node.rig.services, connection, campaign="none", number="+12025550123", by="test")
        assert await calling_campaigns.get(connection, "x") is None


def mu_law(samples):
    return codec.from_samples(samples.astype(np.int16), PCMU)


def tones(*parts):
    """(hertz, seconds) after each other, at a level that a line has."""
    at = [np.arange(round(lasts_s * 8_000)) / 8_000 for _, lasts_s in parts]
    return np.concatenate([4_000 * np.sin(2 * np.pi * hz * t) for (hz, _), t in zip(parts, at, strict=True)])


def babble(duration_s):
    """Noise that swells and fades four times a second, as the loudness of speech does."""
    size = round(duration_s * 8_000)
    noise = np.random.default_rng(1).normal(0, 3_000, size)
    return noise * (0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(size) / 8_000))


async def test_tones_before_the_answer_tell_that_the_number_is_gone(node, trunk, pool):
    _, point_id, number = await world.make_person(pool)
    async with nothing_left(node):
        planned = await plan(node, number)
        async with asyncio.timeout(20):
            dialog = await trunk._ringing.get()
        party = await trunk.announce(dialog)
        sound = mu_law(tones((985.2, 0.38), (1370.6, 0.274), (1776.7, 0.38)))
        await trunk.speak(b"\xff" * 1_600 + sound)
        async with asyncio.timeout(20):
            await party.gone()
    row = await until(pool, planned, "failed")
    assert "not in service" in row["why"]
    assert await pool.fetchval("SELECT state FROM contact_point WHERE id = $1", point_id) == "unusable"


MESSAGE = """
name = "message"
title = "For answering machines"
language = "en"
start = "say"
[node.say]
step = "say"
text = "We called. We will call again."
exits = { next = "bye" }
[node.bye]
step = "hangup"
text = "Goodbye."
"""


@pytest.mark.parametrize("leaves_a_message", [True, False])
async def test_an_answering_machine_is_told_the_message_for_it_after_its_beep(node, trunk, pool, leaves_a_message):
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "message", MESSAGE, by="test")
        wanted = CallingCampaign(
            name="notices",
            flow="notice",
            machine_flow="message" if leaves_a_message else None,
            caller_id=OURS,
            purpose="servicing",
        )
        await calling.put(node.rig.services, connection, wanted, by="test")
    await node.directory.refresh()
    _, _, number = await world.make_person(pool)
    async with nothing_left(node):
        planned = await plan(node, number)
        await trunk.pick_up()
        greeting = [mu_law(babble(9.0)), mu_law(tones((1000, 0.5)))]
        speaking = asyncio.ensure_future(trunk.speak(b"".join(greeting)))
        if leaves_a_message:
            await trunk.hear(await frames(node, "We called. We will call again."), within_s=25)
        await trunk.is_hung_up(within_s=20)
        speaking.cancel()
    row = await until(pool, planned, "delivered" if leaves_a_message else "failed")
    assert row["connected_at"] is not None
    assert row["conversation_at"] is None, "a machine is nobody"
