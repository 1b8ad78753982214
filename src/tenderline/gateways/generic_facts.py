"""A generic gateway's transactions, refunds and webhooks as facts. docs/reference/generic-gateway.md tells the shapes.

A webhook is signed in `Generic-Signature` as `timed_signature.py` tells. A field of a wrong type counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError
from tenderline.core.facts import FactKind, Payer, PaymentFact, RefundFact, RefundState
from tenderline.core.reasons import FailureReason
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.gateways import timed_signature

Json = dict[str, Any]

HEADER: Final = "generic-signature"
TRANSACTION_EVENT: Final = "transaction.updated"
REFUND_EVENT: Final = "refund.updated"
_TEXT_CHARACTERS_MAX: Final = 500
_INT64_MAX: Final = 2**63 - 1
_INSTANT_MAX_UNIX_S: Final = 2**36
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_ID: Final = re.compile(r"[\x21-\x7e]{1,255}")

KINDS: Final = {
    "CREATED": FactKind.CREATED,
    "ACTION_REQUIRED": FactKind.ACTION_REQUIRED,
    "PENDING": FactKind.PROCESSING,
    "COMPLETED": FactKind.SUCCEEDED,
    "FAILED": FactKind.FAILED,
    "CANCELLED": FactKind.STOPPED,
    "REFUNDED": FactKind.REFUNDED,
    "DISPUTED": FactKind.DISPUTED,
}
_REFUNDS: Final = {
    "PENDING": RefundState.TAKEN,
    "COMPLETED": RefundState.SUCCEEDED,
    "FAILED": RefundState.FAILED,
}
_REASONS: Final = {reason.value: reason for reason in FailureReason}
_SPEAKS: Final = frozenset({"FAILED", "ACTION_REQUIRED"})


def text(value: object) -> str | None:
    """Text that can be stored."""
    if not isinstance(value, str):
        return None
    plain = value.replace("\x00", "").strip()
    return plain if 0 < len(plain) <= _TEXT_CHARACTERS_MAX else None


def identity(value: object) -> str | None:
    """An id."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def whole(value: object) -> int | None:
    """Minor units: a number, or digits as text."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return max(-_INT64_MAX, min(value, _INT64_MAX))


def instant(value: object) -> int | None:
    """An instant, in unix seconds."""
    at_unix_s = whole(value)
    return at_unix_s if at_unix_s is not None and 0 <= at_unix_s < _INSTANT_MAX_UNIX_S else None


def reason_of(transaction: Json) -> FailureReason | None:
    """Why it failed, by our own names; others are unknown reasons."""
    told = text(transaction.get("decline_code"))
    if told is None:
        return None
    return _REASONS.get(told, FailureReason.UNKNOWN)


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def payer_of(value: object) -> Payer:
    """Whom it is asked of."""
    told = _dict(value)
    country = text(told.get("country")) or ""
    return Payer(
        reference=identity(told.get("id")),
        name=text(told.get("name")),
        phone=text(told.get("phone")),
        email=text(told.get("email")),
        locale=text(told.get("locale")),
        region=country.upper() if re.fullmatch("[A-Za-z]{2}", country) else None,
    )


def fact_of(transaction: Json, *, event_id: str, at_unix_s: int) -> PaymentFact | None:
    """A transaction as a fact; None for one that has no usable id or status."""
    key, status = identity(transaction.get("transaction_id")), transaction.get("transaction_status")
    kind = KINDS.get(status) if isinstance(status, str) else None
    if key is None or kind is None:
        return None
    return PaymentFact(
        kind=kind,
        # What is paid on a page for another debt settles that one.
        transaction_id=identity(transaction.get("pays")) or key,
        occurred_at_unix_s=at_unix_s,
        event_id=event_id,
        amount_minor=whole(transaction.get("amount")),
        currency=text(transaction.get("currency")),
        reason=reason_of(transaction) if kind is FactKind.FAILED else None,
        raw_code=text(transaction.get("decline_code")) if kind is FactKind.FAILED else None,
        payer=payer_of(transaction.get("payer")),
    )


def refund_of(refund: object, transaction_id: str | None = None) -> RefundFact | None:
    """A refund as a fact; None for one that has no usable id or status."""
    told = _dict(refund)
    reference, status = identity(told.get("refund_id")), told.get("refund_status")
    state = _REFUNDS.get(status) if isinstance(status, str) else None
    if reference is None or state is None:
        return None
    currency = text(told.get("currency"))
    return RefundFact(
        reference=reference,
        # What was paid on a page is known here by the debt that it settled.
        transaction_id=identity(told.get("pays")) or identity(told.get("transaction_id")) or transaction_id,
        state=state,
        amount_minor=whole(told.get("amount")),
        currency=currency.upper() if currency else None,
        key=identity(told.get("client_reference")),
        why=text(told.get("failure_reason")),
    )


def is_refund_of(refund: object, key: str) -> bool:
    """Whether a refund is the one that was asked for under this key, however it stands."""
    return identity(_dict(refund).get("client_reference")) == key


# --- webhooks --------------------------------------------------------------------------------------------------------


def authenticate(headers: Mapping[str, bytes], body: bytes, now_unix_s: float, secrets: Sequence[bytes]) -> None:
    """Raises unless the gateway signed `body` with one of `secrets`, and lately."""
    if not secrets:
        raise ForgedWebhookError("No signing secret is configured; set generic.webhook_secrets.")
    timed_signature.require(headers.get(HEADER), body, now_unix_s, secrets, named="Generic-Signature")


def _event(body: bytes) -> tuple[str, str, Json]:
    try:
        event = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise MalformedWebhookError(f"The body is not JSON ({type(error).__name__}).") from error
    told = _dict(event)
    event_id, event_type = identity(told.get("event_id")), identity(told.get("event_type"))
    if event_id is None or event_type is None:
        raise MalformedWebhookError("The body is not an event: it has no usable event_id and event_type.")
    return event_id, event_type, told


def envelope_of(body: bytes) -> Envelope:
    """An authenticated body, ready for the inbox. Raises `MalformedWebhookError`."""
    event_id, event_type, event = _event(body)
    transaction = _dict(event.get("transaction"))
    key = identity(transaction.get("pays")) or identity(transaction.get("transaction_id"))
    status = transaction.get("transaction_status")
    urgency, subject = Urgency.OTHER, None
    if event_type == TRANSACTION_EVENT and isinstance(status, str) and status in KINDS:
        urgency = Urgency.PAYMENT_FAILED if status in _SPEAKS else Urgency.MONEY_ARRIVED
        subject = f"generic:{key}" if key else None
    return Envelope(event_id=event_id, event_type=event_type, urgency=urgency, body=body, subject=subject)


def facts_in(body: bytes) -> list[PaymentFact]:
    """The facts in a stored webhook: none or one. Raises `MalformedWebhookError`."""
    event_id, event_type, event = _event(body)
    if event_type != TRANSACTION_EVENT:
        return []
    # An event that does not tell its time counts as the oldest: it can add, but not overrule.
    at_unix_s = instant(event.get("created_at")) or 0
    fact = fact_of(_dict(event.get("transaction")), event_id=event_id, at_unix_s=at_unix_s)
    if fact is None:
        raise MalformedWebhookError(f"The webhook {event_id} names no usable transaction.")
    return [fact]


def refunds_in(body: bytes) -> list[RefundFact]:
    """The refunds in a stored webhook: none or one. Raises `MalformedWebhookError`."""
    event_id, event_type, event = _event(body)
    if event_type != REFUND_EVENT:
        return []
    fact = refund_of(event.get("refund"))
    if fact is None:
        raise MalformedWebhookError(f"The webhook {event_id} names no usable refund.")
    return [fact]
