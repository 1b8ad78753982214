"""A whole sandbox on loopback, and a stand-in for the product that writes down every webhook it gets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from tenderline_sandbox.app import Sandbox, SandboxSettings

ACCOUNT: Final = "AC" + "1" * 32
TOKEN: Final = "token-of-the-test"
FROM: Final = "+15005550006"
ADA: Final = "+12025550143"
BEN: Final = "+13125550188"
WAIT_S: Final = 10.0


async def until(true: Callable[[], Any], what: str) -> Any:
    """Looks until `true()` is so (it may be a coroutine function), and returns what it was; fails after ten seconds."""
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                found = true()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"Not within {WAIT_S:g} s: {what}") from None


@dataclass
class Hook:
    """One webhook as the product saw it."""

    url: str
    form: dict[str, str]
    headers: dict[str, str]

    def is_signed(self, token: str = TOKEN) -> bool:
        """Whether the carrier's signature is right, worked out here from the vendor's description."""
        text = self.url + "".join(f"{name}{value}" for name, value in sorted(self.form.items()))
        mac = hmac.new(token.encode(), text.encode("utf-8"), hashlib.sha1)
        return hmac.compare_digest(base64.b64encode(mac.digest()).decode(), self.headers["X-Twilio-Signature"])


@dataclass
class Product:
    """A stand-in for the product: takes anything posted, and answers what the test wants."""

    url: str = ""
    hooks: list[Hook] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """What the next requests are answered with, first to last; then 200."""

    async def take(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.hooks.append(Hook(f"{self.url}{request.raw_path}", form, dict(request.headers)))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    def told(self, sid: str) -> list[str]:
        """The states of one message, in the order in which they were told."""
        return [hook.form["MessageStatus"] for hook in self.hooks if hook.form.get("MessageSid") == sid]


@dataclass
class World:
    """The sandbox, the product and a client of both."""

    sandbox: Sandbox
    product: Product
    http: aiohttp.ClientSession

    @property
    def api(self) -> str:
        """The carrier's API for this account."""
        return f"{self.sandbox.url}/2010-04-01/Accounts/{ACCOUNT}"

    @property
    def receipts(self) -> str:
        """A callback address as the product makes them: with a query."""
        return f"{self.product.url}/webhooks/twilio?reference=01980000-0000-7000-8000-000000000001"

    async def call(self, method: str, url: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON of one request to the carrier's API, signed in."""
        headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, TOKEN), **more.pop("headers", {})}
        async with self.http.request(method, url, headers=headers, **more) as answer:
            return answer.status, await answer.json()

    async def send(self, to: str = ADA, body: str = "Hello", **more: str) -> tuple[int, Any]:
        """One message, as the product sends it."""
        form = {"To": to, "From": FROM, "Body": body, "StatusCallback": self.receipts, **more}
        return await self.call("POST", f"{self.api}/Messages.json", data={k: v for k, v in form.items() if v})

    async def control(self, method: str, path: str, **body: Any) -> Any:
        """The remote control; an error there is an error of the test."""
        async with self.http.request(method, self.sandbox.url + path, json=body if method != "GET" else None) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def page(self, path: str) -> str:
        """A page as a browser gets it."""
        async with self.http.get(self.sandbox.url + path, headers={"Accept": "text/html"}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def clear(self) -> None:
        """As if just opened."""
        await self.sandbox.carrier.reset()
        self.sandbox.mailbox.reset()
        self.product.hooks.clear()
        self.product.statuses.clear()

    async def settled(self) -> None:
        """Waits until no message is on its way any more."""
        await until(lambda: self.sandbox.carrier.pending == 0, "every message got to its end")


@asynccontextmanager
async def open_world(**settings: Any) -> AsyncIterator[World]:
    """A sandbox that posts to the stand-in, without any delay unless the test asks for one."""
    product = Product()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", product.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    product.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    chosen: dict[str, Any] = {
        "product_url": product.url,
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "callback_delay_ms": 0,
        **settings,
    }
    try:
        async with Sandbox(SandboxSettings(**chosen)) as sandbox, aiohttp.ClientSession() as http:
            yield World(sandbox, product, http)
    finally:
        await runner.cleanup()
