"""Stripe's API half: against a server that answers as a script says, and against one with a state.

The second is `localstripe`, a process of its own on loopback; it knows the older shapes of the API only.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from tenderline.config import StripeSettings
from tenderline.core.facts import Payer, PaymentFact
from tenderline.core.money import Money
from tenderline.core.reasons import FailureReason
from tenderline.gateways.base import GatewayRefusedError, PayPage, PayPageState, PayRequest
from tenderline.gateways.stripe import Stripe

KEY = "sk_test_contract_0123456789"
REQUEST = PayRequest(
    key="pay-page-0001",
    transaction_id="pi_1",
    money=Money(2500, "USD"),
    description="Monthly gift",
    return_url="https://pay.example.org/thanks",
)


@asynccontextmanager
async def _served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


class Script:
    """A server that answers what it was told to, and remembers what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        what = f"{request.method} {request.path.removeprefix('/v1/')}"
        fields = dict(await request.post()) if request.method == "POST" else dict(request.query)
        self.asked.append((what, {key: str(value) for key, value in fields.items()}, dict(request.headers)))
        if what not in self.answers:
            return web.json_response({"error": {"type": "invalid_request_error"}}, status=404)
        return web.json_response(self.answers[what], headers={"Date": "Fri, 15 Jan 2027 08:00:00 GMT"})


@asynccontextmanager
async def _scripted(answers: dict[str, Any]) -> AsyncIterator[tuple[Stripe, Script]]:
    script = Script(answers)
    async with _served(script) as api_url:
        stripe = Stripe(StripeSettings(api_key=SecretStr(KEY), api_url=api_url, timeout_s=20))
        try:
            yield stripe, script
        finally:
            await stripe.close()


def _list(*entries: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(entries), "has_more": False, "url": "/v1/whatever"}


def _intent(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "pi_1", "object": "payment_intent", "amount": 2500, "currency": "usd", "status": status} | more


async def test_stripe_names_the_default_payment_of_an_invoice() -> None:
    payments = _list(
        {"object": "invoice_payment", "is_default": False, "payment": {"payment_intent": "pi_2"}},
        {"object": "invoice_payment", "is_default": True, "payment": {"payment_intent": "pi_1"}},
    )
    async with _scripted({"GET invoice_payments": payments}) as (stripe, script):
        assert await stripe.read_transaction_id("in_1") == "pi_1"
        assert script.asked[0][1]["invoice"] == "in_1"


async def test_stripe_without_invoice_payments_is_asked_for_the_invoice_itself() -> None:
    invoice = {"id": "in_1", "object": "invoice", "payment_intent": "pi_1"}
    async with _scripted({"GET invoices/in_1": invoice}) as (stripe, _):
        assert await stripe.read_transaction_id("in_1") == "pi_1"
    async with _scripted({"GET invoice_payments": _list(), "GET invoices/in_1": {"id": "in_1"}}) as (stripe, _):
        assert await stripe.read_transaction_id("in_1") is None


@pytest.mark.parametrize(
    ("intent", "kind"),
    [
        (_intent("requires_payment_method"), None),
        (_intent("requires_confirmation"), None),
        (_intent("a_status_of_next_year"), None),
        (_intent("requires_payment_method", last_payment_error={"decline_code": "expired_card"}), "failed"),
        (_intent("requires_action"), "action_required"),
        (_intent("processing"), "processing"),
        (_intent("requires_capture"), "processing"),
        (_intent("succeeded"), "succeeded"),
        (_intent("succeeded", latest_charge={"id": "ch_1", "refunded": False, "disputed": False}), "succeeded"),
        (_intent("succeeded", latest_charge={"id": "ch_1", "refunded": True}), "refunded"),
        (_intent("succeeded", latest_charge={"id": "ch_1", "refunded": True, "disputed": True}), "disputed"),
        (_intent("canceled"), "stopped"),
        (_intent("canceled", metadata={"tenderline_transaction": "pi_0"}), None),
    ],
)
async def test_a_payment_that_is_read_stands_as_stripe_says_by_stripes_clock(intent: Any, kind: str | None) -> None:
    async with _scripted({"GET payment_intents/pi_1": intent}) as (stripe, _):
        fact = await stripe.read_payment("pi_1")
    if kind is None:
        assert fact is None
        return
    assert fact is not None
    assert (fact.kind, fact.transaction_id, fact.event_id) == (kind, "pi_1", "read:pi_1")
    assert (fact.amount_minor, fact.currency, fact.occurred_at_unix_s) == (2500, "usd", 1_800_000_000)


async def test_a_debt_that_was_paid_on_our_page_is_found_by_its_mark() -> None:
    failed = _intent("requires_payment_method", last_payment_error={"decline_code": "expired_card"})
    paid = _intent("succeeded", metadata={"tenderline_transaction": "pi_1"}) | {"id": "pi_2"}
    answers = {
        "GET payment_intents/pi_1": failed,
        "GET payment_intents/search": _list(paid) | {"object": "search_result"},
    }
    async with _scripted(answers) as (stripe, script):
        fact = await stripe.read_payment("pi_1")
        assert fact is not None
        assert (fact.kind, fact.transaction_id, fact.event_id) == ("succeeded", "pi_1", "read:pi_2")
        assert script.asked[-1][1]["query"] == "metadata['tenderline_transaction']:'pi_1' AND status:'succeeded'"
        for odd in ("pi_1' OR amount>0 OR status:'x", "a b"):
            assert await stripe.read_payment(odd) is None
        assert all("amount" not in fields.get("query", "") for _, fields, _ in script.asked)


async def test_a_charge_of_the_old_api_is_read_as_a_payment() -> None:
    charge = {"id": "ch_1", "amount": 2500, "currency": "usd", "status": "failed", "failure_code": "expired_card"}
    async with _scripted({"GET charges/ch_1": charge}) as (stripe, _):
        fact = await stripe.read_payment("ch_1")
    assert fact is not None
    assert (fact.kind, fact.transaction_id, fact.reason) == ("failed", "ch_1", FailureReason.CARD_EXPIRED)


async def test_a_pay_page_is_a_checkout_session_marked_with_the_debt_under_our_idempotency_key() -> None:
    url = "https://checkout.example/c/cs_1"
    session = {"id": "cs_1", "object": "checkout.session", "url": url, "expires_at": 1_800_000_000}
    async with _scripted({"POST checkout/sessions": session}) as (stripe, script):
        assert await stripe.pay_page(REQUEST) == PayPage(url=url, reference="cs_1", expires_at_unix_s=1_800_000_000)
    _, fields, headers = script.asked[-1]
    assert headers["Idempotency-Key"] == "pay-page-0001"
    assert fields == {
        "mode": "payment",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "2500",
        "line_items[0][price_data][product_data][name]": "Monthly gift",
        "metadata[tenderline_transaction]": "pi_1",
        "payment_intent_data[metadata][tenderline_transaction]": "pi_1",
        "success_url": "https://pay.example.org/thanks",
    }


async def test_an_open_invoice_is_paid_on_its_own_page_so_that_stripe_stops_charging_for_it() -> None:
    invoice = {
        "id": "in_1",
        "object": "invoice",
        "status": "open",
        "hosted_invoice_url": "https://invoice.example/in_1",
    }
    payments = _list({"object": "invoice_payment", "payment": {"payment_intent": "pi_1"}, "invoice": invoice})
    async with _scripted({"GET invoice_payments": payments}) as (stripe, script):
        assert await stripe.pay_page(REQUEST) == PayPage(url="https://invoice.example/in_1")
        assert script.asked[0][1]["payment[payment_intent]"] == "pi_1"
        assert all(what != "POST checkout/sessions" for what, _, _ in script.asked)


@pytest.mark.parametrize("wrong", [{"url": "http://checkout.example/c/cs_1"}, {"url": None}, {"id": None}])
async def test_a_page_that_is_not_fit_for_a_payer_is_refused(wrong: dict[str, Any]) -> None:
    session = {"id": "cs_1", "object": "checkout.session", "url": "https://checkout.example/c/cs_1"}
    async with _scripted({"POST checkout/sessions": session | wrong}) as (stripe, _):
        with pytest.raises(GatewayRefusedError):
            await stripe.pay_page(REQUEST)


@pytest.mark.parametrize("expires_at", [None, "soon", -1, 2**63, True])
async def test_a_page_whose_end_is_not_an_instant_has_none(expires_at: Any) -> None:
    session = {"id": "cs_1", "url": "https://checkout.example/c/cs_1", "expires_at": expires_at}
    async with _scripted({"POST checkout/sessions": {"object": "checkout.session"} | session}) as (stripe, _):
        assert (await stripe.pay_page(REQUEST)).expires_at_unix_s is None


SESSIONS = [
    ({"status": "open", "payment_status": "unpaid"}, PayPageState.OPEN),
    ({"status": "expired", "payment_status": "unpaid"}, PayPageState.OVER),
    ({"status": "complete", "payment_status": "paid", "payment_intent": {"status": "succeeded"}}, PayPageState.USED),
    ({"status": "complete", "payment_status": "no_payment_required", "payment_intent": None}, PayPageState.USED),
    ({"status": "complete", "payment_status": "unpaid", "payment_intent": {"status": "processing"}}, PayPageState.USED),
    ({"status": "complete", "payment_status": "unpaid", "payment_intent": "pi_2"}, PayPageState.USED),
    # A bank debit that bounced: what was begun there can never be finished there.
    (
        {"status": "complete", "payment_status": "unpaid", "payment_intent": {"status": "requires_payment_method"}},
        PayPageState.OVER,
    ),
    ({"status": "complete", "payment_status": "unpaid", "payment_intent": {"status": "canceled"}}, PayPageState.OVER),
]


@pytest.mark.parametrize(("session", "state"), SESSIONS)
async def test_a_page_stands_as_its_session_and_the_payment_on_it_do(
    session: dict[str, Any], state: PayPageState
) -> None:
    session = {"id": "cs_1", "object": "checkout.session"} | session
    async with _scripted({"GET checkout/sessions/cs_1": session}) as (stripe, script):
        assert await stripe.read_pay_page("cs_1") is state
        assert script.asked[0][1] == {"expand[0]": "payment_intent"}


async def test_a_page_is_over_once_stripe_says_so_and_not_because_it_was_told_to_end() -> None:
    session = {"id": "cs_1", "object": "checkout.session", "status": "expired"}
    answers = {"POST checkout/sessions/cs_1/expire": session, "GET checkout/sessions/cs_1": session}
    async with _scripted(answers) as (stripe, script):
        assert await stripe.close_pay_page("cs_1") is PayPageState.OVER
        assert script.asked[0][0] == "POST checkout/sessions/cs_1/expire"
        answers["GET checkout/sessions/cs_1"] = session | {"status": "open"}
        assert await stripe.close_pay_page("cs_1") is PayPageState.OPEN


@pytest.mark.parametrize("status", [None, 7, "a_status_of_next_year"])
async def test_a_page_of_which_stripe_says_nothing_we_know_is_neither_open_nor_over(status: Any) -> None:
    session = {"id": "cs_1", "object": "checkout.session", "status": status}
    async with _scripted({"GET checkout/sessions/cs_1": session}) as (stripe, _):
        with pytest.raises(GatewayRefusedError, match="cs_1"):
            await stripe.read_pay_page("cs_1")


async def test_the_doctor_is_told_which_account_answers_or_that_the_key_may_not_say() -> None:
    account = {"id": "acct_1", "object": "account"}
    async with _scripted({"GET account": account}) as (stripe, _):
        assert await stripe.check() == "Stripe answers (account acct_1)"
    async with _scripted({"GET balance": {"object": "balance"}}) as (stripe, _):
        assert await stripe.check() == "Stripe answers (this key may not read the account)"


async def test_without_an_api_key_every_call_says_which_setting_is_missing() -> None:
    stripe = Stripe(StripeSettings())
    for call in (
        stripe.read_payer("cus_1"),
        stripe.read_transaction_id("in_1"),
        stripe.read_payment("pi_1"),
        stripe.pay_page(REQUEST),
        stripe.read_pay_page("cs_1"),
        stripe.close_pay_page("cs_1"),
        stripe.check(),
    ):
        with pytest.raises(GatewayRefusedError, match=r"stripe\.api_key"):
            await call


# --- Stripe, by a server with a state -------------------------------------------------------------------------------

LOCALSTRIPE = """
import socket
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None  # it would write where other servers of its kind read
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()  # who connects before the server runs waits, instead of being refused
print(listener.getsockname()[1], flush=True)
web.run_app(server.app, sock=listener, print=None, access_log=None)
"""


@pytest.fixture(scope="module")
def stripe_url() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", LOCALSTRIPE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


async def _post(url: str, path: str, /, **fields: Any) -> Any:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.post(f"{url}/v1/{path}", data=json.dumps(fields)) as response,
    ):
        return await response.json()


@pytest.fixture
async def stripe(stripe_url: str) -> AsyncIterator[Stripe]:
    secrets = [SecretStr("whsec_contract")]
    gateway = Stripe(StripeSettings(api_key=SecretStr(KEY), api_url=stripe_url, webhook_secrets=secrets, timeout_s=20))
    yield gateway
    await gateway.close()


async def _subscriber(url: str) -> Any:
    """A customer whose card is declined whenever it is charged."""
    card = {"number": "4000000000000341", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    method = await _post(url, "payment_methods", type="card", card=card)
    customer = await _post(url, "customers", name="Ann", phone="+12025550123", email="ann@example.org")
    await _post(url, f"payment_methods/{method['id']}/attach", customer=customer["id"])
    settings_of_hers = {"default_payment_method": method["id"]}
    return await _post(url, f"customers/{customer['id']}", invoice_settings=settings_of_hers)


async def test_a_customer_is_read_with_every_way_to_reach_her_until_she_is_deleted(
    stripe: Stripe, stripe_url: str
) -> None:
    fields = {"name": "Ann", "phone": "+12025550123", "email": "ann@example.org", "preferred_locales": ["fr"]}
    customer = await _post(stripe_url, "customers", **fields, address={"country": "US"})
    reference = customer["id"]
    assert await stripe.read_payer(reference) == Payer(
        reference=reference, name="Ann", phone="+12025550123", email="ann@example.org", locale="fr", region="US"
    )
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.delete(f"{stripe_url}/v1/customers/{reference}"),
    ):
        pass
    assert await stripe.read_payer(reference) == Payer()


async def test_an_invoice_of_a_declined_subscription_leads_to_its_failed_payment(
    stripe: Stripe, stripe_url: str
) -> None:
    customer = await _subscriber(stripe_url)
    product = await _post(stripe_url, "products", name="Gift", type="service")
    terms = {"amount": 2500, "currency": "usd", "interval": "month", "product": product["id"], "name": "Gift"}
    plan = await _post(stripe_url, "plans", **terms)
    subscription = await _post(stripe_url, "subscriptions", customer=customer["id"], items=[{"plan": plan["id"]}])
    transaction_id = await stripe.read_transaction_id(subscription["latest_invoice"])
    assert transaction_id is not None
    fact = await stripe.read_payment(transaction_id)
    assert fact is not None
    assert (fact.kind, fact.transaction_id) == ("failed", transaction_id)
    assert (fact.amount_minor, fact.currency, fact.payer.reference) == (2500, "usd", customer["id"])
    assert await stripe.read_transaction_id("in_unheard_of") is None
    assert await stripe.read_payment("pi_unheard_of") is None


async def test_the_event_of_a_declined_card_verifies_and_agrees_with_what_is_read(
    stripe: Stripe, stripe_url: str
) -> None:
    facts: asyncio.Queue[PaymentFact] = asyncio.Queue()

    async def receive(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value.encode() for name, value in request.headers.items()}
        envelope = stripe.verify(headers, await request.read(), time.time())
        for fact in stripe.normalise(envelope.body):
            assert envelope.subject == f"stripe:{fact.transaction_id}"
            facts.put_nowait(fact)
        return web.Response()

    async with _served(receive) as webhook_url, aiohttp.ClientSession() as session:
        hook = {"url": webhook_url, "secret": "whsec_contract"}
        await session.post(f"{stripe_url}/_config/webhooks/contract", data=json.dumps(hook))
        customer = await _subscriber(stripe_url)
        method = customer["invoice_settings"]["default_payment_method"]
        charged = {"amount": 700, "currency": "usd", "customer": customer["id"], "payment_method": method}
        declined = await _post(stripe_url, "payment_intents", confirm=True, **charged)
        assert declined["error"]["code"] == "card_declined"
        told = await asyncio.wait_for(facts.get(), 20)
    assert told.transaction_id is not None
    read = await stripe.read_payment(told.transaction_id)
    assert read is not None
    assert (told.kind, told.amount_minor, told.reason) == ("failed", 700, FailureReason.DO_NOT_HONOR)
    assert (read.kind, read.amount_minor, read.reason) == (told.kind, told.amount_minor, told.reason)
    assert read.occurred_at_unix_s >= told.occurred_at_unix_s


async def test_a_server_that_does_not_tell_its_account_still_answers_the_doctor(stripe: Stripe) -> None:
    assert (await stripe.check()).startswith("Stripe answers")
