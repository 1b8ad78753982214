"""The bank's own objects in Stripe's current shape, made from one description of a payment.

Since API version 2025-03-31 ("basil") neither a charge nor a payment intent names its invoice, and an invoice names its
payment intent only inside `payments`. The Stripe server behind the bank still speaks the shapes of 2017, so whatever
depends on the new ones is made here. Only fields that carry news are given; their names follow Stripe's API reference.
"""

from __future__ import annotations

from typing import Any, Final

from tenderline_sandbox.bank_debts import Debt, State, decline_message, error_code
from tenderline_sandbox.bank_wire import Json, new_id

_MONTH_S: Final = 30 * 24 * 3_600
_DISPUTE_ANSWER_S: Final = 7 * 24 * 3_600


def _address(debt: Debt) -> Json | None:
    if debt.country is None:
        return None
    empty = dict.fromkeys(("city", "line1", "line2", "postal_code", "state"))
    return {**empty, "country": debt.country.upper()}


def _billing_details(debt: Debt) -> Json:
    address = _address(debt) or dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    return {"address": address, "email": debt.email, "name": debt.name, "phone": debt.phone, "tax_id": None}


def _object(kind: str, identity: str, debt: Debt, fields: Json) -> Json:
    return {
        "id": identity,
        "object": kind,
        "created": debt.created,
        "livemode": False,
        "metadata": dict(debt.metadata),
        **fields,
    }


def customer_object(debt: Debt) -> Json:
    """The payer's own record."""
    return _object(
        "customer",
        debt.customer,
        debt,
        {
            "metadata": {},
            "address": _address(debt),
            "balance": 0,
            "currency": debt.currency.lower(),
            "default_source": None,
            "delinquent": False,
            "description": None,
            "email": debt.email,
            "name": debt.name,
            "phone": debt.phone,
            "preferred_locales": [debt.locale] if debt.locale else [],
            "shipping": None,
            "tax_exempt": "none",
        },
    )


def _payment_method(debt: Debt) -> Json:
    card = {"brand": debt.brand, "country": debt.country, "funding": "credit", "last4": debt.last4}
    return _object(
        "payment_method",
        debt.payment_method,
        debt,
        {"type": "card", "billing_details": _billing_details(debt), "card": card, "customer": debt.customer},
    ) | {"metadata": {}}


def error_object(debt: Debt, *, charge: str | None) -> Json:
    """Why a card was refused, as a payment intent or a setup intent carries it."""
    code = error_code(debt)
    error: dict[str, Any] = {
        "type": "card_error",
        "code": code,
        "decline_code": debt.decline_code,
        "message": decline_message(debt.decline_code),
        "payment_method": _payment_method(debt),
    }
    said = {
        "advice_code": debt.advice_code,
        "network_advice_code": debt.network_advice_code,
        "network_decline_code": debt.network_decline_code,
        "charge": charge,
    }
    return error | {name: value for name, value in said.items() if value is not None}


_INTENT_STATUS: Final = {
    State.FAILED: "requires_payment_method",
    State.ACTION_REQUIRED: "requires_action",
    State.PROCESSING: "processing",
    State.CANCELED: "canceled",
}


def intent_object(debt: Debt, state: State) -> Json:
    """The payment intent: the debt's key."""
    failed, asked = state is State.FAILED, state is State.ACTION_REQUIRED
    return _object(
        "payment_intent",
        debt.payment_intent,
        debt,
        {
            "amount": debt.amount,
            "amount_capturable": 0,
            "amount_received": debt.amount if state.paid else 0,
            "canceled_at": debt.created if state is State.CANCELED else None,
            "cancellation_reason": "abandoned" if state is State.CANCELED else None,
            "capture_method": "automatic",
            "client_secret": f"{debt.payment_intent}_secret_sandbox",
            "confirmation_method": "automatic",
            "currency": debt.currency.lower(),
            "customer": debt.customer,
            "description": debt.description,
            "last_payment_error": error_object(debt, charge=debt.charge) if failed else None,
            "latest_charge": None if state in (State.ACTION_REQUIRED, State.CANCELED) else debt.charge,
            "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}} if asked else None,
            "payment_method": None if failed else debt.payment_method,
            "payment_method_types": ["card"],
            "receipt_email": None,
            "setup_future_usage": "off_session" if debt.subscription else None,
            "shipping": None,
            "status": _INTENT_STATUS.get(state, "succeeded"),
        },
    )


def charge_object(debt: Debt, state: State) -> Json:
    """One try of the card."""
    paid, failed = state.paid, state is State.FAILED
    returned = debt.amount if debt.amount_refunded is None else debt.amount_refunded
    returned = returned if state is State.REFUNDED else 0
    outcome = {
        "advice_code": debt.advice_code if failed else None,
        "network_advice_code": debt.network_advice_code if failed else None,
        "network_decline_code": debt.network_decline_code if failed else None,
        "network_status": "declined_by_network" if failed else "approved_by_network",
        "reason": debt.decline_code if failed else None,
        "risk_level": "normal",
        "seller_message": "The bank declined the payment." if failed else "Payment complete.",
        "type": "issuer_declined" if failed else "authorized",
    }
    card = {
        "brand": debt.brand,
        "country": debt.country,
        "funding": "credit",
        "last4": debt.last4,
        "network": debt.brand,
    }
    return _object(
        "charge",
        debt.charge,
        debt,
        {
            "amount": debt.amount,
            "amount_captured": debt.amount if paid else 0,
            "amount_refunded": returned,
            "billing_details": _billing_details(debt),
            "captured": paid,
            "currency": debt.currency.lower(),
            "customer": debt.customer,
            "description": debt.description,
            "disputed": state is State.DISPUTED,
            "failure_code": error_code(debt) if failed else None,
            "failure_message": decline_message(debt.decline_code) if failed else None,
            "outcome": outcome,
            "paid": paid,
            "payment_intent": debt.payment_intent,
            "payment_method": debt.payment_method,
            "payment_method_details": {"card": card, "type": "card"},
            "receipt_email": None,
            "refunded": 0 < debt.amount == returned,
            "status": "succeeded" if paid else "failed" if failed else "pending",
        },
    )


def invoice_payment_object(debt: Debt, state: State) -> Json:
    """What ties an invoice to the payment intent that pays it."""
    assert debt.invoice is not None
    entry = _object(
        "invoice_payment",
        "inpay_" + debt.invoice.removeprefix("in_"),
        debt,
        {
            "amount_paid": debt.amount if state.paid else None,
            "amount_requested": debt.amount,
            "currency": debt.currency.lower(),
            "invoice": debt.invoice,
            "is_default": True,
            "payment": {"type": "payment_intent", "payment_intent": debt.payment_intent},
            "status": "paid" if state.paid else "open",
        },
    )
    del entry["metadata"]
    return entry


def invoice_object(debt: Debt, state: State) -> Json:
    """The bill of one period of a subscription."""
    assert debt.invoice is not None
    paid = state.paid
    parent: Json | None = None
    if debt.subscription:
        about = {"metadata": dict(debt.metadata), "subscription": debt.subscription}
        parent = {"quote_details": None, "subscription_details": about, "type": "subscription_details"}
    payments = {
        "object": "list",
        "data": [invoice_payment_object(debt, state)],
        "has_more": False,
        "url": f"/v1/invoice_payments?invoice={debt.invoice}",
    }
    return _object(
        "invoice",
        debt.invoice,
        debt,
        {
            "metadata": {},
            "amount_due": debt.amount,
            "amount_paid": debt.amount if paid else 0,
            "amount_remaining": 0 if paid else debt.amount,
            "attempt_count": debt.attempt_count,
            "attempted": True,
            "auto_advance": not paid,
            "billing_reason": "subscription_cycle" if debt.subscription else "manual",
            "collection_method": "charge_automatically",
            "currency": debt.currency.lower(),
            "customer": debt.customer,
            "customer_address": _address(debt),
            "customer_email": debt.email,
            "customer_name": debt.name,
            "customer_phone": debt.phone,
            "customer_shipping": None,
            "description": debt.description,
            "hosted_invoice_url": debt.hosted_invoice_url,
            "next_payment_attempt": None if paid else debt.next_payment_attempt,
            "number": debt.invoice.removeprefix("in_")[:8].upper() + "-0001",
            "parent": parent,
            "payments": payments,
            "period_end": debt.created,
            "period_start": max(0, debt.created - _MONTH_S),
            "status": "paid" if paid else "void" if state is State.CANCELED else "open",
            "subtotal": debt.amount,
            "total": debt.amount,
        },
    )


def dispute_object(debt: Debt) -> Json:
    """A payment the cardholder contests at his bank."""
    return _object(
        "dispute",
        debt.dispute or new_id("du_"),
        debt,
        {
            "metadata": {},
            "amount": debt.amount,
            "charge": debt.charge,
            "currency": debt.currency.lower(),
            "evidence_details": {"due_by": debt.created + _DISPUTE_ANSWER_S, "has_evidence": False, "past_due": False},
            "is_charge_refundable": False,
            "payment_intent": debt.payment_intent,
            "reason": "fraudulent",
            "status": "needs_response",
        },
    )


def setup_intent_object(debt: Debt) -> Json:
    """A card that was to be kept for later, and was refused: no payment."""
    return _object(
        "setup_intent",
        debt.setup_intent or new_id("seti_"),
        debt,
        {
            "customer": debt.customer,
            "last_setup_error": error_object(debt, charge=None),
            "payment_method": None,
            "payment_method_types": ["card"],
            "status": "requires_payment_method",
            "usage": "off_session",
        },
    )


def subscription_object(debt: Debt) -> Json:
    """A subscription that has ended."""
    return _object(
        "subscription",
        debt.subscription or new_id("sub_"),
        debt,
        {
            "canceled_at": debt.created,
            "cancel_at_period_end": False,
            "collection_method": "charge_automatically",
            "currency": debt.currency.lower(),
            "customer": debt.customer,
            "ended_at": debt.created,
            "latest_invoice": debt.invoice,
            "status": "canceled",
        },
    )
