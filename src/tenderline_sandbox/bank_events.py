"""Stripe's events in their current shape, made up: what went wrong (or right) with a payment nobody has to make.

`EVENTS` says which object an event carries and how the payment stands afterwards; any other type makes an event that
the product does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tenderline_sandbox.bank_debts import Debt, State
from tenderline_sandbox.bank_objects import (
    charge_object,
    dispute_object,
    intent_object,
    invoice_object,
    setup_intent_object,
    subscription_object,
)
from tenderline_sandbox.bank_sessions import session_of_debt
from tenderline_sandbox.bank_wire import API_VERSION, Json, new_id

EVENTS: Final[dict[str, tuple[str, State | None]]] = {
    "payment_intent.payment_failed": ("payment_intent", State.FAILED),
    "payment_intent.requires_action": ("payment_intent", State.ACTION_REQUIRED),
    "payment_intent.processing": ("payment_intent", State.PROCESSING),
    "payment_intent.succeeded": ("payment_intent", State.SUCCEEDED),
    "payment_intent.canceled": ("payment_intent", State.CANCELED),
    "charge.failed": ("charge", State.FAILED),
    "charge.succeeded": ("charge", State.SUCCEEDED),
    "charge.captured": ("charge", State.SUCCEEDED),
    "charge.refunded": ("charge", State.REFUNDED),
    "charge.dispute.created": ("dispute", State.DISPUTED),
    "invoice.payment_failed": ("invoice", State.FAILED),
    "invoice.payment_action_required": ("invoice", State.ACTION_REQUIRED),
    "invoice.paid": ("invoice", State.SUCCEEDED),
    "invoice.payment_succeeded": ("invoice", State.SUCCEEDED),
    "invoice.voided": ("invoice", State.CANCELED),
    "setup_intent.setup_failed": ("setup_intent", None),
    "checkout.session.async_payment_failed": ("checkout.session", State.FAILED),
    "checkout.session.async_payment_succeeded": ("checkout.session", State.SUCCEEDED),
    "checkout.session.completed": ("checkout.session", State.SUCCEEDED),
    "customer.subscription.deleted": ("subscription", None),
}

_WITHOUT_STATE: Final[dict[str, Callable[[Debt], Json]]] = {
    "dispute": dispute_object,
    "setup_intent": setup_intent_object,
    "subscription": subscription_object,
}
_WITH_STATE: Final[dict[str, Callable[[Debt, State], Json]]] = {
    "payment_intent": intent_object,
    "charge": charge_object,
    "invoice": invoice_object,
    "checkout.session": session_of_debt,
}

RENEWAL_FAILURE: Final = ("payment_intent.payment_failed", "charge.failed", "invoice.payment_failed")
"""What Stripe sends when one renewal fails, in no promised order: three events about one debt."""


def subject_of(event_type: str, debt: Debt) -> Json:
    """The object an event of this type carries."""
    kind, state = EVENTS.get(event_type, ("", None))
    if kind in _WITH_STATE:
        assert state is not None
        return _WITH_STATE[kind](debt, state)
    if kind in _WITHOUT_STATE:
        return _WITHOUT_STATE[kind](debt)
    return {"id": new_id("obj_"), "object": event_type.rpartition(".")[0] or event_type, "livemode": False}


def event_of(event_type: str, subject: Json, created_unix_s: int) -> Json:
    """An event around an object."""
    return {
        "id": new_id("evt_"),
        "object": "event",
        "api_version": API_VERSION,
        "created": created_unix_s,
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
    }


def objects_after(debt: Debt, state: State) -> list[Json]:
    """What a read of the API finds once the payment stands like this."""
    objects = [intent_object(debt, state)]
    if state not in (State.ACTION_REQUIRED, State.CANCELED):
        objects.append(charge_object(debt, state))
    if debt.invoice:
        objects.append(invoice_object(debt, state))
    if debt.session:
        objects.append(session_of_debt(debt, state))
    return objects
