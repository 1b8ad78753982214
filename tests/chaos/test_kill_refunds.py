"""Processes die while money goes back: it goes back once, and is known to have gone when the bank has said so."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import pytest

from support import edge
from support.product import open_town, until
from tenderline.store import db

CARD = "pm_card_visa"


@pytest.fixture
async def town(database_url, tmp_path):
    tmp_path.chmod(0o755)
    async with open_town(database_url, tmp_path) as opened:
        yield opened


async def at_bank(town, method, path, **form):
    headers = {"Authorization": f"Bearer {town.sandbox.settings.api_key}"}
    async with town.http.request(method, f"{town.sandbox.url}/v1/{path}", data=form or None, headers=headers) as answer:
        told = await answer.json()
        assert answer.status == 200, told
        return told


async def paid(town):
    """The ids of a payment whose money has arrived: at the bank, and here."""
    made = await at_bank(
        town, "POST", "payment_intents", amount="2500", currency="usd", payment_method=CARD, confirm="true"
    )
    sql = "SELECT id FROM payment WHERE transaction_id = $1 AND transaction_status = 'COMPLETED'"
    return made["id"], await until(lambda: town.fetchval(sql, made["id"]), "the money")


async def give_back(town, payment_id):
    """Asks the API for it; the status, or 0 when nobody answered."""
    base = f"http://127.0.0.1:{town.ports[0]}"
    async with db.open_pool(town.database_url, size_max=1) as pool:
        identity, secret = await edge.make_client(pool, "payments:write")
    asked = {"grant_type": "client_credentials", "client_id": identity, "client_secret": secret}
    async with town.http.post(f"{base}/oauth/token", data=asked) as answer:
        headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
    try:
        path = f"{base}/api/v2/payments/{payment_id}/refunds"
        async with town.http.post(path, json={"reason": "gave twice", "amountMinor": 700}, headers=headers) as answer:
            return answer.status
    except (aiohttp.ClientError, OSError):
        return 0


@pytest.mark.parametrize(
    ("of_api", "of_worker"),
    [
        ("kill:before:carry_out", ""),
        ("kill:before:refund", "kill:after:refund"),
        ("kill:after:refund", ""),
    ],
)
async def test_an_api_and_a_worker_killed_while_money_goes_back_give_it_back_once(town, of_api, of_worker):
    reader = await town.start("work")
    doomed = await town.start("api", fatal=of_api)
    intent, payment_id = await paid(town)
    assert await give_back(town, payment_id) == 0, "the process died under the request"
    assert await asyncio.wait_for(doomed.wait(), 30) == -signal.SIGKILL
    assert await town.fetchval("SELECT count(*) FROM refund") == 1, "it was written down before"
    await town.stop(reader)
    await town.start("api")
    # As if its time had passed: whoever asked must have ended.
    later = "UPDATE refund SET looked_at = looked_at - interval '10 minutes'"
    await town.fetch(later)
    worker = await town.start("work", fatal=of_worker)
    if of_worker:
        assert await asyncio.wait_for(worker.wait(), 60) == -signal.SIGKILL
        await town.fetch(later)
        await town.start("work")
    await until(lambda: town.fetchval("SELECT id FROM refund WHERE state = 'succeeded'"), "the bank's word")
    listed = await at_bank(town, "GET", f"refunds?payment_intent={intent}")
    assert [one["amount"] for one in listed["data"]] == [700]
    assert await town.fetchval("SELECT count(*) FROM unmatched_money WHERE kind LIKE 'refund%'") == 0
