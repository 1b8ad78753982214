"""Four gateways that turn cards into tokens, each in its vendor's wire protocol, as servers that keep what they got.

Written from the vendors' documents and not from our adapters: what is wrong in a request is answered with 400. As a
program it serves one of them on loopback and says only how many cards came, so that a test's own memory holds none.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEYS = {
    "stripe": "sk_test_contract",
    "braintree": "public1:private1",
    "adyen": "AQE-contract",
    "generic": "vault-key",
}
ACCOUNT = "TenderlineCOM"
KINDS = tuple(KEYS)
Json = dict[str, Any]


class Wrong(Exception):
    """The request is not what the vendor documents."""


def need(condition: object, what: str) -> None:
    """Refuses the request."""
    if not condition:
        raise Wrong(what)


@dataclass
class Vault:
    """What came, as (number, month, year, code, postal code), and what is answered: an outcome or a function."""

    kind: str
    says: Any = "token"
    cards: list[tuple[str, ...]] = field(default_factory=list)
    requests: int = 0
    tokens: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    url: str = ""
    port: int = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        try:
            card = await READS[self.kind](request)
        except (Wrong, KeyError, ValueError) as error:
            self.wrong.append(repr(error))
            return web.json_response({"error": {"type": "invalid_request_error"}}, status=400)
        self.cards.append(card)
        if callable(self.says):
            answer: web.StreamResponse = await self.says(self, request)
            return answer
        return self.answer(self.says)

    def answer(self, outcome: str, token: str | None = None) -> web.Response:
        """One of: token, declined, number_wrong, expiry_wrong, code_wrong, error."""
        if outcome == "error":
            return web.Response(status=500, text="<h1>Internal error</h1>")
        if outcome == "token":
            token = token or PREFIXES[self.kind] + secrets.token_urlsafe(12).replace("-", "x")
            self.tokens.append(token)
        status, body = ANSWERS[self.kind](outcome, token, self.cards[-1])
        return web.json_response(body, status=status)


async def _stripe_reads(request: web.Request) -> tuple[str, ...]:
    need(request.path == "/v1/payment_methods", "path")
    need(request.headers["Authorization"] == f"Bearer {KEYS['stripe']}", "key")
    need(request.headers["Stripe-Version"], "version")
    form = await request.post()
    need(form["type"] == "card", "type")
    fields = ("card[number]", "card[exp_month]", "card[exp_year]", "card[cvc]")
    return (*(str(form[name]) for name in fields), str(form.get("billing_details[address][postal_code]", "")))


async def _braintree_reads(request: web.Request) -> tuple[str, ...]:
    need(request.path == "/graphql", "path")
    expected = base64.b64encode(KEYS["braintree"].encode()).decode()
    need(request.headers["Authorization"] == f"Basic {expected}", "key")
    need(request.headers["Braintree-Version"], "version")
    body = await _json(request)
    need("tokenizeCreditCard(input: $input)" in body["query"] and "TokenizeCreditCardInput!" in body["query"], "query")
    need("paymentMethod { id }" in body["query"], "selection")
    card = body["variables"]["input"]["creditCard"]
    need(set(card) <= {"number", "expirationMonth", "expirationYear", "cvv", "billingAddress"}, "CreditCardInput")
    postal = card.get("billingAddress", {}).get("postalCode", "")
    return card["number"], card["expirationMonth"], card["expirationYear"], card["cvv"], postal


async def _adyen_reads(request: web.Request) -> tuple[str, ...]:
    need(request.path == "/v71/payments", "path")
    need(request.headers["X-API-Key"] == KEYS["adyen"], "key")
    body = await _json(request)
    need(body["merchantAccount"] == ACCOUNT, "account")
    need(body["amount"] == {"value": 0, "currency": "USD"}, "amount")
    need(body["storePaymentMethod"] is True and len(body["shopperReference"]) >= 3, "storing")
    need(body["shopperInteraction"] in ("Ecommerce", "Moto"), "interaction")
    need(body["recurringProcessingModel"] in ("CardOnFile", "Subscription", "UnscheduledCardOnFile"), "model")
    need(body["reference"] and body["returnUrl"], "reference, returnUrl")
    card = body["paymentMethod"]
    need(card["type"] == "scheme", "type")
    return card["number"], card["expiryMonth"], card["expiryYear"], card["cvc"], body["shopperReference"]


async def _generic_reads(request: web.Request) -> tuple[str, ...]:
    need(request.path == "/vault/cards", "path")
    need(request.headers["Authorization"] == f"Bearer {KEYS['generic']}", "key")
    body = await _json(request)
    need(body["transaction_type"] == "tokenize", "type")
    return (
        *(body[name] for name in ("card_number", "expiry_month", "expiry_year", "cvv")),
        body.get("postal_code", ""),
    )


async def _json(request: web.Request) -> Json:
    need(request.content_type == "application/json", "content type")
    body: Json = json.loads(await request.read())
    return body


def _stripe_answers(outcome: str, token: str | None, card: tuple[str, ...]) -> tuple[int, Json]:
    if token:
        return 200, {"id": token, "object": "payment_method", "card": {"brand": "visa", "last4": card[0][-4:]}}
    code, param = {
        "declined": ("card_declined", None),
        "number_wrong": ("incorrect_number", "number"),
        "expiry_wrong": ("invalid_expiry_month", "exp_month"),
        "code_wrong": ("invalid_cvc", "cvc"),
    }[outcome]
    return 402, {"error": {"type": "card_error", "code": code, "param": param, "message": f"Not {card[0]}."}}


def _braintree_answers(outcome: str, token: str | None, card: tuple[str, ...]) -> tuple[int, Json]:
    more = {"requestId": "r-1"}
    if token:
        return 200, {"data": {"tokenizeCreditCard": {"paymentMethod": {"id": token}}}, "extensions": more}
    legacy, name = {
        "declined": ("82000", None),
        "number_wrong": ("81715", "number"),
        "expiry_wrong": (None, "expirationMonth"),
        "code_wrong": ("81707", "cvv"),
    }[outcome]
    path = ["input", "creditCard", *([name] if name else [])]
    extensions = {"errorClass": "VALIDATION", "errorType": "user_error", "legacyCode": legacy, "inputPath": path}
    error = {"message": f"Not {card[0]}.", "path": ["tokenizeCreditCard"], "extensions": extensions}
    return 200, {"data": {"tokenizeCreditCard": None}, "errors": [error], "extensions": more}


def _adyen_answers(outcome: str, token: str | None, card: tuple[str, ...]) -> tuple[int, Json]:
    base = {"pspReference": "V4HZ4RBFJGXXGN82", "merchantReference": card[4]}
    if token:
        more = {"recurring.recurringDetailReference": token, "recurring.shopperReference": card[4]}
        return 200, base | {"resultCode": "Authorised", "additionalData": more}
    if outcome in ("number_wrong", "expiry_wrong"):
        code, message = {"number_wrong": ("101", f"Invalid card number {card[0]}"), "expiry_wrong": ("129", "Expiry")}[
            outcome
        ]
        return 422, {"status": 422, "errorCode": code, "message": message, "errorType": "validation"}
    code, reason = {"declined": ("2", "Refused"), "code_wrong": ("24", "CVC Declined")}[outcome]
    return 200, base | {"resultCode": "Refused", "refusalReason": reason, "refusalReasonCode": code}


def _generic_answers(outcome: str, token: str | None, card: tuple[str, ...]) -> tuple[int, Json]:
    if token:
        return 200, {"token": token, "brand": "visa", "last_four": card[0][-4:]}
    if outcome == "declined":
        return 402, {"error": "card_declined", "message": card[0]}
    name = {"number_wrong": "card_number", "expiry_wrong": "expiry_month", "code_wrong": "cvv"}[outcome]
    return 422, {"error": "invalid", "field": name, "value": card[0]}


READS: dict[str, Callable[[web.Request], Any]] = {
    "stripe": _stripe_reads,
    "braintree": _braintree_reads,
    "adyen": _adyen_reads,
    "generic": _generic_reads,
}
ANSWERS: dict[str, Callable[[str, str | None, tuple[str, ...]], tuple[int, Json]]] = {
    "stripe": _stripe_answers,
    "braintree": _braintree_answers,
    "adyen": _adyen_answers,
    "generic": _generic_answers,
}
PREFIXES = {"stripe": "pm_", "braintree": "tokencc_", "adyen": "AD", "generic": "v1."}
PATHS = {"stripe": "", "braintree": "", "adyen": "", "generic": "/vault/cards"}


@asynccontextmanager
async def vault(kind: str, tls: ssl.SSLContext | None, *, name: str = "127.0.0.1") -> AsyncIterator[Vault]:
    """One gateway on a port of loopback; plain HTTP without `tls`."""
    made = Vault(kind)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        made.port = runner.addresses[0][1]
        made.url = f"{'https' if tls else 'http'}://{name}:{made.port}{PATHS[kind]}"
        yield made
    finally:
        await runner.cleanup()


async def _silence(vault: Vault, request: web.Request) -> web.StreamResponse:
    del vault, request
    await asyncio.sleep(60)
    return web.Response()


async def _serve(kind: str, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with vault(kind, context) as made:
        print(made.url, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            made.says = {"silence": _silence}.get(line.strip(), line.strip()) or made.says
            print(made.requests, len(made.cards), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
