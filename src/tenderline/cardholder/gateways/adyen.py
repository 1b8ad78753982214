"""Adyen: an authorisation over nothing (`POST /v71/payments`, amount 0) that verifies the card and stores it.

docs.adyen.com/online-payments/tokenization/create-tokens: with `storePaymentMethod`, a `shopperReference` and a
`recurringProcessingModel` the answer tells the token, when "Recurring details" is switched on among the additional data
of the Customer Area; else it comes by webhook only, and then this says so. Raw cards need the role "API PCI Payments".
A stored card can only be used with its shopper's reference, so the token here is `REFERENCE/ID`.

Refusals and errors (422): docs.adyen.com/development-resources/refusal-reasons and .../error-codes. A postal code is
not sent: Adyen takes a whole address or none.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

import msgspec

from tenderline.cardholder.gateways.base import (
    Answer,
    Keyed,
    Request,
    UnreadableError,
    refused,
    tokenised,
    told,
    unavailable,
)
from tenderline.cardholder.messages import Outcome, Tokenised, TokenUnavailable
from tenderline.cardholder.wire import GatewayTarget

_REFERENCE: Final = re.compile(r"[A-Za-z0-9_.-]{3,120}")
_REFUSALS: Final = {
    "6": "expired",
    "8": "number_wrong",
    "24": "code_wrong",
}
# Nobody decided about the card: acquirer or issuer could not be reached, or the request was wrong.
_NOBODY_DECIDED: Final = frozenset({"4", "7", "9", "10", "21"})
_ERRORS: Final = {
    "101": "number_wrong",
    "102": "number_wrong",
    "103": "code_wrong",
    "153": "code_wrong",
    "129": "expiry_wrong",
    "140": "expiry_wrong",
    "141": "expiry_wrong",
}


class _Additional(msgspec.Struct):
    stored: str | None = msgspec.field(name="tokenization.storedPaymentMethodId", default=None)
    detail: str | None = msgspec.field(name="recurring.recurringDetailReference", default=None)
    shopper: str | None = msgspec.field(name="recurring.shopperReference", default=None)
    tokenised_shopper: str | None = msgspec.field(name="tokenization.shopperReference", default=None)


class _Method(msgspec.Struct, rename="camel"):
    stored_payment_method_id: str | None = None


class _Told(msgspec.Struct, rename="camel"):
    result_code: str | None = None
    refusal_reason_code: str | None = None
    error_code: str | None = None
    merchant_reference: str | None = None
    additional_data: _Additional | None = None
    payment_method: _Method | None = None


class Adyen:
    """See `CardGateway`."""

    path = "/v71/payments"
    twice_is_harmless = False  # the issuer is asked about the card each time, and the payer may be told

    def headers(self, target: GatewayTarget) -> dict[str, str]:
        """No idempotency key: nothing is charged, and a card that is keyed again is another request."""
        return {"X-API-Key": target.api_key, "Content-Type": "application/json"}

    def build(self, card: Keyed, target: GatewayTarget, request: Request) -> None:
        """An order by telephone (`Moto`): no 3-D Secure is possible."""
        shopper = target.payer or f"tl-{secrets.token_hex(16)}"
        if target.account is None or not _REFERENCE.fullmatch(shopper):
            raise UnreadableError
        request.text('{"merchantAccount":')
        request.quoted(target.account)
        request.text(',"amount":{"value":0,"currency":')
        request.quoted(target.currency)
        # The reference comes back in the answer, and with it the shopper's.
        request.text('},"reference":')
        request.quoted(shopper)
        request.text(',"shopperReference":')
        request.quoted(shopper)
        request.text(',"shopperInteraction":"Moto","recurringProcessingModel":"CardOnFile","storePaymentMethod":true')
        request.text(',"returnUrl":"https://telephone.invalid/","paymentMethod":{"type":"scheme","number":"')
        request.digits(card.number)
        if len(card.expiry):
            request.text('","expiryMonth":"')
            request.month(card.expiry)
            request.text('","expiryYear":"')
            request.year(card.expiry)
        if len(card.code):
            request.text('","cvc":"')
            request.digits(card.code)
        request.text('"}}')

    def read(self, answer: Answer, card: Keyed) -> Outcome:
        """A decision about the card comes with 200, a field that cannot be right with 422."""
        if answer.status not in (200, 422):
            return unavailable(answer)
        said = told(answer.body, _Told)
        if answer.status == 422:
            reason = _ERRORS.get(said.error_code or "")
            return refused(reason) if reason else unavailable(answer, f"error_{said.error_code}")
        if said.result_code in ("Refused", "Cancelled"):
            code = said.refusal_reason_code or ""
            return (
                unavailable(answer, f"refusal_{code}")
                if code in _NOBODY_DECIDED
                else refused(_REFUSALS.get(code, "declined"))
            )
        if said.result_code != "Authorised":
            return unavailable(answer, said.result_code)
        return _stored(said, card)


def _stored(said: _Told, card: Keyed) -> Outcome:
    more = said.additional_data or _Additional()
    stored = more.stored or more.detail or (said.payment_method and said.payment_method.stored_payment_method_id)
    shopper = more.tokenised_shopper or more.shopper or said.merchant_reference
    if not stored or not shopper or not _REFERENCE.fullmatch(shopper):
        return TokenUnavailable("the card was verified, but the answer held no token; switch on recurring details")
    outcome = tokenised(stored, card)
    # The reference is judged as well: it is part of what leaves.
    return tokenised(f"{shopper}/{stored}", card) if isinstance(outcome, Tokenised) else outcome
