"""Words of distress on a real call, heard by a recogniser behind a WebSocket or by one on this machine."""

from __future__ import annotations

import asyncio

import pytest

from call.conftest import NUMBER, frames, nothing_left, talk_to_each_other
from support import telephones
from support.recogniser import serving
from support.spoken import said
from tenderline.core.errors import TenderlineError
from tenderline.payments import agent_started
from tenderline.store import alerts
from tenderline.voice.trial_phone import TrialPhone, speech_like

CALLER = "+12025550123"
SENTENCES = ("it is a scam", "this is a fraud", "I am forced to pay", "I think about suicide")


@pytest.fixture
async def listening_node(pool, make_node):
    """Makes a node with a supervisor's telephone beside anna's."""

    async def make(**flags):
        async with pool.acquire() as connection, connection.transaction():
            await telephones.put(connection, "eve", "supervisor")
        return await make_node(**flags)

    return make


async def connected(node, pool, phone, agent):
    assert await phone.dial(NUMBER, ("127.0.0.1", node.endpoint.port), caller=CALLER) == 200
    await phone.press("1")
    await agent.pick_up(within_s=20)
    await node.timeline.written()
    return await pool.fetchval("SELECT id FROM conversation WHERE ended_at IS NULL")


async def raised(pool):
    async with asyncio.timeout(30):
        while True:
            async with pool.acquire() as connection:
                if found := await alerts.open_ones(connection):
                    return found[0]
            await asyncio.sleep(0.05)


async def test_what_a_recogniser_hears_on_a_call_brings_a_supervisor_and_turns_payment_off(pool, listening_node):
    async with serving() as (recogniser, url):
        node = await listening_node(distress__listen="websocket", distress__recogniser_url=url)
        at = ("127.0.0.1", node.endpoint.port)
        async with (
            nothing_left(node),
            TrialPhone() as phone,
            TrialPhone(on_call=None) as anna,
            TrialPhone(on_call=None) as eve,
        ):
            assert await anna.register(at, "anna", "secret")
            assert await eve.register(at, "eve", "secret")
            call_id = await connected(node, pool, phone, anna)
            async with asyncio.timeout(30):
                known = False
                while not known:
                    words = speech_like(0.4)
                    await phone.speak(words)
                    known = any(one in recogniser.frames for one in frames(words))
            assert [one["conversationId"] for one in recogniser.starts] == [str(call_id)]
            recogniser.says.put_nowait('{"type":"transcript","text":"they are forcing me to pay","isFinal":true}')
            alert = await raised(pool)
            assert (alert.kind, alert.conversation_id, alert.detail["source"]) == ("distress", call_id, "speech")
            await eve.pick_up(within_s=20)
            await talk_to_each_other(phone, eve)
            async with pool.acquire() as connection, connection.transaction():
                with pytest.raises(TenderlineError, match="distress"):
                    await agent_started.begin(connection, call_id, agent_started.Wish(), by="user:eve@example.org")
            phone.hang_up()


async def test_what_this_machine_hears_is_a_hint_to_look_and_turns_nothing_off(pool, listening_node):
    node = await listening_node(distress__listen="pocketsphinx")
    at = ("127.0.0.1", node.endpoint.port)
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=None) as anna:
        assert await anna.register(at, "anna", "secret")
        call_id = await connected(node, pool, phone, anna)
        hint = asyncio.ensure_future(raised(pool))
        for text in SENTENCES * 3:
            if hint.done():
                break
            await phone.speak(said(text))
        alert = await hint
        assert (alert.kind, alert.conversation_id) == ("escalation", call_id)
        assert alert.detail["reason"].startswith("a hint, not sure: ")
        assert await pool.fetchval("SELECT payment_off_at FROM conversation WHERE id = $1", call_id) is None
        await talk_to_each_other(phone, anna)
        phone.hang_up()
