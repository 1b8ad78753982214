"""Stripe: a card becomes a PaymentMethod `pm_…` (docs.stripe.com/api/payment_methods/create). Nothing is charged.

The account needs "raw card data APIs" enabled by Stripe; without it the answer is an `invalid_request_error`, which is
no fault of the caller's card. Codes: docs.stripe.com/error-codes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tenderline.cardholder.gateways.base import Answer, Keyed, Request, refused, tokenised, told, unavailable
from tenderline.cardholder.messages import Outcome
from tenderline.cardholder.wire import GatewayTarget

API_VERSION: Final = "2025-03-31.basil"

_REASONS: Final = {
    "incorrect_number": "number_wrong",
    "invalid_number": "number_wrong",
    "invalid_expiry_month": "expiry_wrong",
    "invalid_expiry_year": "expiry_wrong",
    "expired_card": "expired",
    "incorrect_cvc": "code_wrong",
    "invalid_cvc": "code_wrong",
    "incorrect_zip": "postal_code_wrong",
    "card_declined": "declined",
}


class _Error(msgspec.Struct):
    type: str | None = None
    code: str | None = None


class _Told(msgspec.Struct):
    id: str | None = None
    error: _Error | None = None


class Stripe:
    """See `CardGateway`."""

    path = "/v1/payment_methods"
    twice_is_harmless = True  # a PaymentMethod that nothing refers to is nothing to anybody

    def headers(self, target: GatewayTarget) -> dict[str, str]:
        """A secret key, or a restricted one that may write PaymentMethods."""
        return {
            "Authorization": f"Bearer {target.api_key}",
            "Stripe-Version": API_VERSION,
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def build(self, card: Keyed, target: GatewayTarget, request: Request) -> None:
        """A form; the brackets of its names are percent-encoded."""
        del target
        request.text("type=card&card%5Bnumber%5D=")
        request.digits(card.number)
        if len(card.expiry):
            request.text("&card%5Bexp_month%5D=")
            request.month(card.expiry)
            request.text("&card%5Bexp_year%5D=")
            request.year(card.expiry)
        if len(card.code):
            request.text("&card%5Bcvc%5D=")
            request.digits(card.code)
        if len(card.postal_code):
            request.text("&billing_details%5Baddress%5D%5Bpostal_code%5D=")
            request.digits(card.postal_code)

    def read(self, answer: Answer, card: Keyed) -> Outcome:
        """402 is about the card, other 4xx about us, 5xx about Stripe."""
        if answer.status >= 500 or answer.status == 429:
            return unavailable(answer)
        said = told(answer.body, _Told)
        if answer.status == 200:
            return tokenised(said.id, card)
        error = said.error or _Error()
        if reason := _REASONS.get(error.code or ""):
            return refused(reason)
        return refused("declined") if error.type == "card_error" else unavailable(answer, error.code)
