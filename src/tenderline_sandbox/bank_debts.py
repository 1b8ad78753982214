"""The one description a made-up payment is told by, and how a caller's few words are filled up to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from tenderline_sandbox.bank_wire import BankError, Json, new_id

_AMOUNT_MINOR_MAX: Final = 99_999_999
"""Stripe's own ceiling: eight digits."""
_INSTANT_MAX_UNIX_S: Final = 2**36

Text = Annotated[str, msgspec.Meta(max_length=500)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
Instant = Annotated[int, msgspec.Meta(ge=0, le=_INSTANT_MAX_UNIX_S)]
Minor = Annotated[int, msgspec.Meta(ge=0, le=_AMOUNT_MINOR_MAX)]


class State(StrEnum):
    """How a payment stands."""

    FAILED = "failed"
    ACTION_REQUIRED = "action_required"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    REFUNDED = "refunded"
    DISPUTED = "disputed"

    @property
    def paid(self) -> bool:
        """Whether the money arrived, whatever became of it later."""
        return self in (State.SUCCEEDED, State.REFUNDED, State.DISPUTED)


class Debt(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One payment and whom it is asked of. Ids left out are made up; amounts are in minor units, times unix seconds."""

    payment_intent: Name
    charge: Name
    customer: Name
    payment_method: Name
    invoice: Name | None = None
    subscription: Name | None = None
    session: Name | None = None
    setup_intent: Name | None = None
    dispute: Name | None = None
    name: Text | None = None
    phone: Text | None = None
    email: Text | None = None
    country: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{2}$")] | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    amount: Minor = 2_500
    amount_refunded: Minor | None = None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{3}$")] = "usd"
    description: Text | None = None
    decline_code: Text | None = "generic_decline"
    network_decline_code: Text | None = None
    advice_code: Text | None = None
    network_advice_code: Text | None = None
    brand: Text = "visa"
    last4: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}$")] = "4242"
    next_payment_attempt: Instant | None = None
    attempt_count: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    hosted_invoice_url: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None
    created: Instant = 0
    metadata: Annotated[dict[Text, Text], msgspec.Meta(max_length=50)] = {}


# Stripe gives these as the error's code too; every other decline is `card_declined` there.
_CODES_OF_THEIR_OWN: Final = frozenset(
    {"authentication_required", "expired_card", "incorrect_cvc", "incorrect_number", "processing_error"}
)
# What the card networks answer for a decline code, and what they advise: (response code, advice).
_NETWORK_ANSWERS: Final[dict[str, tuple[str | None, str | None]]] = {
    "insufficient_funds": ("51", "try_again_later"),
    "do_not_honor": ("05", "try_again_later"),
    "generic_decline": (None, None),
    "expired_card": ("54", "confirm_card_data"),
    "lost_card": ("41", "do_not_try_again"),
    "stolen_card": ("43", "do_not_try_again"),
    "incorrect_cvc": ("82", "confirm_card_data"),
    "processing_error": ("96", "try_again_later"),
    "fraudulent": ("59", "do_not_try_again"),
    "revocation_of_authorization": ("R1", "do_not_try_again"),
    "authentication_required": ("1A", None),
}


def error_code(debt: Debt) -> str:
    """Stripe's error code of a decline."""
    return debt.decline_code if debt.decline_code in _CODES_OF_THEIR_OWN and debt.decline_code else "card_declined"


def decline_message(decline_code: str | None) -> str:
    """What a payer is told."""
    return {
        "insufficient_funds": "The card has insufficient funds.",
        "expired_card": "The card has expired.",
        "incorrect_cvc": "The card's security code is incorrect.",
        "processing_error": "The card could not be processed just now.",
        "authentication_required": "The card's bank wants to be sure it is you.",
    }.get(decline_code or "", "The card was declined.")


def fill(given: Json, told: Json, *, public_url: str) -> Debt:
    """All that was told of a payment, the news in `given` included, over defaults. Raises `BankError` if wrong."""
    merged = dict(told)
    for field, prefix in (
        ("payment_intent", "pi_"),
        ("charge", "ch_"),
        ("customer", "cus_"),
        ("payment_method", "pm_"),
    ):
        merged.setdefault(field, new_id(prefix))
    if "decline_code" in given:
        network, advice = _NETWORK_ANSWERS.get(str(given["decline_code"]), (None, None))
        merged["network_decline_code"] = given.get("network_decline_code", network)
        merged["advice_code"] = given.get("advice_code", advice)
    if merged.get("invoice"):
        merged.setdefault("hosted_invoice_url", f"{public_url}/pay/{merged['invoice']}")
    try:
        return msgspec.convert(merged, Debt)
    except msgspec.ValidationError as error:
        raise BankError(400, str(error)) from None
