"""`/v1/…` as the product's official SDK sees it: the Stripe server behind the bank, and in front of it what it lacks.

That is authentication with one key, idempotency keys, Stripe's error objects, the switches that make the bank fail on
purpose, checkout sessions, invoice payments, search, and reads of what the bank itself made up.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, urlencode

import aiohttp
from aiohttp import web

from tenderline_sandbox.bank_cards import shown, stand_in
from tenderline_sandbox.bank_checkout import Checkout
from tenderline_sandbox.bank_idempotency import IdempotencyKeys
from tenderline_sandbox.bank_ledger import Ledger, matcher, matches
from tenderline_sandbox.bank_process import Localstripe
from tenderline_sandbox.bank_refunds import Refunds
from tenderline_sandbox.bank_wire import API_VERSION, Answer, BankError, BankSettings, Json, new_id, read_form
from tenderline_sandbox.cut import cut
from tenderline_sandbox.faults import FaultSwitches

_log = logging.getLogger(__name__)

MERCHANT: Final = "Harbour Lights Fund"
_FRESH_READS_MAX: Final = 50
_LIST_MAX: Final = 100
_FIELDS_MAX: Final = 200
_UNKNOWN_TO_SERVER: Final = ("description", "payment_method_options[card][moto]")
_EXPAND: Final = re.compile(r"expand\[[0-9]*\]")
_IDENTITY: Final = re.compile(r"[A-Za-z0-9_]{1,255}")


@dataclass(frozen=True)
class Call:
    """One request of the API, read."""

    method: str
    path: str
    """After `/v1/`."""
    query: dict[str, str]
    expand: list[str]
    raw_path_and_query: str
    body: bytes

    def form(self) -> Json:
        """The body as objects."""
        try:
            return read_form(self.body.decode())
        except UnicodeDecodeError as error:
            raise BankError(400, "The form is not UTF-8.") from error


class BankApi:
    """The API's one door."""

    def __init__(
        self,
        settings: BankSettings,
        faults: FaultSwitches,
        ledger: Ledger,
        server: Localstripe,
        checkout: Checkout,
        refunds: Refunds,
    ) -> None:
        self._settings = settings
        self._faults = faults
        self._ledger = ledger
        self._server = server
        self._checkout = checkout
        self._refunds = refunds
        self.idempotency = IdempotencyKeys()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any `/v1/…` request: carried out unless a fault forbids it, and answered unless a fault prevents it."""
        headers = {"Request-Id": new_id("req_", 14), "Stripe-Version": API_VERSION}
        if key := request.headers.get("Idempotency-Key"):
            headers["Idempotency-Key"] = key
        if self._faults.take("rate_limit_next"):
            answer = BankError(429, "Too many requests.", code="rate_limit").answer()
            headers["Retry-After"] = str(self._faults.retry_after_s)
        elif self._faults.take("fail_before_next"):
            answer = _failure()
        else:
            answer = await self._carry_out(request)
        if self._faults.latency_ms:  # after the deed, so that a client that stops waiting cannot know
            await asyncio.sleep(self._faults.latency_ms / 1_000)
        if answer.succeeded and self._faults.take("drop_after_success_next"):
            return cut(request)
        if answer.succeeded and self._faults.take("fail_after_success_next"):
            answer = _failure()
        return answer.response(headers)

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, told = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                told = base64.b64decode(told, validate=True).decode().partition(":")[0]
            except ValueError:
                told = ""
        if not told:
            raise BankError(401, "You did not provide an API key.")
        if not hmac.compare_digest(told.encode(), self._settings.api_key.encode()):
            raise BankError(401, f"Invalid API key provided: {told[:7]}***")

    async def _carry_out(self, request: web.Request) -> Answer:
        """Whoever asks may do so, and asks for the first time: then it is done."""
        try:
            self._authenticate(request)
            call = Call(
                method=request.method,
                path=request.match_info["path"],
                query=dict(request.query),
                expand=[value for key, value in request.query.items() if _EXPAND.fullmatch(key)],
                raw_path_and_query=request.rel_url.raw_path_qs,
                body=await request.read(),
            )
            key = request.headers.get("Idempotency-Key")
            if key is None or call.method != "POST":
                return await self._answer(call)
            return await self.idempotency.first_answer(
                key, call.method, call.raw_path_and_query, call.body, lambda: self._answer(call)
            )
        except BankError as error:
            return error.answer()

    async def _answer(self, call: Call) -> Answer:
        """Ours where the server has nothing of the kind, else the server's, dressed as Stripe's. Errors are answers."""
        try:
            for method, pattern, own in _OWN:
                if method == call.method and (found := pattern.fullmatch(call.path)):
                    return await own(self, call, *found.groups())
            return await self._forward(call)
        except BankError as error:
            return error.answer()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _log.warning("the Stripe server did not answer %s %s: %r", call.method, call.path, error)
            return BankError(503, "The Stripe server behind the bank does not answer.", kind="api_error").answer()

    async def _forward(self, call: Call) -> Answer:
        answer = await self._server.request(call.method, call.raw_path_and_query, call.body)
        if answer.succeeded:
            return answer
        collection, _, identity = call.path.rpartition("/")
        if answer.status == 404 and call.method == "GET" and collection:
            own = self._ledger.find(identity)
            if own is not None and own["object"].replace(".", "/") + "s" == collection:
                return Answer.of(self._ledger.expanded(own, call.expand))
        return _dressed(answer, call)

    async def _create_session(self, call: Call) -> Answer:
        form = call.form()
        customer = form.get("customer")
        if customer and not (isinstance(customer, str) and await self._customer_exists(customer)):
            raise BankError(400, f"No such customer: {str(customer)[:60]!r}", code="resource_missing", param="customer")
        return Answer.of(self._checkout.create(form))

    async def _customer_exists(self, identity: str) -> bool:
        if self._ledger.find(identity, "customer") is not None:
            return True
        if not _IDENTITY.fullmatch(identity):
            return False
        return (await self._server.request("GET", f"/v1/customers/{identity}")).succeeded

    async def _read_session(self, call: Call, identity: str) -> Answer:
        return Answer.of(self._ledger.expanded(self._checkout.read(identity), call.expand))

    async def _expire_session(self, call: Call, identity: str) -> Answer:
        return Answer.of(self._checkout.expire(identity))

    async def _invoice_payments(self, call: Call) -> Answer:
        """Which payment intent pays an invoice: of ours by the ledger, of the server's by its field of 2017."""
        invoice, intent = call.query.get("invoice"), call.query.get("payment[payment_intent]")
        record = self._ledger.debt(intent, invoice)
        entries: list[Json] = []
        if record is not None and record.debt.invoice:
            found = self._ledger.find(record.debt.invoice, "invoice")
            entries = found["payments"]["data"] if found else []
        elif invoice is not None or intent is not None:
            entries = await self._legacy_invoice_payments(invoice, intent)
        else:
            entries = [entry for own in self._ledger.all_of("invoice") for entry in own["payments"]["data"]]
        data = [entry for entry in entries if call.query.get("status") in (None, entry["status"])]
        listed = {"object": "list", "url": "/v1/invoice_payments", "has_more": False, "data": data[:_LIST_MAX]}
        expanded = self._ledger.expanded(listed, call.expand)
        if "data.invoice" in call.expand:
            for entry in expanded["data"]:
                if isinstance(entry["invoice"], str):
                    entry["invoice"] = (await self._server.request("GET", f"/v1/invoices/{entry['invoice']}")).json()
        return Answer.of(expanded)

    async def _legacy_invoice_payments(self, invoice: str | None, intent: str | None) -> list[Json]:
        if not _IDENTITY.fullmatch(invoice or intent or ""):
            raise BankError(400, "Invalid id.", code="resource_missing", param="invoice" if invoice else "payment")
        if invoice is None:
            invoice = (await self._server.request("GET", f"/v1/payment_intents/{intent}")).json().get("invoice")
            if not invoice:
                return []
        answer = await self._server.request("GET", f"/v1/invoices/{invoice}")
        if not answer.succeeded:
            raise BankError(404, f"No such invoice: {invoice!r}", code="resource_missing", param="invoice")
        found = answer.json()
        if not found.get("payment_intent"):
            return []
        paid = found.get("status") == "paid"
        return [
            {
                "id": "inpay_" + invoice.removeprefix("in_"),
                "object": "invoice_payment",
                "amount_paid": found.get("amount_paid") if paid else None,
                "amount_requested": found.get("amount_due"),
                "created": found.get("created"),
                "currency": found.get("currency"),
                "invoice": invoice,
                "is_default": True,
                "livemode": False,
                "payment": {"type": "payment_intent", "payment_intent": found["payment_intent"]},
                "status": "paid" if paid else "open",
            }
        ]

    async def _create_intent(self, call: Call) -> Answer:
        """As the API of today has it; the server behind knows an older name for the kinds of payment."""
        pairs = parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        older = [
            (key.replace("allowed_payment_method_types", "payment_method_types"), value)
            for key, value in pairs
            if key not in _UNKNOWN_TO_SERVER
        ]
        return await self._forward(replace(call, body=urlencode(older).encode()))

    async def _create_payment_method(self, call: Call) -> Answer:
        body, card = stand_in(call.body)
        return shown(await self._forward(replace(call, body=body)), card)

    async def _create_refund(self, call: Call) -> Answer:
        return await self._refunds.create(call.body)

    async def _search_intents(self, call: Call) -> Answer:
        """By metadata and status, without the lag of Stripe's index; a hit is read anew where the server knows it."""
        clauses = matcher(call.query.get("query", ""))
        limit = call.query.get("limit", "10")
        most = min(int(limit[:5]), _LIST_MAX) if limit.isascii() and limit.isdigit() else _LIST_MAX
        by_metadata = [clause for clause in clauses if clause[0] == "metadata"]
        marked = [kept for kept in self._ledger.all_of("payment_intent") if matches(kept, by_metadata)]
        fresh = [await self._fresh_intent(kept) for kept in marked[:_FRESH_READS_MAX]]
        data = [intent for intent in fresh if matches(intent, clauses)][:most]
        found = {"object": "search_result", "url": "/v1/payment_intents/search", "has_more": False, "next_page": None}
        return Answer.of(self._ledger.expanded({**found, "data": data}, call.expand))

    async def _fresh_intent(self, kept: Json) -> Json:
        answer = await self._server.request("GET", f"/v1/payment_intents/{kept['id']}")
        return answer.json() if answer.succeeded else kept

    async def _account(self, call: Call) -> Answer:
        return Answer.of(
            {
                "id": "acct_sandbox",
                "object": "account",
                "business_profile": {"name": MERCHANT},
                "charges_enabled": True,
                "country": "US",
                "created": int(time.time()),
                "default_currency": "usd",
                "details_submitted": True,
                "payouts_enabled": True,
                "settings": {"dashboard": {"display_name": MERCHANT}},
                "type": "standard",
            }
        )


_OWN: Final[list[tuple[str, re.Pattern[str], Callable[..., Awaitable[Answer]]]]] = [
    ("POST", re.compile("checkout/sessions"), BankApi._create_session),
    ("GET", re.compile("checkout/sessions/(cs_[A-Za-z0-9_]+)"), BankApi._read_session),
    ("POST", re.compile("checkout/sessions/(cs_[A-Za-z0-9_]+)/expire"), BankApi._expire_session),
    ("GET", re.compile("invoice_payments"), BankApi._invoice_payments),
    ("POST", re.compile("payment_intents"), BankApi._create_intent),
    ("POST", re.compile("payment_methods"), BankApi._create_payment_method),
    ("POST", re.compile("refunds"), BankApi._create_refund),
    ("GET", re.compile("payment_intents/search"), BankApi._search_intents),
    ("GET", re.compile("account"), BankApi._account),
]


def _failure() -> Answer:
    return BankError(500, "An error occurred at the bank.", kind="api_error").answer()


def _dressed(answer: Answer, call: Call) -> Answer:
    """An error of the server's in the form Stripe gives it."""
    error = answer.json().get("error")
    if not isinstance(error, dict):
        if answer.status == 404:
            return BankError(404, f"Unrecognized request URL ({call.method}: /v1/{call.path[:200]}).").answer()
        return _failure() if answer.status >= 500 else BankError(answer.status, "The request was refused.").answer()
    if answer.status == 402:
        error = {"decline_code": "generic_decline", **error, "type": "card_error"}
    elif answer.status == 404:
        error = {"code": "resource_missing", **error}
    return Answer.of({"error": error}, answer.status)
