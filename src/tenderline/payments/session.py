"""How one payment stands: every fact about it, folded into one state that does not depend on their order.

Gateways repeat themselves, reorder and contradict. So `merge` is a join: each field keeps the winner of a total order
over what was seen of it, together with the version (instant, event) that won. Merging a fact twice, or facts in any
order, ends in the same state, which is why a webhook may be read again after a crash.

The status only climbs between classes: still open < stopped < succeeded < taken back. Within a class the newest news
by the gateway's own clock wins: a bank debit goes from processing to failed, a payer from failed to confirming.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import msgspec

from tenderline.core.facts import FactKind, Payer, PaymentFact
from tenderline.core.reasons import FailureReason


class PaymentStatus(StrEnum):
    """In the order in which news of the same instant is believed."""

    CREATED = "created"
    ACTION_REQUIRED = "action_required"
    PROCESSING = "processing"
    FAILED = "failed"
    STOPPED = "stopped"
    SUCCEEDED = "succeeded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


class TransactionStatus(StrEnum):
    """What is told outside: nothing is announced as a success before COMPLETED."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


_S = PaymentStatus
_RANK: Final = {status: rank for rank, status in enumerate(PaymentStatus)}
_CLASS: Final = {
    _S.CREATED: 0,
    _S.ACTION_REQUIRED: 1,
    _S.PROCESSING: 1,
    _S.FAILED: 1,
    _S.STOPPED: 2,
    _S.SUCCEEDED: 3,
    _S.REFUNDED: 4,
    _S.DISPUTED: 4,
}
_STATUS_OF: Final = {kind: PaymentStatus(kind.value) for kind in FactKind}
_TRANSACTION_STATUS: Final = {
    _S.FAILED: TransactionStatus.FAILED,
    _S.STOPPED: TransactionStatus.FAILED,
    _S.SUCCEEDED: TransactionStatus.COMPLETED,
    # The transaction did complete; that the money went back again is another story, told by the status.
    _S.REFUNDED: TransactionStatus.COMPLETED,
    _S.DISPUTED: TransactionStatus.COMPLETED,
}

# What is observed together is kept together: the amount of one event beside the currency of another would be a lie.
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "status": ("status",),
    "money": ("amount_minor", "currency"),
    "reason": ("reason", "raw_code"),
    "payer_reference": ("payer_reference",),
    "payer_name": ("payer_name",),
    "payer_phone": ("payer_phone",),
    "payer_email": ("payer_email",),
    "payer_locale": ("payer_locale",),
    "payer_address": ("payer_region", "payer_state", "payer_postal_code"),
    "invoice_reference": ("invoice_reference",),
    "subscription_reference": ("subscription_reference",),
    "pay_url": ("pay_url",),
    "gateway_retries": ("gateway_retries",),
}

Version = tuple[int, str]
"""When (the gateway's clock, unix seconds) and by which event a value was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """One payment. Amount and currency are as the gateway gave them: `Money.parse` judges them."""

    status: PaymentStatus = PaymentStatus.CREATED
    amount_minor: int | None = None
    currency: str | None = None
    reason: FailureReason | None = None
    """Why it failed last, as far as anybody said: it stays when the payment succeeds after all."""
    raw_code: str | None = None
    payer_reference: str | None = None
    payer_name: str | None = None
    payer_phone: str | None = None
    payer_email: str | None = None
    payer_locale: str | None = None
    payer_region: str | None = None
    payer_state: str | None = None
    payer_postal_code: str | None = None
    invoice_reference: str | None = None
    subscription_reference: str | None = None
    pay_url: str | None = None
    gateway_retries: bool = False
    succeeded_at_unix_s: int | None = None
    """When its money first arrived, by the gateway's clock: the day it is booked on, whatever is told later."""
    versions: dict[str, Version] = field(default_factory=dict)
    """For each group of fields, what told it."""

    @property
    def payer(self) -> Payer:
        """Whom it is asked of; each detail from the newest event that told it."""
        return Payer(
            reference=self.payer_reference,
            name=self.payer_name,
            phone=self.payer_phone,
            email=self.payer_email,
            locale=self.payer_locale,
            region=self.payer_region,
            state=self.payer_state,
            postal_code=self.payer_postal_code,
        )

    @property
    def transaction_status(self) -> TransactionStatus:
        """PENDING until the gateway says how it ended; COMPLETED once the money arrived, for good."""
        return _TRANSACTION_STATUS.get(self.status, TransactionStatus.PENDING)


_decoder = msgspec.json.Decoder(PaymentState)


def encode(state: PaymentState) -> str:
    """The state as JSON, versions and all: what the next fact is merged into."""
    return msgspec.json.encode(state).decode()


def decode(text: str | bytes) -> PaymentState:
    """The inverse of `encode`; raises `msgspec.ValidationError` for a state of a newer kind."""
    return _decoder.decode(text)


def _observed(fact: PaymentFact) -> dict[str, tuple[Any, ...]]:
    """The groups that a fact says something about."""
    payer = fact.payer
    told: dict[str, tuple[Any, ...]] = {
        "status": (_STATUS_OF[fact.kind],),
        "money": (fact.amount_minor, fact.currency),
        "reason": (fact.reason, fact.raw_code),
        "payer_reference": (payer.reference,),
        "payer_name": (payer.name,),
        "payer_phone": (payer.phone,),
        "payer_email": (payer.email,),
        "payer_locale": (payer.locale,),
        "payer_address": (payer.region, payer.state, payer.postal_code),
        "invoice_reference": (fact.invoice_reference,),
        "subscription_reference": (fact.subscription_reference,),
        "pay_url": (fact.pay_url,),
    }
    told = {group: values for group, values in told.items() if any(value is not None for value in values)}
    if fact.gateway_retries or fact.invoice_reference is not None:
        # Only news of the invoice itself knows whether the gateway will try again; elsewhere False means "not told".
        told["gateway_retries"] = (fact.gateway_retries,)
    return told


def _standing(group: str, version: Version, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The place of an observation in its group's total order: the greatest wins.

    The values themselves come last, so that even two tellings under one event id (a payment read twice in a second) end
    the same way in any order.
    """
    at_unix_s, event_id = version
    weight = tie = 0
    if group == "status":
        weight, tie = _CLASS[values[0]], _RANK[values[0]]
    elif group == "money":
        weight = 2 * (values[0] is not None) + (values[1] is not None)
    elif group == "reason":
        # A specific reason is worth more than a later shrug.
        weight = 0 if values[0] is None else 1 if values[0] is FailureReason.UNKNOWN else 2
    elif group == "payer_address":
        weight = sum(value is not None for value in values)  # the fuller address tells better where she is
    elif group == "gateway_retries":
        # At the same instant, the answer that keeps our machine's hands off the card.
        tie = int(values[0])
    return weight, at_unix_s, tie, event_id, tuple((value is not None, value) for value in values)


def merge(state: PaymentState | None, fact: PaymentFact) -> PaymentState:
    """The state after one more fact about the same payment; the very same object when the fact adds nothing."""
    state = PaymentState() if state is None else state
    version: Version = (fact.occurred_at_unix_s, fact.event_id)
    changed: dict[str, Any] = {}
    versions = dict(state.versions)
    for group, values in _observed(fact).items():
        columns = _GROUPS[group]
        known = versions.get(group)
        if known is not None:
            current = tuple(getattr(state, column) for column in columns)
            if _standing(group, version, values) <= _standing(group, known, current):
                continue
        changed.update(zip(columns, values, strict=True))
        versions[group] = version
    if fact.kind is FactKind.SUCCEEDED:
        first = state.succeeded_at_unix_s
        if first is None or fact.occurred_at_unix_s < first:
            changed["succeeded_at_unix_s"] = fact.occurred_at_unix_s
    return replace(state, **changed, versions=versions) if changed else state


def fold(facts: Iterable[PaymentFact], state: PaymentState | None = None) -> PaymentState:
    """Every fact merged, in whatever order they come."""
    state = PaymentState() if state is None else state
    for fact in facts:
        state = merge(state, fact)
    return state


def stop_of(fact: PaymentFact, transaction_id: str) -> PaymentFact:
    """What the end of a subscription, told by `fact`, means for one of its payments: nobody is asked any more."""
    return PaymentFact(
        kind=FactKind.STOPPED,
        transaction_id=transaction_id,
        occurred_at_unix_s=fact.occurred_at_unix_s,
        event_id=fact.event_id,
        payer=fact.payer,
        subscription_reference=fact.subscription_reference,
    )


def is_worth_a_case(state: PaymentState) -> bool:
    """Whether somebody has to do something: it failed, or it waits for the payer.

    Whether that is worth a message (reason, amount, a gateway that tries again by itself) is for the policy to say.
    """
    return state.status in (PaymentStatus.FAILED, PaymentStatus.ACTION_REQUIRED)
