"""Callers who talk to agents through one node: what that costs it, and whether all of it arrives."""

from __future__ import annotations

import time

import msgspec

from tests.bench.ground import Ground, Say, child, hear, tell
from tests.bench.phone_farm import Direction, Job, Outcome
from tests.bench.report import Figure, Result, middle, percentile
from tests.bench.sizes import Sizes
from tests.bench.telephone import voice_node

CONNECT_S_MAX = 120.0
MARGIN_S = 30.0
HEARD_SHARE_MIN = 0.999
CPU_SHARE_MAX = 0.5
SPACING_MS_MAX = 5.0
FLOW = """
name = "agents"
title = "An agent at once"
language = "en"
start = "agents"
[node.agents]
step = "queue"
queue = "general"
exits = { talked = "bye", timed_out = "bye", nobody = "bye" }
[node.bye]
step = "hangup"
text = "Goodbye."
"""
HOW = (
    "{pairs} callers reach {pairs} agents, whose telephones are registered at the node, through a queue; both sides of"
    " every pair send 50 packets a second, and half of the callers speak A-law where the agents speak mu-law. All"
    " telephones are one process. Processor time is the node's own, for {seconds:g} s in which all are bridged and"
    " nobody calls or hangs up. A packet is lost when it is not heard on the other side, be it that it never came or"
    " came too late to be played. Send spacing is the distance of packets to 20 ms by the kernel's clock at the"
    " receiver. Packets that the telephones themselves send late show a machine that is too busy for these figures."
)


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """As many pairs at once as the size says."""
    pairs, seconds = sizes.bridged_pairs, sizes.bridged_s
    say("bridged: the node starts")
    async with (
        voice_node(ground, "agents", FLOW, calls=pairs, telephones=pairs, speaks_first=False) as node,
        child("tests.bench.phone_farm") as farm,
    ):
        say(f"bridged: {pairs} callers and their agents")
        job = Job(port=node.port, called="check", pairs=pairs, seconds=seconds, connect_s_max=CONNECT_S_MAX)
        await tell(farm, msgspec.json.encode(job))
        await hear(farm, CONNECT_S_MAX + MARGIN_S)
        began_s, used_s = time.monotonic(), node.cpu_s()
        say(f"bridged: {pairs} pairs talk for {seconds:g} s")
        await hear(farm, seconds + MARGIN_S)
        cores = (node.cpu_s() - used_s) / (time.monotonic() - began_s)
        outcome = msgspec.json.decode(await hear(farm, MARGIN_S), type=Outcome)
        await node.until_counted()
    return Result(
        name="bridged",
        title="Callers and agents, bridged",
        how=HOW.format(pairs=pairs, seconds=seconds),
        figures=_figures(pairs, seconds, cores, outcome),
    )


def _figures(pairs: int, seconds: float, cores: float, outcome: Outcome) -> list[Figure]:
    errors = outcome.spacing_errors_ms
    sent = outcome.from_callers.sent + outcome.from_agents.sent
    return [
        middle(f"{pairs} bridged pairs: cores used by the node", [cores], "ratio", at_most=CPU_SHARE_MAX),
        _heard("callers", outcome.from_callers),
        _heard("agents", outcome.from_agents),
        middle(
            "send spacing, p99 of the distance to 20 ms", [percentile(errors, 0.99)], unit="ms", at_most=SPACING_MS_MAX
        ),
        middle("send spacing, median of the distance to 20 ms", [percentile(errors, 0.5)], unit="ms"),
        middle("what the telephones took", [outcome.cpu_s / seconds], unit="cores"),
        middle(
            f"of {sent:,} packets the telephones sent within 20 ms of their time",
            [100 * (1 - outcome.late_sends / sent)],
            unit="%",
        ),
    ]


def _heard(speakers: str, way: Direction) -> Figure:
    what = f"of {way.sent:,} packets of {speakers} heard on the other side"
    return middle(what, [100 * (1 - way.lost / way.sent)], "ratio", "%", at_least=100 * HEARD_SHARE_MIN)
