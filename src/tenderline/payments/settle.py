"""Facts from gateways become the state of payments, and what changed is told. COMPLETED is set here and nowhere else.

A fact may come twice, late, or before the one it follows: it is folded into what was observed so far, and only a
change of the outcome is told to others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

import msgspec

from tenderline.core.errors import DatabaseUnavailableError
from tenderline.core.events import (
    ContactPointRejected,
    Event,
    PayerContactMissing,
    PaymentActionRequired,
    PaymentFailed,
    PaymentStopped,
    PaymentSucceeded,
)
from tenderline.core.facts import FactKind, Payer, PaymentFact
from tenderline.core.ids import uuid7
from tenderline.core.reasons import FailureReason
from tenderline.payments import session
from tenderline.payments.session import PaymentState
from tenderline.store import events, people
from tenderline.store import payments as rows
from tenderline.store.db import Connection
from tenderline.store.payments import MOVES_MAX, KnownPayment, PaymentRow
from tenderline.store.people import Resolved

FindPayer = Callable[[Payer, UUID | None], Awaitable[Resolved]]
"""Who a payer is, with all who may be meant locked, and beside them the person named: features do not know each other,
so the edge hands this in."""

ASKED_FOR = frozenset({"failed", "action_required"})
"""The states in which the payer may be asked."""
OVER = frozenset({"refunded", "disputed", "stopped"})


@dataclass(frozen=True, slots=True)
class Applied:
    """What a fact did."""

    person_id: UUID
    payment_id: UUID
    changed: bool


async def apply(connection: Connection, gateway: str, fact: PaymentFact, find_payer: FindPayer) -> list[Applied]:
    """Folds one fact into its payment, in the caller's transaction. A stop of a subscription concerns several."""
    if fact.subscription_reference:
        # The end of a subscription and a failure of it must see each other, whichever comes first.
        await rows.serialise(connection, gateway, f"subscription:{fact.subscription_reference}")
    if fact.transaction_id is None:
        if fact.kind is FactKind.STOPPED and fact.subscription_reference:
            return await _apply_subscription_stop(connection, gateway, fact, find_payer)
        return []
    await rows.serialise(connection, gateway, fact.transaction_id)
    known, resolved = await _whose(connection, gateway, fact, find_payer)
    if resolved is None:
        assert known is not None
        person_id, conflict = known.person_id, known.payer_conflict
    else:
        person_id, conflict = await _settle_person(connection, known, resolved)
    before = session.decode(known.observed) if known else None
    state = session.merge(before, fact)
    state = await _with_ended_subscription(connection, gateway, state, fact.transaction_id)
    row = PaymentRow(
        person_id=person_id,
        id=known.id if known else uuid7(),
        gateway=gateway,
        transaction_id=fact.transaction_id,
        status=state.status.value,
        transaction_status=state.transaction_status.value,
        amount_minor=state.amount_minor,
        currency=state.currency,
        reason=state.reason.value if state.reason else None,
        invoice_reference=state.invoice_reference,
        subscription_reference=state.subscription_reference,
        payer_conflict=conflict,
        observed=session.encode(state),
    )
    changed = _changed(known, row)
    if changed or state != before:
        await rows.save(connection, row)
    learnt = resolved is not None and resolved.learnt_address
    if resolved is not None and resolved.addresses.rejected and (known is None or changed):
        await events.append(connection, _told_rejected(row, resolved))
    await events.append(connection, _told(row, changed=changed, learnt=learnt))
    if known is None and row.status in ASKED_FOR:
        await _ask_for_contact(connection, row, fact)
    return [Applied(person_id, row.id, changed)]


def _tells_payer(fact: PaymentFact) -> bool:
    return fact.payer.has_contact() or fact.payer.reference is not None


async def _whose(
    connection: Connection, gateway: str, fact: PaymentFact, find_payer: FindPayer
) -> tuple[KnownPayment | None, Resolved | None]:
    """The payment as it stands, and who its payer is as far as the fact tells; the people of both are locked.

    People are locked before anything of theirs, in id order: so two who settle, adopt or claim cannot wait for each
    other, and the gate reads what is written after this only when it is committed. Between looking and locking a
    payment may move to her who its payer turned out to be: then again.
    """
    learnt = False
    for _ in range(MOVES_MAX):
        known = await rows.known(connection, gateway, fact.transaction_id or "")
        holder = known.person_id if known else None
        resolved: Resolved | None = None
        if known is None or _tells_payer(fact):
            resolved = await find_payer(fact.payer, holder)
            learnt |= resolved.learnt_address
            resolved = replace(resolved, learnt_address=learnt)
        else:
            await people.lock(connection, known.person_id)
        again = await rows.known(connection, gateway, fact.transaction_id or "")
        if (again.person_id if again else None) == holder:
            return again, resolved
    raise DatabaseUnavailableError("The payment keeps moving between people; it is tried again.")


async def _settle_person(connection: Connection, known: KnownPayment | None, resolved: Resolved) -> tuple[UUID, bool]:
    """Whose the payment is. Somebody without an address turns into the person who has one; other conflicts stay."""
    if known is None:
        return resolved.person_id, resolved.conflict
    if known.person_id == resolved.person_id:
        return known.person_id, known.payer_conflict or resolved.conflict
    if not await people.contact_points(connection, known.person_id):
        await people.adopt(connection, from_person=known.person_id, into_person=resolved.person_id)
        return resolved.person_id, resolved.conflict
    return known.person_id, True


async def _apply_subscription_stop(
    connection: Connection, gateway: str, fact: PaymentFact, find_payer: FindPayer
) -> list[Applied]:
    """The news may come before the failure that it stops: it is kept for those that are yet to come."""
    assert fact.subscription_reference is not None
    concerned = await rows.remember_stop(
        connection, gateway, fact.subscription_reference, fact.event_id, fact.occurred_at_unix_s
    )
    await rows.serialise(connection, gateway, *concerned)  # all at once, in order, before any of their people
    applied: list[Applied] = []
    for transaction_id in concerned:
        one = msgspec.structs.replace(fact, transaction_id=transaction_id, payer=Payer())
        applied += await apply(connection, gateway, one, find_payer)
    return applied


async def _with_ended_subscription(
    connection: Connection, gateway: str, state: PaymentState, transaction_id: str
) -> PaymentState:
    if state.subscription_reference is None or state.status.value not in ASKED_FOR:
        return state
    stop = await rows.stop_of(connection, gateway, state.subscription_reference)
    if stop is None:
        return state
    return session.merge(
        state,
        PaymentFact(
            kind=FactKind.STOPPED,
            transaction_id=transaction_id,
            occurred_at_unix_s=stop.occurred_at_unix_s,
            event_id=stop.event_id,
            subscription_reference=state.subscription_reference,
        ),
    )


def _changed(known: KnownPayment | None, row: PaymentRow) -> bool:
    if known is None:
        return True
    before = (known.status, known.reason, known.payer_conflict, known.person_id)
    return before != (row.status, row.reason, row.payer_conflict, row.person_id)


def _told(row: PaymentRow, *, changed: bool, learnt: bool) -> list[Event]:
    about = {"person_id": row.person_id, "payment_id": row.id}
    amount = row.amount_text
    reason = row.reason or FailureReason.UNKNOWN.value
    match row.status:
        case "failed" if changed or learnt:
            return [PaymentFailed(**about, amount=amount, reason=reason)]
        case "action_required" if changed or learnt:
            return [PaymentActionRequired(**about, amount=amount, reason=reason)]
        case "succeeded" if changed:
            return [PaymentSucceeded(**about, amount=amount)]
        case status if status in OVER and changed:
            return [PaymentStopped(**about, amount=amount, why=status)]
        case _:
            return []


async def _ask_for_contact(connection: Connection, row: PaymentRow, fact: PaymentFact) -> None:
    """The event named a customer but no address: the gateway knows more."""
    if fact.payer.reference and not await people.contact_points(connection, row.person_id):
        await events.append(
            connection,
            [
                PayerContactMissing(
                    person_id=row.person_id,
                    payment_id=row.id,
                    gateway=row.gateway,
                    payer_reference=fact.payer.reference,
                )
            ],
        )


def _told_rejected(row: PaymentRow, resolved: Resolved) -> list[Event]:
    """Which addresses could not be used, and why."""
    return [
        ContactPointRejected(person_id=row.person_id, payment_id=row.id, channel=kind, why=why)
        for kind, why in resolved.addresses.rejected.items()
    ]
