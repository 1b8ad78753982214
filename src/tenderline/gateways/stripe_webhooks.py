"""Stripe's webhooks at the door: is this Stripe, is it fresh (`timed_signature.py`), whose news is it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError
from tenderline.core.facts import FactKind
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.gateways import timed_signature
from tenderline.gateways.stripe_facts import EVENTS, debt_key, lookup_of, object_id

HEADER: Final = "stripe-signature"


def authenticate(headers: Mapping[str, bytes], body: bytes, now_unix_s: float, secrets: Sequence[bytes]) -> None:
    """Raises unless Stripe signed `body` with one of `secrets`, and lately."""
    if not secrets:
        raise ForgedWebhookError("No signing secret is configured for Stripe; set stripe.webhook_secrets.")
    timed_signature.require(headers.get(HEADER), body, now_unix_s, secrets, named="Stripe-Signature")


def urgency_of(event_type: str) -> Urgency:
    """News that makes us speak waits behind news that silences us; a payment on its way (processing) silences too."""
    known = EVENTS.get(event_type)
    if known is None:
        return Urgency.OTHER
    speaks = known[1] in (FactKind.FAILED, FactKind.ACTION_REQUIRED)
    return Urgency.PAYMENT_FAILED if speaks else Urgency.MONEY_ARRIVED


class _Object(msgspec.Struct, gc=False):
    """What decides whose news it is; typed Any, for one odd field must not cost the event."""

    id: Any = None
    payment_intent: Any = None
    charge: Any = None
    invoice: Any = None
    payments: Any = None
    metadata: Any = None
    customer: Any = None

    def get(self, field: str) -> object:
        return getattr(self, field, None)


class _Data(msgspec.Struct, gc=False):
    object: _Object


class _Event(msgspec.Struct, gc=False):
    id: str
    type: str
    data: _Data | None = None


class _Head(msgspec.Struct, gc=False):
    id: str
    type: str


_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_head: Final = msgspec.json.Decoder(_Head).decode


def envelope_of(body: bytes) -> Envelope:
    """An authenticated body, ready for the inbox: reads only the fields that matter (15,000 a second).

    Raises `MalformedWebhookError` when it is not UTF-8, not a JSON object, or has no usable id and type.
    """
    data: _Data | None
    try:
        if not body.isascii():
            body.decode()
        try:
            event = _decode_event(body)
            event_id, event_type, data = event.id, event.type, event.data
        except msgspec.ValidationError:
            head = _decode_head(body)
            event_id, event_type, data = head.id, head.type, None
    except (ValueError, RecursionError) as error:
        raise MalformedWebhookError from error
    if object_id(event_id) is None or object_id(event_type) is None:
        raise MalformedWebhookError
    subject = None
    known = EVENTS.get(event_type)
    if known is not None and data is not None:
        get = data.object.get
        # Where the event does not name the payment its gateway must be asked: until then all that is the payer's waits.
        asked = lookup_of(known[0], get) and object_id(get("customer"))
        key = debt_key(known[0], get) or asked or lookup_of(known[0], get) or object_id(get("id"))
        subject = f"stripe:{key}" if key else None
    return Envelope(
        event_id=event_id, event_type=event_type, urgency=urgency_of(event_type), body=body, subject=subject
    )
