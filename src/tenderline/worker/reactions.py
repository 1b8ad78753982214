"""The map: which event makes whom act. Read this page to know what happens after what.

A reaction runs in a job of its own, in one transaction, and may run twice: each is idempotent. One that keeps failing
is parked with its reason (`tenderline replay`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from tenderline.app import Services
from tenderline.core import events as kinds
from tenderline.core.errors import NotFoundError
from tenderline.core.events import (
    AddressCorrected,
    CallDisposed,
    Event,
    PayerContactMissing,
    PaymentActionRequired,
    PaymentFailed,
    PaymentLookupWanted,
    PaymentRefunded,
    PaymentStopped,
    PaymentSucceeded,
    PersonOptedIn,
    PersonOptedOut,
    RefundFailed,
    ReplyUnclear,
    ZoneCorrected,
)
from tenderline.core.facts import FactKind, PaymentFact
from tenderline.gateways.base import GatewayUnavailableError
from tenderline.notify import confirmation, receipts
from tenderline.payments import pay_page, settle, unmatched
from tenderline.recovery import cases
from tenderline.routing import write_back
from tenderline.store import accounts, inbox, outgoing, payments
from tenderline.store.jobs import Handler
from tenderline.worker.read import find_payer

Reaction = Callable[[Services, Event], Awaitable[None]]


async def open_case(services: Services, event: Event) -> None:
    """A failed payment becomes a case, or brings its open case up to date."""
    assert event.payment_id is not None
    practice = cases.practice_of(services)
    async with services.pool.acquire() as connection, connection.transaction():
        await cases.on_payment_failed(connection, practice, event.payment_id)


async def close_case(services: Services, event: Event) -> None:
    """A payment that is settled, or not to be asked for any more, ends its case."""
    assert event.payment_id is not None
    outcome = "recovered" if isinstance(event, PaymentSucceeded) else "stopped"
    async with services.pool.acquire() as connection, connection.transaction():
        await cases.on_payment_settled(connection, event.payment_id, outcome)


async def ask_gateway_for_payer(services: Services, event: Event) -> None:
    """The gateway is asked how its customer can be reached; what it says is folded in like any other news."""
    assert isinstance(event, PayerContactMissing)
    assert event.payment_id is not None
    gateway = services.gateways[event.gateway]
    payer = await gateway.read_payer(event.payer_reference)  # outside of any transaction: it may take seconds
    if not payer.has_contact():
        return
    async with services.pool.acquire() as connection, connection.transaction():
        payment = await payments.get(connection, event.payment_id)
        fact = PaymentFact(
            kind=FactKind.FAILED if payment.status == "failed" else FactKind.ACTION_REQUIRED,
            transaction_id=payment.transaction_id,
            occurred_at_unix_s=0,  # older than every event: it fills gaps and overrules nothing
            event_id=f"payer:{event.payer_reference}",
            payer=payer,
        )
        await settle.apply(connection, event.gateway, fact, find_payer(services, connection, event.gateway))


async def look_payment_up(services: Services, event: Event) -> None:
    """An invoice's event did not name its payment: the gateway is asked, then the event is read again with it."""
    assert isinstance(event, PaymentLookupWanted)
    gateway = services.gateways[event.gateway]
    transaction_id = await gateway.read_transaction_id(event.reference)
    if transaction_id is None:
        raise GatewayUnavailableError(f"{event.gateway} knows no payment of {event.reference} (yet).")
    async with services.pool.acquire() as connection, connection.transaction():
        stored = await inbox.get(connection, event.inbox_id)
        if stored is None:
            raise NotFoundError(f"The webhook {event.inbox_id} is gone.")
        for fact in gateway.normalise(stored.body):
            if fact.lookup == event.reference:
                known = msgspec.structs.replace(fact, transaction_id=transaction_id, lookup=None)
                await settle.apply(connection, event.gateway, known, find_payer(services, connection, event.gateway))
        await inbox.mark_read(connection, event.inbox_id)


async def take_back_contacts(services: Services, event: Event) -> None:
    """Somebody who opted out has nothing planned any more."""
    assert event.person_id is not None
    async with services.pool.acquire() as connection, connection.transaction():
        await cases.on_opt_out(connection, event.person_id)


async def confirm_opt_out(services: Services, event: Event) -> None:
    """Who said STOP by text is told once that it was heard."""
    assert isinstance(event, PersonOptedOut)
    assert event.person_id is not None
    if event.how == "reply":
        async with services.pool.acquire() as connection, connection.transaction():
            await confirmation.confirm(services, connection, event.person_id)


async def hold_cases(services: Services, event: Event) -> None:
    """What a person wrote may mean stop: her cases wait until somebody has read it."""
    assert event.person_id is not None
    async with services.pool.acquire() as connection, connection.transaction():
        await cases.hold_for_review(connection, event.person_id)


async def look_at_held_cases(services: Services, event: Event) -> None:
    """Where a payer is has become known: a case that was held for that goes on."""
    assert event.person_id is not None
    practice = cases.practice_of(services)
    async with services.pool.acquire() as connection, connection.transaction():
        await cases.on_place_told(connection, practice, event.person_id)


async def thank_caller(services: Services, event: Event) -> None:
    """Whoever paid on the telephone gets a receipt, once the money has arrived; what her account owes is less."""
    assert event.payment_id is not None
    async with services.pool.acquire() as connection, connection.transaction():
        session = await receipts.completed(connection, event.payment_id)
        if session is not None:
            await accounts.paid(connection, session.id)
            await receipts.plan(services, connection, session)


async def tell_of_refund(services: Services, event: Event) -> None:
    """Whose money went back is told so once."""
    assert isinstance(event, PaymentRefunded)
    async with services.pool.acquire() as connection, connection.transaction():
        await receipts.plan_refund(services, connection, event.refund_id)


async def match_money(services: Services, event: Event) -> None:
    """Money that nothing here explains waits for somebody to look at it."""
    assert event.payment_id is not None
    shared = services.settings.capture.shared_account
    async with services.pool.acquire() as connection, connection.transaction():
        await unmatched.look_at_arrival(connection, event.payment_id, shared_account=shared)


async def end_pay_page(services: Services, event: Event) -> None:
    """What is settled, or not asked for any more, cannot be paid on an open page either."""
    assert event.payment_id is not None
    await pay_page.end(services, event.payment_id)


async def tell_crm_of_gift(services: Services, event: Event) -> None:
    """Money that arrived is written into the CRM; under its own key, so that a repetition changes nothing there."""
    assert event.payment_id is not None
    await write_back.gift(services, event.payment_id)


async def tell_crm_of_refund(services: Services, event: Event) -> None:
    """Money that was given back, whole or a part, or that is disputed, is no gift in the CRM either; what came back is
    one again."""
    assert event.payment_id is not None
    if not isinstance(event, PaymentStopped) or event.why in ("refunded", "disputed"):
        await write_back.gift(services, event.payment_id)


async def tell_crm_of_opt_out(services: Services, event: Event) -> None:
    """The CRM's own mailings shall be silent too."""
    assert isinstance(event, PersonOptedOut)
    assert event.person_id is not None
    await write_back.opt_out(
        services, event.person_id, channel=event.channel, address=event.address, said_at=event.said_at
    )


async def tell_crm_of_call(services: Services, event: Event) -> None:
    """How a call ended is written into the CRM."""
    assert isinstance(event, CallDisposed)
    await write_back.disposition(services, event)


async def tell_others(services: Services, event: Event) -> None:
    """Other systems that asked for it are told what somebody said about being contacted."""
    assert event.person_id is not None
    async with services.pool.acquire() as connection, connection.transaction():
        await outgoing.tell(connection, event.person_id)


REACTIONS: dict[type[Event], tuple[Reaction, ...]] = {
    PaymentFailed: (open_case,),
    PaymentActionRequired: (open_case,),
    PaymentSucceeded: (close_case, end_pay_page, thank_caller, match_money, tell_crm_of_gift),
    PaymentStopped: (close_case, end_pay_page, tell_crm_of_refund),
    PaymentRefunded: (tell_of_refund, tell_crm_of_refund),
    RefundFailed: (tell_crm_of_refund,),
    PayerContactMissing: (ask_gateway_for_payer,),
    PaymentLookupWanted: (look_payment_up,),
    ReplyUnclear: (hold_cases,),
    PersonOptedOut: (take_back_contacts, confirm_opt_out, tell_others, tell_crm_of_opt_out),
    CallDisposed: (tell_crm_of_call,),
    PersonOptedIn: (tell_others,),
    ZoneCorrected: (look_at_held_cases,),
    AddressCorrected: (look_at_held_cases,),
}


def subscriptions() -> dict[str, tuple[str, ...]]:
    """The map by names, as the store wants it: kind of event to names of jobs."""
    return {kind.__name__: tuple(one.__name__ for one in reactions) for kind, reactions in REACTIONS.items()}


def handlers(services: Services) -> dict[str, Handler]:
    """The jobs by name, ready to run."""
    found = {one.__name__: one for reactions in REACTIONS.values() for one in reactions}
    return {name: partial(_run, services, reaction) for name, reaction in found.items()}


async def _run(services: Services, reaction: Reaction, payload: bytes) -> None:
    await reaction(services, kinds.decode(payload))
