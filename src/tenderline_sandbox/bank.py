"""The simulated bank: a Stripe server (localstripe, a process of its own) and in front of it what a product relies on.

product ──SDK──> /v1/…          bank_api       key, idempotency, faults, checkout; then the server
payer   ───────> /pay/…         bank_pages     the bank's own page for a session or an invoice
tests   ───────> /control/bank  bank_control   makes things happen
server  ───────> /bank/relay    bank_relay ──> <product>/webhooks/stripe, signed and tried again
"""

from __future__ import annotations

import asyncio
import logging
import secrets

import aiohttp
from aiohttp import web

from tenderline_sandbox.bank_api import BankApi
from tenderline_sandbox.bank_checkout import Checkout
from tenderline_sandbox.bank_control import BankControl, Handler, refusing_politely
from tenderline_sandbox.bank_ledger import Ledger
from tenderline_sandbox.bank_pages import BankPages
from tenderline_sandbox.bank_process import BankProcessError, Localstripe
from tenderline_sandbox.bank_refunds import Refunds
from tenderline_sandbox.bank_relay import Relay
from tenderline_sandbox.bank_teller import Teller
from tenderline_sandbox.bank_wire import BankError, BankSettings, Json
from tenderline_sandbox.faults import FaultSwitches

_log = logging.getLogger(__name__)


class Bank:
    """All of it, to be mounted in an aiohttp application that listens on loopback.

    `public_url` is where that application can be reached; it may be set before or after `start`, but before the first
    request: pay pages carry it, and the Stripe server posts its webhooks there.
    """

    def __init__(self, settings: BankSettings, faults: FaultSwitches | None = None) -> None:
        self._faults = faults if faults is not None else FaultSwitches()
        self.public_url = ""
        self._relay_secret = secrets.token_urlsafe(24)
        self._relayed_to = ""
        self._registering = asyncio.Lock()
        self._ledger = Ledger()
        self._server = Localstripe(settings.bank_port)
        self._relay = Relay(settings, self._faults)
        self._teller = Teller(self._ledger, self._relay, self._server, self._url)
        self._checkout = Checkout(self._ledger, self._relay, self._server, self._teller, self._url)
        self._refunds = Refunds(self._server, self._relay)
        self._api = BankApi(settings, self._faults, self._ledger, self._server, self._checkout, self._refunds)
        self._control = BankControl(
            self._ledger,
            self._relay,
            self._server,
            self._checkout,
            self._teller,
            self._refunds,
            self._forget_payments,
        )
        self._pages = BankPages(self._relay, self._checkout, self._teller, self._control)

    def _url(self) -> str:
        return self.public_url.rstrip("/")

    def faults(self) -> FaultSwitches:
        """How the bank misbehaves."""
        return self._faults

    @property
    def server_url(self) -> str:
        """Where the Stripe server itself listens; for diagnosis."""
        return self._server.url

    @property
    def server_pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._server.pid

    async def start(self) -> None:
        """Starts the Stripe server. Raises `BankProcessError` saying why it could not."""
        await self._relay.start()
        try:
            await self._server.start()
        except BaseException:
            await self._relay.stop()
            raise

    async def stop(self) -> None:
        """Stops it; what was not delivered is given up. Safe to call twice."""
        await self._relay.stop()
        await self._server.stop()

    def routes(self) -> list[web.RouteDef]:
        """Every address of the bank."""
        table = [*self._control.handlers(), *self._pages.handlers(), ("*", "/v1/{path:.+}", self._api.handle)]
        routes = [web.route(method, path, self._connected(handler)) for method, path, handler in table]
        return [*routes, web.post("/bank/relay", refusing_politely(self._take_in))]

    def _connected(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            await self._connect_relay()
            return await handler(request)

        return handle

    async def _connect_relay(self) -> None:
        """Tells the Stripe server where to post, once the address is known: nothing may happen there unheard."""
        if self._relayed_to == self._url():
            return
        async with self._registering:
            url = self._url()
            if not url or self._relayed_to == url:
                return
            try:
                await self._server.send_webhooks_to(f"{url}/bank/relay", self._relay_secret)
            except (aiohttp.ClientError, TimeoutError, OSError, BankProcessError) as error:
                _log.warning("the Stripe server did not take the relay's address: %r", error)
            else:
                self._relayed_to = url

    async def _take_in(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._relay.take_in(body, request.headers.get("Stripe-Signature", ""), self._relay_secret, self._notice)
        return web.Response(status=200)

    def _notice(self, event: Json) -> None:
        """Remembers the payments that the Stripe server tells of, for search and for the page."""
        subject = event["data"]["object"]
        if subject.get("object") == "payment_intent" and isinstance(subject.get("id"), str):
            self._ledger.keep([subject], int(event["created"]))

    def _forget_payments(self) -> None:
        self._ledger.clear()
        self._checkout.clear()
        self._api.idempotency.clear()


__all__ = ["Bank", "BankError", "BankProcessError"]
