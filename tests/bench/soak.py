"""`python -m tests.bench.soak [--minutes 60] [--rate 4] [--write]`: does a voice node grow while it takes calls?

One node, calls at a steady rate, each with sixteen keys and a recording; what the node holds is looked at every ten
seconds. The verdict is `flat` or `grows`. A short run gives one too, but what fills once looks like a leak there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import linear_regression

import msgspec
import structlog
import uvloop

from tenderline.app import POOL_SIZE_MAX
from tests.bench.ground import ROOT, BenchmarkError, Ground
from tests.bench.memory import resident_mib
from tests.bench.report import Machine, machine
from tests.bench.telephone import WAIT_S, Node, voice_node
from tests.bench.voice import FLOW, KEYS, SCENARIO
from tests.support.sipp import sipp_command

PAGE = ROOT / "docs" / "soak.md"
LOOK_EVERY_S = 10.0
WARM_CALLS = 20
SETTLE_S = 5.0
CALL_S_MAX = 90.0
CALLS_AT_ONCE_S = 15.0
"""A call lasts less than this, so the rate times this is what the node must have room for."""
GROWTH_BYTES_MAX = 1 << 20
"""For each 1,000 calls, over the last two thirds: in the first one the memory of prompts, plans and pools fills."""
MIB_BYTES = 1 << 20
HOUR_MIN = 60.0
ROWS_MAX = 24
COLUMNS = ("minute", "calls begun", "memory, MiB", "open files", "calls in the node", "books open")


class Look(msgspec.Struct, kw_only=True):
    """What the node held at one instant."""

    at_s: float
    begun: int
    rss_mib: float
    descriptors: int
    calls: int
    """As the node itself counts them, when it renewed its lease last."""
    books: int
    """Conversations without an end."""

    def row(self) -> list[str]:
        """For a table."""
        return [
            f"{self.at_s / 60:.1f}",
            f"{self.begun:,}",
            f"{self.rss_mib:.1f}",
            str(self.descriptors),
            str(self.calls),
            str(self.books),
        ]


class Outcome(msgspec.Struct, kw_only=True):
    """A run, over."""

    minutes: float
    rate_per_s: float
    looks: list[Look]
    idle_before: Look
    idle_after: Look
    placed: int
    exact: int

    @property
    def slope_mib(self) -> float:
        """By how much memory grew for each 1,000 calls, over the last two thirds of the run."""
        late = self.looks[len(self.looks) // 3 :]
        if len({one.begun for one in late}) < 2:
            raise BenchmarkError("The run was too short to see whether anything grows.")
        return linear_regression([one.begun / 1_000 for one in late], [one.rss_mib for one in late]).slope

    def growth(self) -> list[str]:
        """What grew, in words; nothing when all is flat."""
        grown: list[str] = []
        if self.slope_mib * MIB_BYTES >= GROWTH_BYTES_MAX:
            grown.append(f"memory by {self.slope_mib:.2f} MiB for each 1,000 calls")
        more = self.idle_after.descriptors - self.idle_before.descriptors
        if more > POOL_SIZE_MAX:  # connections to the database come and go
            grown.append(f"open files by {more}")
        if self.idle_after.calls or self.idle_after.books:
            grown.append(
                f"calls that do not end: {self.idle_after.calls} in the node, {self.idle_after.books} in the books"
            )
        return grown

    def verdict(self) -> str:
        """One sentence."""
        grown = self.growth()
        first, last = self.idle_before, self.idle_after
        return (
            f"**{'grows' if grown else 'flat'}**: {'; '.join([*grown, ''])}{self.slope_mib:+.2f} MiB for each 1,000"
            f" calls over the last two thirds (bar: less than {GROWTH_BYTES_MAX / MIB_BYTES:g}); idle before and after:"
            f" {first.rss_mib:.1f} and {last.rss_mib:.1f} MiB, {first.descriptors} and {last.descriptors} open files;"
            f" {self.exact:,} of {self.placed:,} calls had their sixteen keys exactly."
        )


async def soak(minutes: float, rate_per_s: float) -> tuple[Machine, Outcome]:
    """The run."""
    placed = max(1, int(minutes * 60 * rate_per_s))
    at_once = max(WARM_CALLS, int(rate_per_s * CALLS_AT_ONCE_S))
    with Ground(durable=True) as ground:
        here = machine(await ground.server_version(), ground.folder)
        async with voice_node(ground, "line_check", FLOW, calls=at_once, record=True) as node:
            await _calls(node, WARM_CALLS, WARM_CALLS, WAIT_S)
            before = await _idle(node, 0.0)
            looks: list[Look] = []
            watching = asyncio.create_task(_watch(node, looks))
            try:
                await _calls(node, placed, rate_per_s, minutes * 60 + CALL_S_MAX)
            finally:
                watching.cancel()
            after = await _idle(node, minutes * 60)
            exact = (
                int(await node.pool.fetchval("SELECT count(*) FROM conversation WHERE keys = $1", KEYS)) - WARM_CALLS
            )
    here.load_after = os.getloadavg()[0]
    return here, Outcome(
        minutes=minutes,
        rate_per_s=rate_per_s,
        looks=looks,
        idle_before=before,
        idle_after=after,
        placed=placed,
        exact=exact,
    )


async def _calls(node: Node, calls: int, rate_per_s: float, within_s: float) -> None:
    """So many calls; a call that fails is missed in the books afterwards, and does not end the run."""
    process = await asyncio.create_subprocess_exec(
        *sipp_command(SCENARIO, "check", node.port, calls=calls, rate=rate_per_s),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=tempfile.gettempdir(),
    )
    try:
        await asyncio.wait_for(process.wait(), within_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _idle(node: Node, at_s: float) -> Look:
    """When no call is left, and the node has said so."""
    await node.until_counted()
    await asyncio.sleep(SETTLE_S)
    return await _look(node, at_s)


async def _watch(node: Node, looks: list[Look]) -> None:
    began_s = time.monotonic()
    while True:
        look = await _look(node, time.monotonic() - began_s)
        looks.append(look)
        print("  ".join(f"{name} {value}" for name, value in zip(COLUMNS, look.row(), strict=True)), file=sys.stderr)
        await asyncio.sleep(LOOK_EVERY_S - (time.monotonic() - began_s) % LOOK_EVERY_S)


async def _look(node: Node, at_s: float) -> Look:
    return Look(
        at_s=at_s,
        begun=int(await node.pool.fetchval("SELECT count(*) FROM conversation")) - WARM_CALLS,
        rss_mib=resident_mib(node.pid),
        descriptors=len(list(Path(f"/proc/{node.pid}/fd").iterdir())),
        calls=int(await node.pool.fetchval("SELECT sum(calls) FROM voice_node")),
        books=await node.open_conversations(),
    )


def table(looks: list[Look]) -> str:
    """The looks in Markdown, thinned out evenly to what can be read."""
    step = -(-len(looks) // ROWS_MAX)
    shown = looks[::step] if looks[-1] in looks[::step] else [*looks[::step], looks[-1]]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---:|" * len(COLUMNS)]
    return "\n".join([*lines, *("| " + " | ".join(look.row()) + " |" for look in shown)])


def page(at: Machine, outcome: Outcome) -> str:
    """The whole of `docs/soak.md`."""
    return f"""\
# Soak

Written by `make soak ARGS="--write"`. One voice node takes calls at a steady rate for an hour, and what it holds is
looked at every {LOOK_EVERY_S:g} s. Each call plays audio, presses sixteen keys and is recorded; {WARM_CALLS} calls
before warm the node up.

Measured on {at.date}: {at.cores} cores ({at.cpu}), {at.memory_gib:g} GiB, {at.system}, Python {at.python}, PostgreSQL
{at.postgresql}; {outcome.minutes:g} minutes, {outcome.rate_per_s:g} calls a second. The callers and the database share
the machine; load average {at.load_before:.1f} before and {at.load_after:.1f} after.

{outcome.verdict()}

{table(outcome.looks)}

Of {outcome.placed:,} calls, 1 KiB kept for each, or one file left open in every {outcome.placed // POOL_SIZE_MAX:,},
would make the verdict `grows`, and so would one call that does not end.
"""


def main() -> None:
    """The program; ends with 1 when something grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=HOUR_MIN, help="how long (default: an hour)")
    parser.add_argument("--rate", type=float, default=4.0, help="new calls a second")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}; for a full hour only")
    asked = parser.parse_args()
    if asked.write and asked.minutes < HOUR_MIN:
        parser.error("a page is written of a full hour only; leave out --write or --minutes")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
    at, outcome = uvloop.run(soak(asked.minutes, asked.rate))
    print(table(outcome.looks))
    print(outcome.verdict())
    if asked.write:
        PAGE.write_text(page(at, outcome), "utf-8")
        print(f"written to {PAGE.relative_to(ROOT)}", file=sys.stderr)
    sys.exit(1 if outcome.growth() else 0)


if __name__ == "__main__":
    main()
