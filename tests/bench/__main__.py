"""`python -m tests.bench [NAME …] [--quick] [--json]`: measures, shows, and after a full run writes the page."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec
import structlog
import uvloop
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench import (
    bridged,
    browsers,
    captures,
    confirmed,
    decide,
    desks,
    gate,
    greeting,
    inbox,
    routing,
    spike,
    start,
    verify,
    voice,
)
from tests.bench.ground import ROOT, Ground, Say
from tests.bench.render import number, page
from tests.bench.report import Report, Result, machine
from tests.bench.sizes import FULL, QUICK, Sizes

TABLE_WIDTH = 140
PAGE = ROOT / "docs" / "benchmarks.md"
Benchmark = Callable[[Ground, Sizes, Say], Awaitable[Result]]
BENCHMARKS: dict[str, Benchmark] = {
    "inbox": inbox.run,
    "gate": gate.run,
    "spike": spike.run,
    "decide": decide.run,
    "verify": verify.run,
    "start": start.run,
    "voice": voice.run,
    "bridged": bridged.run,
    "browsers": browsers.run,
    "greeting": greeting.run,
    "routing": routing.run,
    "captures": captures.run,
    "confirmed": confirmed.run,
    "desks": desks.run,
}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it all still run?")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    return asked


@contextmanager
def progress() -> Iterator[Say]:
    """Says what is being done, in place on a terminal and line by line elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: print(text, file=sys.stderr, flush=True)
        return
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda text: bar.update(task, description=text)


async def measure(names: list[str], sizes: Sizes, say: Say) -> Report:
    """Runs the named benchmarks, one after the other, on one ground."""
    with Ground(durable=sizes.is_full) as ground:
        report = Report(machine=machine(await ground.server_version(), ground.folder), full=sizes.is_full, results=[])
        for name in names:
            began_s = time.monotonic()
            result = await BENCHMARKS[name](ground, sizes, say)
            result.took_s = time.monotonic() - began_s
            report.results.append(result)
        report.machine.load_after = os.getloadavg()[0]
        return report


def show(report: Report) -> None:
    """A table on the terminal."""
    table = Table("benchmark", "what", "figure", "bar")
    for result in report.results:
        for one in result.figures:
            verdict = "" if one.met is None else f"{one.bar}: {'met' if one.met else 'MISSED'}"
            table.add_row(result.name, one.what, number(one), verdict)
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table)


def main() -> None:
    """The program."""
    asked = arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
    sizes = QUICK if asked.quick else FULL
    with progress() as say:
        report = uvloop.run(measure(asked.names or list(BENCHMARKS), sizes, say))
    if asked.json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)
    if report.full and not asked.names:
        PAGE.write_text(page(report), "utf-8")
        print(f"written to {PAGE.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
