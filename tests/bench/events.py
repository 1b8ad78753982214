"""Stripe's webhooks as the benchmarks post them: real shapes, really signed, each with an id of its own."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any, Final, Literal

Shape = Literal["small", "large", "payer"]

_NUMBER: Final = b"+00000000000"
_SERIAL: Final = b"@serial@"
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz"


def serial(prefix: str, number: int) -> bytes:
    """An id of letters alone: a long run of digits might pass for a card number, which the door refuses."""
    letters = bytearray()
    while True:
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
        if not number:
            return prefix.encode() + bytes(reversed(letters)).rjust(6, b"a")


def _event(event_type: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "evt_@serial@",
        "object": "event",
        "api_version": "2026-01-28.clover",
        "created": 1_767_225_600,
        "livemode": True,
        "pending_webhooks": 1,
        "type": event_type,
        "data": {"object": obj},
    }


def _small() -> dict[str, Any]:
    failed = {"code": "card_declined", "decline_code": "insufficient_funds"}
    return _event(
        "payment_intent.payment_failed",
        {"id": "pi_@serial@", "object": "payment_intent", "amount": 2500, "currency": "usd",
         "customer": "cus_@serial@", "last_payment_error": failed, "status": "requires_payment_method"},
    )  # fmt: skip


def _billing(number: str) -> dict[str, Any]:
    address = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}
    return {"address": address, "email": None, "name": "Payer @serial@", "phone": number, "tax_id": None}


def _intent(number: str) -> dict[str, Any]:
    """A payment intent that failed, with the parts that Stripe sends along."""
    card = {
        "brand": "visa", "checks": {"address_line1_check": None, "cvc_check": "pass"}, "country": "US",
        "display_brand": "visa", "exp_month": 8, "exp_year": 2030, "fingerprint": "fp_@serial@", "funding": "debit",
        "networks": {"available": ["visa"], "preferred": None}, "three_d_secure_usage": {"supported": True},
        "last4": "0341", "wallet": None, "generated_from": None, "regulated_status": "unregulated",
    }  # fmt: skip
    method = {
        "id": "pm_@serial@", "object": "payment_method", "allow_redisplay": "unspecified",
        "billing_details": _billing(number), "card": card, "created": 1_767_225_590, "customer": None,
        "livemode": True, "metadata": {}, "type": "card",
    }  # fmt: skip
    error = {
        "advice_code": "try_again_later", "charge": "ch_@serial@", "code": "card_declined",
        "decline_code": "insufficient_funds", "doc_url": "", "message": "Your card has insufficient funds.",
        "network_decline_code": "51", "payment_method": method, "type": "card_error",
    }  # fmt: skip
    return {
        "id": "pi_@serial@", "object": "payment_intent", "amount": 2500, "amount_capturable": 0,
        "amount_details": {"tip": {}}, "amount_received": 0, "application": None, "automatic_payment_methods": None,
        "canceled_at": None, "cancellation_reason": None, "capture_method": "automatic",
        "confirmation_method": "automatic", "created": 1_767_225_590, "currency": "usd", "customer": None,
        "description": "Monthly gift", "last_payment_error": error, "latest_charge": "ch_@serial@", "livemode": True,
        "metadata": {}, "next_action": None, "on_behalf_of": None, "payment_method": None,
        "payment_method_options": {"card": {"installments": None, "network": None}}, "payment_method_types": ["card"],
        "processing": None, "receipt_email": None, "review": None, "setup_future_usage": "off_session",
        "shipping": None, "source": None, "statement_descriptor": None, "status": "requires_payment_method",
        "transfer_data": None, "transfer_group": None,
    }  # fmt: skip


def _invoice(number: str) -> dict[str, Any]:
    """An invoice that could not be charged, in the shape that names its payment intent."""
    line = {
        "id": "il_@serial@", "object": "line_item", "amount": 2500, "currency": "usd", "description": "Monthly gift",
        "discountable": True, "discounts": [], "livemode": True, "metadata": {}, "quantity": 1,
        "period": {"end": 1_769_904_000, "start": 1_767_225_600}, "taxes": [],
    }  # fmt: skip
    return {
        "id": "in_@serial@", "object": "invoice", "account_country": "US", "amount_due": 2500, "amount_paid": 0,
        "amount_remaining": 2500, "attempt_count": 1, "attempted": True, "auto_advance": True,
        "billing_reason": "subscription_cycle", "collection_method": "charge_automatically", "currency": "usd",
        "customer": "cus_@serial@", "customer_email": None, "customer_name": "Payer @serial@",
        "customer_phone": number, "due_date": None, "lines": {"object": "list", "data": [line]},
        "livemode": True, "metadata": {}, "number": "B-@serial@",
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_@serial@"}},
        "payment_intent": _intent(number), "status": "open", "total": 2500,
    }  # fmt: skip


def _template(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


_TEMPLATES: Final[dict[Shape, tuple[bytes, ...]]] = {
    "small": (_template(_small()),),
    "large": (_template(_event("invoice.payment_failed", _invoice("+12025550100"))),),
    "payer": (
        _template(_event("payment_intent.payment_failed", _intent(_NUMBER.decode()))),
        _template(_event("invoice.payment_failed", _invoice(_NUMBER.decode()))),
    ),
}


def body(shape: Shape, event_serial: bytes, number: str = "") -> bytes:
    """One event. `payer` takes turns between a payment intent and an invoice of the payer with that number."""
    templates = _TEMPLATES[shape]
    filled = templates[event_serial[-1] % len(templates)].replace(_SERIAL, event_serial)
    return filled.replace(_NUMBER, number.encode()) if number else filled


def request(port: int, secret: bytes, event: bytes) -> bytes:
    """The whole HTTP/1.1 request, signed as Stripe signs."""
    at = b"%d" % time.time()
    signature = hmac.digest(secret, b"%b.%b" % (at, event), hashlib.sha256).hex().encode()
    return b"".join(
        (
            b"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port,
            b"Content-Type: application/json; charset=utf-8\r\nAccept: */*\r\nUser-Agent: Stripe/1.0\r\n",
            b"Content-Length: %d\r\nStripe-Signature: t=%b,v1=%b\r\n\r\n" % (len(event), at, signature),
            event,
        )
    )
