"""The generic gateway from the keypad to COMPLETED and back again, against a server that speaks its protocol."""

from __future__ import annotations

import asyncio
import json
import ssl
import time

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from support import card_room, edge, generic_town, services
from support.bank_town import until
from support.generic_town import DECLINED
from support.memory_scan import Hidden
from support.receiver import make_certificate
from support.telephone_money import begin, charge, take_in
from tenderline import app, serve
from tenderline import config as configuration
from tenderline.config import GenericSettings
from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError, StaleWebhookError
from tenderline.core.facts import FactKind, RefundState
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.core.webhooks import Urgency
from tenderline.gateways.base import GatewayUnavailableError, PayPageState, PayRequest
from tenderline.gateways.generic import Generic
from tenderline.payments import refunds, telephone
from tenderline.store import captures
from tenderline.store import refunds as rows
from tenderline.voice.card_rooms import CardRooms, NoCardGatewayError
from tenderline_sandbox.generic_news import signature


@pytest.fixture
async def town():
    async with generic_town.open_town() as opened:
        yield opened


@pytest.fixture
async def made(pool, town):
    gateway = town.gateway()
    yield services.make(
        pool,
        gateways=[gateway],
        messengers=[services.message_class("sms")],
        organisation="Hope House",
        capture__gateway="generic",
        capture__strict="false",
        capture__warm="0",
    )
    await gateway.close()


async def hear(made, pool, town, event_type, *, least=1):
    await until(lambda: len(town.of(event_type)) >= least, event_type)
    for hook in town.of(event_type):
        made.gateways["generic"].verify(hook.headers, hook.body, time.time())
        await take_in(made, pool, "generic", hook.body)


async def doubtful(pool):
    async with pool.acquire() as connection:
        return await captures.in_doubt(connection, older_than_s=-1, limit=10)


async def paid(made, pool, town):
    session = await begin(made, pool)
    assert (await charge(made, session, await town.token())).result == "taken"
    await hear(made, pool, town, "transaction.updated")
    return await pool.fetchrow("SELECT * FROM payment")


async def test_from_the_keypad_to_completed(made, pool, town):
    rooms = CardRooms(made, prompts=None)
    await rooms.start()
    try:
        room = await rooms.take("en")
        ended = await card_room.Caller(code=Hidden([1, 2, 3, 4])).call(room)
        assert ended.result == "captured", room.why
    finally:
        await rooms.close()
    session = await begin(made, pool)
    result = await telephone.charge(made, session.id, token=ended.token, brand=ended.brand, last_four=ended.last_four)
    assert result.result == "taken"
    assert await telephone.settlement(made, session.id) == "PENDING"
    await hear(made, pool, town, "transaction.updated")
    assert await telephone.settlement(made, session.id) == "COMPLETED"
    (asked,) = town.bank.transactions()
    assert (asked["transaction_type"], asked["amount"], asked["currency"]) == ("DONATION", "2500", "USD")
    assert asked["reference"] == session.reference


async def test_what_is_posted_has_the_shape_of_the_document(town):
    seen = {}

    async def take(request):
        seen.update(await request.json(), key=request.headers["Idempotency-Key"])
        return web.json_response({"transaction_id": "t1"}, status=201)

    fake = web.Application()
    fake.router.add_post("/transactions", take)
    runner, url = await generic_town.serve(fake)
    gateway = town.gateway(api_url=url)
    request = telephone.ChargeRequest(
        key="k1", token="tok_1", money=Money(2500, "USD"), description="Hope House: roof", reference="12345678"
    )
    assert await gateway.prepare_charge(request) == "t1"
    await gateway.close()
    await runner.cleanup()
    assert seen == {
        "transaction_type": "DONATION",
        "amount": "2500",
        "currency": "USD",
        "token_input_method": "KEYPAD_SECURE",
        "callback_url": town.callback_url,
        "payment_token": "tok_1",
        "reference": "12345678",
        "description": "Hope House: roof",
        "client_reference": "k1",
        "key": "prepare-k1",
    }


async def test_a_decline_is_told_with_its_reason_and_another_card_may_be_tried(made, pool, town):
    session = await begin(made, pool)
    first = await charge(made, session, await town.token(DECLINED))
    assert (first.result, first.reason) == ("declined", "insufficient_funds")
    assert (await charge(made, session, await town.token())).result == "taken"
    await hear(made, pool, town, "transaction.updated", least=2)
    states = [row["transaction_status"] for row in await pool.fetch("SELECT * FROM payment ORDER BY created_at")]
    assert states == ["FAILED", "COMPLETED"]


@pytest.mark.parametrize("fault", ["drop_after_success_next", "fail_after_success_next", "fail_before_next"])
async def test_an_answer_that_never_came_is_read_and_nothing_is_charged_twice(made, pool, town, monkeypatch, fault):
    gateway = made.gateways["generic"]
    prepare = gateway.prepare_charge

    async def then_fail(request):
        found = await prepare(request)
        setattr(town.faults, fault, 1)
        return found

    session = await begin(made, pool)
    with monkeypatch.context() as failing:
        failing.setattr(gateway, "prepare_charge", then_fail)
        assert (await charge(made, session, await town.token())).result == "unknown"
    (one,) = await doubtful(pool)
    found = await telephone.reconcile(made, one)
    assert found.result == ("failed" if fault == "fail_before_next" else "taken")
    again = await charge(made, session, await town.token())
    assert again.result == ("taken" if fault == "fail_before_next" else "unknown")
    taken = [one for one in town.bank.transactions() if one["transaction_status"] == "COMPLETED"]
    assert len(taken) == 1


async def test_what_was_taken_in_and_fails_later_is_paid_by_nothing_and_may_be_tried_again(made, pool, town):
    session = await begin(made, pool)
    assert (await charge(made, session, await town.token())).result == "taken"
    (transaction,) = town.bank.transactions()
    town.bank._move(town.bank._find(transaction["transaction_id"]), "FAILED")
    async with pool.acquire() as connection:
        (one,) = await captures.unsettled(connection, older_than_s=-1, limit=10)
    assert (await telephone.reconcile(made, one)).result == "declined"
    async with pool.acquire() as connection:
        assert await captures.unsettled(connection, older_than_s=-1, limit=10) == []
    assert await pool.fetchval("SELECT transaction_status FROM payment") == "FAILED"
    assert await pool.fetchval("SELECT state FROM capture_session") == "open"
    assert (await charge(made, session, await town.token())).result == "taken"


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["prepare_charge", "charge"])
async def test_whatever_is_killed_when_a_session_is_charged_once_at_most(made, pool, town, monkeypatch, call, when):
    session = await begin(made, pool)
    original = getattr(made.gateways["generic"], call)

    async def dying(request):
        if when == "after":
            await original(request)
        raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(made.gateways["generic"], call, dying)
        with pytest.raises(Killed):
            await charge(made, session, await town.token())
    for one in await doubtful(pool):
        await telephone.reconcile(made, one)
    assert await doubtful(pool) == []
    await charge(made, session, await town.token())
    taken = [one for one in town.bank.transactions() if one["transaction_status"] == "COMPLETED"]
    assert len(taken) == 1


async def ask(pool, payment, minor):
    async with pool.acquire() as connection, connection.transaction():
        return await refunds.intend(
            connection, refund_id=uuid7(), payment_id=payment["id"], amount_minor=minor, reason="twice", by="sue"
        )


@pytest.mark.parametrize("when", ["before", "after", "never"])
async def test_money_goes_back_once_whatever_is_killed(made, pool, town, monkeypatch, when):
    payment = await paid(made, pool, town)
    one = await ask(pool, payment, 2500)
    gateway = made.gateways["generic"]
    original = gateway.refund

    async def dying(request):
        if when == "after":
            await original(request)
        raise Killed

    with monkeypatch.context() as killing:
        if when != "never":
            killing.setattr(gateway, "refund", dying)
            with pytest.raises(Killed):
                await refunds.carry_out(made, one.id)
        else:
            assert (await refunds.carry_out(made, one.id)).state == "taken"
    async with pool.acquire() as connection:
        waiting = await rows.still_open(connection, older_than_s=-1, limit=10)
    for each in waiting:
        await refunds.reconcile(made, each)
    await hear(made, pool, town, "refund.updated")
    await hear(made, pool, town, "transaction.updated", least=2)
    async with pool.acquire() as connection:
        assert (await rows.get(connection, one.id)).state == "succeeded"
    row = await pool.fetchrow("SELECT * FROM payment")
    assert (row["status"], row["transaction_status"]) == ("refunded", "COMPLETED")
    (told,) = town.bank.transactions()
    assert [each["amount"] for each in told["refunds"]] == ["2500"]


async def test_a_debt_is_paid_on_a_page_of_the_gateway_and_settles_that_debt(town):
    gateway = town.gateway()
    request = PayRequest(
        key="p1", transaction_id="tel_1", money=Money(900, "USD"), description="d", return_url="https://example.org"
    )
    first, second = await gateway.pay_page(request), await gateway.pay_page(request)
    assert first == second
    assert await gateway.read_pay_page(first.reference) is PayPageState.OPEN
    town.bank.pay(first.reference)
    assert await gateway.close_pay_page(first.reference) is PayPageState.USED
    (hook,) = await until(lambda: town.of("transaction.updated"), "the webhook")
    (fact,) = gateway.normalise(hook.body)
    assert (fact.kind, fact.transaction_id, fact.amount_minor) == (FactKind.SUCCEEDED, "tel_1", 900)
    envelope = gateway.verify(hook.headers, hook.body, time.time())
    assert (envelope.subject, envelope.urgency) == ("generic:tel_1", Urgency.MONEY_ARRIVED)
    await gateway.close()


async def paid_on_a_page(made, pool, town):
    """The payment of a debt that is called `tel_…` here, and that the gateway took under an id of its own."""
    session = await begin(made, pool)
    await telephone.leave(made, session.id, "abandoned", "hung_up", hung_up=True)
    debt = f"tel_{session.reference}"
    request = PayRequest(
        key="p1", transaction_id=debt, money=session.money, description="d", return_url="https://example.org"
    )
    gateway = made.gateways["generic"]
    assert await gateway.read_payment(debt) is None, "nobody has paid it yet"
    page = await gateway.pay_page(request)
    assert town.bank.pay(page.reference)["transaction_id"] != debt
    return debt


async def test_a_debt_that_was_paid_on_a_page_is_read_by_its_own_id(made, pool, town):
    debt = await paid_on_a_page(made, pool, town)
    fact = await made.gateways["generic"].read_payment(debt)
    assert (fact.kind, fact.transaction_id, fact.amount_minor) == (FactKind.SUCCEEDED, debt, 2500)


async def test_what_was_paid_on_a_page_goes_back_once_and_is_read_again(made, pool, town):
    await paid_on_a_page(made, pool, town)
    await hear(made, pool, town, "transaction.updated")
    payment = await pool.fetchrow("SELECT * FROM payment")
    assert payment["transaction_status"] == "COMPLETED"
    one = await ask(pool, payment, 900)
    assert (await refunds.carry_out(made, one.id)).state == "taken"
    async with pool.acquire() as connection:
        (waiting,) = await rows.still_open(connection, older_than_s=-1, limit=10)
    await refunds.reconcile(made, waiting)
    async with pool.acquire() as connection:
        assert (await rows.get(connection, one.id)).state == "succeeded"
    assert [each["amount"] for each in town.bank.transactions()[0]["refunds"]] == ["900"]


async def test_what_somebody_gives_back_at_the_gateway_counts_for_the_debt_that_was_paid(made, pool, town):
    debt = await paid_on_a_page(made, pool, town)
    await hear(made, pool, town, "transaction.updated")
    town.bank._give_back(debt, {"amount": "400", "currency": "USD"})
    await hear(made, pool, town, "refund.updated")
    payment = await pool.fetchrow("SELECT * FROM payment")
    async with pool.acquire() as connection:
        assert await rows.held_minor(connection, payment["id"]) == 400


# --- webhooks --------------------------------------------------------------------------------------------------------

BODY = json.dumps(
    {
        "event_id": "ev_1",
        "event_type": "transaction.updated",
        "created_at": 1_800_000_000,
        "transaction": {"transaction_id": "t1", "transaction_status": "COMPLETED", "amount": "2500", "currency": "USD"},
    }
).encode()
NOW = 1_800_000_000


def closed(**more):
    return Generic(GenericSettings(api_url="https://g.example", webhook_secrets=["new", "old"], **more))


def headers(body=BODY, secret="new", at=NOW):
    return {"generic-signature": signature(body, secret, at).encode()}


def test_a_webhook_is_taken_with_either_secret_while_one_is_rotated():
    for secret in ("new", "old"):
        assert closed().verify(headers(secret=secret), BODY, NOW).event_id == "ev_1"


@given(place=st.integers(0, len(BODY) - 1), flip=st.integers(1, 255))
def test_a_webhook_that_was_changed_anywhere_is_forged(place, flip):
    changed = BODY[:place] + bytes([BODY[place] ^ flip]) + BODY[place + 1 :]
    with pytest.raises(ForgedWebhookError):
        closed().verify(headers(), changed, NOW)


@pytest.mark.parametrize("off_s", [301, -301, 86_400])
def test_an_old_or_future_webhook_is_stale(off_s):
    with pytest.raises(StaleWebhookError):
        closed().verify(headers(), BODY, NOW + off_s)
    assert closed().verify(headers(at=NOW + 299), BODY, NOW).event_id == "ev_1"


def test_a_webhook_about_nothing_is_malformed_and_of_another_kind_is_passed_over():
    broken = json.dumps({"event_id": "e", "event_type": "transaction.updated", "transaction": {}}).encode()
    with pytest.raises(MalformedWebhookError):
        closed().normalise(broken)
    other = json.dumps({"event_id": "e", "event_type": "payout.made"}).encode()
    assert (closed().normalise(other), closed().refunds_in(other)) == ([], [])
    refund = {"refund_id": "r1", "refund_status": "FAILED", "amount": 5, "currency": "usd", "transaction_id": "t1"}
    told = json.dumps({"event_id": "e", "event_type": "refund.updated", "refund": refund}).encode()
    (fact,) = closed().refunds_in(told)
    assert (fact.state, fact.amount_minor, fact.currency) == (RefundState.FAILED, 5, "USD")


async def test_a_signed_webhook_posted_at_the_edge_is_stored_and_a_forged_one_is_not(made, pool, town):
    async with (
        serve.open_edge(made) as opened,
        httpx.AsyncClient(transport=httpx.ASGITransport(app=opened), base_url=edge.ORIGIN) as http,
    ):
        body = BODY.replace(b"1800000000", str(int(time.time())).encode())
        good = {"Generic-Signature": signature(body, generic_town.SECRET, int(time.time()))}
        answer = await http.post("/webhooks/generic", content=body, headers=good)
        assert answer.status_code == 200, answer.text
        bad = {"Generic-Signature": signature(body, "other", int(time.time()))}
        assert (await http.post("/webhooks/generic", content=body, headers=bad)).status_code == 400
    assert await pool.fetchval("SELECT count(*) FROM inbox WHERE source = 'generic'") == 1


# --- where it may be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["api_url", "token_url"])
@pytest.mark.parametrize(
    "url",
    ["http://gateway.example.org", "http://10.0.0.1", "ftp://x", "https://", "https://u@x", "https://x/?a=1", "x"],
)
def test_an_address_without_tls_is_refused(field, url):
    with pytest.raises(ValidationError):
        GenericSettings(**{field: url})


@pytest.mark.parametrize(
    "url", ["https://g.example.org/v1/", "http://127.0.0.1:8", "http://localhost", "http://[::1]:9"]
)
def test_an_address_with_tls_or_of_this_machine_is_taken(url):
    assert GenericSettings(api_url=url).api_url == url.rstrip("/")


async def test_a_wrong_certificate_is_refused_and_the_right_one_is_taken(tmp_path, town):
    context, ca_file = make_certificate(tmp_path, "localhost")
    asked = []

    async def status(request):
        asked.append(request.headers["Authorization"])
        return web.json_response({})

    served = web.Application()
    served.router.add_get("/status", status)
    runner = web.AppRunner(served)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://localhost:{runner.addresses[0][1]}"
    assert isinstance(context, ssl.SSLContext)
    stranger, right = town.gateway(api_url=url), town.gateway(api_url=url, ca_file=ca_file)
    with pytest.raises(GatewayUnavailableError, match="Certificate"):
        await stranger.check()
    assert asked == [], "no key was sent"
    assert "answers" in await right.check()
    await asyncio.gather(stranger.close(), right.close())
    await runner.cleanup()


async def test_a_redirect_is_not_followed_with_the_key(town):
    async def away(request):
        raise web.HTTPFound("http://127.0.0.1:9/elsewhere")

    served = web.Application()
    served.router.add_get("/status", away)
    runner, url = await generic_town.serve(served)
    gateway = town.gateway(api_url=url)
    with pytest.raises(GatewayUnavailableError, match="302"):
        await gateway.check()
    await gateway.close()
    await runner.cleanup()


async def test_a_gateway_without_a_key_takes_no_cards(pool):
    one = Generic(GenericSettings(api_url="https://g.example"))
    made = services.make(pool, gateways=[one], capture__strict="false", capture__warm="0")
    rooms = CardRooms(made, prompts=None)
    await rooms.start()
    try:
        with pytest.raises(NoCardGatewayError):
            await rooms.take("en")
    finally:
        await rooms.close()


def test_it_is_wired_by_its_address_and_told_where_to_call_back():
    flags = {"generic.api_url": "https://g.example", "generic.api_key": "k", "public_url": "https://pay.example.org"}
    found = app.gateways(configuration.load(flags, {}).settings)
    assert found["generic"]._callback == {"callback_url": "https://pay.example.org/webhooks/generic"}
