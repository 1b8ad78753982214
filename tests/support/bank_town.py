"""A bank of the sandbox with a tiny product beside it, both on loopback, and the official SDK to speak to the bank."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import stripe
from aiohttp import web

from tenderline_sandbox import faults
from tenderline_sandbox.bank import Bank

API_KEY = "sk_test_for_these_tests"
SECRET = "whsec_for_these_tests"
STATIC = Path(faults.__file__).parent / "static"
WAIT_S = 30.0


async def until(true: Callable[[], Any], what: str) -> Any:
    """Waits, within a bound, until something holds, and returns it."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if found := true():
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {WAIT_S:.0f} s: {what}")


async def serve(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@dataclass
class Hook:
    """One webhook as it reached the product."""

    body: bytes
    signature: str
    event: dict[str, Any]


@dataclass
class Product:
    """Takes webhooks; `answers` are its next HTTP statuses, 200 after them."""

    hooks: list[Hook] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.hooks.append(Hook(body, request.headers["Stripe-Signature"], json.loads(body)))
        return web.Response(status=self.answers.popleft() if self.answers else 200)

    def of(self, event_type: str, about: str = "") -> list[Hook]:
        """Webhooks of a type, whose body mentions an id."""
        return [hook for hook in self.hooks if hook.event["type"] == event_type and about.encode() in hook.body]


@dataclass
class Town:
    """A bank, its product, and the ways to speak to it."""

    bank: Bank
    product: Product
    url: str
    http: aiohttp.ClientSession
    sdk: stripe.StripeClient

    async def control(self, path: str, **fields: Any) -> dict[str, Any]:
        async with self.http.post(f"{self.url}/control/bank/{path}", json=fields) as answer:
            told = await answer.json()
            assert answer.status == 200, told
            return dict(told)

    async def look(self, path: str) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/control/bank/{path}") as answer:
            assert answer.status == 200
            return dict(await answer.json())

    async def session(self, **more: Any) -> Any:
        price = {"currency": "usd", "unit_amount": 2500, "product_data": {"name": "Winter appeal"}}
        wanted: Any = {
            "mode": "payment",
            "line_items": [{"quantity": 2, "price_data": price}],
            "success_url": "http://127.0.0.1:9/thanks?s={CHECKOUT_SESSION_ID}",
            **more,
        }
        return await self.sdk.v1.checkout.sessions.create_async(wanted)

    async def clear(self) -> None:
        """A good day, an empty bank, nothing heard."""
        self.bank.faults().reset()
        self.product.answers.clear()
        async with self.http.delete(f"{self.url}/control/bank") as answer:
            assert answer.status == 204
        await self.control("secrets", secrets=[SECRET])
        self.product.hooks.clear()


def settings(product_url: str = "") -> Any:
    """What a bank is told at its start."""
    return SimpleNamespace(
        product_url=product_url,
        stripe_webhook_path="/webhooks/stripe",
        api_key=API_KEY,
        webhook_secret=SECRET,
        bank_port=0,
    )


@asynccontextmanager
async def open_town() -> AsyncIterator[Town]:
    """A town for as long as the context lasts."""
    product = Product()
    product_app = web.Application()
    product_app.router.add_post("/webhooks/stripe", product.take)
    async with AsyncExitStack() as stack:
        product_runner, product_url = await serve(product_app)
        stack.push_async_callback(product_runner.cleanup)
        bank = Bank(settings(product_url))
        stack.push_async_callback(bank.stop)
        await bank.start()
        app = web.Application()
        app.router.add_static("/static", STATIC)
        app.add_routes(bank.routes())
        runner, bank.public_url = await serve(app)
        stack.push_async_callback(runner.cleanup)
        sdk_http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=10))
        stack.push_async_callback(sdk_http.close_async)
        sdk = stripe.StripeClient(
            API_KEY, base_addresses={"api": bank.public_url}, http_client=sdk_http, max_network_retries=0
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Town(bank, product, bank.public_url, http, sdk)
    assert bank.server_pid is None
