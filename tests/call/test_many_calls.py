"""Many calls at once from a tool that is not ours, and nodes that die in the middle of calls."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from call.conftest import NUMBER, nothing_left
from support.raw_sip import RawSip
from support.sipp import sipp_command
from support.telephones import heard_next
from tenderline.store import lines, voice_nodes
from tenderline.voice.packet import FRAME_MS
from tenderline.voice.ticker import BEHIND_S_MAX
from tenderline.voice.trial_phone import TrialPhone

SCENARIO = Path(__file__).with_name("sixteen_keys.xml")
KEYS = "1234567890987654"
CALLS = 50

KEYS_FLOW = """
name = "line_check"
title = "Sixteen keys"
language = "en"
start = "ask"
[node.ask]
step = "collect"
text = "Sixteen keys, please."
variable = "keyed"
digits_min = 16
digits_max = 16
timeout_s = 30
tries_max = 1
exits = { collected = "bye", no_input = "bye", invalid = "bye" }
[node.bye]
step = "hangup"
text = "Goodbye."
"""


async def test_fifty_calls_of_sipp_lose_no_key_and_every_recording_is_as_long_as_its_call(node, pool):
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "line_check", KEYS_FLOW, by="test")
    await node.directory.refresh()
    async with nothing_left(node):
        process = await asyncio.create_subprocess_exec(
            *sipp_command(SCENARIO, "check", node.endpoint.port, calls=CALLS, rate=25),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/tmp",
        )
        assert await asyncio.wait_for(process.wait(), 90) == 0
    rows = await pool.fetch(
        "SELECT c.keys, c.ended_by, extract(epoch FROM c.ended_at - c.answered_at) AS lasted_s, r.duration_ms, r.state"
        " FROM conversation c JOIN recording r ON r.conversation_id = c.id"
    )
    assert len(rows) == CALLS
    assert {row["keys"] for row in rows} == {KEYS}
    assert {row["ended_by"] for row in rows} == {"flow"}
    assert {row["state"] for row in rows} == {"stored"}
    left_out_s = BEHIND_S_MAX + node.engine.ticker.skipped_frames * FRAME_MS / 1000  # by a machine that stood still
    assert all(abs(row["duration_ms"] / 1000 - float(row["lasted_s"])) < left_out_s for row in rows)
    assert (
        await pool.fetchval("SELECT count(*) FROM flow_step WHERE exit = 'collected' OR exit = 'hung_up'") == 2 * CALLS
    )


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_killed_nodes_calls_are_closed_by_another_whose_calls_go_on(make_node, pool, database_url, tmp_path):
    other = await make_node()
    port = free_port()
    environment = {
        **os.environ,
        "TENDERLINE_DATABASE_URL": database_url,
        "TENDERLINE_DATA_DIR": str(tmp_path / "victim"),
        "TENDERLINE_VOICE__SIP_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tenderline", "voice", env=environment)
    try:
        async with asyncio.timeout(30):
            while True:
                with RawSip(("127.0.0.1", port)) as raw:
                    raw.send(raw.request("OPTIONS"))
                    if await raw.answer(within_s=0.5) is not None:
                        break
        async with nothing_left(other), TrialPhone() as staying:
            with RawSip(("127.0.0.1", port)) as raw:
                assert (await raw.invite(number="check")).status == 200
                assert await staying.dial("check", ("127.0.0.1", other.endpoint.port)) == 200
                async with asyncio.timeout(10):
                    while await pool.fetchval("SELECT count(*) FROM segment") < 2:
                        await asyncio.sleep(0.05)
                process.send_signal(signal.SIGKILL)
                async with asyncio.timeout(15):  # 10 are promised, to a machine that has time
                    while await pool.fetchval("SELECT count(*) FROM conversation WHERE ended_at IS NOT NULL") < 1:
                        await asyncio.sleep(0.1)
            row = await pool.fetchrow("SELECT ended_by, why, node_id FROM conversation WHERE ended_at IS NOT NULL")
            assert (row["ended_by"], row["why"]) == ("system", "the node is gone")
            assert row["node_id"] != other.id
            assert not staying.party.is_gone
            await heard_next(staying, 0.2)  # the other node's media flow
            staying.hang_up()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    assert await pool.fetchval("SELECT state FROM voice_node WHERE id <> $1", other.id) == "gone"


async def test_a_node_that_drains_takes_no_new_call_and_finishes_the_old(node, pool):
    async with TrialPhone() as first, TrialPhone() as second:
        assert await first.dial(NUMBER, ("127.0.0.1", node.endpoint.port)) == 200
        async with pool.acquire() as connection:
            assert await voice_nodes.drain(connection, node.id)
        await node._renew()
        assert await second.dial(NUMBER, ("127.0.0.1", node.endpoint.port)) == 503
        with RawSip(("127.0.0.1", node.endpoint.port)) as proxy:
            proxy.send(proxy.request("OPTIONS"))
            assert (await proxy.answer()).status == 503, "a proxy that asks leaves it out"
        assert not first.party.is_gone
        await first.press("9")
        await first.is_hung_up(within_s=20)


async def test_a_node_that_was_declared_gone_ends_its_calls_and_begins_anew(node, pool):
    async with nothing_left(node), TrialPhone() as phone:
        await phone.dial(NUMBER, ("127.0.0.1", node.endpoint.port))
        await node.timeline.written()
        before = node.id
        await pool.execute("UPDATE voice_node SET state = 'gone' WHERE id = $1", before)
        await node._renew()
        await phone.is_hung_up(within_s=20)
        assert node.id != before
        assert await phone.dial(NUMBER, ("127.0.0.1", node.endpoint.port)) == 200
        phone.hang_up()


async def test_a_database_that_is_away_costs_no_call_and_no_entry(node, pool):
    async with nothing_left(node), TrialPhone() as phone:
        await phone.dial(NUMBER, ("127.0.0.1", node.endpoint.port))
        await node.timeline.written()
        name = await pool.fetchval("SELECT current_database()")
        await pool.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            name,
        )
        await phone.press("9")
        await phone.is_hung_up(within_s=20)
    assert node.timeline.lost_entries == 0
    assert await pool.fetchval("SELECT why FROM conversation") == "hung_up"
