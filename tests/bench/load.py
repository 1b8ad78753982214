"""The load generator as a benchmark uses it: several client processes that start together, and their answers as one."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec

from tests.bench.client import Job, Outcome
from tests.bench.events import Shape
from tests.bench.ground import SECRET, BenchmarkError, child, hear, tell
from tests.bench.report import percentile

CLIENTS = 2
CONNECTIONS = 64
PREPARE_TIMEOUT_S = 120.0
MARGIN_S = 120.0


@dataclass(frozen=True)
class Load:
    """What all clients saw together."""

    acknowledged: int
    refused: int
    started_at: float
    ended_at: float
    latencies_ms: list[float]
    cpu_s: float

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return self.ended_at - self.started_at

    @property
    def rate_per_s(self) -> float:
        """Acknowledged webhooks in a second."""
        return self.acknowledged / self.seconds

    def latency_ms(self, share: float) -> float:
        """The time within which that share was answered."""
        return percentile(self.latencies_ms, share)


async def post(
    port: int,
    shape: Shape,
    *,
    count: int,
    seconds_max: float,
    rate_per_s: float = 0.0,
    numbers: list[str] | None = None,
) -> Load:
    """Posts `count` webhooks (or as many as `seconds_max` allows in a closed loop) over 64 connections."""
    jobs: list[Job] = []
    run = "".join(secrets.choice("bcdfghjklmnpqrstvwxz") for _ in range(8))
    for number in range(CLIENTS):
        jobs.append(
            Job(
                port=port, secret=SECRET, prefix=f"{run}{'xyz'[number]}", connections=CONNECTIONS // CLIENTS,
                count=count // CLIENTS, seconds_max=seconds_max, shape=shape, rate_per_s=rate_per_s / CLIENTS,
                numbers=numbers[number::CLIENTS] if numbers else [],
            )
        )  # fmt: skip
    outcomes = await _run(jobs, seconds_max)
    statuses = [pair for outcome in outcomes for pair in outcome.statuses.items()]
    load = Load(
        acknowledged=sum(count for status, count in statuses if status.startswith("2")),
        refused=sum(count for status, count in statuses if not status.startswith("2")),
        started_at=min(outcome.started_at for outcome in outcomes),
        ended_at=max(outcome.ended_at for outcome in outcomes),
        latencies_ms=[one for outcome in outcomes for one in outcome.latencies_ms],
        cpu_s=sum(outcome.cpu_s for outcome in outcomes),
    )
    if load.refused:
        raise BenchmarkError(f"{load.refused} webhooks were not answered with 2xx: {statuses}")
    return load


async def _run(jobs: list[Job], seconds_max: float) -> list[Outcome]:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(child("tests.bench.client")) for _ in jobs]
        for client, job in zip(clients, jobs, strict=True):
            await tell(client, msgspec.json.encode(job))
        await asyncio.gather(*(hear(client, PREPARE_TIMEOUT_S) for client in clients))
        await asyncio.gather(*(tell(client, b"go") for client in clients))
        lines = await asyncio.gather(*(hear(client, seconds_max + MARGIN_S) for client in clients))
        return [msgspec.json.decode(line, type=Outcome) for line in lines]
