"""Calls at once: one voice node as a process, callers by sipp, and a few lines on which packets are timed."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.ground import BenchmarkError, Ground, Say
from tests.bench.report import Result, all_of, middle, percentile
from tests.bench.sizes import Sizes
from tests.bench.telephone import WAIT_S, TimedLine, voice_node
from tests.support.sipp import sipp_command

SCENARIO = Path(__file__).parents[1] / "call" / "sixteen_keys.xml"
KEYS = "1234567890987654"
TIMED_LINES = 5
RATE = 20
FLOW = """
name = "line_check"
title = "Sixteen keys"
language = "en"
start = "ask"
[node.ask]
step = "collect"
text = "Sixteen keys, please. Thank you for waiting while everybody else presses theirs too."
variable = "keyed"
digits_min = 16
digits_max = 16
timeout_s = 60
tries_max = 1
exits = { collected = "bye", no_input = "bye", invalid = "bye" }
[node.bye]
step = "hangup"
text = "Goodbye."
"""
HOW = (
    "`tenderline voice` as a process of its own; {calls} calls of sipp at once ({rate} new ones a second), each plays"
    " audio, presses sixteen keys and is recorded; the flow speaks, collects and says goodbye. Processor time is the"
    " node's own, from the first call to the last. Send spacing is measured where it arrives, on five lines beside"
    " them: the distance of packets to 20 ms, with whatever the receiving threads add. sipp, the database and the"
    " receivers share the machine."
)


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Calls, as many at once as the size says."""
    calls = sizes.telephone_calls
    say("voice: the node starts")
    async with voice_node(ground, "line_check", FLOW, calls=calls, record=True) as node:
        timed = [TimedLine(node.port) for _ in range(TIMED_LINES)]
        for one in timed:
            one.start()
        began_s, used_s = time.monotonic(), node.cpu_s()
        say(f"voice: {calls} calls")
        await asyncio.to_thread(_sipp, node.port, calls)
        cores = (node.cpu_s() - used_s) / (time.monotonic() - began_s)
        for one in timed:
            one.stopping.set()
        for one in timed:
            await asyncio.to_thread(one.join, 10)
        await node.until_counted()
        exact = int(await node.pool.fetchval("SELECT count(*) FROM conversation WHERE keys = $1", KEYS))
    errors = sorted(error for one in timed for error in one.spacing_errors_ms())
    first_ms = [one.first_sound_ms for one in timed if one.first_sound_ms is not None]
    if not errors or not first_ms:
        raise BenchmarkError("no packet came on the timed lines")
    return Result(
        name="voice",
        title="Calls at once",
        how=HOW.format(calls=calls, rate=RATE),
        figures=[
            middle(f"{calls} calls with keys and recordings: cores used by the node", [cores], "ratio", at_most=0.5),
            middle("send spacing, p99 of the distance to 20 ms", [percentile(errors, 0.99)], unit="ms", at_most=5),
            middle("send spacing, median of the distance to 20 ms", [percentile(errors, 0.5)], unit="ms"),
            middle("first sound after the ACK", first_ms, unit="ms", at_most=100),
            all_of(f"calls whose sixteen keys arrived exactly, of {calls}", exact, calls),
        ],
    )


def _sipp(port: int, calls: int) -> None:
    done = subprocess.run(
        sipp_command(SCENARIO, "check", port, calls=calls, rate=RATE),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tempfile.gettempdir(),
        timeout=WAIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"sipp ended with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
