"""Paying on the bank's own pages: a checkout session (money moves at the Stripe server) or a made-up invoice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import stripe

from tenderline_sandbox.bank_debts import Debt, State
from tenderline_sandbox.bank_events import event_of
from tenderline_sandbox.bank_ledger import Bounded, Ledger
from tenderline_sandbox.bank_objects import charge_object
from tenderline_sandbox.bank_process import Localstripe
from tenderline_sandbox.bank_relay import Relay
from tenderline_sandbox.bank_sessions import Offer, offer_of_form
from tenderline_sandbox.bank_teller import Teller
from tenderline_sandbox.bank_wire import BankError, Json, new_id

_OFFERS_MAX: Final = 5_000


@dataclass(frozen=True)
class Card:
    """A card a payer may choose: none is real, and no number is ever typed."""

    name: str
    label: str
    last4: str
    payment_method: str
    """The Stripe server's name for a card that behaves so."""
    decline_code: str | None = None


# The server's own `pm_card_visa_chargeDeclined` is refused only when it is attached; charged, it goes through.
CARDS: Final = {
    card.name: card
    for card in (
        Card("works", "works", "4242", "pm_card_visa"),
        Card("declined", "is declined", "0341", "pm_card_chargeCustomerFail", "generic_decline"),
        Card(
            "insufficient_funds", "has insufficient funds", "9995", "pm_card_chargeCustomerFail", "insufficient_funds"
        ),
    )
}


@dataclass(frozen=True)
class Bill:
    """What a pay page shows."""

    identity: str
    amount: int
    currency: str
    description: str
    open: bool
    paid: bool
    return_url: str | None


@dataclass(frozen=True)
class Outcome:
    """What came of one press of the Pay button."""

    bill: Bill
    decline_code: str | None = None
    already: bool = False
    """It had been paid (or closed) before; nothing was done."""


class Checkout:
    """Sessions, and what is done with them."""

    def __init__(
        self, ledger: Ledger, relay: Relay, server: Localstripe, teller: Teller, public_url: Callable[[], str]
    ) -> None:
        self._ledger = ledger
        self._relay = relay
        self._server = server
        self._teller = teller
        self._public_url = public_url
        self._offers: Bounded[Offer] = Bounded(_OFFERS_MAX)
        self._invoice_lock = asyncio.Lock()

    def create(self, form: Json) -> Json:
        """A new session. Raises `BankError` as Stripe refuses."""
        offer = offer_of_form(form, now_unix_s=int(time.time()), public_url=self._public_url())
        self._offers.put(offer.session["id"], offer)
        return offer.session

    def read(self, identity: str) -> Json:
        """A session as it stands now. Raises `BankError` 404."""
        return self._offer(identity).session if identity in self._offers else self._made_up(identity)

    def expire(self, identity: str) -> Json:
        """Closes an open session by hand."""
        offer = self._offer(identity)
        if offer.session["status"] != "open":
            raise BankError(400, f"Only an open session can be expired; this one is {offer.session['status']}.")
        return self._change(offer, {"status": "expired", "url": None}, "checkout.session.expired").session

    def clear(self) -> None:
        """Forgets every session."""
        self._offers.clear()

    def bill(self, identity: str) -> Bill:
        """What is to be paid. Raises `BankError` 404."""
        if identity.startswith("in_"):
            record = self._ledger.debt(identity)
            if record is None or record.debt.invoice != identity:
                raise BankError(404, "There is no such invoice.", code="resource_missing")
            paid = record.state is not None and record.state.paid
            what = record.debt.description or ("Your subscription" if record.debt.subscription else "Your payment")
            gone = record.state is State.CANCELED
            return Bill(identity, record.debt.amount, record.debt.currency, what, not paid and not gone, paid, None)
        offer = self._offer(identity)
        session = offer.session
        return Bill(
            identity=identity,
            amount=session["amount_total"],
            currency=session["currency"],
            description=offer.description,
            open=session["status"] == "open",
            paid=session["payment_status"] == "paid",
            return_url=session["success_url"].replace("{CHECKOUT_SESSION_ID}", identity),
        )

    async def pay(self, identity: str, card_name: object) -> Outcome:
        """Pays with a test card, once: whoever presses twice finds it paid. Raises `BankError`."""
        card = CARDS.get(card_name) if isinstance(card_name, str) else None
        if card is None:
            raise BankError(400, f"card takes one of {', '.join(CARDS)}.", param="card")
        lock = self._invoice_lock if identity.startswith("in_") else self._offer(identity).lock
        async with lock:
            bill = self.bill(identity)
            if not bill.open:
                return Outcome(bill, already=True)
            if identity.startswith("in_"):
                await self._pay_invoice(identity, card)
            else:
                await self._pay_session(self._offer(identity), card)
            return Outcome(self.bill(identity), decline_code=card.decline_code)

    async def _pay_invoice(self, identity: str, card: Card) -> None:
        record = self._ledger.debt(identity)
        assert record is not None
        given: Json = {"payment_intent": record.debt.payment_intent, "charge": new_id("ch_"), "last4": card.last4}
        if card.decline_code:
            await self._teller.fail({**given, "invoice": identity, "decline_code": card.decline_code})
            return
        for event_type in ("charge.succeeded", "payment_intent.succeeded", "invoice.paid"):
            await self._teller.tell(event_type, given)

    async def _pay_session(self, offer: Offer, card: Card) -> None:
        """A payment intent at the Stripe server, which sends its own events; beside them those it does not know."""
        session = offer.session
        form: stripe.params.PaymentIntentCreateParams = {
            "amount": session["amount_total"],
            "currency": session["currency"],
            "confirm": True,
            "metadata": offer.intent_metadata,
            "payment_method": card.payment_method,
        }
        customer = session["customer"]
        if customer and self._ledger.find(customer, "customer") is None:
            form["customer"] = customer
        try:
            intent = (await self._server.sdk.v1.payment_intents.create_async(form)).to_dict()
        except stripe.CardError as error:
            await self._declined(offer, card, error)
            return
        except stripe.StripeError as error:
            raise BankError(
                502, "The Stripe server behind the bank did not take the payment.", kind="api_error"
            ) from error
        self._ledger.keep([intent], int(time.time()))
        email = session["customer_email"]
        paid: Json = {"payment_intent": intent["id"], "payment_status": "paid", "status": "complete", "url": None}
        if email:
            paid["customer_details"] = {
                "address": None,
                "email": email,
                "name": None,
                "phone": None,
                "tax_exempt": "none",
            }
        self._change(offer, paid, "checkout.session.completed")

    async def _declined(self, offer: Offer, card: Card, error: stripe.CardError) -> None:
        """The server says `card_declined` and no more; the charge's own event, which it lacks, tells the reason."""
        body = error.json_body if isinstance(error.json_body, dict) else {}
        charge_id = body.get("error", {}).get("charge")
        if not isinstance(charge_id, str):
            return
        answer = await self._server.request("GET", f"/v1/charges/{charge_id}")
        session = offer.session
        debt = Debt(
            payment_intent=answer.json().get("payment_intent") or new_id("pi_"),
            charge=charge_id,
            customer=session["customer"] or new_id("cus_"),
            payment_method=new_id("pm_"),
            email=session["customer_email"],
            amount=session["amount_total"],
            currency=session["currency"],
            decline_code=card.decline_code,
            last4=card.last4,
            created=int(time.time()),
            metadata=offer.intent_metadata,
        )
        charge = charge_object(debt, State.FAILED) | {"customer": session["customer"]}
        self._relay.submit(event_of("charge.failed", charge, debt.created))

    def _offer(self, identity: str) -> Offer:
        offer = self._offers.get(identity)
        if offer is None:
            raise BankError(
                404, f"No such checkout.session: {identity[:80]!r}", code="resource_missing", param="session"
            )
        if offer.session["status"] == "open" and offer.session["expires_at"] <= time.time():
            return self._change(offer, {"status": "expired", "url": None}, "checkout.session.expired")
        return offer

    def _made_up(self, identity: str) -> Json:
        found = self._ledger.find(identity, "checkout.session")
        return found if found is not None else self._offer(identity).session

    def _change(self, offer: Offer, fields: Json, event_type: str) -> Offer:
        changed = replace(offer, session={**offer.session, **fields})
        self._offers.put(offer.session["id"], changed)
        self._relay.submit(event_of(event_type, changed.session, int(time.time())))
        return changed
