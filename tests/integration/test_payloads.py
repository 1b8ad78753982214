"""Published payloads of a gateway, wrapped as events of every kind we know: each is read without a crash.

`TENDERLINE_PAYLOADS` names a folder of JSON objects in Stripe's shapes; without it our own few shapes are used.
"""

import contextlib
import itertools
import json
import os
from pathlib import Path

import pytest

from support.product import event
from tenderline.config import StripeSettings
from tenderline.core.errors import MalformedWebhookError
from tenderline.core.facts import PaymentFact
from tenderline.gateways.stripe import Stripe

OWN = {
    "payment_intent": {"id": "pi_1", "object": "payment_intent", "amount": 1, "currency": "usd"},
    "charge": {"id": "ch_1", "object": "charge", "amount": 1, "currency": "usd", "payment_intent": "pi_1"},
    "invoice": {"id": "in_1", "object": "invoice", "amount_due": 1, "currency": "usd"},
}


def payloads():
    folder = os.environ.get("TENDERLINE_PAYLOADS")
    if not folder:
        return OWN
    files = sorted(Path(folder).glob("*.json"))
    assert files, f"TENDERLINE_PAYLOADS names {folder}, which holds no JSON"
    return {file.stem: json.loads(file.read_text("utf-8")) for file in files}


KINDS = {
    "payment_intent": ["payment_failed", "succeeded", "requires_action", "processing", "canceled"],
    "charge": ["failed", "succeeded", "refunded", "captured"],
    "invoice": ["payment_failed", "payment_action_required", "paid", "payment_succeeded", "voided"],
    "subscription": ["deleted"],
    "setup_intent": ["setup_failed"],
    "dispute": ["created"],
}
NAMES = {"subscription": "customer.subscription", "dispute": "charge.dispute"}
CASES = [(kind, f"{NAMES.get(kind, kind)}.{what}") for kind in payloads() for what in KINDS.get(kind, ["updated"])]


@pytest.mark.parametrize(("kind", "event_type"), CASES)
def test_a_published_object_is_read_as_an_event_of_its_kinds(kind, event_type):
    gateway = Stripe(StripeSettings())
    body = event("evt_1", event_type, payloads()[kind])
    facts = gateway.normalise(body)
    assert all(isinstance(fact, PaymentFact) for fact in facts)
    if kind in ("payment_intent", "charge", "invoice") and not event_type.endswith("captured"):
        expected_none = event_type == "charge.refunded" and not payloads()[kind].get("refunded")
        assert facts or expected_none, "an event about a payment says something about it"


@pytest.mark.parametrize(("kind", "other"), list(itertools.product(payloads(), KINDS)))
def test_an_object_under_the_name_of_another_kind_crashes_nothing(kind, other):
    gateway = Stripe(StripeSettings())
    for what in KINDS[other]:
        with contextlib.suppress(MalformedWebhookError):
            gateway.normalise(event("evt_1", f"{NAMES.get(other, other)}.{what}", payloads()[kind]))
