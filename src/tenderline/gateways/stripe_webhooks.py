"""Stripe's webhooks at the door: is this Stripe, is it fresh, whose news is it?

The signature scheme is Stripe's `Stripe-Signature: t=<unix s>,v1=<hex>,…`: HMAC-SHA256 over `t.body`, several `v1`
while a secret is rotated; other schemes (`v0`) are ignored. Stricter than Stripe's SDK: a time in the future is refused
like one in the past, and no input raises anything but the three errors of the gateway's contract.

Source: Stripe, "Verify webhook signatures manually".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError, StaleWebhookError
from tenderline.core.facts import FactKind
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.gateways.stripe_facts import EVENTS, debt_key, lookup_of, object_id

HEADER: Final = "stripe-signature"
TOLERANCE_S: Final = 300
_HEADER_BYTES_MAX: Final = 2_048
_TIME: Final = re.compile(rb"[0-9]{1,12}")


def _parts(header: bytes) -> tuple[bytes, list[bytes]]:
    """The time as it was signed, and every v1 signature."""
    if len(header) > _HEADER_BYTES_MAX or not header.isascii():
        raise ForgedWebhookError
    times: list[bytes] = []
    signatures: list[bytes] = []
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"t":
            times.append(value)
        elif name == b"v1":
            signatures.append(value)
    if not times or not signatures:
        raise ForgedWebhookError
    if len(times) > 1 or not _TIME.fullmatch(times[0]):
        raise MalformedWebhookError("The Stripe-Signature header holds no usable time; it was not stored.")
    return times[0], signatures


def authenticate(headers: Mapping[str, bytes], body: bytes, now_unix_s: float, secrets: Sequence[bytes]) -> None:
    """Raises unless `body` was signed with one of `secrets` within 300 s of `now_unix_s`, either way."""
    if not secrets:
        raise ForgedWebhookError("No signing secret is configured for Stripe; set stripe.webhook_secrets.")
    header = headers.get(HEADER)
    if header is None:
        raise ForgedWebhookError
    time, signatures = _parts(header)
    signed = b"%b.%b" % (time, body)
    genuine = False
    for secret in secrets:
        expected = hmac.digest(secret, signed, "sha256").hex().encode()
        for signature in signatures:
            genuine |= hmac.compare_digest(expected, signature)
    if not genuine:
        raise ForgedWebhookError
    # Written so that a clock that is not a number refuses.
    if not abs(now_unix_s - int(time)) <= TOLERANCE_S:
        raise StaleWebhookError


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
