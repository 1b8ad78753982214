"""What a benchmark hands back: figures with their bars, in a form that a page and a program can both show."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

SYNC_BYTES = 8_192
SYNC_TRIES = 200
Kind = Literal["ratio", "absolute", "count"]


class Figure(msgspec.Struct, kw_only=True):
    """One number. Of several runs it is the median; `runs` keeps them all."""

    what: str
    value: float
    kind: Kind
    unit: str = ""
    runs: list[float] = []
    bar: str = ""
    """What it is held against, in words; empty when nothing was promised."""
    met: bool | None = None


class Result(msgspec.Struct, kw_only=True):
    """One benchmark, done."""

    name: str
    title: str
    how: str
    figures: list[Figure]
    took_s: float = 0.0


class Machine(msgspec.Struct, kw_only=True):
    """Where it was measured, and how busy the machine was with other things."""

    date: str
    cpu: str
    cores: int
    memory_gib: float
    python: str
    postgresql: str
    system: str
    sync_ms: float
    load_before: float
    load_after: float = 0.0


class Report(msgspec.Struct, kw_only=True):
    """Everything of one run."""

    machine: Machine
    full: bool
    results: list[Result]


def middle(
    what: str,
    runs: list[float],
    kind: Kind = "absolute",
    unit: str = "",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Figure:
    """The median of several runs, held against a bound when one is given."""
    value = median(runs)
    bar, met = "", None
    if at_least is not None:
        bar, met = f"at least {at_least:g}{unit and ' ' + unit}", value >= at_least
    elif at_most is not None:
        bar, met = f"at most {at_most:g}{unit and ' ' + unit}", value <= at_most
    return Figure(what=what, value=value, kind=kind, unit=unit, runs=runs, bar=bar, met=met)


def all_of(what: str, done: int, of: int) -> Figure:
    """A count that is right only when it is complete."""
    return Figure(what=what, value=done, kind="count", bar=f"{of:,}", met=done == of)


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of all lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine(postgresql: str, folder: Path) -> Machine:
    """This machine, now. `folder` lies on the disk that the database will use."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory_kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return Machine(
        date=datetime.now(UTC).date().isoformat(),
        cpu=cpu,
        cores=os.cpu_count() or 0,
        memory_gib=round(memory_kib / 2**20, 1),
        python=platform.python_version(),
        postgresql=postgresql,
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        sync_ms=_sync_ms(folder),
        load_before=os.getloadavg()[0],
    )


def _sync_ms(folder: Path) -> float:
    """The median time in which the disk takes one page for certain: what a commit waits for."""
    taken: list[float] = []
    descriptor = os.open(folder / "sync", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, bytes(SYNC_BYTES))
        os.fsync(descriptor)
        for _ in range(SYNC_TRIES):
            os.pwrite(descriptor, bytes(SYNC_BYTES), 0)
            start = time.perf_counter()
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - start) * 1000)
    finally:
        os.close(descriptor)
    return median(taken)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []
