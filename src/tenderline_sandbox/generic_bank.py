"""A gateway that speaks the generic protocol: tokens, transactions, refunds, pay pages, and webhooks about them.

It is what a merchant would put before whatever charges his cards, in memory. No card number is kept.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from tenderline_sandbox.bank_cards import ALWAYS_DECLINED, passes_luhn
from tenderline_sandbox.bank_idempotency import IdempotencyKeys
from tenderline_sandbox.bank_ledger import Bounded
from tenderline_sandbox.bank_wire import Answer, BankError, Json, new_id
from tenderline_sandbox.cut import cut
from tenderline_sandbox.faults import FaultSwitches
from tenderline_sandbox.generic_news import News

PREFIX: Final = "/generic"
_KEPT_MAX: Final = 5_000
_AMOUNT: Final = re.compile(r"[1-9][0-9]{0,9}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")

Route = tuple[str, re.Pattern[str], Callable[..., Json]]


class GenericBank:
    """All of it, to be mounted in an aiohttp application that listens on loopback."""

    def __init__(
        self, *, api_key: str, webhook_secret: str, faults: FaultSwitches, callback_url: str | None = None
    ) -> None:
        self.public_url = ""
        self._api_key = api_key
        self._faults = faults
        self._callback_url = callback_url
        self.news = News(webhook_secret, faults)
        self._keys = IdempotencyKeys()
        self._tokens: Bounded[Json] = Bounded(_KEPT_MAX)
        self._transactions: Bounded[Json] = Bounded(_KEPT_MAX)
        self._pages: Bounded[Json] = Bounded(_KEPT_MAX)

    def routes(self) -> list[web.RouteDef]:
        """Every address of it."""
        return [web.route("*", f"{PREFIX}/{{path:.+}}", self.handle)]

    async def stop(self) -> None:
        """Gives up what is still on its way."""
        await self.news.stop()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request: carried out unless a fault forbids it, and answered unless a fault prevents it."""
        if self._faults.take("rate_limit_next"):
            answer = Answer.of({"error": "too_many_requests"}, 429)
        elif self._faults.take("fail_before_next"):
            answer = Answer.of({"error": "internal"}, 500)
        else:
            answer = await self._carry_out(request)
        if self._faults.latency_ms:  # after the deed, so that a client that stops waiting cannot know
            await asyncio.sleep(self._faults.latency_ms / 1_000)
        if answer.succeeded and self._faults.take("drop_after_success_next"):
            return cut(request)
        if answer.succeeded and self._faults.take("fail_after_success_next"):
            answer = Answer.of({"error": "internal"}, 500)
        return answer.response({})

    async def _carry_out(self, request: web.Request) -> Answer:
        try:
            told = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(told.encode(), self._api_key.encode()):
                raise BankError(401, "The key is not right.")
            path, body = request.match_info["path"], await request.read()

            async def do() -> Answer:
                return self._answer(request.method, path, body)

            key = request.headers.get("Idempotency-Key")
            if key is None or request.method != "POST":
                return await do()
            return await self._keys.first_answer(key, request.method, path, body, do)
        except BankError as error:
            return error.answer()

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        try:
            for own_method, pattern, act in _ROUTES:
                if own_method == method and (found := pattern.fullmatch(path)):
                    return Answer.of(act(self, *found.groups(), *([_object(body)] if method == "POST" else [])))
            raise BankError(404, f"There is nothing at {path[:100]}.")
        except BankError as error:
            return error.answer()

    def _status(self) -> Json:
        return {"status": "ok"}

    def _tokenise(self, told: Json) -> Json:
        number = str(told.get("card_number", ""))
        if not number.isdecimal() or not 12 <= len(number) <= 19 or not passes_luhn(number):
            return {"error": "invalid", "field": "card_number"}
        token = new_id("tok_")
        self._tokens.put(token, {"declines": number in ALWAYS_DECLINED, "last_four": number[-4:]})
        return {"token": token, "last_four": number[-4:]}

    def _make(self, told: Json) -> Json:
        """A transaction, which is not charged yet."""
        amount, currency = _money(told)
        token = told.get("payment_token")
        if not isinstance(token, str) or self._tokens.get(token) is None:
            raise BankError(422, "There is no such payment_token.", param="payment_token")
        return self._shown(self._new(told, amount, currency, "CREATED", token=token))

    def _new(self, told: Json, amount: int, currency: str, status: str, **more: Any) -> Json:
        made = {
            "transaction_id": new_id("txn_"),
            "transaction_type": str(told.get("transaction_type", "DONATION")),
            "transaction_status": status,
            "amount": str(amount),
            "amount_refunded": "0",
            "currency": currency,
            "reference": told.get("reference"),
            "client_reference": told.get("client_reference"),
            "callback_url": told.get("callback_url"),
            "updated_at": int(time.time()),
            "refunds": [],
            **more,
        }
        self._transactions.put(made["transaction_id"], made)
        return made

    def _shown(self, transaction: Json) -> Json:
        return {name: value for name, value in transaction.items() if name not in ("token", "refunds", "callback_url")}

    def _find(self, identity: str) -> Json:
        """By its id, or by that of the debt which it settled: the caller cannot know the first before she has news."""
        found = self._transactions.get(identity)
        if found is None:
            found = next((one for one in self._transactions.newest() if one.get("pays") == identity), None)
        if found is None:
            raise BankError(404, "There is no such transaction.")
        return found

    def _read(self, identity: str) -> Json:
        return self._shown(self._find(identity))

    def _charge(self, identity: str, told: Json) -> Json:
        del told
        found = self._find(identity)
        if found["transaction_status"] != "CREATED":
            raise BankError(409 if found["transaction_status"] == "PENDING" else 422, "It was charged or cancelled.")
        token = self._tokens.get(found["token"]) or {}
        if token.get("declines"):
            found["decline_code"] = "insufficient_funds"
        self._move(found, "FAILED" if token.get("declines") else "COMPLETED")
        return self._shown(found)

    def _cancel(self, identity: str, told: Json) -> Json:
        del told
        found = self._find(identity)
        if found["transaction_status"] not in ("CREATED", "CANCELLED"):
            raise BankError(422, "It was charged already.")
        self._move(found, "CANCELLED")
        return self._shown(found)

    def _move(self, transaction: Json, status: str) -> None:
        transaction["transaction_status"] = status
        transaction["updated_at"] = int(time.time())
        self._tell("transaction.updated", transaction, {"transaction": self._shown(transaction)})

    def _tell(self, event_type: str, transaction: Json, subject: Json) -> None:
        event = {"event_id": new_id("ev_"), "event_type": event_type, "created_at": int(time.time()), **subject}
        self.news.send(transaction.get("callback_url") or self._callback_url, event)

    def _give_back(self, identity: str, told: Json) -> Json:
        found = self._find(identity)
        amount, currency = _money(told)
        gone = int(found["amount_refunded"])
        if found["transaction_status"] not in ("COMPLETED", "REFUNDED") or currency != found["currency"]:
            raise BankError(422, "Nothing of it can be given back in this currency.")
        if amount > int(found["amount"]) - gone:
            raise BankError(422, "More than is left of it.", param="amount")
        refund = {
            "refund_id": new_id("rf_"),
            "transaction_id": found["transaction_id"],
            **({"pays": found["pays"]} if "pays" in found else {}),
            "refund_status": "COMPLETED",
            "amount": str(amount),
            "currency": currency,
            "client_reference": told.get("client_reference"),
        }
        found["refunds"].append(refund)
        found["amount_refunded"] = str(gone + amount)
        self._tell("refund.updated", found, {"refund": refund})
        if gone + amount == int(found["amount"]):
            self._move(found, "REFUNDED")
        return {**refund, "refund_status": "PENDING"}

    def _refunds(self, identity: str) -> Json:
        return {"refunds": self._find(identity)["refunds"]}

    def _open_page(self, told: Json) -> Json:
        amount, currency = _money(told)
        identity = new_id("pg_")
        page = {"page_id": identity, "page_status": "OPEN", "url": f"{self.public_url}{PREFIX}/pages/{identity}"}
        terms = {name: told.get(name) for name in ("pays", "callback_url", "description")}
        self._pages.put(identity, {**page, "_amount": amount, "_currency": currency, "_terms": terms})
        return page

    def _page(self, identity: str) -> Json:
        found = self._pages.get(identity)
        if found is None:
            raise BankError(404, "There is no such page.")
        return {name: value for name, value in found.items() if name[0] != "_"}

    def _close_page(self, identity: str, told: Json) -> Json:
        del told
        self._page(identity)
        found = self._pages.get(identity)
        if found is not None and found["page_status"] == "OPEN":
            found["page_status"] = "OVER"
        return self._page(identity)

    def pay(self, identity: str) -> Json:
        """Somebody pays on a page of the gateway's. Raises `BankError` when nobody can."""
        found = self._pages.get(identity)
        if found is None or found["page_status"] != "OPEN":
            raise BankError(409, "Nobody can pay on this page.")
        found["page_status"] = "USED"
        terms = found["_terms"]
        paid = self._new(terms, found["_amount"], found["_currency"], "CREATED", pays=terms["pays"])
        self._move(paid, "COMPLETED")
        return self._shown(paid)

    def dispute(self, identity: str) -> Json:
        """The payer contests a transaction at her bank."""
        found = self._find(identity)
        self._move(found, "DISPUTED")
        return self._shown(found)

    def transactions(self) -> list[Json]:
        """Every transaction, the newest first; with its refunds."""
        return [{**self._shown(one), "refunds": one["refunds"]} for one in self._transactions.newest()]


_ID: Final = "([A-Za-z0-9_]{1,60})"
_ROUTES: Final[list[Route]] = [
    ("GET", re.compile("status"), GenericBank._status),
    ("POST", re.compile("tokens"), GenericBank._tokenise),
    ("POST", re.compile("transactions"), GenericBank._make),
    ("GET", re.compile(f"transactions/{_ID}"), GenericBank._read),
    ("POST", re.compile(f"transactions/{_ID}/charge"), GenericBank._charge),
    ("POST", re.compile(f"transactions/{_ID}/cancel"), GenericBank._cancel),
    ("POST", re.compile(f"transactions/{_ID}/refunds"), GenericBank._give_back),
    ("GET", re.compile(f"transactions/{_ID}/refunds"), GenericBank._refunds),
    ("POST", re.compile("pay-pages"), GenericBank._open_page),
    ("GET", re.compile(f"pay-pages/{_ID}"), GenericBank._page),
    ("POST", re.compile(f"pay-pages/{_ID}/close"), GenericBank._close_page),
]


def _object(body: bytes) -> Json:
    try:
        found = json.loads(body or b"{}")
    except ValueError as error:
        raise BankError(400, "The body is not JSON.") from error
    if not isinstance(found, dict):
        raise BankError(400, "The body takes a JSON object.")
    return found


def _money(told: Json) -> tuple[int, str]:
    amount, currency = told.get("amount"), told.get("currency")
    if not isinstance(amount, str) or not _AMOUNT.fullmatch(amount):
        raise BankError(422, "amount takes minor units, as text.", param="amount")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise BankError(422, "currency takes an ISO 4217 code.", param="currency")
    return int(amount), currency
