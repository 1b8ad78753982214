"""Charging a card keyed in on the telephone, at Stripe: a payment intent that is made first and confirmed then.

Between the two no money moves, and an intent can succeed once: when nobody knows what became of the confirmation,
the intent tells it.
"""

from __future__ import annotations

from typing import Any, Final

import stripe

from tenderline.core.reasons import FailureReason
from tenderline.gateways.base import (
    ChargeAnswer,
    ChargeRequest,
    ChargeState,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from tenderline.gateways.stripe_api import NotThereError, Told, ask
from tenderline.gateways.stripe_declines import STRIPE_CODES
from tenderline.gateways.stripe_facts import object_id

CHARGE_MARK: Final = "tenderline_charge"
REFERENCE_MARK: Final = "tenderline_reference"
_DESCRIPTION_CHARACTERS_MAX: Final = 200

_STATES: Final = {
    "succeeded": ChargeState.TAKEN,
    "processing": ChargeState.TAKEN,
    "requires_capture": ChargeState.TAKEN,
    "requires_confirmation": ChargeState.OPEN,
    # Whoever pays on the telephone cannot be sent to her bank's page.
    "requires_action": ChargeState.DECLINED,
    "requires_payment_method": ChargeState.DECLINED,
    "canceled": ChargeState.OVER,
}


async def prepare(api: stripe.StripeClient, request: ChargeRequest, *, moto: bool) -> str:
    """The id of a payment intent with this card, not confirmed. `moto` marks it as an order by telephone."""
    wanted: stripe.params.PaymentIntentCreateParams = {
        "amount": request.money.minor,
        "currency": request.money.currency.lower(),
        "payment_method": request.token,
        "allowed_payment_method_types": ["card"],
        "description": request.description[:_DESCRIPTION_CHARACTERS_MAX],
        "metadata": {CHARGE_MARK: request.key, REFERENCE_MARK: request.reference},
    }
    if moto:
        wanted["payment_method_options"] = {"card": {"moto": True}}
    what = f"preparation of charge {request.key}"
    made = await ask(what, api.v1.payment_intents.create_async(wanted, {"idempotency_key": f"prepare-{request.key}"}))
    found = object_id(made.fields)
    if found is None:
        raise GatewayRefusedError(f"Stripe gave no id for the {what}.")
    return found


async def charge(api: stripe.StripeClient, request: ChargeRequest) -> ChargeAnswer:
    """Confirms the intent once. A decline is an answer like another."""
    assert request.transaction_id is not None, "prepared before"
    identity = request.transaction_id
    try:
        told = await ask(
            f"charge {request.key}",
            api.v1.payment_intents.confirm_async(identity, {}, {"idempotency_key": f"charge-{request.key}"}),
        )
    except GatewayRefusedError:
        # A decline comes as an error; so does a second confirmation. How the intent stands is what counts.
        found = await read(api, identity)
        if found is None or found.state is ChargeState.OPEN:
            raise
        return found
    return _answer(told, identity)


async def read(api: stripe.StripeClient, transaction_id: str) -> ChargeAnswer | None:
    """How the intent stands."""
    what = f"payment intent {transaction_id}"
    try:
        told = await ask(what, api.v1.payment_intents.retrieve_async(transaction_id, {"expand": ["latest_charge"]}))
    except NotThereError:
        return None
    return _answer(told, transaction_id)


async def cancel(api: stripe.StripeClient, transaction_id: str) -> ChargeAnswer:
    """The intent cannot be confirmed any more, or has succeeded."""
    try:
        told = await ask(f"end of {transaction_id}", api.v1.payment_intents.cancel_async(transaction_id))
    except NotThereError:
        return ChargeAnswer(state=ChargeState.OVER, transaction_id=transaction_id)
    except GatewayRefusedError:
        found = await read(api, transaction_id)
        if found is None:
            raise
        return found
    return _answer(told, transaction_id)


def _answer(told: Told, transaction_id: str) -> ChargeAnswer:
    status = told.fields.get("status")
    state = _STATES.get(status) if isinstance(status, str) else None
    if state is None:  # it was taken in: what is not understood is no refusal
        raise GatewayUnavailableError(f"Stripe did not say how {transaction_id} stands; its dashboard shows it.")
    if status == "requires_action":
        return ChargeAnswer(state=state, transaction_id=transaction_id, reason=FailureReason.AUTHENTICATION_REQUIRED)
    return ChargeAnswer(state=state, transaction_id=transaction_id, reason=_reason(told.fields))


def _reason(intent: dict[str, Any]) -> FailureReason | None:
    error, latest = intent.get("last_payment_error"), intent.get("latest_charge")
    codes: list[object] = []
    if isinstance(error, dict):
        codes += [error.get("decline_code"), error.get("code")]
    if isinstance(latest, dict):
        codes.append(latest.get("failure_code"))
    known = [STRIPE_CODES[one] for one in codes if isinstance(one, str) and one in STRIPE_CODES]
    return known[0] if known else FailureReason.UNKNOWN if any(codes) else None
