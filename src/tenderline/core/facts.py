"""What a gateway told us about a payment, in the one vocabulary the product uses.

A `PaymentFact` is an observation, not a change: gateways repeat themselves, reorder and contradict, so facts are folded
(`payments/session.py`) into one state that does not depend on the order in which they came.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tenderline.core.reasons import FailureReason


class FactKind(StrEnum):
    """What was observed of one payment."""

    CREATED = "created"
    FAILED = "failed"
    ACTION_REQUIRED = "action_required"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    STOPPED = "stopped"


class Payer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a payment is asked of, as the gateway tells it: raw values, not yet normalised or believed."""

    reference: str | None = None
    """The gateway's own id of the customer, such as `cus_…`."""
    name: str | None = None
    phone: str | None = None
    email: str | None = None
    locale: str | None = None
    region: str | None = None
    """ISO 3166 country of the billing address: reads a phone number written without a country code."""
    state: str | None = None
    """State or province of the same address."""
    postal_code: str | None = None
    """Of the same address."""

    def has_contact(self) -> bool:
        """Whether there is anything to reach the payer by."""
        return bool(self.phone or self.email)


class PaymentFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observation of one payment. `amount_minor` and `currency` are raw too: `Money.parse` judges them."""

    kind: FactKind
    transaction_id: str | None
    """The key of the debt at its gateway (Stripe: the payment intent). None: see `lookup`."""
    occurred_at_unix_s: int
    """The gateway's clock. Orders observations of one payment; never compared with ours."""
    event_id: str
    amount_minor: int | None = None
    currency: str | None = None
    reason: FailureReason | None = None
    raw_code: str | None = None
    payer: Payer = Payer()
    invoice_reference: str | None = None
    subscription_reference: str | None = None
    pay_url: str | None = None
    """A page of the gateway's own where this debt can be paid, when the event names one."""
    gateway_retries: bool = False
    """The gateway itself will try the card again: our machine must not (two dunners on one card)."""
    lookup: str | None = None
    """An object of the gateway (an invoice id) that must be read before `transaction_id` is known."""


class RefundState(StrEnum):
    """What a gateway says of money that goes back, in the order in which it is believed."""

    TAKEN = "taken"
    """It was accepted and is on its way."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The payer's bank did not take it: the money is with us again. Told after a success too."""


class RefundFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observation of one refund."""

    reference: str
    """The gateway's own id of it."""
    transaction_id: str | None
    """The payment that it gives back, by the key of `PaymentFact`."""
    state: RefundState
    amount_minor: int | None = None
    currency: str | None = None
    key: str | None = None
    """Our id of it, when it was asked for here."""
    why: str | None = None
