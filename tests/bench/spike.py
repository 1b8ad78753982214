"""A billing day: thousands of failed payments at once into the whole product, and the messages that follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import msgspec

from tenderline import config
from tenderline.serve import run_everything
from tests.bench import carrier, memory, payers
from tests.bench.carrier import Ready, Seen
from tests.bench.ground import (
    START_TIMEOUT_S,
    BenchmarkError,
    Ground,
    Say,
    child,
    environment,
    free_port,
    hear,
    tell,
    until_answering,
)
from tests.bench.load import CONNECTIONS, Load, post
from tests.bench.memory import Held
from tests.bench.report import Figure, Result, middle, percentile
from tests.bench.sizes import Sizes

LOOK_S = 0.5
WARM_PAYERS = 40
WARM_BOUND_S = 60.0
ACK_BOUND_S = 120.0
HOW = (
    "`serve.run_everything` (one API process, one worker, durable PostgreSQL) with its default settings, but"
    " `recovery.merge_hold_s = 0`; {payers:,} signed failures of {payers:,} payers, payment intents and invoices in"
    f" turns, each posted once over {CONNECTIONS} connections, as fast as they are acknowledged. The carrier is the"
    " sandbox, which posts three receipts for each message back to the same API. Product, database, carrier and"
    " clients share the machine."
)

_PROGRESS = """
SELECT (SELECT count(*) FROM inbox WHERE source = 'stripe') AS stored,
    (SELECT count(*) FROM recovery_case) AS cases,
    (SELECT count(*) FROM attempt WHERE handed_over_at IS NOT NULL) AS handed_over,
    (SELECT count(*) FROM inbox WHERE state = 'dead') AS dead
"""
_TIMES = """
SELECT extract(epoch FROM c.opened_at - i.received_at)::float8 AS opened_s,
    extract(epoch FROM a.handed_over_at - i.received_at)::float8 AS sent_s,
    extract(epoch FROM c.opened_at)::float8 AS opened_at
FROM inbox i
JOIN recovery_case c ON i.subject IN ('stripe:' || c.transaction_id)
JOIN LATERAL (SELECT min(handed_over_at) AS handed_over_at FROM attempt WHERE case_id = c.id) a ON true
WHERE i.source = 'stripe' AND i.received_at >= to_timestamp($1)
"""


@dataclass
class _Street:
    """The running product, the carrier beside it, and a connection to look into the database."""

    port: int
    carrier: asyncio.subprocess.Process
    database: asyncpg.Connection[asyncpg.Record]

    async def seen(self) -> Seen:
        """What has reached the carrier."""
        await tell(self.carrier, b"")
        return msgspec.json.decode(await hear(self.carrier, START_TIMEOUT_S), type=Seen)

    async def until_sent(self, count: int, bound_s: float, say: Say) -> bool:
        """Waits until that many messages left; False when the time is over."""
        deadline = asyncio.get_running_loop().time() + bound_s
        while asyncio.get_running_loop().time() < deadline:
            row = await self.database.fetchrow(_PROGRESS)
            assert row is not None
            say(f"spike: {row['cases']:,} cases, {row['handed_over']:,} of {count:,} messages")
            if row["handed_over"] >= count:
                return True
            await asyncio.sleep(LOOK_S)
        return False


@asynccontextmanager
async def _street(ground: Ground) -> AsyncIterator[_Street]:
    """Both sides on loopback, on a fresh database."""
    port = free_port()
    folder = ground.folder / "spike"
    folder.mkdir()
    async with (
        ground.database() as url,
        ground.connection(url) as connection,
        child("tests.bench.carrier", f"http://127.0.0.1:{port}") as other_side,
    ):
        ready = msgspec.json.decode(await hear(other_side, START_TIMEOUT_S), type=Ready)
        env = environment(
            folder, port, DATABASE_URL=url, RECOVERY__MERGE_HOLD_S="0", TWILIO__ACCOUNT_SID=carrier.ACCOUNT,
            TWILIO__AUTH_TOKEN=carrier.TOKEN, TWILIO__FROM_NUMBER=carrier.FROM, TWILIO__API_URL=ready.url,
            STRIPE__API_URL=ready.url,
        )  # fmt: skip
        stop = asyncio.Event()
        settings = config.load({}, {key: value for key, value in env.items() if key.startswith(config.ENV_PREFIX)})
        running = asyncio.create_task(run_everything(settings.settings, stop=stop, environment=env))
        try:
            await until_answering(port, lambda: not running.done())
            yield _Street(port, other_side, connection)
        finally:
            stop.set()
            await running


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """One spike; what is compared lies within it."""
    count = sizes.spike_payers
    numbers = payers.numbers(count + WARM_PAYERS)
    async with _street(ground) as street:
        say("spike: warming up")
        await post(street.port, "payer", count=WARM_PAYERS, seconds_max=WARM_BOUND_S, numbers=numbers[count:])
        if not await street.until_sent(WARM_PAYERS, WARM_BOUND_S, say):
            raise BenchmarkError("The product does not send.")
        async with memory.watched(memory.product_children()) as held:
            say(f"spike: posting {count:,} failures")
            load = await post(street.port, "payer", count=count, seconds_max=ACK_BOUND_S, numbers=numbers[:count])
            all_sent = await street.until_sent(count + WARM_PAYERS, sizes.spike_bound_s, say)
        seen = await street.seen()
        progress = await street.database.fetchrow(_PROGRESS)
        times = await street.database.fetch(_TIMES, load.started_at)
    assert progress is not None
    lost = count + WARM_PAYERS - progress["stored"]
    if lost or progress["dead"] or load.acknowledged != count or seen.recipients != seen.messages:
        raise BenchmarkError(f"{dict(progress)}; {load.acknowledged} acknowledged; {seen.messages} messages")
    figures = [*_times(load, times, seen, count), *_memory(held), *_counts(load, times, seen, count, all_sent)]
    return Result(name="spike", title=f"{count:,} webhooks at once", how=HOW.format(payers=count), figures=figures)


def _times(load: Load, times: list[asyncpg.Record], seen: Seen, count: int) -> list[Figure]:
    fresh = [(at, messages - WARM_PAYERS) for at, messages in seen.arrived if messages > WARM_PAYERS]
    first_s, last_s = fresh[0][0] - load.started_at, fresh[-1][0] - load.started_at
    opened_s = max(row["opened_at"] for row in times) - load.started_at
    sent = [row["sent_s"] for row in times if row["sent_s"] is not None]
    return [
        Figure(
            what="first message at the carrier, as a share of the time until the last webhook is acknowledged",
            value=first_s / load.seconds, kind="ratio", bar="less than 1", met=first_s < load.seconds,
        ),
        Figure(what="first message at the carrier after", value=first_s, kind="absolute", unit="s"),
        Figure(what="last webhook acknowledged after", value=load.seconds, kind="absolute", unit="s"),
        Figure(what="acknowledged", value=load.rate_per_s, kind="absolute", unit="/s"),
        Figure(what="acknowledged within, p50", value=load.latency_ms(0.5), kind="absolute", unit="ms"),
        Figure(what="acknowledged within, p99", value=load.latency_ms(0.99), kind="absolute", unit="ms"),
        Figure(what="every case open after", value=opened_s, kind="absolute", unit="s"),
        Figure(what="last message at the carrier after", value=last_s, kind="absolute", unit="s"),
        Figure(what="messages", value=fresh[-1][1] / (last_s - first_s or 1), kind="absolute", unit="/s"),
        middle("from the webhook's arrival to the message's leaving, p50", [percentile(sent, 0.5)], unit="s"),
        middle("from the webhook's arrival to the message's leaving, p99", [percentile(sent, 0.99)], unit="s"),
    ]  # fmt: skip


def _memory(held: dict[str, Held]) -> list[Figure]:
    names = {"api": "API process", "work": "worker"}
    figures: list[Figure] = []
    for command, one in sorted(held.items()):
        name = names.get(command, command)
        figures += [
            Figure(what=f"memory of the {name}: peak to before", value=one.peak / one.before, kind="ratio"),
            Figure(what=f"memory of the {name}: before", value=one.before, kind="absolute", unit="MiB"),
            Figure(what=f"memory of the {name}: peak", value=one.peak, kind="absolute", unit="MiB"),
            Figure(what=f"memory of the {name}: after", value=one.after, kind="absolute", unit="MiB"),
        ]
    return figures


def _counts(load: Load, times: list[asyncpg.Record], seen: Seen, count: int, all_sent: bool) -> list[Figure]:
    messages = seen.messages - WARM_PAYERS
    wanted = f"{count:,}"
    return [
        Figure(
            what="answered with 2xx", value=load.acknowledged, kind="count", bar=wanted, met=load.acknowledged == count
        ),
        Figure(what="cases opened", value=len(times), kind="count", bar=wanted, met=len(times) == count),
        Figure(
            what="payers who got a message, each exactly one", value=messages, kind="count", bar=wanted,
            met=all_sent and messages == count,
        ),
    ]  # fmt: skip
