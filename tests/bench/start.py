"""How soon the command line answers."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench.ground import ROOT, Ground, Say
from tests.bench.report import Result, middle
from tests.bench.sizes import Sizes
from tests.bench.timing import ratios

START_TIMEOUT_S = 60.0
HELP, NOTHING = "tenderline --help", "python -c pass"
COMMANDS = {
    HELP: [sys.executable, "-m", "tenderline", "--help"],
    NOTHING: [sys.executable, "-c", "pass"],
}
HOW = "A new process each time, from its start to its end, in turns with a Python that does nothing."


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=START_TIMEOUT_S)
    return time.perf_counter() - start


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Both in turns; the first start of each fills the page cache and does not count."""
    del ground
    say("start")
    for command in COMMANDS.values():
        _seconds(command)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(sizes.repeats * sizes.starts):
        for name, command in COMMANDS.items():
            taken[name].append(_seconds(command) * 1000)
    figures = [
        middle(f"{HELP} to {NOTHING}", ratios(taken[HELP], taken[NOTHING]), "ratio"),
        *(middle(name, runs, unit="ms") for name, runs in taken.items()),
    ]
    return Result(name="start", title="Start of the command line", how=HOW, figures=figures)
