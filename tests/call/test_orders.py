"""What is asked of a live call: the caller is handed on, held, brought back, escalated; a supervisor listens."""

# ruff: noqa: F811  # a fixture that is imported is named again by whoever takes it
from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from call.conftest import NUMBER, becomes, frames, is_heard, nothing_left, talk_to_each_other
from call.test_agent_started import CALLER, at, ended, start
from call.test_agent_started import ask as ask_payment
from call.test_donation import (  # noqa: F401  # fixtures are found by their names
    GOOD,
    hears_prompt,
    node,
    spoken_once,
    town,
)
from call.test_donation import hears as hears_words
from support import telephones
from support.telephones import heard_next
from tenderline.core.errors import TenderlineError
from tenderline.people import distress
from tenderline.store import conversations, live_commands
from tenderline.voice.trial_phone import TrialPhone, speech_like


@asynccontextmanager
async def phones(node, *names):
    """Telephones that register."""
    made = []
    try:
        for name in names:
            phone = TrialPhone(on_call=None)
            made.append(await phone.__aenter__())
            if name is not None:
                assert await phone.register(at(node), name, "secret")
        yield made
    finally:
        for phone in made:
            await phone.__aexit__(None, None, None)


@pytest.fixture
async def agents(pool, node):
    """Anna takes calls; bob is of the second queue; eve is a supervisor. Their ids by name."""
    async with pool.acquire() as connection, connection.transaction():
        await telephones.put(connection, "bob", "second")
        await telephones.put(connection, "eve", "supervisor")
    await node.directory.refresh()
    node.registrar.know(node.directory.telephones)
    return {row["name"]: row["id"] for row in await pool.fetch("SELECT id, name FROM agent")}


async def ask(pool, call_id, kind, **detail):
    async with pool.acquire() as connection, connection.transaction():
        command = await live_commands.ask(connection, call_id, kind, detail, asked_by="user:eve@example.org")
    return await live_commands.answer_of(pool, command)


async def is_state(pool, agent_id, wanted):
    await becomes(pool, "SELECT state FROM agent_presence WHERE agent_id = $1", agent_id, wanted=wanted)


async def picks_up(pool, phone, name):
    """She takes the call, and is on it. What she heard of one before is over."""
    if phone._party is not None:
        phone.party.close()
    await phone.pick_up()
    on_it = "SELECT count(*) FROM participant WHERE address = $1 AND left_at IS NULL"
    await becomes(pool, on_it, name, wanted=1)


async def heard_by(speaker, *others):
    """Who of the others hears what she says. A busy machine loses some of it on the way."""
    marks = [len(one.heard) for one in others]
    words = speech_like(0.6)
    await speaker.speak(words)
    await asyncio.gather(*(heard_next(one, 0.6) for one in others))
    return [
        one
        for one, mark in zip(others, marks, strict=True)
        if sum(frame in bytes(one.heard[mark:]) for frame in frames(words)) > 4
    ]


async def connected(node, pool, phone, agent, name):
    """A caller and an agent talk; the conversation's id."""
    assert await agent.register(at(node), name, "secret")
    assert await phone.dial(NUMBER, at(node), caller=CALLER) == 200
    await phone.press("1")
    await picks_up(pool, agent, name)
    await talk_to_each_other(phone, agent)
    return await pool.fetchval("SELECT id FROM conversation WHERE ended_at IS NULL")


async def all_is_let_go(pool):
    """Nobody is in line or reserved any more."""
    await becomes(pool, "SELECT count(*) FROM waiting WHERE state <> 'left'", wanted=0)
    await becomes(pool, "SELECT count(*) FROM agent_presence WHERE node_id IS NOT NULL", wanted=0)


async def parts(pool, call_id):
    async with pool.acquire() as connection:
        return [(one.kind, one.detail) for one in await conversations.segments(connection, call_id)]


async def test_a_caller_is_handed_to_a_queue_and_her_agent_is_free_at_once(node, pool, agents):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None, "bob") as (anna, bob):
        call_id = await connected(node, pool, phone, anna, "anna")
        with pytest.raises(TenderlineError):
            await ask(pool, call_id, "transfer", to="queue:there is none")
        with pytest.raises(TenderlineError):
            await ask(pool, call_id, "transfer", to="sip:somebody@example.org")
        with pytest.raises(TenderlineError):
            await ask(pool, call_id, "transfer", to="+12025550199")
        await talk_to_each_other(phone, anna)
        assert await ask(pool, call_id, "transfer", to="queue:second") == {"transferring": True}
        await anna.is_hung_up(within_s=10)
        await picks_up(pool, bob, "bob")
        await talk_to_each_other(phone, bob)
        await is_state(pool, agents["anna"], "available")
        assert await pool.fetchval("SELECT rank_at < entered_at FROM waiting WHERE queue = 'second'")
        bob.hang_up()
        await phone.is_hung_up(within_s=20)
    await all_is_let_go(pool)
    assert await parts(pool, call_id) == [
        ("ivr", ""), ("queue", "general"), ("agent", "anna"), ("queue", "second"), ("agent", "bob"), ("ivr", ""),
    ]  # fmt: skip


async def test_an_agent_who_does_not_answer_gives_the_caller_back_to_the_one_who_asked(node, pool, agents):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None, "bob") as (anna, bob):
        call_id = await connected(node, pool, phone, anna, "anna")
        bob._on_call_status = 486
        await ask(pool, call_id, "transfer", to=f"agent:{agents['bob']}")
        await anna.is_hung_up(within_s=10)
        await picks_up(pool, anna, "anna")
        await talk_to_each_other(phone, anna)
        await is_state(pool, agents["bob"], "away")
        with pytest.raises(TenderlineError):
            await ask(pool, call_id, "transfer", to=f"agent:{agents['bob']}")
        phone.hang_up()
    await all_is_let_go(pool)


async def test_an_agent_consults_another_and_completes_or_comes_back(node, pool, agents):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None, "bob") as (anna, bob):
        call_id = await connected(node, pool, phone, anna, "anna")
        with pytest.raises(TenderlineError):
            await ask(pool, call_id, "complete_transfer")
        assert (await ask(pool, call_id, "consult", to=f"agent:{agents['bob']}"))["consulting"]
        await bob.pick_up()
        await is_state(pool, agents["bob"], "on_call")
        await talk_to_each_other(anna, bob)
        assert await heard_by(anna, phone) == []
        with pytest.raises(TenderlineError):
            await ask(pool, call_id, "hold")
        assert await ask(pool, call_id, "cancel_consult") == {"held": False}
        await bob.is_hung_up(within_s=10)
        await talk_to_each_other(phone, anna)
        await is_state(pool, agents["bob"], "available")
        await ask(pool, call_id, "consult", to="queue:second")
        bob.party.close()
        await bob.pick_up()
        await is_state(pool, agents["bob"], "on_call")
        await talk_to_each_other(anna, bob)
        await ask(pool, call_id, "complete_transfer")
        await anna.is_hung_up(within_s=10)
        await talk_to_each_other(phone, bob)
        await is_state(pool, agents["anna"], "available")
        await ask(pool, call_id, "hang_up")
        await phone.is_hung_up(within_s=20)
    await all_is_let_go(pool)
    assert await parts(pool, call_id) == [
        ("ivr", ""), ("queue", "general"), ("agent", "anna"), ("hold", "anna"), ("agent", "anna"), ("hold", "anna"),
        ("agent", "bob"), ("ivr", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("who", ["caller", "agent", "target", "agent while it rings", "caller while it rings"])
async def test_whoever_hangs_up_in_a_consultation_leaves_nothing_behind(node, pool, agents, who):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None, "bob") as (anna, bob):
        call_id = await connected(node, pool, phone, anna, "anna")
        await ask(pool, call_id, "consult", to=f"agent:{agents['bob']}")
        if who == "agent while it rings":
            anna.hang_up()
        elif who == "caller while it rings":
            phone.hang_up()
        if who != "caller while it rings":
            await bob.pick_up()
            await is_state(pool, agents["bob"], "on_call")
        match who:
            case "caller":
                await talk_to_each_other(anna, bob)
                phone.hang_up()
            case "target":
                await talk_to_each_other(anna, bob)
                bob.hang_up()
                await talk_to_each_other(phone, anna)
                phone.hang_up()
            case "agent":
                await talk_to_each_other(anna, bob)
                anna.hang_up()
                await talk_to_each_other(phone, bob)
                phone.hang_up()
            case "agent while it rings":
                await talk_to_each_other(phone, bob)
                phone.hang_up()
            case _:
                await anna.is_hung_up(within_s=10)
        for one in (anna, bob):
            with suppress(AssertionError):
                await one.is_hung_up(within_s=10)
    await all_is_let_go(pool)


async def test_a_supervisor_takes_a_call_over_while_the_two_talk_on(node, pool, agents):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None) as (anna,):
        call_id = await connected(node, pool, phone, anna, "anna")
        with pytest.raises(TenderlineError, match="logged in"):
            await ask(pool, call_id, "escalate", reason="an angry donor")
        async with phones(node, "eve") as (eve,):
            await node.queueing.registered()
            assert await ask(pool, call_id, "escalate", reason="an angry donor") == {"escalating": True}
            await talk_to_each_other(phone, anna)
            await picks_up(pool, eve, "eve")
            await anna.is_hung_up(within_s=10)
            await talk_to_each_other(phone, eve)
            assert await pool.fetchval("SELECT priority FROM waiting WHERE queue = 'supervisor'") == 10
            eve.hang_up()
            await phone.is_hung_up(within_s=20)
    await all_is_let_go(pool)


async def test_a_supervisor_listens_whispers_and_joins(node, pool, agents):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None, "eve") as (anna, eve):
        call_id = await connected(node, pool, phone, anna, "anna")
        await ask(pool, call_id, "monitor", agent_id=str(agents["eve"]), mode="listen")
        await picks_up(pool, eve, "eve")
        await is_state(pool, agents["eve"], "on_call")
        assert await pool.fetchval("SELECT reason FROM agent_presence WHERE agent_id = $1", agents["eve"]) == (
            "monitoring"
        )
        await is_heard(phone, eve)
        await is_heard(anna, eve)
        assert await heard_by(eve, anna, phone) == []
        await ask(pool, call_id, "monitor", agent_id=str(agents["eve"]), mode="whisper")
        await is_heard(eve, anna)
        assert await heard_by(eve, phone) == []
        await ask(pool, call_id, "monitor", agent_id=str(agents["eve"]), mode="join")
        await is_heard(eve, anna)
        await is_heard(eve, phone)
        await talk_to_each_other(phone, anna)
        await ask(pool, call_id, "monitor_stop", agent_id=str(agents["eve"]))
        await eve.is_hung_up(within_s=10)
        await talk_to_each_other(phone, anna)
        await is_state(pool, agents["eve"], "available")
        phone.hang_up()
    await all_is_let_go(pool)
    async with pool.acquire() as connection:
        found = [one for one in await conversations.participants(connection, call_id) if one.purpose == "monitor"]
    assert [(one.address, one.left_at is not None) for one in found] == [("eve", True)]
    rows = await pool.fetch("SELECT action, actor FROM audit WHERE action LIKE 'monitor%' ORDER BY number")
    assert [row["action"] for row in rows] == ["monitor_started", "monitor_mode", "monitor_mode", "monitor_ended"]
    assert {row["actor"] for row in rows} == {"user:eve@example.org"}


@pytest.mark.parametrize("mode", ["leave", "attended"])
async def test_whoever_monitors_hears_silence_while_a_card_is_keyed_in_and_all_of_it_after(
    node, pool, town, agents, mode
):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None, "eve") as (anna, eve):
        call_id = await connected(node, pool, phone, anna, "anna")
        await ask(pool, call_id, "monitor", agent_id=str(agents["eve"]), mode="join")
        await picks_up(pool, eve, "eve")
        await is_state(pool, agents["eve"], "on_call")
        session = await start(node, pool, call_id, mode=mode, amount="25.00")
        await hears_words(phone, node, "You pay")
        await phone.press("1")
        await hears_prompt(phone, node, "ask_number")
        await heard_next(eve, 0.4)  # what was on its way is there
        before = len(eve.heard)
        await asyncio.gather(phone.speak(speech_like(1.0)), anna.speak(speech_like(1.0)), phone.press(GOOD[:6]))
        await heard_next(eve, 0.6)
        during = frames(bytes(eve.heard[before:]))
        assert all(set(one) == {0xFF} for one in during)
        await ask_payment(pool, session, "secure_cancel")
        assert (await ended(pool, session)).state == "FAILED"
        await talk_to_each_other(phone, anna)
        await is_heard(phone, eve)
        phone.hang_up()
    await all_is_let_go(pool)


async def test_distress_ends_a_payment_and_none_begins_any_more(node, pool, town, agents):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None) as (anna,):
        call_id = await connected(node, pool, phone, anna, "anna")
        session = await start(node, pool, call_id, mode="attended", amount="25.00")
        await hears_words(phone, node, "You pay")
        await phone.press("1")
        await hears_prompt(phone, node, "ask_number")
        await phone.press(GOOD[:3])
        assert await ask(pool, call_id, "distress", reason="a word") == {"distress": True}
        assert (await ended(pool, session)).result == "distress"
        await talk_to_each_other(phone, anna)
        with pytest.raises(TenderlineError, match="distress"):
            await start(node, pool, call_id, amount="25.00")
        await pool.execute(
            "INSERT INTO person (id, distress_until) VALUES (gen_random_uuid(), now() + interval '1 day')"
        )
        await pool.execute("UPDATE conversation SET person_id = (SELECT id FROM person WHERE distress_until > now())")
        with pytest.raises(TenderlineError, match="distress"):
            await start(node, pool, call_id, amount="25.00")
        phone.hang_up()


@pytest.mark.parametrize("where", ["a payment", "the menu", "in line"])
async def test_a_caller_in_distress_talks_with_a_supervisor_wherever_she_was(node, pool, town, agents, where):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None, "eve") as (anna, eve):
        if where == "a payment":
            call_id = await connected(node, pool, phone, anna, "anna")
            session = await start(node, pool, call_id, mode="leave", amount="25.00")
            await hears_words(phone, node, "You pay")
            await phone.press("1")
            await hears_prompt(phone, node, "ask_number")
        else:
            assert await anna.register(at(node), "anna", "secret")
            assert await phone.dial(NUMBER, at(node), caller=CALLER) == 200
            if where == "in line":
                await phone.press("1")
                await becomes(pool, "SELECT count(*) FROM waiting WHERE state <> 'left'", wanted=1)
            await node.timeline.written()
            call_id = await pool.fetchval("SELECT id FROM conversation WHERE ended_at IS NULL")
        await ask(pool, call_id, "distress", reason="a word")
        assert await ask(pool, call_id, "escalate", reason="a word", waits=True) == {"escalating": True}
        await picks_up(pool, eve, "eve")
        await talk_to_each_other(phone, eve)
        if where == "a payment":
            assert (await ended(pool, session)).result == "distress"
            await anna.is_hung_up(within_s=10)
        eve.hang_up()
        await phone.is_hung_up(within_s=20)
    await all_is_let_go(pool)


async def test_a_supervisor_who_becomes_ready_later_is_offered_the_caller_in_distress(node, pool, town, agents):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None, None) as (anna, eve):
        assert await anna.register(at(node), "anna", "secret")
        assert await phone.dial(NUMBER, at(node), caller=CALLER) == 200
        await node.timeline.written()
        call_id = await pool.fetchval("SELECT id FROM conversation WHERE ended_at IS NULL")
        async with pool.acquire() as connection, connection.transaction():
            await distress.report(node.rig.services, connection, call_id, source="button", reason="a word", by="anna")
        sought = "SELECT count(*) FROM segment WHERE kind = 'queue' AND detail = 'supervisor' AND ended_at IS NOT NULL"
        await becomes(pool, sought, wanted=1)
        assert await eve.register(at(node), "eve", "secret")
        await is_state(pool, agents["eve"], "available")
        await pool.execute("UPDATE live_command SET asked_at = asked_at - interval '31 s'")
        async with pool.acquire() as connection, connection.transaction():
            assert await distress.lead_again(connection) == 1
        await picks_up(pool, eve, "eve")
        await talk_to_each_other(phone, eve)
        eve.hang_up()
        await phone.is_hung_up(within_s=20)
    await all_is_let_go(pool)
