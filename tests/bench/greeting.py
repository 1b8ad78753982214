"""How soon a caller hears something while the database takes seconds to say who she is."""

from __future__ import annotations

import asyncio

from tenderline.routing.lookup import OWN_AT_ONCE_MAX
from tests.bench.ground import BenchmarkError, Ground, Say
from tests.bench.report import Result, all_of, middle, percentile
from tests.bench.sizes import Sizes
from tests.bench.telephone import LOOK_AGAIN_S, WAIT_S, Node, TimedLine, voice_node

CALLS_PER_S = 8.0
LOOKUP_S_MAX = 10
FIRST_SOUND_MS_MAX = 100.0
FLOW = f"""
name = "who"
title = "Who is it?"
language = "en"
start = "greeting"
[node.greeting]
step = "say"
text = "Hello."
next = "who"
[node.who]
step = "lookup"
variables = ["name"]
timeout_s = {LOOKUP_S_MAX}
exits = {{ found = "bye", unknown = "bye", timed_out = "bye" }}
[node.bye]
step = "hangup"
text = "Goodbye."
"""
HOW = (
    "Callers are looked up from their first ring; the flow says hello and waits for the answer. Another transaction"
    " has locked the table of cases, which that reads, and lets go of it {seconds:g} s after the last of {calls}"
    " callers began to be looked up. {rate:g} calls begin a second:"
    " all but the first begin while look-ups wait, {at_once} of them with a connection of the node's pool, the others"
    " for one of these places. The clock runs from"
    " the ACK to the first packet that is not silence, at the caller's socket."
)
WAITING = "SELECT count(*) FROM pg_locks WHERE relation = 'recovery_case'::regclass AND NOT granted"
SLOW = (
    "SELECT count(*) FROM flow_step s JOIN conversation c ON c.id = s.conversation_id"
    " WHERE s.step = 'lookup' AND s.exit = 'unknown' AND s.left_at - c.started_at >= make_interval(secs => $1)"
)


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Rounds of calls, each with the table locked anew."""
    calls = sizes.slow_calls
    first_ms: list[float] = []
    say("greeting: the node starts")
    async with voice_node(ground, "who", FLOW, calls=calls) as node:
        for number in range(sizes.slow_rounds):
            say(f"greeting: round {number + 1} of {sizes.slow_rounds}, every look-up takes {sizes.slow_s:g} s")
            first_ms += await _round(node, calls, sizes.slow_s)
        slow = int(await node.pool.fetchval(SLOW, sizes.slow_s))
    placed = sizes.slow_rounds * calls
    if not first_ms:
        raise BenchmarkError("no caller heard anything")
    return Result(
        name="greeting",
        title="The greeting while look-ups are slow",
        how=HOW.format(calls=calls, seconds=sizes.slow_s, rate=CALLS_PER_S, at_once=OWN_AT_ONCE_MAX),
        figures=[
            middle(
                f"first sound after the ACK, p99, every look-up takes {sizes.slow_s:g} s",
                [percentile(first_ms, 0.99)],
                unit="ms",
                at_most=FIRST_SOUND_MS_MAX,
            ),
            middle("first sound after the ACK", first_ms, unit="ms"),
            all_of("calls in which something was heard", len(first_ms), placed),
            all_of("look-ups that took so long and were answered", slow, placed),
        ],
    )


async def _round(node: Node, calls: int, slow_s: float) -> list[float]:
    """The first sounds of one round, in ms."""
    timed = [TimedLine(node.port, f"+1202555{number:04d}") for number in range(100, 100 + calls)]
    async with node.pool.acquire() as connection, connection.transaction():
        # Not the numbers: the books of a call read those too, and what waits here shall be the look-ups alone.
        await connection.execute("LOCK TABLE recovery_case IN ACCESS EXCLUSIVE MODE")
        for one in timed:
            one.start()
            await asyncio.sleep(1 / CALLS_PER_S)
        async with asyncio.timeout(WAIT_S):
            while await connection.fetchval(WAITING) < min(calls, OWN_AT_ONCE_MAX):
                await asyncio.sleep(LOOK_AGAIN_S)
        await asyncio.sleep(slow_s)
    for one in timed:
        await asyncio.to_thread(one.join, WAIT_S)
    await node.until_counted()
    return [one.first_sound_ms for one in timed if one.first_sound_ms is not None]
