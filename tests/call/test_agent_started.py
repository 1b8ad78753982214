"""An agent takes a payment on a live call: she waits outside, or stays and hears no tones, and gets the caller back."""

# ruff: noqa: F811  # a fixture that is imported is named again by whoever takes it
from __future__ import annotations

import asyncio

import pytest

from call.conftest import NUMBER, becomes, frames, nothing_left, put_line, talk_to_each_other
from call.test_donation import (  # noqa: F401  # fixtures are found by their names
    GOOD,
    bank_is_heard,
    hears,
    hears_prompt,
    node,
    spoken_once,
    the_session,
    town,
)
from support.card_keys import key_card
from support.telephones import heard_next
from tenderline.core.errors import TenderlineError
from tenderline.payments import agent_started
from tenderline.payments.agent_started import NoAgentOnCallError, Wish
from tenderline.store import conversations, live_commands, secure_sessions
from tenderline.voice.packet import PCMU
from tenderline.voice.tones import find
from tenderline.voice.trial_phone import TrialPhone, speech_like

CALLER = "+12025550123"
CONFIRM = ". Press 1 to go on, or 2 to go back to your agent."


def at(node):
    return ("127.0.0.1", node.endpoint.port)


async def connected(node, pool, phone, agent, name, number=NUMBER):
    """A caller and an agent talk; the conversation's id."""
    assert await agent.register(at(node), name, "secret")
    assert await phone.dial(number, at(node), caller=CALLER) == 200
    await phone.press("1")
    await agent.pick_up()
    await talk_to_each_other(phone, agent)
    await node.timeline.written()
    return await pool.fetchval("SELECT id FROM conversation WHERE ended_at IS NULL")


async def start(node, pool, call_id, **wish):
    async with pool.acquire() as connection, connection.transaction():
        begun = await agent_started.begin(connection, call_id, Wish(**wish), by="user:anna@example.org")
    return await agent_started.accepted(node.rig.services, begun)


async def ask(pool, session, kind, **detail):
    async with pool.acquire() as connection, connection.transaction():
        command = await agent_started.order(connection, session, kind, detail, by="user:anna@example.org")
    return await live_commands.answer_of(pool, command)


async def ended(pool, session):
    async with asyncio.timeout(20):
        while True:
            async with pool.acquire() as connection:
                found = await secure_sessions.get(connection, session.id)
            if found.ended_at is not None:
                return found
            await asyncio.sleep(0.1)


async def after_keys(pool, session, count):
    """What the agent sees once so many digits are there."""
    async with asyncio.timeout(20):
        while True:
            async with pool.acquire() as connection:
                found = (await secure_sessions.get(connection, session.id)).progress
            if found is not None and found.count == count:
                return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("mode", ["leave", "attended"])
async def test_the_agent_gets_the_caller_back_with_the_result_and_has_heard_no_key(node, pool, town, mode):
    async with pool.acquire() as connection, connection.transaction():
        await put_line(connection, NUMBER, "menu", record=True)
    await node.directory.refresh()
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=None) as agent:
        call_id = await connected(node, pool, phone, agent, "anna")
        async with bank_is_heard(node, pool, town):
            session = await start(node, pool, call_id, mode=mode, amount="25.00", values={"fund": "Well 7"})
            assert session.state == "PENDING"
            with pytest.raises(secure_sessions.AlreadyOpenError):
                await start(node, pool, call_id)
            await hears(phone, node, "You pay")
            await phone.press("1")
            await hears_prompt(phone, node, "ask_number")
            before = len(agent.heard)
            words = speech_like(0.4)
            await phone.speak(words)
            await phone.press(GOOD[:5])
            await heard_next(agent, 1.0)
            since = bytes(agent.heard[before:])
            heard_voice = any(one in since for one in frames(words)[5:15])
            assert heard_voice == (mode == "attended")
            if mode == "attended":
                so_far = await after_keys(pool, session, 5)
                assert (so_far.field, so_far.brand) == ("number", "visa")
                await ask(pool, session, "secure_restart", field="number")
            else:
                await phone.press("*")
            await key_card(phone, node.prompts, GOOD, code_twice=mode == "leave")
            await hears(phone, node, "Thank you.")
            before = len(agent.heard)
            over = await ended(pool, session)
            await talk_to_each_other(phone, agent)
        heard = bytes(agent.heard)
        assert not any(find(frames(heard), [PCMU] * len(frames(heard))))
        assert agent.party.leg.key_packets == 0
        agent.hang_up()
        await phone.is_hung_up(within_s=20)
    assert (over.state, over.result, over.last_four) == ("COMPLETED", "success", "4242")
    assert over.reference == (await the_session(pool))["reference"]
    assert (await the_session(pool))["mode"] == mode
    assert (await the_session(pool))["fund"] == "Well 7"
    async with pool.acquire() as connection:
        parts = [one.kind for one in await conversations.segments(connection, call_id)]
    assert parts == ["ivr", "queue", "agent", "secure_ivr", "ivr", "agent", "ivr"]


async def test_an_agent_stops_it_holds_the_caller_and_is_told_what_cannot_be(node, pool, town):
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=None) as agent:
        assert await phone.dial(NUMBER, at(node), caller=CALLER) == 200
        await node.timeline.written()
        alone = await pool.fetchval("SELECT id FROM conversation WHERE ended_at IS NULL")
        with pytest.raises(NoAgentOnCallError):
            await start(node, pool, alone)
        phone.hang_up()
        await becomes(pool, "SELECT ended_at IS NULL FROM conversation", wanted=False)
        with pytest.raises(live_commands.NotLiveError):
            await start(node, pool, alone)
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=None) as agent:
        call_id = await connected(node, pool, phone, agent, "anna")
        for wrong in (
            {"flow": "donation"},
            {"flow": "nothing"},
            {"amount": "0"},
            {"amount": "0.004"},
            {"values": {"note": GOOD}},
        ):
            with pytest.raises(TenderlineError):
                await start(node, pool, call_id, **wrong)
        assert await pool.fetchval("SELECT count(*) FROM secure_session WHERE ended_at IS NULL") == 0
        session = await start(node, pool, call_id, amount="25")
        await hears(phone, node, "You pay")
        await ask(pool, session, "secure_cancel")
        assert (await ended(pool, session)).result == "cancelled"
        await talk_to_each_other(phone, agent)
        session = await start(node, pool, call_id, amount="25")
        await hears(phone, node, "You pay")
        await phone.press("1")
        await hears_prompt(phone, node, "ask_number")
        await phone.press(GOOD[:3])
        await ask(pool, session, "secure_cancel")
        assert (await ended(pool, session)).state == "FAILED"
        await talk_to_each_other(phone, agent)
        async with pool.acquire() as connection, connection.transaction():
            command = await live_commands.ask(connection, call_id, "hold", {}, asked_by="test")
        assert await live_commands.answer_of(pool, command) == {"held": True}
        async with pool.acquire() as connection, connection.transaction():
            command = await live_commands.ask(connection, call_id, "retrieve", {}, asked_by="test")
        await live_commands.answer_of(pool, command)
        await talk_to_each_other(phone, agent)
        session = await start(node, pool, call_id, amount="25", disconnect=True)
        await agent.is_hung_up(within_s=20)
        await hears(phone, node, "You pay")
        await becomes(pool, "SELECT count(*) FROM agent_presence WHERE state = 'on_call'", wanted=0)
        phone.hang_up()
        assert (await ended(pool, session)).result == "abandoned"
    assert await pool.fetchval("SELECT count(*) FROM charge") == 0
