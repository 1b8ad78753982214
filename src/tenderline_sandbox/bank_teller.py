"""Makes news: changes how a made-up payment stands, and sends the events Stripe would send about it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

import aiohttp
import stripe

from tenderline_sandbox.bank_debts import Debt, State, fill
from tenderline_sandbox.bank_events import EVENTS, RENEWAL_FAILURE, event_of, objects_after, subject_of
from tenderline_sandbox.bank_ledger import Ledger, Record
from tenderline_sandbox.bank_objects import customer_object
from tenderline_sandbox.bank_process import Localstripe
from tenderline_sandbox.bank_relay import Delivery, Relay
from tenderline_sandbox.bank_wire import BankError, Json, new_id

_TYPE_CHARACTERS_MAX: Final = 100
_DEBT_NAMES: Final = ("payment_intent", "invoice", "subscription")
_INTENT: Final = re.compile(r"pi_[A-Za-z0-9_]{1,100}")
_OWN_MAKE: Final = {"invoice": "in_", "checkout.session": "cs_test_"}


class Teller:
    """One word from a test or a visitor in, the bank's state changed and its events sent."""

    def __init__(self, ledger: Ledger, relay: Relay, server: Localstripe, public_url: Callable[[], str]) -> None:
        self._ledger = ledger
        self._relay = relay
        self._server = server
        self._public_url = public_url

    async def tell(self, event_type: object, given: Json, *, with_payments: bool = True) -> tuple[Delivery, Debt]:
        """Makes one event and sends it. `given` are fields of a `Debt`; what it leaves out is known or made up.

        Without `with_payments` an invoice leaves out its `payments`, as Stripe's own webhooks do: it must be read.
        Raises `BankError` for what makes no event.
        """
        if not isinstance(event_type, str) or not 0 < len(event_type) <= _TYPE_CHARACTERS_MAX:
            raise BankError(
                400, "type takes the name of an event, such as payment_intent.payment_failed.", param="type"
            )
        now_unix_s = int(time.time())
        kind, state = EVENTS.get(event_type, ("", None))
        created_unix_s = given.get("created", now_unix_s)
        if type(created_unix_s) is not int or not 0 <= created_unix_s < 2**36:
            raise BankError(400, "created takes an instant in unix seconds.", param="created")
        given = {name: value for name, value in given.items() if name != "created"}
        record, known = await self._known(given)
        told = {"created": created_unix_s, **known, **given}
        if kind in _OWN_MAKE:
            told.setdefault(kind.removeprefix("checkout."), new_id(_OWN_MAKE[kind]))
        if record is not None and record.state is State.FAILED and state is State.SUCCEEDED and "charge" not in given:
            told["charge"] = new_id("ch_")  # each try of a card is a charge of its own
        debt = fill(given, told, public_url=self._public_url())
        if event_type == "charge.refunded":
            await self._give_back(debt)
        subject = subject_of(event_type, debt)
        self._remember(debt, told, subject, state, created_unix_s)
        if not with_payments and kind == "invoice":
            subject = {name: value for name, value in subject.items() if name != "payments"}
        return self._relay.submit(event_of(event_type, subject, created_unix_s)), debt

    def _remember(self, debt: Debt, told: Json, subject: Json, state: State | None, as_of_unix_s: int) -> None:
        if debt.name or debt.phone or debt.email or self._ledger.find(debt.customer) is None:
            self._ledger.keep([customer_object(debt)], as_of_unix_s)
        self._ledger.keep([subject], as_of_unix_s)
        if state is not None:
            self._ledger.keep(objects_after(debt, state), as_of_unix_s)
            ids = {name: getattr(debt, name) for name in ("payment_intent", "charge", "customer", "payment_method")}
            self._ledger.record(Record({**told, **ids}, debt, state, as_of_unix_s))

    async def fail(
        self, given: Json, *, renewal: bool = True, events: int | None = None, with_payments: bool = True
    ) -> tuple[list[Delivery], Debt]:
        """One failed payment: of a subscription's renewal (up to three events), or a single one (up to two)."""
        types = RENEWAL_FAILURE if renewal else RENEWAL_FAILURE[:2]
        if events is not None and not 1 <= events <= len(types):
            raise BankError(400, f"events takes a number from 1 to {len(types)}.", param="events")
        known = self._ledger.debt(*(given.get(name) for name in _DEBT_NAMES))
        if renewal and known is None:
            given = {"invoice": new_id("in_"), "subscription": new_id("sub_"), **given}
        deliveries: list[Delivery] = []
        for event_type in types[:events]:
            delivery, debt = await self.tell(event_type, given, with_payments=with_payments)
            deliveries.append(delivery)
            given = {**given, "payment_intent": debt.payment_intent}
        return deliveries, debt

    async def _known(self, given: Json) -> tuple[Record | None, Json]:
        """What is known of a payment already: from earlier news, or from the Stripe server itself."""
        record = self._ledger.debt(*(given.get(name) for name in _DEBT_NAMES))
        if record is not None:
            return record, record.told
        intent = given.get("payment_intent")
        if not isinstance(intent, str) or not _INTENT.fullmatch(intent):
            return None, {}
        try:
            answer = await self._server.request("GET", f"/v1/payment_intents/{intent}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BankError(502, "The Stripe server behind the bank does not answer.", kind="api_error") from error
        if not answer.succeeded:
            return None, {}
        found = answer.json()
        known = {
            name: found[name] for name in ("amount", "currency", "created", "metadata", "customer") if found.get(name)
        }
        charge = found.get("latest_charge")
        return None, {**known, "charge": charge["id"]} if isinstance(charge, dict) else known

    async def _give_back(self, debt: Debt) -> None:
        """Refunds at the Stripe server too, where it knows the payment, so that a read agrees with the event."""
        try:
            await self._server.sdk.v1.refunds.create_async({"payment_intent": debt.payment_intent})
        except stripe.InvalidRequestError:
            return  # it knows no such payment: a made-up one
        except stripe.StripeError as error:
            raise BankError(502, "The Stripe server behind the bank did not refund.", kind="api_error") from error
