"""Agents' browsers beside telephones on one node: what they cost it, and whether the telephones' packets suffer."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec

from tests.bench import browser_farm
from tests.bench.bridged import CONNECT_S_MAX, FLOW, MARGIN_S
from tests.bench.ground import Ground, Say, child, hear, tell
from tests.bench.phone_farm import Job, Outcome
from tests.bench.report import Figure, Result, middle, percentile
from tests.bench.sizes import Sizes
from tests.bench.telephone import LOOK_AGAIN_S, WAIT_S, TimedLine, voice_node

SPACING_MS_MAX = 5.0
SPACING_RATIO_MAX = 1.5
HOW = (
    "{pairs} callers talk with {pairs} agents on telephones, as in “bridged”, once alone on a node and once beside"
    " {peers} agents in browsers (ICE, DTLS and SRTP as a browser does them, by a program that is none:"
    " no Chromium runs here), each of whom talks with a caller, too. Send spacing is that of the telephones' packets,"
    " by the kernel's clock. The processor time of a browser's call is what the node used more, with its caller, over"
    " {seconds:g} s."
)


@dataclass(frozen=True)
class _Seen:
    cores: float
    spacing_errors_ms: list[float]


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """The same telephones without and with browsers beside them."""
    pairs, peers = sizes.browser_pairs, sizes.browsers
    alone = await _measure(ground, sizes, say, peers=0)
    beside = await _measure(ground, sizes, say, peers=peers)
    return Result(
        name="browsers",
        title="Agents in browsers beside agents on telephones",
        how=HOW.format(pairs=pairs, peers=peers, seconds=sizes.bridged_s),
        figures=_figures(pairs, peers, alone, beside),
    )


async def _measure(ground: Ground, sizes: Sizes, say: Say, *, peers: int) -> _Seen:
    pairs, seconds = sizes.browser_pairs, sizes.bridged_s
    say(f"browsers: the node starts, for {pairs} telephones and {peers} browsers")
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(
            voice_node(
                ground,
                "agents",
                FLOW,
                calls=pairs + peers,
                telephones=pairs,
                speaks_first=False,
                VOICE__BROWSER_AUTO_ANSWER="true",
            )
        )
        callers: list[TimedLine] = []
        if peers:
            farm = await stack.enter_async_context(child("tests.bench.browser_farm"))
            await tell(farm, msgspec.json.encode(browser_farm.Job(database_url=node.database_url, peers=peers)))
            await hear(farm, browser_farm.CONNECT_S_MAX)
            callers = [TimedLine(node.port, f"+1202555{9_000 + number}") for number in range(peers)]
            for one in callers:
                one.start()
            async with asyncio.timeout(WAIT_S):
                while await node.pool.fetchval("SELECT count(*) FROM browser_phone WHERE state = 'talking'") < peers:
                    await asyncio.sleep(LOOK_AGAIN_S)
        phones = await stack.enter_async_context(child("tests.bench.phone_farm"))
        job = Job(port=node.port, called="check", pairs=pairs, seconds=seconds, connect_s_max=CONNECT_S_MAX)
        await tell(phones, msgspec.json.encode(job))
        await hear(phones, CONNECT_S_MAX + MARGIN_S)
        began_s, used_s = time.monotonic(), node.cpu_s()
        say(f"browsers: all talk for {seconds:g} s")
        await hear(phones, seconds + MARGIN_S)
        cores = (node.cpu_s() - used_s) / (time.monotonic() - began_s)
        outcome = msgspec.json.decode(await hear(phones, MARGIN_S), type=Outcome)
        for one in callers:
            one.stopping.set()
            await asyncio.to_thread(one.join, WAIT_S)
        await node.until_counted()
        return _Seen(cores, outcome.spacing_errors_ms)


def _figures(pairs: int, peers: int, alone: _Seen, beside: _Seen) -> list[Figure]:
    before, after = (percentile(one.spacing_errors_ms, 0.99) for one in (alone, beside))
    return [
        middle(f"{pairs} pairs alone: cores used by the node", [alone.cores]),
        middle(f"{pairs} pairs and {peers} browsers' calls: cores used by the node", [beside.cores]),
        middle("a browser's call, in % of a core", [100 * max(1e-6, beside.cores - alone.cores) / peers], unit="%"),
        middle("a telephone's call, in % of a core", [100 * alone.cores / pairs], unit="%"),
        middle("send spacing of the telephones alone, p99 of the distance to 20 ms", [before], unit="ms"),
        middle(
            "send spacing of the telephones beside browsers, p99 of the distance to 20 ms",
            [after],
            unit="ms",
            at_most=SPACING_MS_MAX,
        ),
        middle("the second over the first", [after / before], "ratio", at_most=SPACING_RATIO_MAX),
    ]
