"""From the bank's webhook to the instant at which a caller who waits can be thanked."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time

import aiohttp
import asyncpg

from tenderline import config
from tenderline.core.ids import uuid7
from tenderline.serve import run_everything
from tenderline.store import db
from tenderline.voice.backstage import DatabaseBackstage
from tests.bench.ground import SECRET, BenchmarkError, Ground, Say, environment, free_port, until_answering
from tests.bench.report import Result, all_of, middle, percentile
from tests.bench.sizes import Sizes
from tests.support import services, world
from tests.support.product import succeeded_payment

WAIT_S = 10.0
CONFIRMED_MS_MAX = 1_000.0
HOW = (
    "`serve.run_everything` (one API process, one worker, durable PostgreSQL). {calls} callers, one after the other,"
    " wait for the bank's word as the step `await_settlement` does; the signed webhook is posted at some moment of"
    " the wait. Measured from the first byte of the webhook to the end of the wait, in one clock; the sentence that"
    " follows is a clip that is ready."
)
_CHARGED = """
WITH s AS (
    INSERT INTO capture_session
        (id, person_id, conversation_id, mode, gateway, amount_minor, currency, reference, state)
    VALUES ($1, $2, $1, 'automated', 'stripe', 2500, 'USD', $3, 'charged')
)
INSERT INTO charge (id, session_id, gateway, transaction_id, token, brand, last_four, state)
VALUES ($1, $1, 'stripe', $3, 'pm_1', 'visa', '4242', 'taken')
"""


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Caller after caller."""
    async with ground.database() as url:
        port, stop = free_port(), asyncio.Event()
        folder = ground.folder / "confirmed"
        folder.mkdir()
        env = environment(folder, port, DATABASE_URL=url)
        settings = config.load({}, {key: value for key, value in env.items() if key.startswith(config.ENV_PREFIX)})
        running = asyncio.create_task(run_everything(settings.settings, stop=stop, environment=env))
        try:
            await until_answering(port, lambda: not running.done())
            async with db.open_pool(url, size_max=4) as pool, aiohttp.ClientSession() as http:
                say(f"confirmed: {sizes.confirmed} callers wait for the bank")
                backstage = DatabaseBackstage(services.make(pool))
                took_ms = [await _one(pool, http, port, backstage, number) for number in range(sizes.confirmed)]
                await backstage.close()
        finally:
            stop.set()
            await running
    right = [one for one in took_ms if one is not None]
    if not right:
        raise BenchmarkError("no caller could be thanked")
    return Result(
        name="confirmed",
        title="From the bank's word to the caller",
        how=HOW.format(calls=sizes.confirmed),
        figures=[
            all_of("callers who could be thanked", len(right), sizes.confirmed),
            middle("webhook to the end of the wait, median", right, unit="ms"),
            middle(
                "webhook to the end of the wait, p99", [percentile(right, 0.99)], unit="ms", at_most=CONFIRMED_MS_MAX
            ),
        ],
    )


async def _one(
    pool: asyncpg.Pool[asyncpg.Record],
    http: aiohttp.ClientSession,
    port: int,
    backstage: DatabaseBackstage,
    number: int,
) -> float | None:
    person_id, _, _ = await world.make_person(pool)
    session_id, transaction_id = uuid7(), f"pi_confirmed_{number}"
    await pool.execute(_CHARGED, session_id, person_id, transaction_id)
    waiting = asyncio.create_task(backstage.settlement(str(session_id), timeout_s=WAIT_S))
    await asyncio.sleep(0.1 + (number % 7) * 0.05)
    body = succeeded_payment(transaction_id)
    stamp = str(int(time.time()))
    mac = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    began_s = time.monotonic()
    url, header = f"http://127.0.0.1:{port}/webhooks/stripe", {"Stripe-Signature": f"t={stamp},v1={mac}"}
    async with http.post(url, data=body, headers=header) as answer:
        if answer.status != 200:
            raise BenchmarkError(f"the webhook got {answer.status}")
    settled = await waiting
    return 1_000 * (time.monotonic() - began_s) if settled == "COMPLETED" else None
