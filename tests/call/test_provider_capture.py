"""A provider takes the card: the caller leaves us by REFER, and the gateway's webhook tells of the money."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from call.conftest import nothing_left, put_line
from support import bank_town, services
from support.raw_sip import RawSip
from tenderline.config import StripeSettings
from tenderline.flows import shipped
from tenderline.gateways.stripe import Stripe
from tenderline.store import conversations, lines
from tenderline.store.inbox import Unread
from tenderline.voice import sip_text
from tenderline.voice.node import VoiceNode
from tenderline.worker import read

CARD = shipped.text("donation")
BEGIN = CARD.index("[node.card]")
FLOW = (
    (
        CARD[:BEGIN]
        + '[node.card]\nstep = "provider_capture"\nexits = { busy = "after_declines", system_problem = "trouble" }\n\n'
        + CARD[CARD.index("[node.after_declines]") : CARD.index("[node.after_silence]")]
        + CARD[CARD.index("[node.trouble]") :]
    )
    .replace('name = "donation"', 'name = "by_provider"')
    .replace('"is_money_on_its_way"', '"trouble"')
)


@pytest.fixture
async def town():
    async with bank_town.open_town() as opened:
        yield opened


@pytest.fixture
async def node(pool, town, tmp_path, make_node):
    gateway = Stripe(StripeSettings(api_key=SecretStr(bank_town.API_KEY), api_url=town.url, timeout_s=5))
    made = VoiceNode(
        services.make(
            pool,
            gateways=[gateway],
            data_dir=str(tmp_path),
            voice__sip_port="0",
            voice__unlimited_networks="127.0.0.0/8",
            capture__provider="sip:pay@provider.example",
        )
    )
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "by_provider", FLOW, by="test")
        await put_line(connection, "gifts", "by_provider")
    await made.start()
    yield made
    await made.close()
    await gateway.close()


def from_phone(raw, keys):
    for key in keys:
        raw.send(raw.request("INFO", body=f"Signal={key}\r\nDuration=160\r\n", kind="application/dtmf-relay"))


async def keyed(raw, pool, node, keys, then):
    """Keys, once the flow is at `then`."""
    async with asyncio.timeout(20):
        while await pool.fetchval("SELECT node FROM flow_step ORDER BY ordinal DESC LIMIT 1") != then:
            await node.timeline.written()
            await asyncio.sleep(0.05)
    from_phone(raw, keys)


async def to_the_card(raw, pool, node):
    await raw.invite(number="gifts")
    await keyed(raw, pool, node, "1", "greeting")
    await keyed(raw, pool, node, "25#", "how_much")
    await keyed(raw, pool, node, "1", "is_it_right")
    async with asyncio.timeout(30):
        while (refer := await raw.answer(method="REFER")) is None or refer.method != "REFER":
            pass  # answers to the keys
    return refer


async def test_the_caller_is_handed_over_with_what_the_provider_must_know_and_the_webhook_completes_it(
    node, pool, town
):
    at = ("127.0.0.1", node.endpoint.port)
    async with nothing_left(node):
        with RawSip(at) as raw:
            refer = await to_the_card(raw, pool, node)
            uri, _, headers = refer.first("refer-to").strip("<>").partition("?")
            assert uri == "sip:pay@provider.example"
            told = {name: values[0] for name, values in parse_qs(headers).items()}
            raw.send(sip_text.respond(refer, 202, "Accepted", source=at, tag="x", extra=()))
            for line in ("SIP/2.0 100 Trying", "SIP/2.0 200 OK"):
                extra = [("Event", "refer"), ("Subscription-State", "active")]
                raw.send(raw.request("NOTIFY", body=f"{line}\r\n", kind="message/sipfrag", extra=extra))
            assert await raw.until_bye()
    session = await pool.fetchrow("SELECT * FROM capture_session")
    assert (session["mode"], session["state"]) == ("provider", "open")
    assert told == {
        "X-Payment-Transaction": f"tel_{session['reference']}",
        "X-Payment-Reference": session["reference"],
        "X-Payment-Amount": "25.00",
        "X-Payment-Currency": "USD",
    }
    assert await pool.fetchval("SELECT transaction_status FROM payment") == "PENDING"
    async with pool.acquire() as connection:
        (call,) = await conversations.latest(connection, 1)
        parts = [one.kind for one in await conversations.segments(connection, call.id)]
    assert parts == ["ivr", "provider_ivr"]
    await charge_at_provider(town, told["X-Payment-Transaction"])
    hooks = await bank_town.until(lambda: town.product.of("payment_intent.succeeded"), "the bank's word")
    async with pool.acquire() as connection, connection.transaction():
        unread = Unread(
            id=1, source="stripe", event_id="e", event_type="t", body=hooks[0].body, received_at=None, tries=0
        )
        await read.handle_webhook(node.rig.services, connection, unread)
    assert await pool.fetchval("SELECT transaction_status FROM payment") == "COMPLETED"
    assert await pool.fetchval("SELECT count(*) FROM payment") == 1
    assert await pool.fetchval("SELECT person_id FROM payment") == session["person_id"]


async def charge_at_provider(town, transaction_id):
    """What a provider does with the same account: it charges, and names our transaction."""
    method = await town.sdk.v1.payment_methods.create_async(
        {"type": "card", "card": {"number": "4242" * 4, "exp_month": 12, "exp_year": 2030, "cvc": "123"}}
    )
    await town.sdk.v1.payment_intents.create_async(
        {
            "amount": 2500,
            "currency": "usd",
            "confirm": True,
            "payment_method": method.id,
            "metadata": {"tenderline_transaction": transaction_id},
        }
    )


async def test_a_transfer_that_is_refused_never_goes_through_us(node, pool):
    at = ("127.0.0.1", node.endpoint.port)
    async with nothing_left(node):
        with RawSip(at) as raw:
            refer = await to_the_card(raw, pool, node)
            raw.send(sip_text.respond(refer, 501, "Not Implemented", source=at, tag="x", extra=()))
            async with asyncio.timeout(20):
                while await pool.fetchval("SELECT exit FROM flow_step WHERE node = 'card'") is None:
                    await asyncio.sleep(0.05)
            await raw.bye()
    assert await pool.fetchval("SELECT exit FROM flow_step WHERE node = 'card'") == "system_problem"
    assert await pool.fetchval("SELECT state FROM capture_session") == "failed"
