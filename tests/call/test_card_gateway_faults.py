"""A card while the gateway is not who it should be, or takes half a minute: the caller is told, and nothing charged."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from pydantic import SecretStr

from call.conftest import nothing_left, put_line
from call.test_donation import GOOD, LINE, give, hears, hears_prompt
from support import services, vaults
from support.card_keys import key_card
from support.receiver import make_certificate
from tenderline.config import StripeSettings
from tenderline.gateways.stripe import Stripe
from tenderline.voice.node import VoiceNode
from tenderline.voice.trial_phone import TrialPhone

TROUBLE = "We cannot take cards at this moment."
LATENCY_MS = 30_000


@asynccontextmanager
async def node_towards(pool, folder, url, timeout_s):
    """A node whose gateway is there."""
    flags = {"stripe__api_key": vaults.KEYS["stripe"], "stripe__api_url": url, "stripe__timeout_s": str(timeout_s)}
    gateway = Stripe(StripeSettings(api_key=SecretStr(flags["stripe__api_key"]), api_url=url, timeout_s=timeout_s))
    made = services.make(
        pool,
        gateways=[gateway],
        data_dir=str(folder),
        voice__sip_port="0",
        voice__unlimited_networks="127.0.0.0/8",
        capture__enabled="true",
        capture__strict="false",
        **flags,
    )
    node = VoiceNode(made)
    async with pool.acquire() as connection, connection.transaction():
        await put_line(connection, LINE, "donation")
    await node.start()
    try:
        yield node
    finally:
        await node.close()
        await gateway.close()


async def is_told_of_trouble(node, *, after_a_moment=False):
    """Keys her card, is asked for a moment, where it takes one, and hears that it cannot be taken."""
    async with nothing_left(node), TrialPhone() as phone:
        await give(phone, node)
        await key_card(phone, node.prompts, GOOD)
        if after_a_moment:
            await hears_prompt(phone, node, "one_moment")
        await hears(phone, node, TROUBLE)
        phone.hang_up()


async def nothing_was_charged(pool):
    row = await pool.fetchrow("SELECT state, link_transaction_id FROM capture_session")
    assert (row["state"], row["link_transaction_id"]) == ("failed", None)
    assert await pool.fetchval("SELECT count(*) FROM charge") == 0


async def test_a_gateway_with_a_certificate_that_nobody_vouches_for_gets_no_card(make_node, pool, tmp_path):
    context, _ = make_certificate(tmp_path, "localhost")
    async with vaults.vault("stripe", context, name="localhost") as vault:
        async with node_towards(pool, tmp_path, vault.url, 5) as node:
            await is_told_of_trouble(node)
        assert vault.requests == 0
    await nothing_was_charged(pool)


async def test_a_gateway_that_takes_half_a_minute_is_given_up_in_time_and_charges_nothing(make_node, pool, tmp_path):
    async with vaults.vault("stripe", None) as vault:
        answered = asyncio.Event()

        async def slow(vault, request):
            await asyncio.sleep(LATENCY_MS / 1_000)
            answered.set()
            return vault.answer("token")

        vault.says = slow
        async with node_towards(pool, tmp_path, vault.url, 3) as node:
            await is_told_of_trouble(node, after_a_moment=True)
        assert (vault.requests, answered.is_set()) == (1, False), "asked once, and not waited for"
    await nothing_was_charged(pool)
