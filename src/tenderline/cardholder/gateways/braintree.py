"""Braintree: `tokenizeCreditCard` by GraphQL gives a single-use payment method, which is vaulted or charged later.

developer.paypal.com/braintree/graphql/reference/mutations/tokenize-credit-card and .../guides/making_api_calls: the
answer is 200 with `errors`, each with `extensions.errorClass`, `inputPath` and `legacyCode` (the codes of
developer.paypal.com/braintree/docs/reference/general/validation-errors/all). A key `PUBLIC:PRIVATE` is sent as Basic,
a tokenization key as Bearer; the latter may do nothing but this, so it is the better one here.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

from tenderline.cardholder.gateways.base import Answer, Keyed, Request, refused, tokenised, told, unavailable
from tenderline.cardholder.messages import Outcome
from tenderline.cardholder.wire import GatewayTarget

API_VERSION: Final = "2019-01-01"

_MUTATION: Final = (
    "mutation T($input: TokenizeCreditCardInput!) { tokenizeCreditCard(input: $input) { paymentMethod { id } } }"
)
_CODES: Final = {
    "81703": "brand_not_allowed",
    "81706": "code_wrong",
    "81707": "code_wrong",
    "81736": "code_wrong",
    "81737": "postal_code_wrong",
    "81709": "expiry_wrong",
    "81710": "expiry_wrong",
    "81711": "expiry_wrong",
    "81712": "expiry_wrong",
    "81713": "expiry_wrong",
    "81714": "number_wrong",
    "81715": "number_wrong",
    "81716": "number_wrong",
    "81717": "number_wrong",
}
_PATHS: Final = {
    "number": "number_wrong",
    "expirationMonth": "expiry_wrong",
    "expirationYear": "expiry_wrong",
    "cvv": "code_wrong",
    "postalCode": "postal_code_wrong",
}


class _Extensions(msgspec.Struct, rename="camel"):
    error_class: str | None = None
    legacy_code: str | None = None
    input_path: list[Any] = []


class _Error(msgspec.Struct):
    extensions: _Extensions | None = None


class _Method(msgspec.Struct):
    id: str | None = None


class _Tokenize(msgspec.Struct, rename="camel"):
    payment_method: _Method | None = None


class _Data(msgspec.Struct, rename="camel"):
    tokenize_credit_card: _Tokenize | None = None


class _Told(msgspec.Struct):
    data: _Data | None = None
    errors: list[_Error] = []


class Braintree:
    """See `CardGateway`."""

    path = "/graphql"
    twice_is_harmless = True  # a payment method of single use that nobody uses is gone by itself

    def headers(self, target: GatewayTarget) -> dict[str, str]:
        """See the module."""
        key = target.api_key
        basic = f"Basic {base64.b64encode(key.encode()).decode()}"
        return {
            "Authorization": basic if ":" in key else f"Bearer {key}",
            "Braintree-Version": API_VERSION,
            "Content-Type": "application/json",
        }

    def build(self, card: Keyed, target: GatewayTarget, request: Request) -> None:
        """A GraphQL request: the mutation, and the card in its variables."""
        del target
        request.text('{"query":')
        request.quoted(_MUTATION)
        request.text(',"variables":{"input":{"creditCard":{"number":"')
        request.digits(card.number)
        if len(card.expiry):
            request.text('","expirationMonth":"')
            request.month(card.expiry)
            request.text('","expirationYear":"')
            request.year(card.expiry)
        if len(card.code):
            request.text('","cvv":"')
            request.digits(card.code)
        if len(card.postal_code):
            request.text('","billingAddress":{"postalCode":"')
            request.digits(card.postal_code)
            request.text('"}}}}}')
        else:
            request.text('"}}}}')

    def read(self, answer: Answer, card: Keyed) -> Outcome:
        """The first error that is about a field of the card; else a validation error is a declined card."""
        if answer.status != 200:
            return unavailable(answer)
        said = told(answer.body, _Told)
        kinds = [one.extensions for one in said.errors if one.extensions is not None]
        for kind in kinds:
            last = kind.input_path[-1] if kind.input_path else None
            if reason := _CODES.get(kind.legacy_code or "") or _PATHS.get(str(last)):
                return refused(reason)
        if said.errors:
            validation = any(kind.error_class == "VALIDATION" for kind in kinds)
            return refused("declined") if validation else unavailable(answer, kinds[0].error_class if kinds else None)
        made = said.data and said.data.tokenize_credit_card and said.data.tokenize_credit_card.payment_method
        return tokenised(made.id if made else None, card)
