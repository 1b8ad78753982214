"""kill -9 at every step between an opt-out and the record of its webhook: the CRM is told, always under one id."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import signal

import pytest

from support import receiver as other
from support import told, world
from support.product import open_town, until
from tenderline.people import consent
from tenderline.store import db, events, webhook_endpoints
from tenderline.worker import reactions

KILLED = -signal.SIGKILL
STEPS = {
    "kill:after:lease_webhooks": 1,  # leased, nothing sent
    "kill:after:post_webhook": 2,  # the CRM took it, nobody recorded it
    "kill:after:record_webhook": 2,  # recorded, not committed
}
"""Each with how often the CRM is told, at least once."""


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_killed_at_any_step_tells_the_crm_under_one_id(database_url, tmp_path, step):
    tmp_path.chmod(0o755)
    settings = {"WEBHOOKS__HTTP_ON_LOOPBACK": "true", "WEBHOOKS__TIMEOUT_S": "5"}
    async with open_town(database_url, tmp_path, **settings) as town, other.receiving() as crm:
        async with db.open_pool(database_url, size_max=2) as pool:
            secret = await _opt_out(pool, town, crm)
        doomed = await town.start("work", fatal=step)
        assert await asyncio.wait_for(doomed.wait(), 60) == KILLED, "the worker should have died at that step"
        survivor = await town.start("work")

        async def delivered():
            return await town.fetchval("SELECT count(*) FROM outgoing_webhook WHERE state = 'delivered'")

        await until(delivered, "the message to be delivered")
        await town.stop(survivor)
        assert len(crm.got) == STEPS[step]
        assert len(set(crm.ids(secret))) == 1
        assert await town.fetchval("SELECT count(*) FROM outgoing_webhook") == 1


async def _opt_out(pool, town, crm):
    """The secret of the CRM's endpoint; somebody has just opted out, and nobody reacted yet."""
    secret_key = town.environment(0)["TENDERLINE_SECRET_KEY"].encode()
    key = hmac.digest(secret_key, webhook_endpoints.KEY_PURPOSE.encode(), hashlib.sha256)
    async with pool.acquire() as connection, connection.transaction():
        _, secret = await webhook_endpoints.add(connection, crm.url, told.BOTH, key, by="test")
    person_id, _, address = await world.make_person(pool)
    events.subscribe(reactions.subscriptions())
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(connection, person_id, channel="sms", address=address, how="unsubscribe", evidence="x")
    return secret
