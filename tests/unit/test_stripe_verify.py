"""Stripe's webhooks at the door: only what Stripe signed, lately, gets in, and nothing that is sent breaks the door."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenderline.config import StripeSettings
from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError, StaleWebhookError
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.gateways.stripe import Stripe

SECRET = "whsec_unit_current"
OLD_SECRET = "whsec_unit_previous"
NOW = 1_800_000_000
GATEWAY = Stripe(StripeSettings(webhook_secrets=[SECRET, OLD_SECRET]))
REFUSALS = (ForgedWebhookError, StaleWebhookError, MalformedWebhookError)


def event(event_type: str = "payment_intent.succeeded", obj: Any = None) -> bytes:
    obj = {"id": "pi_1", "object": "payment_intent"} if obj is None else obj
    return json.dumps({"id": "evt_1", "type": event_type, "created": NOW, "data": {"object": obj}}).encode()


def sign(body: bytes, secret: str = SECRET, at: str = str(NOW)) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


def header(body: bytes, secret: str = SECRET, at: str = str(NOW)) -> bytes:
    return f"t={at},v1={sign(body, secret, at)}".encode()


def verify(body: bytes, signature: bytes | None = None, now: float = NOW, gateway: Stripe = GATEWAY) -> Envelope:
    headers = {
        "content-type": b"application/json",
        "stripe-signature": header(body) if signature is None else signature,
    }
    return gateway.verify(headers, body, now)


def test_a_signed_event_becomes_an_envelope_with_its_raw_body() -> None:
    body = event()
    assert verify(body) == Envelope(
        event_id="evt_1",
        event_type="payment_intent.succeeded",
        urgency=Urgency.MONEY_ARRIVED,
        body=body,
        subject="stripe:pi_1",
    )


def test_both_secrets_count_while_one_is_rotated() -> None:
    body = event()
    assert verify(body, header(body, OLD_SECRET)).event_id == "evt_1"
    both = f"t={NOW},v1={'0' * 64},v1={sign(body)},v0=whatever".encode()
    assert verify(body, both).event_id == "evt_1"


@pytest.mark.parametrize("away_s", [-300, -299.5, 0, 299.5, 300])
def test_a_time_within_five_minutes_is_fresh(away_s: float) -> None:
    assert verify(event(), now=NOW + away_s).event_id == "evt_1"


@pytest.mark.parametrize("away_s", [-3600, -301, 301, 86_400, math.nan, math.inf])
def test_an_older_or_future_time_is_stale_even_when_the_signature_is_right(away_s: float) -> None:
    with pytest.raises(StaleWebhookError):
        verify(event(), now=NOW + away_s)


def test_a_changed_body_a_changed_time_and_a_wrong_secret_are_forged() -> None:
    body = event()
    for signature, sent in [
        (header(body), body + b" "),
        (header(body).replace(b"t=18", b"t=17"), body),
        (header(body, "whsec_other"), body),
        (header(body).upper().replace(b"T=", b"t=").replace(b"V1=", b"v1="), body),
    ]:
        with pytest.raises(ForgedWebhookError):
            verify(sent, signature)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"garbage",
        b"t=,v1=",
        b"v1=00",
        b"t=1800000000",
        b"t=1800000000,v0=00",
        b"t=1800000000,v1=" + "é".encode(),
        b"t=1800000000,v1=\xff\xfe",
        b"t=1800000000," + b"v1=00," * 1000,
    ],
)
def test_a_header_without_a_genuine_signature_is_forged(signature: bytes) -> None:
    with pytest.raises((ForgedWebhookError, MalformedWebhookError)) as refusal:
        verify(event(), signature)
    assert refusal.value.status == 400


def test_a_header_that_is_not_there_is_forged() -> None:
    with pytest.raises(ForgedWebhookError):
        GATEWAY.verify({}, event(), NOW)


@pytest.mark.parametrize(
    "at", ["", "abc", "NaN", "inf", "-1800000000", "+1800000000", "1_8", "1e9", " 1800000000", "1.5", "9" * 5000, "٣"]
)
def test_a_time_that_is_not_a_plain_number_is_refused_even_when_it_was_signed(at: str) -> None:
    body = event()
    with pytest.raises((MalformedWebhookError, ForgedWebhookError)):
        verify(body, header(body, at=at))


def test_two_times_are_refused_whichever_was_signed() -> None:
    body = event()
    for signature in (header(body) + b",t=1", b"t=1," + header(body)):
        with pytest.raises(MalformedWebhookError):
            verify(body, signature)


def test_without_a_configured_secret_nothing_gets_in() -> None:
    body = event()
    for secrets in ([], [""]):
        gateway = Stripe(StripeSettings(webhook_secrets=secrets))
        with pytest.raises(ForgedWebhookError):
            verify(body, header(body, ""), gateway=gateway)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b'{"id":"evt_1","type":"a","junk":"\xff"}',
        b"[]",
        b'"evt_1"',
        b"null",
        b"{}",
        b'{"id":"evt_1"}',
        b'{"id":1,"type":"a"}',
        b'{"id":"evt_1","type":null}',
        b'{"id":"","type":"a"}',
        b'{"id":"evt\\u0000","type":"a"}',
        b'{"id":"evt_1","type":"a b"}',
        b'{"id":"evt_1","type":"a"',
        b'{"id":"evt_1","type":"a"} trailing',
        b'{"id":"' + b"x" * 300 + b'","type":"a"}',
        b'{"id":"evt_1","type":"a","deep":' + b"[" * 50_000,
    ],
)
def test_a_signed_body_that_is_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedWebhookError):
        verify(body)


@pytest.mark.parametrize(
    "data", ["null", "5", "[]", "{}", '{"object":null}', '{"object":[1]}', '{"object":{"id":5,"payments":"x"}}']
)
def test_an_event_with_an_odd_inside_is_kept_though_nobody_knows_its_subject(data: str) -> None:
    body = b'{"id":"evt_1","type":"payment_intent.succeeded","data":%b}' % data.encode()
    envelope = verify(body)
    assert (envelope.event_id, envelope.subject, envelope.body) == ("evt_1", None, body)


@pytest.mark.parametrize(
    ("event_type", "urgency"),
    [
        ("payment_intent.succeeded", Urgency.MONEY_ARRIVED),
        ("invoice.paid", Urgency.MONEY_ARRIVED),
        ("invoice.payment_succeeded", Urgency.MONEY_ARRIVED),
        ("charge.succeeded", Urgency.MONEY_ARRIVED),
        ("checkout.session.completed", Urgency.MONEY_ARRIVED),
        ("charge.refunded", Urgency.MONEY_ARRIVED),
        ("charge.dispute.created", Urgency.MONEY_ARRIVED),
        ("customer.subscription.deleted", Urgency.MONEY_ARRIVED),
        ("payment_intent.canceled", Urgency.MONEY_ARRIVED),
        ("invoice.voided", Urgency.MONEY_ARRIVED),
        ("payment_intent.processing", Urgency.MONEY_ARRIVED),
        ("payment_intent.payment_failed", Urgency.PAYMENT_FAILED),
        ("charge.failed", Urgency.PAYMENT_FAILED),
        ("invoice.payment_failed", Urgency.PAYMENT_FAILED),
        ("invoice.payment_action_required", Urgency.PAYMENT_FAILED),
        ("payment_intent.requires_action", Urgency.PAYMENT_FAILED),
        ("checkout.session.async_payment_failed", Urgency.PAYMENT_FAILED),
        ("setup_intent.setup_failed", Urgency.OTHER),
        ("customer.created", Urgency.OTHER),
        ("anything.new", Urgency.OTHER),
    ],
)
def test_what_silences_us_goes_before_what_makes_us_speak(event_type: str, urgency: Urgency) -> None:
    assert verify(event(event_type)).urgency is urgency


@pytest.mark.parametrize(
    ("event_type", "obj", "subject"),
    [
        ("payment_intent.succeeded", {"id": "pi_1", "metadata": {"tenderline_transaction": "pi_0"}}, "stripe:pi_0"),
        ("charge.failed", {"id": "ch_1", "payment_intent": "pi_1"}, "stripe:pi_1"),
        ("charge.failed", {"id": "ch_1", "payment_intent": {"id": "pi_1"}}, "stripe:pi_1"),
        ("charge.failed", {"id": "ch_1", "payment_intent": None}, "stripe:ch_1"),
        ("charge.succeeded", {"id": "ch_1", "metadata": {"tenderline_transaction": "pi_0"}}, "stripe:pi_0"),
        (
            "checkout.session.completed",
            {"id": "cs_1", "payment_intent": "pi_1", "metadata": {"tenderline_transaction": "pi_0"}},
            "stripe:pi_0",
        ),
        ("checkout.session.completed", {"id": "cs_1", "payment_intent": "pi_1"}, "stripe:pi_1"),
        ("checkout.session.completed", {"id": "cs_1", "payment_intent": None, "invoice": "in_1"}, "stripe:in_1"),
        ("charge.dispute.created", {"id": "dp_1", "payment_intent": "pi_1", "charge": "ch_1"}, "stripe:pi_1"),
        ("charge.dispute.created", {"id": "dp_1", "charge": "ch_1"}, "stripe:ch_1"),
        ("invoice.paid", {"id": "in_1", "payment_intent": "pi_1"}, "stripe:pi_1"),
        ("invoice.paid", {"id": "in_1"}, "stripe:in_1"),
        (
            "invoice.payment_failed",
            {"id": "in_1", "payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]}},
            "stripe:pi_1",
        ),
        ("customer.subscription.deleted", {"id": "sub_1", "customer": "cus_1"}, "stripe:sub_1"),
        ("customer.updated", {"id": "cus_1"}, None),
        ("setup_intent.setup_failed", {"id": "seti_1"}, None),
    ],
)
def test_the_subject_is_the_debt_that_the_news_is_about(event_type: str, obj: Any, subject: str | None) -> None:
    assert verify(event(event_type, obj)).subject == subject


@settings(max_examples=60, deadline=None)
@given(signature=st.binary(max_size=120), body=st.binary(max_size=120))
@example(signature=b"t=1,v1=1", body=b"{}")
def test_whatever_bytes_are_sent_only_the_three_refusals_are_raised(signature: bytes, body: bytes) -> None:
    with pytest.raises(REFUSALS):
        verify(body, signature)


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=120))
def test_whatever_bytes_are_rightly_signed_they_are_taken_or_found_malformed(body: bytes) -> None:
    with contextlib.suppress(MalformedWebhookError):
        assert verify(body).body == body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a_ \x00é\ud800", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "data", "object", "payments", "payment_intent", "metadata", "charge"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=json_values, data=json_values)
def test_whatever_json_is_rightly_signed_it_is_taken_or_found_malformed(value: Any, data: Any) -> None:
    for document in (value, {"id": "evt_1", "type": "invoice.paid", "data": data}):
        body = json.dumps(document).encode()
        with contextlib.suppress(MalformedWebhookError):
            assert verify(body).body == body
