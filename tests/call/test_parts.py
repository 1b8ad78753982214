"""Parts of a call that come and go: holding, and recordings that fewer people may hear."""

from __future__ import annotations

from call.conftest import NUMBER, becomes, nothing_left, put_line
from tenderline.store import conversations, lines, recordings
from tenderline.voice.trial_phone import TrialPhone

SENSITIVE = """
name = "sensitive"
title = "A call that few may hear"
language = "en"
start = "tell"
[node.tell]
step = "say"
text = "This call is recorded."
announces_recording = true
cut_by_key = false
exits = { next = "record" }
[node.record]
step = "record_on"
exits = { next = "more" }
[node.more]
step = "say"
text = "One moment."
exits = { next = "few" }
[node.few]
step = "record_on"
sensitive = true
exits = { next = "bye" }
[node.bye]
step = "hangup"
text = "Goodbye."
"""


def at(node):
    return ("127.0.0.1", node.endpoint.port)


async def test_holding_is_a_part_of_its_own(node, pool):
    parts_of = "SELECT count(*) FROM segment WHERE kind = $1"
    async with nothing_left(node), TrialPhone() as phone, TrialPhone(on_call=None) as agent:
        assert await agent.register(at(node), "anna", "secret")
        await phone.dial(NUMBER, at(node))
        await phone.press("1")
        party = await agent.pick_up()
        await becomes(pool, parts_of, "agent", wanted=1)
        party.dialog.reoffer(party.offer(keys_offered=False, direction="sendonly"))
        await becomes(pool, parts_of, "hold", wanted=1)
        party.dialog.reoffer(party.offer(keys_offered=False))
        await becomes(pool, parts_of, "agent", wanted=2)
        agent.hang_up()
        await phone.is_hung_up(within_s=10)
    async with pool.acquire() as connection:
        (call,) = await conversations.latest(connection, 1)
        parts = [(one.kind, one.detail) for one in await conversations.segments(connection, call.id)]
    assert parts[2:] == [("agent", "anna"), ("hold", "anna"), ("agent", "anna"), ("ivr", "")]


async def test_a_recording_that_becomes_sensitive_lies_with_the_sensitive_ones_whole(node, pool):
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "sensitive", SENSITIVE, by="test")
        await put_line(connection, "few", "sensitive")
    await node.directory.refresh()
    async with nothing_left(node), TrialPhone() as phone:
        await phone.dial("few", at(node))
        await phone.is_hung_up(within_s=20)
    async with pool.acquire() as connection:
        (call,) = await conversations.latest(connection, 1)
        (tape,) = await recordings.of(connection, call.id)
    assert (tape.state, tape.sensitive) == ("stored", True)
    assert await node.recording_store.read(tape.path, sensitive=True)
    found = [path.name for path in node.rig.services.settings.data_dir.rglob("*.tlr")]
    assert len(found) == 1, "no copy lies anywhere else"
