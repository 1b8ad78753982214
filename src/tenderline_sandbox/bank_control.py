"""`/control/bank/…`: JSON by which tests, the demo and the bank's page make things happen. Not part of Stripe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import stripe
from aiohttp import web

from tenderline_sandbox.bank_checkout import Checkout
from tenderline_sandbox.bank_debts import Debt
from tenderline_sandbox.bank_ledger import Ledger
from tenderline_sandbox.bank_process import Localstripe
from tenderline_sandbox.bank_refunds import Refunds
from tenderline_sandbox.bank_relay import Delivery, Relay
from tenderline_sandbox.bank_teller import Teller
from tenderline_sandbox.bank_wire import BankError, Json

_log = logging.getLogger(__name__)

WAIT_S_MAX: Final = 10.0
LIST_MAX: Final = 200
_CUSTOMER_FIELDS: Final = frozenset({"name", "phone", "email", "country", "locale", "metadata"})
_DECLINE_FIELDS: Final = _CUSTOMER_FIELDS | {"customer", "amount", "currency"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def refusing_politely(handler: Handler) -> Handler:
    """Turns what goes wrong into JSON with a sentence, for callers that are people."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except BankError as error:
            return error.answer().response({})
        except stripe.InvalidRequestError as error:
            return (
                BankError(400, f"The Stripe server behind the bank refused: {error.user_message}").answer().response({})
            )
        except stripe.StripeError as error:
            told = BankError(502, f"The Stripe server behind the bank refused: {error.user_message}", kind="api_error")
            return told.answer().response({})
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _log.warning("the Stripe server did not answer: %r", error)
            return (
                BankError(502, "The Stripe server behind the bank does not answer.", kind="api_error")
                .answer()
                .response({})
            )

    return handle


async def _fields(request: web.Request) -> Json:
    """The JSON object of a request. The content type is insisted on, so that no foreign web page can post a form."""
    if request.content_type != "application/json":
        raise BankError(415, "Send JSON with Content-Type: application/json.")
    try:
        data = await request.json()
    except ValueError as error:
        raise BankError(400, "The body is not JSON.") from error
    if not isinstance(data, dict):
        raise BankError(400, "The body takes a JSON object.")
    return data


def _take(data: Json, name: str, kind: type, default: Any) -> Any:
    value = data.pop(name, default)
    if value is not default and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise BankError(400, f"{name} takes a {kind.__name__}.", param=name)
    return value


def _ids(debt: Debt) -> Json:
    names = ("payment_intent", "charge", "customer", "invoice", "subscription", "session", "hosted_invoice_url")
    return {name: getattr(debt, name) for name in names}


class BankControl:
    """The handlers, and the list of payments that the page shows too."""

    def __init__(
        self,
        ledger: Ledger,
        relay: Relay,
        server: Localstripe,
        checkout: Checkout,
        teller: Teller,
        refunds: Refunds,
        forget: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._relay = relay
        self._server = server
        self._checkout = checkout
        self._teller = teller
        self._refunds = refunds
        self._forget = forget

    def handlers(self) -> list[tuple[str, str, Handler]]:
        """Every address under /control/bank: method, path, handler."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/control/bank/event", self._event),
            ("POST", "/control/bank/failure", self._failure),
            ("POST", "/control/bank/customer", self._customer),
            ("POST", "/control/bank/decline", self._decline),
            ("POST", "/control/bank/pay", self._pay),
            ("POST", "/control/bank/refund", self._refund),
            ("POST", "/control/bank/secrets", self._secrets),
            ("GET", "/control/bank/events", self._events),
            ("GET", "/control/bank/events/{id}", self._one_event),
            ("GET", "/control/bank/payments", self._payments),
            ("DELETE", "/control/bank", self._reset),
            ("DELETE", "/control/bank/events", self._reset_events),
            ("DELETE", "/control/bank/payments", self._reset_payments),
        ]
        return [(method, path, refusing_politely(handler)) for method, path, handler in table]

    async def _event(self, request: web.Request) -> web.StreamResponse:
        data = await _fields(request)
        wait = _take(data, "wait", bool, False)
        with_payments = _take(data, "payments_in_event", bool, True)
        delivery, debt = await self._teller.tell(data.pop("type", None), data, with_payments=with_payments)
        if wait:
            await _finished([delivery])
        return web.json_response({"event": delivery.summary(), **_ids(debt)})

    async def _failure(self, request: web.Request) -> web.StreamResponse:
        data = await _fields(request)
        wait = _take(data, "wait", bool, False)
        with_payments = _take(data, "payments_in_event", bool, True)
        renewal = _take(data, "renewal", bool, True)
        events = _take(data, "events", int, None)
        deliveries, debt = await self._teller.fail(data, renewal=renewal, events=events, with_payments=with_payments)
        if wait:
            await _finished(deliveries)
        return web.json_response({"events": [delivery.summary() for delivery in deliveries], **_ids(debt)})

    async def _customer(self, request: web.Request) -> web.StreamResponse:
        customer = await self._new_customer(_only(await _fields(request), _CUSTOMER_FIELDS))
        return web.json_response({"customer": customer})

    async def _new_customer(self, data: Json) -> str:
        form: Any = {name: data[name] for name in ("name", "phone", "email", "metadata") if data.get(name)}
        if data.get("country"):
            form["address"] = {"country": data["country"]}
        if data.get("locale"):
            form["preferred_locales"] = [data["locale"]]
        return (await self._server.sdk.v1.customers.create_async(form)).id

    async def _decline(self, request: web.Request) -> web.StreamResponse:
        """A real failed payment at the Stripe server, whose own webhook (in the shape of 2017) follows in a second."""
        data = _only(await _fields(request), _DECLINE_FIELDS)
        customer = data.get("customer") or await self._new_customer(data)
        form: Any = {
            "amount": data.get("amount", 2_500),
            "currency": data.get("currency", "usd"),
            "customer": customer,
            "metadata": data.get("metadata") or {},
            "payment_method": "pm_card_chargeCustomerFail",
            "confirm": True,
        }
        try:
            await self._server.sdk.v1.payment_intents.create_async(form)
        except stripe.CardError as error:
            body = error.json_body if isinstance(error.json_body, dict) else {}
            charge = await self._server.sdk.v1.charges.retrieve_async(body["error"]["charge"])
            intent = charge.to_dict()["payment_intent"]
            self._ledger.keep(
                [(await self._server.sdk.v1.payment_intents.retrieve_async(intent)).to_dict()], charge.created
            )
            told = {"customer": customer, "payment_intent": intent, "charge": charge.id, "decline_code": error.code}
            return web.json_response(told)
        raise BankError(502, "The Stripe server took a card that it should decline.", kind="api_error")

    async def _pay(self, request: web.Request) -> web.StreamResponse:
        data = await _fields(request)
        session, card = _take(data, "session", str, ""), data.get("card", "works")
        outcome = await self._checkout.pay(session, card)
        told = {
            "session": session,
            "paid": outcome.bill.paid,
            "already": outcome.already,
            "decline_code": outcome.decline_code,
        }
        if session.startswith("cs_"):
            told["payment_intent"] = self._checkout.read(session)["payment_intent"]
        return web.json_response(told)

    async def _refund(self, request: web.Request) -> web.StreamResponse:
        """How a refund goes on: {"refund": "re_…", "status": "pending" | "succeeded" | "failed", "why": "…"}."""
        data = await _fields(request)
        identity, status = _take(data, "refund", str, ""), _take(data, "status", str, "")
        return web.json_response(await self._refunds.tell(identity, status, _take(data, "why", str, None)))

    async def _secrets(self, request: web.Request) -> web.StreamResponse:
        secrets = _take(await _fields(request), "secrets", list, [])
        self._relay.sign_with(secrets)
        return web.json_response({"secrets": len(secrets)})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"events": [delivery.summary() for delivery in self._relay.deliveries(LIST_MAX)]})

    async def _one_event(self, request: web.Request) -> web.StreamResponse:
        delivery = self._relay.delivery(request.match_info["id"])
        if delivery is None:
            raise BankError(404, "There is no such event, or it was so long ago that it is forgotten.")
        return web.json_response({**delivery.summary(), "body": delivery.body.decode()})

    def payments(self, most: int = LIST_MAX) -> list[Json]:
        """The newest payments, those at the Stripe server (as of their last event) and those made up."""
        found = self._ledger.all_of("payment_intent")[:most]
        names = ("id", "amount", "currency", "status", "customer", "created", "metadata")
        rows = [{name: intent.get(name) for name in names} for intent in found]
        for row, intent in zip(rows, found, strict=True):
            error, charge = (
                intent.get("last_payment_error") or {},
                self._ledger.find(str(intent.get("latest_charge"))) or {},
            )
            taken_back = "disputed" if charge.get("disputed") else "refunded" if charge.get("refunded") else None
            row["status"] = taken_back or row["status"]
            row["reason"] = error.get("decline_code") or error.get("code")
            row["payer"] = (self._ledger.find(str(intent.get("customer"))) or {}).get("name")
        return rows

    async def _payments(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"payments": self.payments()})

    async def _reset(self, request: web.Request) -> web.StreamResponse:
        await self._reset_payments(request)
        return await self._reset_events(request)

    async def _reset_events(self, request: web.Request) -> web.StreamResponse:
        await self._relay.forget()
        return web.Response(status=204)

    async def _reset_payments(self, request: web.Request) -> web.StreamResponse:
        self._forget()
        await self._server.forget_everything()
        return web.Response(status=204)


def _only(data: Json, known: frozenset[str]) -> Json:
    if unknown := data.keys() - known:
        raise BankError(400, f"Unknown field {min(unknown)!r}; the fields are {', '.join(sorted(known))}.")
    return data


async def _finished(deliveries: list[Delivery]) -> None:
    """Waits until the events have arrived or were given up, within a bound; their summaries say which."""
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            await asyncio.gather(*(delivery.finished.wait() for delivery in deliveries))
    except TimeoutError:
        return
