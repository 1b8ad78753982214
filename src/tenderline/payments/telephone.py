"""A payment by telephone, from the wish to the charge. What a card is, nobody here knows: a token names it.

What is asked of a gateway is committed before it is asked, under an idempotency key of ours. The transaction is made
before the card is charged, can succeed once, and is known by its id: an answer that never came is asked for, and a
second try is made only when the first surely took nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import msgspec
import structlog

from tenderline.app import Services
from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.core.facts import FactKind, Payer, PaymentFact
from tenderline.core.ids import uuid7
from tenderline.core.loops import goes_on
from tenderline.core.money import Money
from tenderline.gateways.base import (
    ChargeAnswer,
    ChargeRequest,
    ChargeState,
    Gateway,
    GatewayRefusedError,
    GatewayUnavailableError,
)
from tenderline.payments import settle
from tenderline.store import captures, db, holds, people
from tenderline.store.captures import CaptureSession, Charge, Mode
from tenderline.store.db import Connection
from tenderline.store.people import Addresses, Resolved

log: structlog.stdlib.BoundLogger = structlog.get_logger()

REFERENCE_DIGITS: Final = 8
FORSAKEN_AFTER_S: Final = 20.0
"""After the end of its call. Whoever lives tells how a payment ended within a few seconds."""
PROVIDER_WAIT_S: Final = 86_400.0
FORSAKEN_MAX: Final = 50
_REFERENCE_TRIES: Final = 5

Result = Literal["taken", "declined", "unknown", "failed"]


class NoGatewayError(InvalidInputError):
    """No gateway takes payments by telephone; set capture.gateway to one that is configured."""

    code = "capture.no_gateway"
    status = 409


@dataclass(frozen=True, slots=True)
class Charged:
    """What became of a try. `failed`: nothing was charged, and another card would not help."""

    result: Result
    reason: str | None = None


def gateway_of(services: Services) -> Gateway:
    """The gateway of payments by telephone. Raises `NoGatewayError`."""
    wanted = services.settings.capture.gateway
    found = services.gateways.get(wanted) if wanted else next(iter(services.gateways.values()), None)
    if found is None:
        raise NoGatewayError()
    return found


async def begin(
    services: Services,
    connection: Connection,
    *,
    person_id: UUID,
    contact_point_id: UUID | None,
    conversation_id: UUID,
    mode: Mode,
    money: Money,
    campaign: str | None,
    fund: str | None,
) -> CaptureSession:
    """Somebody wants to pay so much, in the caller's transaction. Raises `NoGatewayError`, `PaymentOffError`."""
    await people.lock(connection, person_id)  # before her call, as whoever reports her distress does
    await holds.require_payment_on(connection, conversation_id)
    gateway = gateway_of(services)
    for _ in range(_REFERENCE_TRIES):
        made = uuid7()
        # Digits, since it is spoken; no card number is so short.
        reference = f"{secrets.randbelow(9 * 10 ** (REFERENCE_DIGITS - 1)) + 10 ** (REFERENCE_DIGITS - 1)}"
        if await captures.open_session(
            connection,
            id=made,
            person_id=person_id,
            conversation_id=conversation_id,
            mode=mode,
            gateway=gateway.name,
            money=money,
            campaign=campaign,
            fund=fund,
            reference=reference,
            contact_point_id=contact_point_id,
        ):
            return await captures.get(connection, made)
    raise AssertionError("five random references of eight digits are all taken")


async def charge(services: Services, session_id: UUID, *, token: str, brand: str, last_four: str) -> Charged:
    """One try with one card. It raises nothing for what a gateway does, and may take as long as its time-outs."""
    charge_id = uuid7()
    async with services.pool.acquire() as connection, connection.transaction():
        session = await captures.get(connection, session_id, lock=True)
        if session.state == "completed":
            return Charged("taken")
        if session.state not in ("open", "charged") or session.link_transaction_id is not None:
            # Whoever charges stood still so long that others gave her up: she may be paying by a link now.
            log.warning("not_charged", session=str(session_id), why=session.state)
            return Charged("failed", "the payment was given up before")
        try:
            await holds.require_payment_on(connection, session.conversation_id)
        except holds.PaymentOffError as error:
            log.warning("not_charged", session=str(session_id), why=error.code)
            return Charged("failed", error.code)
        if not await captures.intend(
            connection, id=charge_id, session=session, token=token, brand=brand, last_four=last_four
        ):
            return Charged("unknown", "another try of this payment may have been taken")
    gateway = services.gateways.get(session.gateway)
    if gateway is None:
        return await _answered(services, session, charge_id, "refused", "the gateway is not configured")
    request = ChargeRequest(
        key=str(charge_id),
        token=token,
        money=session.money,
        description=f"{services.settings.organisation}: {session.fund or session.campaign or 'payment by telephone'}",
        reference=session.reference,
    )
    try:
        transaction_id = await gateway.prepare_charge(request)
    except (GatewayRefusedError, GatewayUnavailableError) as error:
        # No money has moved, whatever the gateway made of it.
        log.warning("charge_not_prepared", session=str(session_id), why=error.detail)
        return await _answered(services, session, charge_id, "refused", error.code)
    if not await _known(services, session, charge_id, transaction_id):
        log.warning("not_charged", session=str(session_id), why="written off")
        return Charged("failed", "the try was written off before")
    try:
        answer = await gateway.charge(msgspec.structs.replace(request, transaction_id=transaction_id))
    except GatewayUnavailableError as error:
        log.warning("charge_unknown", session=str(session_id), why=error.detail)
        return await _answered(services, session, charge_id, "unknown", error.code)
    except GatewayRefusedError as error:
        log.warning("charge_refused", session=str(session_id), why=error.detail)
        return await _answered(services, session, charge_id, "refused", error.code)
    return await take_answer(services, session, charge_id, answer)


async def _known(services: Services, session: CaptureSession, charge_id: UUID, transaction_id: str) -> bool:
    """The transaction belongs to the caller from before any news of it can come. False: the try was written off."""
    fact = PaymentFact(
        kind=FactKind.CREATED,
        transaction_id=transaction_id,
        occurred_at_unix_s=0,  # older than every news of the gateway: what it says of the amount counts
        event_id=f"charge:{charge_id}",
        amount_minor=session.amount_minor,
        currency=session.currency,
    )
    async with services.pool.acquire() as connection, connection.transaction():
        if not await captures.prepared(connection, charge_id, transaction_id):
            return False
        await settle.apply(connection, session.gateway, fact, _whose(connection, session))
        return True


async def take_answer(services: Services, session: CaptureSession, charge_id: UUID, answer: ChargeAnswer) -> Charged:
    """What a gateway says of a try, written down."""
    reason = answer.reason.value if answer.reason else None
    match answer.state:
        case ChargeState.TAKEN:
            return await _answered(services, session, charge_id, "taken", None)
        case ChargeState.DECLINED:
            return await _answered(services, session, charge_id, "declined", reason)
        case ChargeState.OVER:
            return await _answered(services, session, charge_id, "refused", "the transaction was taken back")
        case ChargeState.OPEN:
            return await _answered(services, session, charge_id, "unknown", "nothing was tried, as far as is known")


_RESULTS: Final[dict[str, Result]] = {
    "taken": "taken",
    "declined": "declined",
    "unknown": "unknown",
    "refused": "failed",
}


async def _answered(
    services: Services, session: CaptureSession, charge_id: UUID, state: captures.ChargeState, reason: str | None
) -> Charged:
    async with services.pool.acquire() as connection, connection.transaction():
        now = await captures.get(connection, session.id, lock=True)
        if await captures.answer(connection, charge_id, state, reason):
            if state in ("taken", "unknown"):
                await captures.set_state(connection, session.id, "charged", reason)
            elif now.state == "charged":
                # It took nothing after all: another card may be tried, and who hung up gets the link.
                await captures.set_state(connection, session.id, "open", reason)
    return Charged(_RESULTS[state], reason)


async def settlement(services: Services, session_id: UUID) -> str | None:
    """How the money stands: PENDING, COMPLETED or FAILED, by the gateway's word alone; None when there was no news."""
    async with services.pool.acquire() as connection:
        return await _settlement(connection, session_id)


async def _settlement(connection: Connection, session_id: UUID) -> str | None:
    found = await captures.settlement(connection, session_id)
    if found is None and not await captures.may_have_paid(connection, session_id):
        return "FAILED"  # the gateway was asked about each try: none took anything
    return found


async def heard_of_failure(services: Services, session_id: UUID) -> bool:
    """The caller is told that nothing was charged, as the gateway says. That ends it: no link follows her. False when
    other news came, or somebody wrote down how it ended: then she is not told so."""
    async with services.pool.acquire() as connection, connection.transaction():
        session = await captures.get(connection, session_id, lock=True)
        if session.state == "declined":
            return True  # it was written before, and nobody heard that it was
        if session.state not in ("charged", "open") or await _settlement(connection, session_id) != "FAILED":
            return False
        for one in await captures.charges_of(connection, session_id):
            if one.state in ("taken", "unknown"):
                await captures.answer(connection, one.id, "declined", "the gateway's news")
        await captures.set_state(connection, session_id, "declined", "the caller heard that nothing was charged")
    return True


async def leave(services: Services, session_id: UUID, state: captures.State, why: str, *, hung_up: bool) -> None:
    """The caller is done with it, without success; what may have been charged stays as it is. A try that is under way
    decides first: the session stays open, and `give_up_forsaken` comes back when the try took nothing.

    Who hung up may still pay by a link: the payment waits for her, and `recovery` sends it, once.
    """
    async with services.pool.acquire() as connection, connection.transaction():
        # She, then what is hers, then her call: as whoever reports her distress does.
        await people.lock(connection, (await captures.get(connection, session_id)).person_id)
        session = await captures.get(connection, session_id, lock=True)
        if session.state != "open" or await captures.may_have_paid(connection, session_id):
            return
        await captures.set_state(connection, session_id, state, why)
        if not await holds.is_payment_on(connection, session.conversation_id):
            return  # the caller was in distress: no link follows her
        if hung_up and session.contact_point_id is not None and not await captures.was_repeated(connection, session):
            transaction_id = f"tel_{session.reference}"
            if await captures.link(connection, session_id, transaction_id):
                await settle.apply(
                    connection, session.gateway, _waits(session, transaction_id), _whose(connection, session)
                )


async def hand_over(connection: Connection, session: CaptureSession) -> str:
    """A provider takes the payment: the transaction that it charges under, which is known here from before it does."""
    transaction_id = f"tel_{session.reference}"
    if await captures.link(connection, session.id, transaction_id):
        fact = PaymentFact(
            kind=FactKind.CREATED,
            transaction_id=transaction_id,
            occurred_at_unix_s=0,  # ours is the oldest word on it
            event_id=f"handed-over:{session.id}",
            amount_minor=session.amount_minor,
            currency=session.currency,
        )
        await settle.apply(connection, session.gateway, fact, _whose(connection, session))
    return transaction_id


async def give_up_forsaken(services: Services) -> int:
    """Ends sessions that are open after their call, as if the caller had hung up: their process was killed, or their
    try took nothing after all, and nobody told her so. She gets the link that she would have got; whoever heard on the
    line that nothing was charged is not among them. Those at a provider are given up when no news came for a day. How
    many."""
    async with services.pool.acquire() as connection:
        found = await captures.forsaken(
            connection, older_than_s=FORSAKEN_AFTER_S, provider_s=PROVIDER_WAIT_S, limit=FORSAKEN_MAX
        )
    ended = 0
    for session_id in found:
        try:
            async with services.pool.acquire() as connection:
                await captures.touch(connection, session_id)  # one that always fails is not the first again
            await leave(services, session_id, "abandoned", "the call ended and nobody told how", hung_up=True)
            ended += 1
        except (*db.AWAY, TenderlineError) as error:
            # The others must not wait for this one.
            log.warning("not_given_up", session=str(session_id), error=type(error).__name__, detail=str(error)[:300])
        if not goes_on():
            break
    return ended


def _waits(session: CaptureSession, transaction_id: str) -> PaymentFact:
    return PaymentFact(
        kind=FactKind.ACTION_REQUIRED,
        transaction_id=transaction_id,
        occurred_at_unix_s=int(session.started_at.timestamp()),
        event_id=f"hung-up:{session.id}",
        amount_minor=session.amount_minor,
        currency=session.currency,
    )


def _whose(connection: Connection, session: CaptureSession) -> settle.FindPayer:
    """The caller, whatever a gateway knows of a payer."""

    async def find(payer: Payer, beside: UUID | None) -> Resolved:
        del payer, beside
        await people.lock(connection, session.person_id)
        return Resolved(session.person_id, Addresses(), conflict=False, learnt_address=False)

    return find


async def reconcile(services: Services, one: Charge) -> Charged | None:
    """Asks the gateway about a try whose end is not known, or of whose money nothing was told. None: ask again later.

    A try that never arrived is taken back at the gateway, so that it cannot arrive any more.
    """
    async with services.pool.acquire() as connection:
        await captures.touch(connection, one.session_id)
        session = await captures.get(connection, one.session_id)
    gateway = services.gateways.get(one.gateway)
    if gateway is None:
        return None
    if one.transaction_id is None:
        # It was never prepared, or we were killed before its id was kept: without the id it was not charged either.
        return await _written_off(services, one)
    try:
        found = await gateway.read_charge(one.transaction_id)
        if found is not None and found.state is ChargeState.OPEN:
            found = await gateway.cancel_charge(one.transaction_id)
        fact = await gateway.read_payment(one.transaction_id)
    except (GatewayRefusedError, GatewayUnavailableError) as error:
        log.warning("charge_not_read", charge=str(one.id), why=error.detail)
        return None
    if found is None:
        return None
    if fact is not None:
        await _told(services, session, fact)
    return await take_answer(services, session, one.id, found)


async def _written_off(services: Services, one: Charge) -> Charged | None:
    why = "it was cut off before it was charged"
    async with services.pool.acquire() as connection:
        is_over = await captures.write_off(connection, one.id, why)
    return Charged("failed", why) if is_over else None


async def _told(services: Services, session: CaptureSession, fact: PaymentFact) -> None:
    async with services.pool.acquire() as connection, connection.transaction():
        await settle.apply(connection, session.gateway, fact, _whose(connection, session))
