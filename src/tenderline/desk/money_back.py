"""A payment with what went back of it, and money that nobody here can explain, as screens show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tenderline.core.money import Money
from tenderline.desk import words
from tenderline.store import captures, payments, people, refunds, unmatched
from tenderline.store.captures import Charge
from tenderline.store.db import Connection
from tenderline.store.payments import PaymentRow
from tenderline.store.unmatched import Unmatched

SHOWN_MAX: Final = 200
SETTLED_SHOWN_MAX: Final = 50

_REFUND_WORDS: Final = {
    "intended": ("being asked for", "busy"),
    "unknown": ("nobody knows yet whether it went: the gateway is asked", "warn"),
    "taken": ("the gateway has taken it; it has not told that the money has gone back", "busy"),
    "succeeded": ("the money has gone back", "good"),
    "refused": ("refused: nothing went back", "bad"),
    "failed": ("the payer's bank did not take it: the money is here again", "bad"),
}
_CHARGE_WORDS: Final = {
    "intended": "under way",
    "taken": "taken",
    "declined": "declined",
    "refused": "not charged",
    "unknown": "not known",
}
# Why it is there, and what to do about it.
_UNMATCHED_WORDS: Final = {
    "not_begun_here": (
        "Money arrived for a payment that nobody began here.",
        "Look in the gateway's dashboard where it comes from. If others charge at this account, set"
        " capture.shared_account.",
    ),
    "charge_unknown": (
        "A card was charged, or not: the gateway gave no answer.",
        "The gateway is asked on. Look for the transaction in its dashboard, and tell the payer what you find.",
    ),
    "not_told": (
        "A card was charged, and the gateway has not told of the money.",
        "See that its webhooks arrive here. The dashboard shows how the transaction stands.",
    ),
    "refused_but_paid": (
        "The payer was told that nothing was charged, and the money came all the same.",
        "Tell the payer. Give it back if she has paid in another way.",
    ),
    "other_amount": (
        "Another sum arrived than was asked for.",
        "Compare with the gateway's dashboard, and give back what is too much.",
    ),
    "paid_twice": ("One session was paid twice.", "Give one of the payments back."),
    "refund_not_asked": (
        "Money went back that nobody here gave back.",
        "Somebody did it at the gateway itself. Write down who and why.",
    ),
    "refund_other_amount": (
        "Another sum went back than was asked for.",
        "Compare with the gateway's dashboard, and settle the difference with the payer.",
    ),
    "refund_unknown": (
        "A refund was asked for, and the gateway has not told how it ended.",
        "The gateway is asked on. Look in its dashboard before you give back in another way.",
    ),
}


@dataclass(frozen=True, slots=True)
class RefundLine:
    """A refund."""

    id: UUID
    at: datetime
    amount: str
    state: str
    tone: str
    by: str
    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class TryLine:
    """A try with a card."""

    at: datetime
    card: str
    state: str
    transaction_id: str | None


@dataclass(frozen=True, slots=True)
class PaymentView:
    """A payment with everything that is shown of it."""

    payment: PaymentRow
    amount: str
    person_id: UUID
    person_name: str
    conversation_id: UUID | None
    reference: str
    tries: tuple[TryLine, ...]
    refunds: tuple[RefundLine, ...]


@dataclass(frozen=True, slots=True)
class UnmatchedLine:
    """A row of the page of unmatched money."""

    row: Unmatched
    amount: str
    expected: str
    why: str
    what_to_do: str


async def refund_lines(connection: Connection, payment_id: UUID) -> tuple[RefundLine, ...]:
    """What went back of a payment, or is to."""
    return tuple(
        RefundLine(
            id=one.id,
            at=one.created_at,
            amount=one.money.format(),
            state=_REFUND_WORDS[one.state][0],
            tone=_REFUND_WORDS[one.state][1],
            by=one.asked_by or f"somebody at {one.gateway}",
            reason=one.reason,
            why=one.why or "",
        )
        for one in await refunds.of_payment(connection, payment_id)
    )


async def read_payment(connection: Connection, payment_id: UUID) -> PaymentView | None:
    """A payment; None when there is none of this id."""
    payment = await payments.find_by_id(connection, payment_id)
    if payment is None:
        return None
    session = await captures.of_transaction(connection, payment.gateway, payment.transaction_id)
    tries = await captures.charges_of(connection, session.id) if session else []
    person = await people.find(connection, payment.person_id)
    return PaymentView(
        payment=payment,
        amount=words.amount(payment.amount_minor, payment.currency and payment.currency.upper()),
        person_id=payment.person_id,
        person_name=(person.name if person else None) or "Unknown payer",
        conversation_id=session.conversation_id if session else None,
        reference=session.reference if session else "",
        tries=tuple(_try(one) for one in tries),
        refunds=await refund_lines(connection, payment_id),
    )


def _try(one: Charge) -> TryLine:
    return TryLine(
        at=one.created_at,
        card=f"{one.brand} •••• {one.last_four}",
        state=_CHARGE_WORDS.get(one.state, one.state),
        transaction_id=one.transaction_id,
    )


async def read_unmatched(connection: Connection) -> tuple[tuple[UnmatchedLine, ...], tuple[UnmatchedLine, ...]]:
    """(what waits, the longest first; what was settled last)."""
    waits = await unmatched.still_open(connection, SHOWN_MAX)
    done = await unmatched.settled(connection, SETTLED_SHOWN_MAX)
    return tuple(_line(one) for one in waits), tuple(_line(one) for one in done)


def _line(one: Unmatched) -> UnmatchedLine:
    why, what_to_do = _UNMATCHED_WORDS.get(one.kind, ("A newer version of this program put it here.", ""))
    expected = ""
    if one.expected_minor is not None and one.expected_currency is not None:
        expected = Money(one.expected_minor, one.expected_currency).format()
    return UnmatchedLine(one, words.amount(one.amount_minor, one.currency), expected, why, what_to_do)
