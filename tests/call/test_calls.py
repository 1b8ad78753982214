"""Calls by real SIP and RTP: what is said is heard, what is pressed arrives, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from call.conftest import NUMBER, becomes, frames, is_heard, nothing_left, talk_to_each_other
from support.telephones import heard_next
from tenderline.core import recording_file
from tenderline.flows.spoken import Digits, Sound, Spoken, Words, said
from tenderline.store import conversations, recordings
from tenderline.voice import codec, tones
from tenderline.voice.packet import FRAME_MS, PCMA, PCMU
from tenderline.voice.ticker import BEHIND_S_MAX
from tenderline.voice.trial_phone import TrialPhone, speech_like


def at(node):
    return "127.0.0.1", node.endpoint.port


async def prompt(node, *parts):
    if isinstance(parts[0], str):
        return await node.prompts.prepare(said("en", parts))
    return await node.prompts.prepare(Spoken("en", parts))


def in_law(sound, law):
    """What arrives of it on a line of this law."""
    return [codec.convert(codec.convert(one, PCMU, law), law, PCMU) for one in sound]


def holds_most(sound, wanted):
    """Whether most of these frames are in it: of what passes a line, some may be lost."""
    return sum(one in sound for one in wanted) > len(wanted) / 2


async def the_call(pool):
    async with pool.acquire() as connection:
        (call,) = await conversations.latest(connection, 10)
        return call, await conversations.steps(connection, call.id), await recordings.of(connection, call.id)


@pytest.mark.parametrize("law", [PCMU, PCMA])
async def test_a_line_check_proves_both_directions_and_the_keys(node, pool, law):
    async with nothing_left(node), TrialPhone(payload_type=law) as phone:
        assert await phone.dial("check", at(node)) == 200
        await phone.hear(in_law(await prompt(node, "This is the line check. You called"), law), within_s=20)
        await phone.hear(in_law(await prompt(node, Sound("beep")), law), within_s=20)
        words = speech_like(0.4)
        await phone.speak(words * 8)  # for longer than it listens: the whole of them is in it
        await phone.hear(in_law(frames(words), law), within_s=20)
        await phone.hear(in_law(await prompt(node, "Now press some keys, and then the pound key."), law), within_s=20)
        await phone.press("45*1290#")
        await phone.is_hung_up(within_s=25)
    call, steps, (recording,) = await the_call(pool)
    assert (call.ended_by, call.why, call.caller) == ("flow", "hung_up", "+12025550100")
    assert call.keys == "1290"
    assert [one.node for one in steps] == ["greeting", "speak", "echo", "keys", "read_back", "again", "goodbye"]
    assert all(one.exit and one.left_at for one in steps)
    lasted_s = (call.ended_at - call.answered_at).total_seconds()
    left_out_s = BEHIND_S_MAX + node.engine.ticker.skipped_frames * FRAME_MS / 1000  # by a machine that stood still
    assert abs(recording.duration_ms / 1000 - lasted_s) < left_out_s, "a recording is as long as the call"


async def test_a_recording_holds_both_sides_and_no_key(node, pool):
    async with nothing_left(node), TrialPhone() as phone:
        await phone.dial("check", at(node))
        await phone.hear(await prompt(node, Sound("beep")), within_s=20)
        words = speech_like(0.6)
        await phone.speak(words)
        await phone.hear(await prompt(node, "Now press some keys, and then the pound key."), within_s=20)
        await phone.press("739#")
        await phone.hear(await prompt(node, Words("You pressed"), Digits("739")), within_s=20)
        phone.hang_up()
    call, _, (recording,) = await the_call(pool)
    assert call.ended_by == "caller"
    data = await node.recording_store.read(recording.path, sensitive=False)
    assert words[:1600] not in data, "it is encrypted"
    key = recording_file.open_key(recording.sealed_key, node.master_key, recording.id)
    chunks = list(recording_file.read(data, key, recording.id))
    caller, other = (b"".join(side) for side in zip(*chunks, strict=True))
    assert holds_most(caller, frames(words))
    assert holds_most(other, await prompt(node, Sound("beep")))
    assert not any(tones.find(frames(caller), [PCMU] * len(frames(caller))))


async def test_numbers_that_are_not_ours_are_refused_and_counted(make_node):
    node = await make_node(voice__unlimited_networks="")
    async with TrialPhone() as phone:
        statuses = [await phone.dial(f"+1800555{n:04d}", at(node)) for n in range(10)]
        assert statuses == [404] * 10
        assert node.endpoint.counts["blocked_sources"] == 1


async def test_too_many_calls_of_one_address_are_told_to_wait(make_node):
    node = await make_node(voice__unlimited_networks="", voice__calls_per_s="1")
    async with nothing_left(node):
        statuses = []
        while 503 not in statuses and len(statuses) < 200:  # a slow machine earns one more in each second
            async with TrialPhone() as phone:
                statuses.append(await phone.dial(NUMBER, at(node)))
    assert set(statuses[:40]) == {200}
    assert statuses[-1] == 503


async def test_a_node_that_is_full_says_so(make_node):
    node = await make_node(voice__calls_max="1")
    async with nothing_left(node), TrialPhone() as first, TrialPhone() as second:
        assert await first.dial(NUMBER, at(node)) == 200
        assert await second.dial(NUMBER, at(node)) == 503


async def test_an_agent_and_a_caller_hear_each_other_and_no_key_reaches_the_agent(node, pool):
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=None) as agent:
        assert await agent.register(at(node), "anna", "secret")
        assert await phone.dial(NUMBER, at(node)) == 200
        await phone.press("1")
        await agent.pick_up()
        assert agent.party.leg.sends_events is False, "no way to send keys was offered"
        await talk_to_each_other(phone, agent)
        before = len(agent.heard)
        await phone.press("4111")
        await heard_next(agent, 1.0)
        heard = frames(bytes(agent.heard[before:]))
        assert not any(tones.find(heard, [PCMU] * len(heard)))
        assert agent.party.leg.key_packets == 0
        agent.hang_up()
        await phone.hear(await prompt(node, "That was it."), within_s=20)
        await phone.is_hung_up(within_s=20)
    async with pool.acquire() as connection:
        (call,) = await conversations.latest(connection, 1)
        parts = [(one.kind, one.detail) for one in await conversations.segments(connection, call.id)]
    assert parts == [("ivr", ""), ("queue", "general"), ("agent", "anna"), ("ivr", "")]


async def test_without_any_agent_nobody_waits(node):
    async with nothing_left(node), TrialPhone() as phone:
        await phone.dial(NUMBER, at(node))
        await phone.press("1")
        await phone.hear(await prompt(node, "Nobody is there."), within_s=20)


async def test_who_waits_longest_is_served_first_and_a_silent_telephone_is_left_alone(node, pool):
    async with nothing_left(node), TrialPhone() as early, TrialPhone() as late, TrialPhone(on_call=None) as agent:
        await agent.register(at(node), "anna", "secret")
        for number, phone in enumerate((early, late), 1):
            await phone.dial(NUMBER, at(node))
            await phone.press("1")
            await becomes(pool, "SELECT count(*) FROM waiting WHERE state <> 'left'", wanted=number)
        await agent.pick_up()
        await is_heard(agent, early)
        early.hang_up()
        await agent.pick_up(within_s=20)
        await is_heard(agent, late)


async def test_a_wrong_password_registers_nobody(node):
    async with TrialPhone(on_call=None) as agent:
        assert await agent.register(at(node), "anna", "wrong") is False
        assert node.registrar.bindings == {}


async def test_a_telephone_is_called_and_a_busy_one_is_told(node):
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=486) as busy:
        await busy.register(at(node), "anna", "secret")
        await phone.dial(NUMBER, at(node))
        await phone.press("2")
        await phone.hear(await prompt(node, "Goodbye."), within_s=20)


async def test_a_caller_is_handed_over_by_going_through_us_when_refer_is_refused(node):
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=None) as agent:
        await agent.register(at(node), "anna", "secret")
        await phone.dial(NUMBER, at(node))
        await phone.press("3")
        await agent.pick_up()
        await is_heard(agent, phone)
        agent.hang_up()
        await phone.is_hung_up(within_s=20)


@pytest.mark.real_voice
async def test_a_key_silences_every_channel(node, pool):
    async with nothing_left(node), TrialPhone() as phone:
        await phone.dial(NUMBER, at(node), caller="+12025550177")
        await phone.press("4")
        await phone.hear(await prompt(node, "Goodbye."), within_s=20)
    row = await pool.fetchrow(
        "SELECT p.opted_out_at, p.opted_out_by FROM person p JOIN contact_point q ON q.person_id = p.id"
        " WHERE q.value = '+12025550177'"
    )
    assert row["opted_out_at"] is not None
    assert row["opted_out_by"] == "voice:+12025550177"


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.3, 0.8])
@pytest.mark.parametrize("keys", ["", "1", "2", "5"])
async def test_a_hang_up_at_any_point_leaves_nothing_behind(node, pool, after_s, keys):
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=None) as agent:
        await agent.register(at(node), "anna", "secret")
        await phone.dial(NUMBER, at(node))
        await phone.press(keys)
        await asyncio.sleep(after_s)
        phone.hang_up()
    await becomes(pool, "SELECT count(*) FROM agent_presence WHERE node_id IS NOT NULL", wanted=0)
    call, steps, _ = await the_call(pool)
    assert call.ended_at is not None
    assert all(one.left_at is not None for one in steps)
