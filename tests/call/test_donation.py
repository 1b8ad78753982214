"""A gift and an invoice by telephone, whole: real calls, real rooms for the card, a bank of Stripe's protocol."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from call.conftest import nothing_left, put_line
from support import bank_town, card_keys, services
from support.card_keys import key_card
from tenderline.config import StripeSettings
from tenderline.flows.spoken import Spoken, Words
from tenderline.gateways.stripe import Stripe
from tenderline.people import accounts_import
from tenderline.store import conversations
from tenderline.store.inbox import Unread
from tenderline.voice.node import VoiceNode
from tenderline.voice.trial_phone import TrialPhone
from tenderline.worker import read

LINE, BILLS = "gifts", "bills"
GOOD, DECLINED = "4242" * 4, "4" + "0" * 14 + "2"
AMEX = "3782" + "822463" + "10005"
CALLER = "+12025550123"


@pytest.fixture
async def town():
    async with bank_town.open_town() as opened:
        yield opened


@pytest.fixture(scope="module")
def spoken_once(tmp_path_factory):
    """What was said once need not be made again."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
async def node(pool, town, spoken_once, make_node):
    gateway = Stripe(StripeSettings(api_key=SecretStr(bank_town.API_KEY), api_url=town.url, timeout_s=5))
    made = VoiceNode(
        services.make(
            pool,
            gateways=[gateway],
            data_dir=str(spoken_once),
            voice__sip_port="0",
            voice__unlimited_networks="127.0.0.0/8",
            capture__enabled="true",
            capture__strict="false",
            stripe__api_key=bank_town.API_KEY,
            stripe__api_url=town.url,
        )
    )
    async with pool.acquire() as connection, connection.transaction():
        await put_line(connection, LINE, "donation")
        await put_line(connection, BILLS, "pay_invoice")
    await made.start()
    yield made
    await made.close()
    await gateway.close()


@asynccontextmanager
async def bank_is_heard(node, pool, town):
    """The bank's webhooks are read as they come."""

    async def listen():
        seen = 0
        while True:
            for hook in town.product.hooks[seen:]:
                seen += 1
                async with pool.acquire() as connection, connection.transaction():
                    unread = Unread(
                        id=seen,
                        source="stripe",
                        event_id="e",
                        event_type="t",
                        body=hook.body,
                        received_at=None,
                        tries=0,
                    )
                    await read.handle_webhook(node.rig.services, connection, unread)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(listen())
    try:
        yield
    finally:
        task.cancel()


async def hears(phone, node, text, within_s=30):
    await phone.hear(await node.prompts.prepare(Spoken("en", (Words(text),))), within_s=within_s)


async def hears_prompt(phone, node, name):
    await card_keys.asked(phone, node.prompts, name)


async def give(phone, node, amount="25#"):
    """From the greeting to the question for the card."""
    assert await phone.dial(LINE, ("127.0.0.1", node.endpoint.port), caller=CALLER) == 200
    await phone.press("1")
    await hears(phone, node, "Please key in the amount of your gift in whole units, and then the pound key. The star"
                " key stands for the decimal point.")  # fmt: skip
    await phone.press(amount)
    await hears(phone, node, "Your gift is")
    told = ". We will text a receipt to the number that you call from. Press 1 if that is right, or 2 to change it."
    await hears(phone, node, told)
    await phone.press("1")


async def the_session(pool):
    return await pool.fetchrow("SELECT * FROM capture_session")


async def test_a_gift_is_thanked_for_when_the_bank_has_said_so(node, pool, town):
    async with nothing_left(node), TrialPhone() as phone, bank_is_heard(node, pool, town):
        await give(phone, node)
        await key_card(phone, node.prompts, GOOD)
        await hears(phone, node, "Thank you. Your gift of")
        await phone.is_hung_up(within_s=40)
    session = await the_session(pool)
    assert (session["amount_minor"], session["currency"], session["state"]) == (2500, "USD", "charged")
    assert await pool.fetchval("SELECT transaction_status FROM payment") == "COMPLETED"
    charge = await pool.fetchrow("SELECT * FROM charge")
    assert (charge["brand"], charge["last_four"], charge["state"]) == ("visa", "4242", "taken")
    async with pool.acquire() as connection:
        (call,) = await conversations.latest(connection, 1)
        parts = [one.kind for one in await conversations.segments(connection, call.id)]
        steps = [one.node for one in await conversations.steps(connection, call.id)]
    assert parts == ["ivr", "secure_ivr", "ivr"]
    assert steps[-3:] == ["card", "word_of_the_bank", "thanks"]
    for table in ("flow_step", "segment", "conversation", "charge", "capture_session", "payment", "event"):
        rows = await pool.fetch(f"SELECT t::text AS text FROM {table} t")
        assert not any(GOOD in row["text"] for row in rows)


async def test_a_declined_card_another_one_and_an_amex(node, pool, town):
    async with nothing_left(node), TrialPhone() as phone, bank_is_heard(node, pool, town):
        await give(phone, node)
        await key_card(phone, node.prompts, DECLINED)
        await hears(phone, node, "The bank did not accept that card. You may try another one.")
        await key_card(phone, node.prompts, AMEX, code="1234")
        await hears(phone, node, "Thank you. Your gift of")
        phone.hang_up()
    charges = await pool.fetch("SELECT brand, last_four, state FROM charge ORDER BY created_at")
    assert [tuple(one) for one in charges] == [("visa", "0002", "declined"), ("amex", "0005", "taken")]
    assert await pool.fetchval("SELECT count(*) FROM payment WHERE transaction_status = 'COMPLETED'") == 1


async def test_who_hangs_up_while_the_card_is_keyed_is_charged_nothing(node, pool, town):
    async with nothing_left(node), TrialPhone() as phone:
        await give(phone, node)
        await hears_prompt(phone, node, "ask_number")
        await phone.press(GOOD[:9])
        phone.hang_up()
    async with asyncio.timeout(20):
        while (await the_session(pool))["state"] == "open":
            await asyncio.sleep(0.05)
    assert (await the_session(pool))["state"] == "abandoned"
    assert (await the_session(pool))["link_transaction_id"] is not None, "a link may follow"
    assert await pool.fetchval("SELECT count(*) FROM charge") == 0


async def test_a_room_that_dies_is_a_system_problem_and_charges_nothing(node, pool, town):
    async with nothing_left(node), TrialPhone() as phone:
        await give(phone, node)
        await hears_prompt(phone, node, "ask_number")
        await phone.press(GOOD[:4])
        for room in node._cards._pool._rooms:
            room._process.kill()
        await hears(phone, node, "We cannot take cards at this moment.")
        phone.hang_up()
    assert (await the_session(pool))["state"] == "failed"
    assert await pool.fetchval("SELECT count(*) FROM charge") == 0


async def test_an_invoice_is_paid_whole_by_whoever_knows_the_pin_and_nobody_records_it(node, pool, town):
    pin = "86420975"
    text = f"account,pin,name,balance\n12345,{pin},Ann,125.50\n"
    await accounts_import.read_in(pool, io.StringIO(text), region="US", currency="USD", on_reject=lambda *_: None)
    async with nothing_left(node), TrialPhone() as phone, bank_is_heard(node, pool, town):
        assert await phone.dial(BILLS, ("127.0.0.1", node.endpoint.port), caller=CALLER) == 200
        await phone.press("1")
        await hears(phone, node, "Please key in your account number, and then the pound key.")
        await phone.press("12345#")
        await hears(
            phone, node, "Please key in your PIN, and then the pound key. Nobody hears it, and it is not recorded."
        )
        assert [leg.masked for leg in node.engine.ticker._where] == [True]
        await phone.press(f"{pin}#")
        await hears(phone, node, "Your balance is")
        assert [leg.masked for leg in node.engine.ticker._where] == [False]
        await phone.press("1")
        told = ". We will text a receipt to the number that you call from. Press 1 if that is right, or 2 to change it."
        await hears(phone, node, told)
        await phone.press("1")
        await key_card(phone, node.prompts, GOOD)
        await hears(phone, node, "Thank you. Your payment of")
        phone.hang_up()
    session = await the_session(pool)
    whose = await pool.fetchval("SELECT person_id FROM account")
    assert (session["amount_minor"], session["account"], session["person_id"]) == (12_550, "12345", whose)
    for table in ("flow_step", "segment", "conversation", "capture_session", "event", "identification_try"):
        rows = await pool.fetch(f"SELECT t::text AS text FROM {table} t")
        assert not any(pin in row["text"] for row in rows)
