"""Payments by telephone as a screen shows them: what was to be paid, how far it got, and what is in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tenderline.core.money import Money
from tenderline.store import captures
from tenderline.store.captures import Listed
from tenderline.store.db import Connection

SHOWN_MAX: Final = 100

_WORDS: Final = {
    "open": ("being keyed in", "busy"),
    "completed": ("the money has arrived", "good"),
    "declined": ("declined", "bad"),
    "abandoned": ("the caller left before paying", "mute"),
    "cancelled": ("cancelled", "mute"),
    "failed": ("it could not be taken", "bad"),
}


@dataclass(frozen=True, slots=True)
class PaymentLine:
    """A row. `tone` is good, busy, warn, bad or mute; `card` is the brand and the last four of the last one tried."""

    id: UUID
    conversation_id: UUID
    started_at: datetime
    amount: str
    fund: str
    reference: str
    state: str
    tone: str
    card: str
    declines: int
    in_doubt: bool
    transaction_id: str | None
    payment_id: UUID | None
    given_back: str
    """What has gone back, or nothing."""


async def read(connection: Connection, *, conversation_id: UUID | None = None) -> tuple[PaymentLine, ...]:
    """Those in doubt first, then the newest; or those of one call, the newest first."""
    found = await captures.listed(connection, SHOWN_MAX, conversation_id=conversation_id)
    return tuple(_line(one) for one in found)


def _line(one: Listed) -> PaymentLine:
    session = one.session
    state, tone = _words(one)
    return PaymentLine(
        id=session.id,
        conversation_id=session.conversation_id,
        started_at=session.started_at,
        amount=session.money.format(),
        fund=session.fund or session.campaign or "",
        reference=session.reference,
        state=state,
        tone=tone,
        card=f"{one.brand} •••• {one.last_four}" if one.brand else "",
        declines=session.declines,
        in_doubt=tone == "warn",
        transaction_id=one.transaction_id,
        payment_id=one.payment_id,
        given_back=Money(one.refunded_minor, session.currency).format() if one.refunded_minor else "",
    )


def _words(one: Listed) -> tuple[str, str]:
    if one.transaction_status == "COMPLETED":
        return _WORDS["completed"]
    if one.session.state == "open" and one.charge_state in ("intended", "unknown"):
        # For a moment so is every charge; whoever made this one may be dead.
        return "the gateway was asked, and its answer is not there yet", "warn"
    if one.session.state != "charged":
        return _WORDS.get(one.session.state, (one.session.state, "mute"))
    if one.transaction_status == "FAILED":
        return "the bank took it back", "bad"
    if one.charge_state == "unknown":
        return "nobody knows yet whether it was charged: the gateway is asked", "warn"
    return "charged; the gateway has not told of the money yet", "warn"
