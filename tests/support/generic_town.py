"""The sandbox's generic gateway on loopback, and a product beside it that keeps every webhook."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from support.bank_town import serve
from tenderline.config import GenericSettings
from tenderline.gateways.generic import Generic
from tenderline_sandbox.faults import FaultSwitches
from tenderline_sandbox.generic_bank import PREFIX, GenericBank

API_KEY = "generic-key-for-these-tests"
SECRET = "generic-secret-for-these-tests"
DECLINED = "4" + "0" * 14 + "2"
GOOD = "4242" * 4


@dataclass
class Hook:
    """One webhook as it reached the product."""

    body: bytes
    headers: dict[str, bytes]
    event: dict[str, Any]


@dataclass
class Town:
    """The gateway, what it told, and a way to it."""

    bank: GenericBank
    faults: FaultSwitches
    url: str
    callback_url: str
    http: aiohttp.ClientSession
    hooks: list[Hook] = field(default_factory=list)

    def gateway(self, **more: Any) -> Generic:
        """The product's side of it."""
        wanted: dict[str, Any] = {
            "api_url": self.url,
            "api_key": SecretStr(API_KEY),
            "webhook_secrets": [SecretStr(SECRET)],
            "callback_url": self.callback_url,
            "timeout_s": 3,
        }
        return Generic(GenericSettings(**wanted | more))

    async def token(self, number: str = GOOD) -> str:
        """What the gateway calls the card."""
        body = {"transaction_type": "tokenize", "card_number": number, "expiry_month": "12", "expiry_year": "2030"}
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with self.http.post(f"{self.url}/tokens", json=body, headers=headers) as answer:
            return str((await answer.json())["token"])

    def of(self, event_type: str) -> list[Hook]:
        """Webhooks of a type."""
        return [hook for hook in self.hooks if hook.event["event_type"] == event_type]


@asynccontextmanager
async def open_town() -> AsyncIterator[Town]:
    """One for as long as the context lasts."""
    async with AsyncExitStack() as stack:
        hooks: list[Hook] = []

        async def take(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {name.lower(): value.encode() for name, value in request.headers.items()}
            hooks.append(Hook(body, headers, json.loads(body)))
            return web.Response()

        product = web.Application()
        product.router.add_post("/webhooks/generic", take)
        runner, product_url = await serve(product)
        stack.push_async_callback(runner.cleanup)
        faults = FaultSwitches()
        bank = GenericBank(api_key=API_KEY, webhook_secret=SECRET, faults=faults)
        stack.push_async_callback(bank.stop)
        app = web.Application()
        app.add_routes(bank.routes())
        bank_runner, bank.public_url = await serve(app)
        stack.push_async_callback(bank_runner.cleanup)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        callback_url = f"{product_url}/webhooks/generic"
        yield Town(bank, faults, f"{bank.public_url}{PREFIX}", callback_url, http, hooks)
