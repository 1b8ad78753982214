"""A vault of one's own: one JSON request, one JSON answer, at whatever address the target names.

    POST {url}          Authorization: Bearer KEY, Content-Type: application/json
    {"transaction_type": "tokenize", "card_number": "…", "expiry_month": "09", "expiry_year": "2031", "cvv": "…",
     "postal_code": "…"}                       fields that were not keyed are left out

    200  {"token": "…"}                        `brand` and `last_four` may stand there, and are not needed
    4xx  {"error": "…", "field": "…"}          `field`: card_number, expiry, expiry_month, expiry_year, cvv, postal_code
    200  {"error": "…", "field": "…"}          is taken the same way

An `error` with a field means: key that again. `card_declined`, or status 402, means that the card is not taken. Any
other answer means that the vault could not; the capture then ends without a fault of the caller's. A token has up to
255 characters of A-Z a-z 0-9 _ . : = | / + - and must not look like a card number.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tenderline.cardholder.gateways.base import Answer, Keyed, Request, refused, tokenised, told, unavailable
from tenderline.cardholder.messages import Outcome
from tenderline.cardholder.wire import GatewayTarget

_FIELDS: Final = {
    "card_number": "number_wrong",
    "expiry": "expiry_wrong",
    "expiry_month": "expiry_wrong",
    "expiry_year": "expiry_wrong",
    "cvv": "code_wrong",
    "postal_code": "postal_code_wrong",
}


class _Told(msgspec.Struct):
    token: str | None = None
    error: str | None = None
    field: str | None = None


class Generic:
    """See `CardGateway`."""

    path = ""
    twice_is_harmless = True  # a token that nobody uses moves no money (docs/reference/generic-gateway.md)

    def headers(self, target: GatewayTarget) -> dict[str, str]:
        """See the module."""
        return {"Authorization": f"Bearer {target.api_key}", "Content-Type": "application/json"}

    def build(self, card: Keyed, target: GatewayTarget, request: Request) -> None:
        """See the module."""
        del target
        request.text('{"transaction_type":"tokenize","card_number":"')
        request.digits(card.number)
        if len(card.expiry):
            request.text('","expiry_month":"')
            request.month(card.expiry)
            request.text('","expiry_year":"')
            request.year(card.expiry)
        if len(card.code):
            request.text('","cvv":"')
            request.digits(card.code)
        if len(card.postal_code):
            request.text('","postal_code":"')
            request.digits(card.postal_code)
        request.text('"}')

    def read(self, answer: Answer, card: Keyed) -> Outcome:
        """See the module."""
        if answer.status >= 500 or answer.status in (401, 403, 404, 429):
            return unavailable(answer)
        said = told(answer.body, _Told)
        if said.error is None and answer.status == 200:
            return tokenised(said.token, card)
        if reason := _FIELDS.get(said.field or ""):
            return refused(reason)
        declined = said.error == "card_declined" or answer.status == 402
        return refused("declined") if declined else unavailable(answer, said.error)
