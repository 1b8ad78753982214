"""Giving money back: asked for once by somebody who may, and done when the gateway's news says so.

The intent is committed before the gateway is asked, and its id is the idempotency key. An answer that never came is
read; what never arrived is asked for again under the same key, which gives back once. How it stands climbs only, in
whatever order news comes: asked for < taken < succeeded < failed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.core.events import PaymentRefunded, RefundFailed
from tenderline.core.facts import Payer, RefundFact, RefundState
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.core.pan import require_no_card
from tenderline.gateways.base import Gateway, GatewayRefusedError, GatewayUnavailableError, RefundRequest
from tenderline.payments import settle
from tenderline.store import audit, events, payments, refunds, unmatched
from tenderline.store.db import Connection
from tenderline.store.payments import PaymentRow
from tenderline.store.people import Addresses, Resolved
from tenderline.store.refunds import Refund

log: structlog.stdlib.BoundLogger = structlog.get_logger()

REASON_LENGTH_MAX: Final = 200
KEY_VALID: Final = timedelta(hours=20)
"""How long the same key is asked again: gateways remember one for a day."""

_RANK: Final = {"intended": 0, "unknown": 0, "refused": 0, "taken": 1, "succeeded": 2, "failed": 3}
_STATES: Final[dict[RefundState, refunds.State]] = {
    RefundState.TAKEN: "taken",
    RefundState.SUCCEEDED: "succeeded",
    RefundState.FAILED: "failed",
}


class NotRefundableError(TenderlineError):
    """This payment cannot be given back: its money has not arrived, or has gone back already."""

    code = "refund.not_refundable"
    status = 409


class TooMuchError(InvalidInputError):
    """More is to be given back than is left of this payment; give back less."""

    code = "refund.too_much"


class RefundKeyReusedError(TenderlineError):
    """This refund was asked for already, with another payment or amount; load the page again for a new one."""

    code = "refund.key_reused"
    status = 409


async def payment_of(connection: Connection, payment_id: UUID) -> PaymentRow:
    """A payment by its id. Raises `NotFoundError`."""
    found = await payments.find_by_id(connection, payment_id)
    if found is None:
        raise NotFoundError("There is no payment of this id; the page of payments leads to those there are.")
    return found


def _taken(payment: PaymentRow) -> Money:
    """What a payment brought. Raises `NotRefundableError` saying why there is nothing to give back."""
    if payment.transaction_status != "COMPLETED":
        raise NotRefundableError(f"Its money has not arrived ({payment.transaction_status}); nothing can go back.")
    if payment.status == "disputed":
        raise NotRefundableError("The payer disputes it at her bank, which decides; a refund would pay her twice.")
    try:
        return Money.parse(payment.amount_minor, payment.currency)
    except InvalidInputError:
        raise NotRefundableError("The gateway told no usable amount of it; give it back there.") from None


async def left(connection: Connection, payment: PaymentRow) -> Money | None:
    """How much can still be given back; None when nothing can."""
    try:
        taken = _taken(payment)
    except NotRefundableError:
        return None
    minor = taken.minor - await refunds.held_minor(connection, payment.id)
    return Money(minor, taken.currency) if minor > 0 and payment.status != "refunded" else None


async def intend(
    connection: Connection, *, refund_id: UUID, payment_id: UUID, amount_minor: int | None, reason: str, by: str
) -> Refund:
    """Writes down that money is to go back, in the caller's transaction; all that is left without an amount.

    The same id again is the same refund. Raises `NotFoundError`, `NotRefundableError`, `TooMuchError`,
    `InvalidMoneyError` or `RefundKeyReusedError`.
    """
    require_no_card(reason)
    await refunds.lock_payment(connection, payment_id)
    if (known := await refunds.get(connection, refund_id)) is not None:
        if known.payment_id != payment_id or amount_minor not in (None, known.amount_minor):
            raise RefundKeyReusedError()
        return known
    payment = await payment_of(connection, payment_id)
    taken, rest = _taken(payment), await left(connection, payment)
    if rest is None:
        raise NotRefundableError("All of it has gone back, or is on its way back.")
    money = rest if amount_minor is None else Money.parse(amount_minor, taken.currency)
    if money.minor > rest.minor:
        raise TooMuchError(
            f"{money.format()} is more than the {rest.format()} that is left of {taken.format()}; give back less."
        )
    await refunds.intend(
        connection,
        id=refund_id,
        payment_id=payment_id,
        gateway=payment.gateway,
        money=money,
        reason=reason,
        asked_by=by,
    )
    said = {"amount_minor": money.minor, "currency": money.currency, "reason": reason, "payment": str(payment_id)}
    await audit.append(connection, actor=by, action="refund.asked", subject=f"refund:{refund_id}", data=said)
    made = await refunds.get(connection, refund_id)
    assert made is not None, "just written"
    return made


async def carry_out(services: Services, refund_id: UUID) -> Refund:
    """Asks the gateway, once the intent is committed; how the refund stands then. It raises nothing for a gateway."""
    async with services.pool.acquire() as connection:
        one = await refunds.get(connection, refund_id)
        assert one is not None, "refunds are never deleted"
        payment = await payments.get(connection, one.payment_id)
    if one.state not in ("intended", "unknown"):
        return one
    gateway = services.gateways.get(one.gateway)
    if gateway is None:  # it may have been asked before it went
        return await _answered(services, one, "unknown", f"the gateway {one.gateway} is not configured")
    try:
        found = await gateway.refund(_request(one, payment))
    except GatewayUnavailableError as error:
        log.warning("refund_unknown", refund=str(one.id), why=error.detail)
        return await _answered(services, one, "unknown", error.code)
    except GatewayRefusedError as error:
        log.warning("refund_refused", refund=str(one.id), why=error.detail)
        return await _answered(services, one, "refused", error.detail)
    # Whatever the answer says, the money has gone back when the gateway's news says so.
    return await _answered(services, one, "taken", None, found.reference)


def _request(one: Refund, payment: PaymentRow) -> RefundRequest:
    return RefundRequest(
        key=str(one.id), transaction_id=payment.transaction_id, money=one.money, reference=one.reference
    )


async def _answered(
    services: Services, one: Refund, state: refunds.State, why: str | None, reference: str | None = None
) -> Refund:
    """Writes an answer down, unless news overtook it."""
    async with services.pool.acquire() as connection, connection.transaction():
        now = await refunds.get(connection, one.id, lock=True)
        assert now is not None, "refunds are never deleted"
        if now.state in ("intended", "unknown"):
            await refunds.set_state(connection, one.id, state, why=why, reference=reference)
        after = await refunds.get(connection, one.id)
        assert after is not None, "refunds are never deleted"
        return after


async def hear(connection: Connection, gateway: str, fact: RefundFact) -> None:
    """News of a refund, in the caller's transaction: of one that was asked for here, or of another."""
    one = await _known(connection, gateway, fact)
    state = _STATES[fact.state]
    if one is None:
        await _not_asked(connection, gateway, fact, state)
        return
    if fact.amount_minor is not None and (fact.amount_minor, fact.currency) != (one.amount_minor, one.currency):
        await unmatched.add(
            connection,
            "refund_other_amount",
            gateway,
            fact.reference,
            transaction_id=fact.transaction_id,
            payment_id=one.payment_id,
            money=(fact.amount_minor, fact.currency),
            expected=(one.amount_minor, one.currency),
        )
    if _RANK[state] <= _RANK[one.state]:
        return
    await refunds.set_state(connection, one.id, state, why=fact.why, reference=fact.reference)
    if state == "succeeded":
        await _tell(connection, PaymentRefunded, one.payment_id, one.id, one.money)
    elif one.state == "succeeded":
        await _tell(connection, RefundFailed, one.payment_id, one.id, one.money)


async def _tell(
    connection: Connection,
    kind: type[PaymentRefunded | RefundFailed],
    payment_id: UUID,
    refund_id: UUID,
    money: Money,
) -> None:
    payment = await payments.get(connection, payment_id)
    told = kind(person_id=payment.person_id, payment_id=payment_id, refund_id=refund_id, amount=money.format())
    await events.append(connection, [told])


async def _known(connection: Connection, gateway: str, fact: RefundFact) -> Refund | None:
    try:
        key = UUID(fact.key or "")
    except ValueError:
        key = None
    one = await refunds.get(connection, key, lock=True) if key is not None else None
    if one is not None and one.gateway == gateway:
        return one
    return await refunds.by_reference(connection, gateway, fact.reference)


async def _not_asked(connection: Connection, gateway: str, fact: RefundFact, state: refunds.State) -> None:
    """Somebody gave money back at the gateway itself: it counts, and somebody here has to know why."""
    found = await payments.find(connection, gateway, fact.transaction_id or "")
    try:
        money = Money.parse(fact.amount_minor, fact.currency)
    except InvalidInputError:
        money = None
    if found is not None and money is not None:
        refund_id = uuid7()
        is_new = await refunds.seen(
            connection,
            id=refund_id,
            payment_id=found[1],
            gateway=gateway,
            reference=fact.reference,
            money=money,
            state=state,
        )
        if is_new and state == "succeeded":
            await _tell(connection, PaymentRefunded, found[1], refund_id, money)
    await unmatched.add(
        connection,
        "refund_not_asked",
        gateway,
        fact.reference,
        transaction_id=fact.transaction_id,
        payment_id=found[1] if found else None,
        money=(fact.amount_minor, fact.currency),
    )


async def reconcile(services: Services, one: Refund) -> None:
    """Asks the gateway about a refund whose end was not told; what never arrived there is asked for once more."""
    async with services.pool.acquire() as connection:
        await refunds.touch(connection, one.id)
        payment = await payments.get(connection, one.payment_id)
    gateway = services.gateways.get(one.gateway)
    if gateway is None:
        return
    try:
        found = await gateway.read_refund(_request(one, payment))
        if found is not None:
            await _read(services, gateway, payment, found)
            return
    except (GatewayRefusedError, GatewayUnavailableError) as error:
        log.warning("refund_not_read", refund=str(one.id), why=error.detail)
        return
    if one.state == "taken":
        return  # it said yes, and shows nothing (yet)
    if utc_now() - one.created_at < KEY_VALID:
        await carry_out(services, one.id)
    else:
        await _answered(services, one, "refused", "it never reached the gateway")


async def _read(services: Services, gateway: Gateway, payment: PaymentRow, found: RefundFact) -> None:
    fact = await gateway.read_payment(payment.transaction_id) if found.state is RefundState.SUCCEEDED else None
    async with services.pool.acquire() as connection, connection.transaction():
        if fact is not None:
            await settle.apply(connection, gateway.name, fact, _same_payer(connection, payment.id))
        await hear(connection, gateway.name, found)


def _same_payer(connection: Connection, payment_id: UUID) -> settle.FindPayer:
    """Whoever's payment it is: a read about money that goes back says nothing new about her."""

    async def find(payer: Payer, beside: UUID | None) -> Resolved:
        del payer, beside
        person, _ = await payments.get_with_person(connection, payment_id)
        return Resolved(person.id, Addresses(), conflict=False, learnt_address=False)

    return find
