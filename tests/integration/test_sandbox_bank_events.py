"""What the simulated bank tells the product: relayed and made-up events, and the ways to make them happen."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import stripe
from stripe.checkout import Session as CheckoutSession

from support.bank_town import SECRET, Hook, Town, open_town, settings, until
from tenderline_sandbox.bank_events import EVENTS
from tenderline_sandbox.bank_relay import Relay
from tenderline_sandbox.faults import FaultSwitches

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing_town() -> AsyncIterator[Town]:
    async with open_town() as standing:
        yield standing


@pytest_asyncio.fixture(loop_scope="module")
async def town(standing_town: Town) -> AsyncIterator[Town]:
    yield standing_town
    await standing_town.clear()


# --- webhooks --------------------------------------------------------------------------------------------------------


def signatures(hook: Hook) -> list[str]:
    return re.findall(r"v1=([0-9a-f]{64})", hook.signature)


async def test_the_servers_own_events_reach_the_product_byte_for_byte(town: Town) -> None:
    made = await town.control("decline", name="Ada", phone="+12025550143", email="ada@example.org", amount=1234)
    hooks = await until(lambda: town.product.of("payment_intent.payment_failed", made["payment_intent"]), "the event")
    event = stripe.Webhook.construct_event(hooks[0].body, hooks[0].signature, SECRET)
    assert hooks[0].event["api_version"] == "2017-08-15"
    # Laid out and sorted as the Stripe server does it: nothing was written anew on the way.
    assert hooks[0].body == json.dumps(hooks[0].event, indent=2, sort_keys=True).encode()
    assert (event.data.object["amount"], event.data.object["customer"]) == (1234, made["customer"])
    customer = await town.sdk.v1.customers.retrieve_async(made["customer"])
    assert (customer.name, customer.phone, customer.email) == ("Ada", "+12025550143", "ada@example.org")
    intent = await town.sdk.v1.payment_intents.retrieve_async(made["payment_intent"])
    assert intent.status == "requires_payment_method"


async def test_a_webhook_is_tried_until_the_product_takes_it_signed_each_time(town: Town) -> None:
    town.product.answers.extend([500, 302, 404])
    sent = await town.control("event", type="payment_intent.payment_failed", wait=True)
    assert (sent["event"]["tries"], sent["event"]["status"], sent["event"]["state"]) == (4, 200, "delivered")
    tries = town.product.of("payment_intent.payment_failed", sent["payment_intent"])
    assert len(tries) == 4
    assert len({hook.body for hook in tries}) == 1
    for hook in tries:
        assert stripe.Webhook.construct_event(hook.body, hook.signature, SECRET, tolerance=5).id == sent["event"]["id"]


async def test_a_webhook_can_be_lost_or_come_twice(town: Town) -> None:
    town.bank.faults().update({"lose_callbacks_next": 1})
    lost = await town.control("event", type="payment_intent.succeeded", wait=True)
    town.bank.faults().update({"duplicate_callbacks_next": 1})
    twice = await town.control("event", type="payment_intent.succeeded", wait=True)
    assert (lost["event"]["state"], lost["event"]["tries"]) == ("lost", 0)
    assert town.product.of("payment_intent.succeeded", lost["payment_intent"]) == []
    assert len(town.product.of("payment_intent.succeeded", twice["payment_intent"])) == 2
    # Lost news is not lost money: a read still tells.
    assert (await town.sdk.v1.payment_intents.retrieve_async(lost["payment_intent"])).status == "succeeded"


async def test_while_the_secret_is_rotated_either_one_verifies(town: Town) -> None:
    await town.control("secrets", secrets=[SECRET, "whsec_new"])
    sent = await town.control("event", type="invoice.paid", wait=True)
    hook = town.product.of("invoice.paid", sent["invoice"])[0]
    assert len(signatures(hook)) == 2
    for secret in (SECRET, "whsec_new"):
        stripe.Webhook.construct_event(hook.body, hook.signature, secret)


async def test_what_the_bank_did_not_sign_itself_is_not_relayed(town: Town) -> None:
    forged = {"id": "evt_forged", "type": "payment_intent.succeeded", "created": 1, "data": {"object": {"id": "pi_1"}}}
    for header in ("", "t=1,v1=" + "0" * 64, "t=x,v1=y"):
        async with town.http.post(
            f"{town.url}/bank/relay", json=forged, headers={"Stripe-Signature": header}
        ) as answer:
            assert answer.status == 400
    assert (await town.look("events"))["events"] == []


async def test_an_unreachable_product_is_tried_again_and_the_list_of_events_says_so(town: Town) -> None:
    relay = Relay(settings("http://127.0.0.1:9"), FaultSwitches())
    await relay.start()
    delivery = relay.submit({"id": "evt_1", "type": "x", "created": 1, "data": {"object": {"id": "pi_1"}}})
    await until(lambda: delivery.tries >= 2, "a second try")
    assert (delivery.state.value, delivery.status, delivery.error) == ("pending", None, "ClientConnectorError")
    await relay.stop()
    assert relay.deliveries(10) == []


# --- made-up events --------------------------------------------------------------------------------------------------

CLASSES: dict[str, Any] = {
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "invoice": stripe.Invoice,
    "dispute": stripe.Dispute,
    "setup_intent": stripe.SetupIntent,
    "subscription": stripe.Subscription,
    "checkout.session": CheckoutSession,
}


@pytest.mark.parametrize("event_type", sorted(EVENTS))
async def test_a_made_up_event_has_only_fields_that_stripes_current_version_knows(town: Town, event_type: str) -> None:
    sent = await town.control("event", type=event_type, name="Ada", phone="+12025550143", email="a@b.org", wait=True)
    hook = town.product.of(event_type, sent["event"]["id"])[0]
    stripe.Webhook.construct_event(hook.body, hook.signature, SECRET)
    subject = hook.event["data"]["object"]
    assert subject["object"] == EVENTS[event_type][0]
    assert subject.keys() <= set(CLASSES[subject["object"]].__annotations__)
    assert hook.event["api_version"] == stripe.api_version
    if subject["object"] == "invoice":
        assert subject["payments"]["data"][0]["payment"]["payment_intent"] == sent["payment_intent"]


async def test_an_event_the_product_does_not_know_is_delivered_too(town: Town) -> None:
    sent = await town.control("event", type="treasury.cloud_formed", wait=True)
    assert sent["event"]["status"] == 200
    assert town.product.of("treasury.cloud_formed")[0].event["data"]["object"]["object"] == "treasury"


async def test_an_event_with_a_mistake_is_refused_with_a_sentence(town: Town) -> None:
    for wrong in ({"amuont": 1}, {"amount": -1}, {"currency": "dollars"}, {"created": "now"}, {"type": 5}, {"wait": 3}):
        fields = {"type": "charge.failed", **wrong}
        async with town.http.post(f"{town.url}/control/bank/event", json=fields) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["message"]
    assert (await town.look("events"))["events"] == []


async def test_one_failed_renewal_is_three_events_about_one_payment_and_reads_agree(town: Town) -> None:
    failed = await town.control(
        "failure", name="Ada", phone="+12025550143", country="GB", locale="en-GB", amount=1999, currency="gbp",
        decline_code="insufficient_funds", next_payment_attempt=1_900_000_000, metadata={"plan": "tea"}, wait=True,
    )  # fmt: skip
    assert {event["state"] for event in failed["events"]} == {"delivered"}
    bodies = {hook.event["type"]: hook.event["data"]["object"] for hook in town.product.hooks}
    intent = bodies["payment_intent.payment_failed"]
    assert intent["last_payment_error"]["network_decline_code"] == "51"
    assert bodies["charge.failed"]["payment_intent"] == intent["id"] == failed["payment_intent"]
    invoice = bodies["invoice.payment_failed"]
    assert "payment_intent" not in invoice
    assert invoice["payments"]["data"][0]["payment"]["payment_intent"] == intent["id"]
    assert invoice["parent"]["subscription_details"]["subscription"] == failed["subscription"]
    assert (invoice["customer_phone"], invoice["next_payment_attempt"]) == ("+12025550143", 1_900_000_000)

    read = await town.sdk.v1.payment_intents.retrieve_async(intent["id"], {"expand": ["latest_charge"]})
    assert (read.status, read.latest_charge.outcome.reason) == ("requires_payment_method", "insufficient_funds")
    customer = await town.sdk.v1.customers.retrieve_async(failed["customer"])
    assert (customer.phone, customer.address.country, customer.preferred_locales) == ("+12025550143", "GB", ["en-GB"])
    listed = await town.sdk.v1.invoice_payments.list_async({"invoice": failed["invoice"]})
    assert listed.data[0].payment.payment_intent == intent["id"]
    by_payment: Any = {
        "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
        "expand": ["data.invoice"],
    }
    found = (await town.sdk.v1.invoice_payments.list_async(by_payment)).data[0].invoice
    assert (found.status, found.hosted_invoice_url) == ("open", f"{town.url}/pay/{failed['invoice']}")


async def test_an_invoice_event_can_leave_out_its_payments_as_stripes_own_do(town: Town) -> None:
    sent = await town.control("event", type="invoice.payment_failed", payments_in_event=False, wait=True)
    assert "payments" not in town.product.hooks[0].event["data"]["object"]
    listed = await town.sdk.v1.invoice_payments.list_async({"invoice": sent["invoice"]})
    assert listed.data[0].payment.payment_intent == sent["payment_intent"]


async def test_a_made_up_invoice_can_be_paid_on_its_page(town: Town) -> None:
    failed = await town.control("failure", amount=1999, wait=True)
    page = failed["hosted_invoice_url"]
    async with town.http.post(page, data={"card": "declined"}) as answer:
        assert "The card was declined." in await answer.text()
    async with town.http.post(page, data={"card": "works"}) as answer:
        assert "already been paid" in await answer.text()
    await until(lambda: town.product.of("invoice.paid", failed["invoice"]), "invoice.paid")
    told = town.product.of("payment_intent.succeeded", failed["payment_intent"])[0].event["data"]["object"]
    assert told["amount_received"] == 1999
    invoice = await town.sdk.v1.invoices.retrieve_async(failed["invoice"])
    assert (invoice.status, invoice.parent.subscription_details.subscription) == ("paid", failed["subscription"])
    intent = await town.sdk.v1.payment_intents.retrieve_async(failed["payment_intent"], {"expand": ["latest_charge"]})
    assert (intent.status, intent.latest_charge.id == failed["charge"]) == ("succeeded", False)


async def test_news_that_comes_late_does_not_undo_what_happened_since(town: Town) -> None:
    now = int(time.time())
    paid = await town.control("event", type="payment_intent.succeeded", created=now, amount=700)
    late = {"type": "payment_intent.payment_failed", "payment_intent": paid["payment_intent"], "created": now - 60}
    await town.control("event", **late, wait=True)
    hook = town.product.of("payment_intent.payment_failed", paid["payment_intent"])[0]
    assert (hook.event["created"], hook.event["data"]["object"]["amount"]) == (now - 60, 700)
    assert (await town.sdk.v1.payment_intents.retrieve_async(paid["payment_intent"])).status == "succeeded"


async def test_a_subscriptions_end_is_told_of_the_right_customer(town: Town) -> None:
    failed = await town.control("failure", name="Ada", events=1, wait=True)
    ended = await town.control(
        "event", type="customer.subscription.deleted", subscription=failed["subscription"], wait=True
    )
    assert len(failed["events"]) == 1
    assert ended["customer"] == failed["customer"]
    subject = town.product.of("customer.subscription.deleted")[0].event["data"]["object"]
    assert (subject["id"], subject["customer"]) == (failed["subscription"], failed["customer"])


async def test_a_refund_told_of_a_real_payment_is_made_at_the_server_too(town: Town) -> None:
    session = await town.session(payment_intent_data={"metadata": {"debt": "d4"}})
    paid = await town.control("pay", session=session.id)
    await town.control("event", type="charge.refunded", payment_intent=paid["payment_intent"], wait=True)
    told = town.product.of("charge.refunded")[0].event["data"]["object"]
    assert (told["refunded"], told["amount"], told["metadata"]) == (True, 5000, {"debt": "d4"})
    intent = await town.sdk.v1.payment_intents.retrieve_async(paid["payment_intent"], {"expand": ["latest_charge"]})
    assert (intent.latest_charge.id, intent.latest_charge.refunded) == (told["id"], True)


async def test_the_servers_own_invoice_tells_its_payment_in_the_new_form(town: Town) -> None:
    async def post(path: str, **fields: Any) -> Any:
        answer = await town.sdk.raw_request_async("post", path, **fields)
        return json.loads(answer.body if hasattr(answer, "body") else answer.data)

    method = await town.sdk.v1.payment_methods.create_async(
        {"type": "card", "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2031, "cvc": "123"}}
    )
    customer = await town.sdk.v1.customers.create_async({"name": "Ada", "payment_method": method.id})
    await town.sdk.v1.customers.update_async(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    await post("/v1/plans", id="tea", name="Tea", amount=900, currency="usd", interval="month")
    subscription = await post("/v1/subscriptions", customer=customer.id, items=[{"plan": "tea"}])
    listed = await town.sdk.v1.invoice_payments.list_async({"invoice": subscription["latest_invoice"]})
    intent = str(listed.data[0].payment.payment_intent)
    assert (listed.data[0].status, listed.data[0].amount_paid) == ("paid", 900)
    by_payment: Any = {"payment": {"type": "payment_intent", "payment_intent": intent}, "expand": ["data.invoice"]}
    found = await town.sdk.v1.invoice_payments.list_async(by_payment)
    assert found.data[0].invoice.id == subscription["latest_invoice"]


# --- control and page ------------------------------------------------------------------------------------------


async def test_control_takes_json_only_so_that_no_foreign_page_can_post_to_it(town: Town) -> None:
    async with town.http.post(f"{town.url}/control/bank/failure", data="{}") as answer:
        assert answer.status == 415


async def test_payments_are_listed_and_forgotten_on_request(town: Town) -> None:
    refunded = await town.control("event", type="charge.refunded", amount=300)
    declined = await town.control("decline", amount=400)
    rows = {row["id"]: row for row in (await town.look("payments"))["payments"]}
    assert rows[refunded["payment_intent"]]["status"] == "refunded"
    assert rows[declined["payment_intent"]]["reason"] == "card_declined"
    async with town.http.delete(f"{town.url}/control/bank/payments") as answer:
        assert answer.status == 204
    assert (await town.look("payments"))["payments"] == []
    with pytest.raises(stripe.InvalidRequestError):
        await town.sdk.v1.payment_intents.retrieve_async(declined["payment_intent"])


async def test_the_page_makes_a_payment_fail_and_shows_what_the_product_answered(town: Town) -> None:
    form = {
        "name": "<b>Ada</b>", "phone": "+1 202 555 0143", "email": "ada@example.org", "amount": "12.50",
        "currency": "eur", "reason": "expired_card", "kind": "single",
    }  # fmt: skip
    async with town.http.post(f"{town.url}/bank/failure", data=form) as answer:
        assert answer.status == 200
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    await until(lambda: len(town.product.hooks) == 2, "two events of a single payment")
    page = await (await town.http.get(f"{town.url}/bank")).text()
    for expected in ("charge.failed", "payment_intent.payment_failed", "€12.50", "expired card", "delivered"):
        assert expected in page
    assert "&lt;b&gt;Ada" in page
    assert "<b>Ada</b>" not in page
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)


@pytest.mark.parametrize(
    ("amount", "currency"), [("", "usd"), ("1.005", "usd"), ("12.5", "jpy"), ("-3", "eur"), ("3", "xau")]
)
async def test_the_page_refuses_what_is_no_amount_of_money(town: Town, amount: str, currency: str) -> None:
    form = {"amount": amount, "currency": currency, "reason": "expired_card"}
    async with town.http.post(f"{town.url}/bank/failure", data=form) as answer:
        assert answer.status == 400
    assert town.product.hooks == []
