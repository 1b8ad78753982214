"""Stripe's events as payment facts, in every shape that API versions give them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenderline.config import StripeSettings
from tenderline.core.errors import MalformedWebhookError
from tenderline.core.facts import FactKind, Payer, PaymentFact
from tenderline.core.reasons import FailureReason
from tenderline.gateways.stripe import Stripe
from tenderline.gateways.stripe_facts import EVENTS, payment_of_invoice
from tenderline.payments.session import fold

AT = 1_800_000_000
GATEWAY = Stripe(StripeSettings(webhook_secrets=["whsec_unit"]))

INTENT = {"id": "pi_1", "object": "payment_intent", "amount": 2500, "currency": "usd", "customer": "cus_1"}
CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 2500,
    "currency": "usd",
    "captured": True,
    "customer": "cus_1",
    "payment_intent": "pi_1",
}
PAYMENTS = {
    "object": "list",
    "data": [{"id": "inpay_1", "is_default": True, "payment": {"type": "payment_intent", "payment_intent": "pi_1"}}],
}
INVOICE = {
    "id": "in_1",
    "object": "invoice",
    "amount_due": 2500,
    "amount_paid": 0,
    "amount_remaining": 2500,
    "currency": "usd",
    "customer": "cus_1",
    "next_payment_attempt": None,
}
SESSION = {
    "id": "cs_1",
    "object": "checkout.session",
    "mode": "payment",
    "amount_total": 2500,
    "currency": "usd",
    "payment_intent": "pi_1",
    "payment_status": "paid",
}


def normalise(event_type: str, obj: Any, **event: Any) -> list[PaymentFact]:
    body = {"id": "evt_1", "type": event_type, "created": AT, "data": {"object": obj}} | event
    return GATEWAY.normalise(json.dumps(body).encode())


def one(event_type: str, obj: Any, **event: Any) -> PaymentFact:
    (fact,) = normalise(event_type, obj, **event)
    return fact


@pytest.mark.parametrize(
    ("event_type", "obj", "kind"),
    [
        ("payment_intent.payment_failed", INTENT, "failed"),
        ("payment_intent.requires_action", INTENT, "action_required"),
        ("payment_intent.processing", INTENT, "processing"),
        ("payment_intent.succeeded", INTENT, "succeeded"),
        ("payment_intent.canceled", INTENT, "stopped"),
        ("charge.failed", CHARGE, "failed"),
        ("charge.succeeded", CHARGE, "succeeded"),
        ("charge.succeeded", CHARGE | {"captured": False}, "processing"),
        ("charge.captured", CHARGE, "succeeded"),
        ("charge.refunded", CHARGE | {"refunded": True}, "refunded"),
        ("charge.dispute.created", {"id": "dp_1", "payment_intent": "pi_1", "charge": "ch_1"}, "disputed"),
        ("invoice.payment_failed", INVOICE | {"payments": PAYMENTS}, "failed"),
        ("invoice.payment_action_required", INVOICE | {"payments": PAYMENTS}, "action_required"),
        ("invoice.paid", INVOICE | {"payments": PAYMENTS}, "succeeded"),
        ("invoice.payment_succeeded", INVOICE | {"payments": PAYMENTS}, "succeeded"),
        ("invoice.voided", INVOICE | {"payments": PAYMENTS}, "stopped"),
        ("invoice.marked_uncollectible", INVOICE | {"payments": PAYMENTS}, "stopped"),
        ("checkout.session.completed", SESSION, "succeeded"),
        ("checkout.session.completed", SESSION | {"payment_status": "unpaid"}, "processing"),
        ("checkout.session.async_payment_succeeded", SESSION, "succeeded"),
        ("checkout.session.async_payment_failed", SESSION, "failed"),
    ],
)
def test_each_event_is_one_fact_about_the_debt_of_its_payment_intent(event_type: str, obj: Any, kind: str) -> None:
    fact = one(event_type, obj)
    assert (fact.kind, fact.transaction_id, fact.lookup) == (kind, "pi_1", None)
    assert (fact.event_id, fact.occurred_at_unix_s) == ("evt_1", AT)
    if kind != "disputed":
        assert (fact.amount_minor, fact.currency) == (2500, "usd")


@pytest.mark.parametrize(
    ("event_type", "obj"),
    [
        ("customer.updated", {"id": "cus_1"}),
        ("payment_intent.created", INTENT),
        ("setup_intent.setup_failed", {"id": "seti_1", "last_setup_error": {"code": "card_declined"}}),
        ("charge.refunded", CHARGE | {"refunded": False, "amount_refunded": 100}),
        ("checkout.session.completed", SESSION | {"payment_status": "no_payment_required"}),
        ("checkout.session.completed", {"id": "cs_1", "mode": "setup", "payment_status": "paid"}),
        ("checkout.session.expired", SESSION),
        ("v2.core.event", None),
    ],
)
def test_an_event_that_says_nothing_about_a_payment_is_no_fact(event_type: str, obj: Any) -> None:
    assert normalise(event_type, obj) == []


def test_the_end_of_a_subscription_names_the_subscription_and_no_payment() -> None:
    fact = one("customer.subscription.deleted", {"id": "sub_1", "customer": "cus_1", "latest_invoice": "in_1"})
    assert fact == PaymentFact(
        kind=FactKind.STOPPED,
        transaction_id=None,
        occurred_at_unix_s=AT,
        event_id="evt_1",
        payer=Payer(reference="cus_1"),
        subscription_reference="sub_1",
    )


@pytest.mark.parametrize("intent", ["pi_1", {"id": "pi_1", "object": "payment_intent"}])
def test_the_payment_intent_is_found_as_an_id_and_expanded_in_every_place(intent: Any) -> None:
    payments = {"data": [{"payment": {"payment_intent": intent}}]}
    for event_type, obj in [
        ("charge.failed", CHARGE | {"payment_intent": intent}),
        ("invoice.payment_failed", INVOICE | {"payments": payments}),
        ("invoice.payment_failed", INVOICE | {"payment_intent": intent}),
        ("checkout.session.completed", SESSION | {"payment_intent": intent}),
        ("charge.dispute.created", {"id": "dp_1", "payment_intent": intent}),
        ("charge.dispute.created", {"id": "dp_1", "charge": CHARGE | {"payment_intent": intent}}),
    ]:
        assert one(event_type, obj).transaction_id == "pi_1", event_type


def test_a_charge_of_the_old_api_is_its_own_debt() -> None:
    old = CHARGE | {"payment_intent": None}
    assert one("charge.failed", old).transaction_id == "ch_1"
    assert one("charge.dispute.created", {"id": "dp_1", "charge": "ch_1"}).transaction_id == "ch_1"
    paid_by_charge = {"data": [{"payment": {"type": "charge", "charge": "ch_1"}}]}
    assert one("invoice.paid", INVOICE | {"payments": paid_by_charge}).transaction_id == "ch_1"


def test_an_invoice_that_does_not_name_its_payment_is_to_be_looked_up() -> None:
    for payments in (None, {"data": []}, {"data": [{"payment": {"payment_intent": None}}]}, "payments"):
        fact = one("invoice.payment_failed", INVOICE | {"payments": payments})
        assert (fact.transaction_id, fact.lookup, fact.invoice_reference) == (None, "in_1", "in_1")
    subscribed = SESSION | {"mode": "subscription", "payment_intent": None, "invoice": "in_1"}
    assert one("checkout.session.completed", subscribed).lookup == "in_1"


def test_among_several_payments_of_an_invoice_the_default_one_is_the_debt_in_any_order() -> None:
    entries = [
        {"is_default": False, "created": 1, "payment": {"payment_intent": "pi_part"}},
        {"is_default": True, "created": 2, "payment": {"payment_intent": "pi_default"}},
        {"is_default": False, "created": 3, "payment": {"payment_intent": "pi_later"}},
    ]
    assert payment_of_invoice({"data": entries}) == payment_of_invoice({"data": entries[::-1]}) == "pi_default"
    assert payment_of_invoice({"data": [entries[2], entries[0]]}) == "pi_part"


@pytest.mark.parametrize(
    ("event_type", "obj"),
    [
        ("payment_intent.succeeded", INTENT | {"id": "pi_2"}),
        ("charge.succeeded", CHARGE | {"payment_intent": "pi_2"}),
        ("charge.failed", CHARGE | {"payment_intent": "pi_2"}),
        ("checkout.session.completed", SESSION | {"payment_intent": "pi_2"}),
    ],
)
def test_what_our_pay_page_made_is_news_of_the_debt_it_was_made_for(event_type: str, obj: dict[str, Any]) -> None:
    assert one(event_type, obj | {"metadata": {"tenderline_transaction": "pi_1"}}).transaction_id == "pi_1"


def test_leaving_our_pay_page_does_not_stop_the_debt() -> None:
    assert normalise("payment_intent.canceled", INTENT | {"metadata": {"tenderline_transaction": "pi_0"}}) == []


def test_the_reason_comes_from_the_failure_and_the_raw_code_is_kept() -> None:
    error = {"code": "card_declined", "decline_code": "insufficient_funds"}
    fact = one("payment_intent.payment_failed", INTENT | {"last_payment_error": error})
    assert (fact.reason, fact.raw_code) == (FailureReason.INSUFFICIENT_FUNDS, "insufficient_funds")
    charge = CHARGE | {
        "failure_code": "card_declined",
        "outcome": {"type": "issuer_declined", "reason": "generic_decline", "network_decline_code": "14"},
        "payment_method_details": {"type": "card", "card": {"brand": "visa"}},
    }
    assert one("charge.failed", charge).reason is FailureReason.CLOSED_ACCOUNT
    blocked = CHARGE | {"outcome": {"type": "blocked", "reason": "highest_risk_level"}}
    assert one("charge.failed", blocked).reason is FailureReason.FRAUD_SUSPECTED


def test_the_brand_of_the_declined_card_decides_what_the_networks_code_means() -> None:
    error = {
        "code": "card_declined",
        "decline_code": "generic_decline",
        "network_advice_code": "21",
        "payment_method": {"card": {"brand": "mastercard"}},
    }
    assert one("payment_intent.payment_failed", INTENT | {"last_payment_error": error}).reason == "revoked_by_customer"
    error = error | {"payment_method": {"card": {"brand": "visa"}}}
    assert one("payment_intent.payment_failed", INTENT | {"last_payment_error": error}).reason == "do_not_honor"


def test_a_payer_who_must_act_is_to_authenticate_and_a_success_has_no_reason() -> None:
    error = {"code": "card_declined", "decline_code": "lost_card"}
    waits = one("payment_intent.requires_action", INTENT | {"next_action": {"type": "redirect_to_url"}})
    assert (waits.reason, waits.raw_code) == (FailureReason.AUTHENTICATION_REQUIRED, "redirect_to_url")
    assert one("payment_intent.succeeded", INTENT | {"last_payment_error": error}).reason is None


def test_a_declined_invoice_says_why_only_where_its_payment_intent_came_along() -> None:
    assert one("invoice.payment_failed", INVOICE | {"payments": PAYMENTS}).reason is None
    intent = INTENT | {"last_payment_error": {"decline_code": "expired_card"}}
    assert one("invoice.payment_failed", INVOICE | {"payment_intent": intent}).reason == "card_expired"


def test_three_events_of_one_declined_renewal_fold_into_one_payment() -> None:
    error = {"code": "card_declined", "decline_code": "expired_card"}
    invoice = INVOICE | {
        "payments": PAYMENTS,
        "next_payment_attempt": AT + 86_400,
        "hosted_invoice_url": "https://invoice.example/in_1",
        "customer_email": "ann@example.org",
        "parent": {"subscription_details": {"subscription": "sub_1"}},
    }
    facts = [
        one("charge.failed", CHARGE | {"failure_code": "expired_card"}, id="evt_1"),
        one("payment_intent.payment_failed", INTENT | {"last_payment_error": error}, id="evt_2"),
        one("invoice.payment_failed", invoice, id="evt_3", created=AT + 1),
    ]
    state = fold(facts)
    assert {fact.transaction_id for fact in facts} == {"pi_1"}
    assert (state.status, state.reason, state.amount_minor) == ("failed", "card_expired", 2500)
    assert (state.pay_url, state.subscription_reference) == ("https://invoice.example/in_1", "sub_1")
    assert state.gateway_retries
    assert state.payer == Payer(reference="cus_1", email="ann@example.org")


@pytest.mark.parametrize(
    ("told", "amount"),
    [
        ({"amount_remaining": 700, "amount_due": 2500}, 700),
        ({"amount_remaining": None, "amount_due": 2500}, 2500),
        ({"amount_remaining": 0, "amount_due": 2500}, 0),
        ({"amount_remaining": -5}, -5),
        ({"amount_remaining": "700", "amount_due": True}, None),
        ({"amount_remaining": 12.5, "amount_due": 10**30}, 2**63 - 1),
    ],
)
def test_an_invoice_asks_for_what_remains_and_odd_sums_are_passed_on_to_be_judged(
    told: dict[str, Any], amount: int | None
) -> None:
    assert one("invoice.payment_failed", INVOICE | told).amount_minor == amount


def test_a_paid_invoice_keeps_the_sum_that_was_due() -> None:
    paid = INVOICE | {"amount_remaining": 0, "amount_paid": 2500}
    assert one("invoice.paid", paid).amount_minor == 2500


def test_the_gateway_tries_again_only_while_it_names_its_next_attempt() -> None:
    assert one("invoice.payment_failed", INVOICE | {"next_payment_attempt": AT}).gateway_retries
    for nothing in (None, "soon", False):
        assert not one("invoice.payment_failed", INVOICE | {"next_payment_attempt": nothing}).gateway_retries


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://invoice.example/i/1?s=a", True),
        ("http://127.0.0.1:8420/i/1", True),
        ("http://localhost:8420/i/1", True),
        ("http://[::1]:8420/i/1", True),
        ("http://invoice.example/i/1", False),
        ("http://127.0.0.1.evil.example/", False),
        ("http://[", False),
        ("javascript:alert(1)", False),
        ("https://", False),
        ("https://a.example/\n", True),
        ("https://a.example/ b", False),
        ("https://a.example/\x01", False),
        ("https://" + "a" * 3000, False),
        (None, False),
        (["https://a.example"], False),
    ],
)
def test_only_a_web_address_fit_for_a_payer_becomes_the_pay_url(url: Any, kept: bool) -> None:
    assert one("invoice.payment_failed", INVOICE | {"hosted_invoice_url": url}).pay_url == (
        url.strip() if kept else None
    )


def test_the_payer_is_read_from_every_place_that_tells_of_one() -> None:
    address = {"country": "us"}
    ann = Payer(reference="cus_1", name="Ann", phone="+12025550123", email="ann@example.org", region="US")
    details = {"name": "Ann", "phone": "+12025550123", "email": "ann@example.org", "address": address}
    invoice = {f"customer_{key}": value for key, value in details.items()}
    assert one("charge.failed", CHARGE | {"billing_details": details}).payer == ann
    assert one("invoice.payment_failed", INVOICE | invoice).payer == ann
    assert one("checkout.session.completed", SESSION | {"customer": "cus_1", "customer_details": details}).payer == ann
    error = {"payment_method": {"billing_details": details}}
    assert one("payment_intent.payment_failed", INTENT | {"last_payment_error": error}).payer == ann


def test_shipping_and_metadata_help_where_billing_is_silent() -> None:
    obj = CHARGE | {
        "receipt_email": "receipt@example.org",
        "billing_details": {"name": None, "phone": "", "email": None},
        "shipping": {"name": "Bo", "phone": "202-555-0123", "address": {"country": "CA"}},
        "metadata": {"phone": "+12025550199"},
    }
    assert one("charge.failed", obj).payer == Payer(
        reference="cus_1", name="Bo", phone="202-555-0123", email="receipt@example.org", region="CA"
    )
    no_shipping = obj | {"shipping": None}
    assert one("charge.failed", no_shipping).payer.phone == "+12025550199"


def test_an_expanded_customer_tells_name_and_language() -> None:
    customer = {"id": "cus_1", "name": "Zoë", "preferred_locales": ["fr-CA", "en"], "address": {"country": "Canada"}}
    payer = one("payment_intent.payment_failed", INTENT | {"customer": customer}).payer
    assert payer == Payer(reference="cus_1", name="Zoë", locale="fr-CA")


def test_text_that_cannot_be_stored_is_cleaned_or_left_out() -> None:
    details = {"name": "An\x00n ", "email": "x" * 600, "phone": "   "}
    assert one("charge.failed", CHARGE | {"billing_details": details}).payer == Payer(reference="cus_1", name="Ann")


@pytest.mark.parametrize("created", [None, "yesterday", -1, True, 1.5, 10**13])
def test_an_event_that_does_not_tell_its_time_is_the_oldest(created: Any) -> None:
    assert one("payment_intent.succeeded", INTENT, created=created).occurred_at_unix_s == 0


@pytest.mark.parametrize("event_type", sorted(EVENTS))
@pytest.mark.parametrize("obj", [None, 5, [], {}, {"id": 5}, {"id": ""}, {"id": "a b"}])
def test_news_of_a_payment_that_names_no_object_is_malformed_and_not_dropped(event_type: str, obj: Any) -> None:
    with pytest.raises(MalformedWebhookError):
        normalise(event_type, obj)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"null", b"{}", b'{"id":1,"type":"a"}', b"[" * 50_000])
def test_a_stored_body_that_is_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedWebhookError):
        GATEWAY.normalise(body)


NESTED = {
    "data",
    "last_payment_error",
    "latest_charge",
    "metadata",
    "outcome",
    "parent",
    "payment",
    "payments",
    "shipping",
}
FIELDS = sorted(
    {"created", "refunded", "preferred_locales", "tenderline_transaction"} | NESTED | {*INTENT, *CHARGE, *INVOICE}
)
words = st.sampled_from(["", "pi_1", "usd", "paid", "\x00", "é", "\ud800", "x" * 600])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)


@settings(max_examples=80, deadline=None)
@given(event_type=st.sampled_from(sorted(EVENTS)), obj=objects, created=scalars, whole=values)
def test_whatever_json_is_stored_it_becomes_facts_or_is_malformed(
    event_type: str, obj: dict[str, Any], created: Any, whole: Any
) -> None:
    with contextlib.suppress(MalformedWebhookError):
        for fact in normalise(event_type, {"id": "x_1"} | obj, created=created):
            assert isinstance(fact, PaymentFact)
            assert fact.transaction_id or fact.lookup or fact.subscription_reference
    with contextlib.suppress(MalformedWebhookError):
        GATEWAY.normalise(json.dumps(whole).encode())
