"""Giving money back at Stripe, and what its webhooks say of refunds.

A refund carries our key as metadata: by that it is found again when no answer came, and told from one that somebody
made in Stripe's dashboard.

Source: Stripe API reference, "Refunds", and the events refund.created, refund.updated and refund.failed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import stripe

from tenderline.core.errors import MalformedWebhookError
from tenderline.core.facts import RefundFact, RefundState
from tenderline.gateways.base import GatewayUnavailableError, RefundRequest
from tenderline.gateways.stripe_api import NotThereError, ask
from tenderline.gateways.stripe_facts import MARK, object_id

REFUND_MARK: Final = "tenderline_refund"
_EVENTS: Final = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_LISTED_MAX: Final = 100
_INTENT_PREFIX: Final = "pi_"
_STATES: Final = {
    "pending": RefundState.TAKEN,
    "requires_action": RefundState.TAKEN,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}


async def refund(api: stripe.StripeClient, request: RefundRequest, paid_by: str) -> RefundFact:
    """Gives back what `paid_by` (a payment intent or a charge) took."""
    wanted: stripe.params.RefundCreateParams = {
        "amount": request.money.minor,
        "reason": "requested_by_customer",
        "metadata": {REFUND_MARK: request.key, MARK: request.transaction_id},
    }
    if paid_by.startswith(_INTENT_PREFIX):
        wanted["payment_intent"] = paid_by
    else:
        wanted["charge"] = paid_by
    what = f"refund {request.key}"
    told = await ask(what, api.v1.refunds.create_async(wanted, {"idempotency_key": f"refund-{request.key}"}))
    return _understood(told.fields, what)


async def read(api: stripe.StripeClient, request: RefundRequest, paid_by: str) -> RefundFact | None:
    """By its id, where that is known; else the one among the payment's refunds that carries our key."""
    if request.reference is not None:
        try:
            told = await ask(f"refund {request.reference}", api.v1.refunds.retrieve_async(request.reference))
        except NotThereError:
            return None
        return _understood(told.fields, f"refund {request.reference}")
    wanted: stripe.params.RefundListParams = {"limit": _LISTED_MAX}
    if paid_by.startswith(_INTENT_PREFIX):
        wanted["payment_intent"] = paid_by
    else:
        wanted["charge"] = paid_by
    listed = (await ask(f"refunds of {paid_by}", api.v1.refunds.list_async(wanted))).fields.get("data")
    if not isinstance(listed, list):
        raise GatewayUnavailableError(f"Stripe did not say which refunds {paid_by} has.")
    ours = (one for one in listed[:_LISTED_MAX] if _key_of(one) == request.key)
    return next((_understood(one, f"refund {request.key}") for one in ours), None)


def refunds_in(body: bytes) -> list[RefundFact]:
    """None or one. Raises `MalformedWebhookError` for what is not an event of Stripe's."""
    try:
        event = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise MalformedWebhookError(f"The body is not JSON ({error}).") from error
    if not isinstance(event, dict) or object_id(event) is None:
        raise MalformedWebhookError("The body is not an event of Stripe's: it has no usable id and type.")
    if event.get("type") not in _EVENTS:
        return []
    data = event.get("data")
    found = _fact(data.get("object") if isinstance(data, dict) else None)
    return [found] if found is not None else []


def _understood(value: Any, what: str) -> RefundFact:
    found = _fact(value)
    if found is None:  # it was taken in: what is not understood is no refusal
        raise GatewayUnavailableError(f"Stripe did not say how the {what} stands; its dashboard shows it.")
    return found


def _marks(refund: Any) -> dict[str, Any]:
    metadata = refund.get("metadata") if isinstance(refund, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _key_of(refund: Any) -> str | None:
    return object_id(_marks(refund).get(REFUND_MARK))


def _fact(value: Any) -> RefundFact | None:
    reference = object_id(value)
    if not isinstance(value, dict) or reference is None:
        return None
    status, amount, currency = value.get("status"), value.get("amount"), value.get("currency")
    state = _STATES.get(status) if isinstance(status, str) else None
    if state is None:
        return None
    why = value.get("failure_reason")
    return RefundFact(
        reference=reference,
        transaction_id=object_id(_marks(value).get(MARK))
        or object_id(value.get("payment_intent"))
        or object_id(value.get("charge")),
        state=state,
        amount_minor=amount if isinstance(amount, int) and not isinstance(amount, bool) else None,
        currency=currency.upper() if isinstance(currency, str) else None,
        key=_key_of(value),
        why=why[:100] if isinstance(why, str) and why.isprintable() else None,
    )
