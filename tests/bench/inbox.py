"""The inbox over HTTP: group commit against one transaction for each request, on the same server."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.events import Shape, body
from tests.bench.ground import BenchmarkError, Ground, Say, api
from tests.bench.load import CONNECTIONS, Load, post
from tests.bench.report import Figure, Result, middle
from tests.bench.sizes import Sizes

RATE_MAX_PER_S = 25_000
"""No run posts more than this; it bounds what is signed in advance."""
SHAPES: tuple[Shape, ...] = ("small", "large")
GROUPED, EACH = "group commit", "one transaction each"
PEAK, HALF, SAME = "peak", "half of the peak", "the same rate"
HOW = (
    f"`tenderline api` as a process of its own on a durable PostgreSQL; {CONNECTIONS} connections from two client"
    " processes; every webhook is signed, verified, new, and on disk before its 2xx. At the peak each connection posts"
    " again when it was answered. For latencies all post at a constant rate, and the clock starts when a request"
    " should have left. The other server is the same one with an INSERT and a commit for each request, on its pool of"
    " 20 connections."
)


class _Runs:
    """The two servers, and what was measured on them so far."""

    def __init__(self, ground: Ground, url: str, ports: dict[str, int]) -> None:
        self._ground = ground
        self._url = url
        self._ports = ports
        self.loads: dict[tuple[str, Shape, str], list[Load]] = {}

    async def run(self, server: str, shape: Shape, kind: str, seconds: float, rate_per_s: float = 0.0) -> None:
        """One run on an empty inbox; raises when an acknowledged webhook is not there."""
        count = int((rate_per_s or RATE_MAX_PER_S) * seconds)
        async with self._ground.connection(self._url) as connection:
            await connection.execute("TRUNCATE inbox")
            await connection.execute("CHECKPOINT")
            load = await post(self._ports[server], shape, count=count, seconds_max=seconds, rate_per_s=rate_per_s)
            stored = await connection.fetchval("SELECT count(*) FROM inbox")
        if stored != load.acknowledged:
            raise BenchmarkError(f"{load.acknowledged} webhooks were acknowledged, {stored} are stored")
        self.loads.setdefault((server, shape, kind), []).append(load)

    def read(self, server: str, shape: Shape, kind: str, look: Callable[[Load], float]) -> list[float]:
        """One figure of each run."""
        return [look(load) for load in self.loads[server, shape, kind]]

    def half_of_peak_per_s(self, server: str, shape: Shape) -> float:
        """Half of the median peak so far."""
        return middle("", self.read(server, shape, PEAK, _rate)).value / 2


def _rate(load: Load) -> float:
    return load.rate_per_s


def _p50(load: Load) -> float:
    return load.latency_ms(0.5)


def _p99(load: Load) -> float:
    return load.latency_ms(0.99)


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Interleaved: grouped, each, grouped, each, …"""
    folder = ground.folder / "inbox"
    folder.mkdir()
    async with (
        ground.database() as url,
        api("tenderline", folder, url) as grouped,
        api("tests.bench.one_commit_each", folder, url) as each,
    ):
        runs = _Runs(ground, url, {GROUPED: grouped, EACH: each})
        for server in (GROUPED, EACH):
            say(f"inbox: warming up, {server}")
            await runs.run(server, "small", "warm", sizes.inbox_warm_s)
        for shape in SHAPES[: sizes.inbox_shapes]:
            for number in range(sizes.repeats):
                for server in (GROUPED, EACH):
                    say(f"inbox: peak, {server}, {shape} bodies, run {number + 1} of {sizes.repeats}")
                    await runs.run(server, shape, PEAK, sizes.inbox_run_s)
            rates = {GROUPED: runs.half_of_peak_per_s(GROUPED, shape), EACH: runs.half_of_peak_per_s(EACH, shape)}
            for number in range(sizes.repeats):
                say(f"inbox: latency, {shape} bodies, run {number + 1} of {sizes.repeats}")
                await runs.run(GROUPED, shape, HALF, sizes.inbox_run_s, rates[GROUPED])
                await runs.run(GROUPED, shape, SAME, sizes.inbox_run_s, rates[EACH])
                await runs.run(EACH, shape, SAME, sizes.inbox_run_s, rates[EACH])
    figures = [figure for shape in SHAPES[: sizes.inbox_shapes] for figure in _figures(runs, shape)]
    stored = sum(load.acknowledged for loads in runs.loads.values() for load in loads)
    figures.append(Figure(what=f"lost of {stored:,} acknowledged webhooks", value=0, kind="count", bar="0", met=True))
    return Result(name="inbox", title="Webhooks into the inbox, over HTTP", how=HOW, figures=figures)


def _figures(runs: _Runs, shape: Shape) -> list[Figure]:
    bytes_long = round(len(body(shape, b"aaaaaaaaaaaaaaa")), -1)
    what = f"{bytes_long:,}-byte webhooks"
    grouped, each = runs.read(GROUPED, shape, PEAK, _rate), runs.read(EACH, shape, PEAK, _rate)
    # In pairs: each run against the one right after it, so that a neighbour's load falls on both.
    faster = [a / b for a, b in zip(grouped, each, strict=True)]
    p99 = {server: runs.read(server, shape, SAME, _p99) for server in (GROUPED, EACH)}
    sooner = [b / a for a, b in zip(p99[GROUPED], p99[EACH], strict=True)]
    cores = runs.read(GROUPED, shape, PEAK, lambda load: load.cpu_s / load.seconds)
    of_half = runs.half_of_peak_per_s(EACH, shape)
    return [
        middle(f"{what}: peak rate, {GROUPED} to {EACH}", faster, "ratio", at_least=3),
        middle(f"{what}: p99 at the same rate ({of_half:,.0f}/s), {EACH} to {GROUPED}", sooner, "ratio"),
        middle(f"{what}: peak rate, {GROUPED}", grouped, unit="/s"),
        middle(f"{what}: peak rate, {EACH}", each, unit="/s"),
        middle(f"{what}: p50 at half of the peak, {GROUPED}", runs.read(GROUPED, shape, HALF, _p50), unit="ms"),
        middle(
            f"{what}: p99 at half of the peak, {GROUPED}", runs.read(GROUPED, shape, HALF, _p99), unit="ms", at_most=20
        ),
        middle(f"{what}: p99 at {of_half:,.0f}/s, {GROUPED}", p99[GROUPED], unit="ms"),
        middle(f"{what}: p99 at {of_half:,.0f}/s, {EACH}", p99[EACH], unit="ms"),
        middle(f"{what}: what the clients took at the peak of {GROUPED}", cores, unit="cores"),
    ]
