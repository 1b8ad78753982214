"""The gate: claims of due contacts with it, against the same claims without it."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tenderline.compliance.facts import PersonFacts
from tenderline.demo.daytime import is_hour_of
from tenderline.store import places
from tests.bench.gate_worker import LEASE_S, Job, Outcome, Variant
from tests.bench.ground import BenchmarkError, Ground, Say, child, hear, tell
from tests.bench.payers import AHEAD
from tests.bench.report import Figure, Result, middle
from tests.bench.sizes import Sizes

BATCH = 500
WARM_BATCHES = 2
VARIANTS: tuple[Variant, ...] = ("gate", "lease and event", "bare lease")
ZONES = 8
TURN_TIMEOUT_S = 240.0
ROWS = Path(__file__).with_name("gate_rows.sql").read_text("utf-8")
# Wherever the sun stands, eight of these have day.
_CANDIDATES = (
    "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Anchorage",
    "Pacific/Honolulu", "America/Sao_Paulo", "America/Halifax", "America/St_Johns", "Atlantic/Azores",
    "Europe/London", "Europe/Berlin", "Europe/Athens", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka",
    "Asia/Bangkok", "Asia/Singapore", "Asia/Tokyo", "Australia/Adelaide", "Australia/Sydney", "Pacific/Noumea",
    "Pacific/Auckland", "Pacific/Tongatapu", "Pacific/Apia",
)  # fmt: skip
HOW = (
    "{rows:,} contacts are due, each of another person with a debt of her own, in eight zones where it is day and in"
    " forty states, with all rules of the shipped files; batches"
    " of 500. Every run begins on a fresh copy of the same database. Through the gate is `store.attempts.claim`."
    " Around it is the same lease on the same rows with nobody locked, nothing read and nothing decided: bare, or with"
    " the event that the gate writes too."
)


def zones_by_day() -> list[str]:
    """Eight zones in which somebody may be contacted now, to the end of the leases, whichever of the states she lies
    in."""
    now = datetime.now(UTC)
    states = re.findall(r"'(US-[A-Z]{2})'", ROWS)
    instants = (now, now + AHEAD + timedelta(seconds=LEASE_S))
    found = [
        name
        for name in _CANDIDATES
        if all(
            is_hour_of(PersonFacts(zones=(name,), regions=("US", one)), instant)
            for one in states
            for instant in instants
        )
    ][:ZONES]
    if len(found) < ZONES:
        raise BenchmarkError(f"It is day in {len(found)} of the benchmark's zones only; add some.")
    return found


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Interleaved: gate, lease and event, bare lease, gate, …, with one process and with two."""
    outcomes: dict[tuple[Variant, int], list[float]] = {}
    cpu: dict[Variant, list[float]] = {}
    async with ground.database() as prepared:
        say(f"gate: making {sizes.gate_rows:,} due contacts")
        await _fill(ground, prepared, sizes.gate_rows)
        for number in range(sizes.repeats):
            for processes in sizes.gate_processes:
                for variant in VARIANTS:
                    say(f"gate: {variant}, processes: {processes}, run {number + 1} of {sizes.repeats}")
                    async with ground.copy_of(prepared) as url:
                        rate_per_s, cpu_us = await _claim(url, variant, processes, sizes.gate_batches)
                    outcomes.setdefault((variant, processes), []).append(rate_per_s)
                    cpu.setdefault(variant, []).append(cpu_us)
    figures = [figure for processes in sizes.gate_processes for figure in _figures(outcomes, processes)]
    figures += [middle(f"time of our own process for each contact: {one}", cpu[one], unit="µs") for one in VARIANTS]
    claimed = sum(len(runs) * processes for (_, processes), runs in outcomes.items()) * sizes.gate_batches * BATCH
    figures.append(
        Figure(what=f"claimed twice or not at all, of {claimed:,}", value=0, kind="count", bar="0", met=True)
    )
    return Result(name="gate", title="Claims through the gate", how=HOW.format(rows=sizes.gate_rows), figures=figures)


async def _fill(ground: Ground, url: str, rows: int) -> None:
    parts = re.split(r"^-- name: (\w+)$", ROWS, flags=re.MULTILINE)
    async with ground.connection(url) as connection:
        for name, statement in zip(parts[1::2], parts[2::2], strict=True):
            values = {"people": (rows, zones_by_day(), places.version()), "lists": (rows,), "news": (rows,)}.get(
                name, ()
            )
            await connection.execute(statement, *values)
        await connection.execute("VACUUM ANALYZE")


async def _claim(url: str, variant: Variant, processes: int, turns: int) -> tuple[float, float]:
    """Contacts leased in a second by all processes together, and the CPU time of ours for each, in µs."""
    job = msgspec.json.encode(Job(url=url, variant=variant, batch=BATCH, turns=turns))
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(child("tests.bench.gate_worker")) for _ in range(processes)]
        await asyncio.gather(*(tell(worker, job) for worker in workers))
        await asyncio.gather(*(hear(worker, TURN_TIMEOUT_S) for worker in workers))
        await asyncio.gather(*(tell(worker, b"go") for worker in workers))
        lines = await asyncio.gather(*(hear(worker, TURN_TIMEOUT_S) for worker in workers))
        await asyncio.gather(*(worker.wait() for worker in workers))
    outcomes = [msgspec.json.decode(line, type=Outcome) for line in lines]
    leased = sum(outcome.leased for outcome in outcomes)
    if leased != processes * turns * BATCH:
        raise BenchmarkError(f"{variant}: {leased} of {processes * turns * BATCH} contacts were leased")
    seconds = max(outcome.ended_s for outcome in outcomes) - min(outcome.started_s for outcome in outcomes)
    return leased / seconds, sum(outcome.cpu_s for outcome in outcomes) / leased * 1e6


def _figures(rates: dict[tuple[Variant, int], list[float]], processes: int) -> list[Figure]:
    gate = rates["gate", processes]
    what = "one process" if processes == 1 else f"{processes} processes"
    figures: list[Figure] = []
    for variant in VARIANTS[1:]:
        ratios = [a / b for a, b in zip(gate, rates[variant, processes], strict=True)]
        bar = 0.5 if variant == "lease and event" else None
        figures.append(middle(f"{what}: gate to {variant}", ratios, "ratio", at_least=bar))
    return figures + [middle(f"{what}: {one}", rates[one, processes], unit="contacts/s") for one in VARIANTS]
