"""The shell of the sandbox: one loopback HTTP server for the carrier, the bank and all pages, and one SMTP server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from tenderline_sandbox import screen
from tenderline_sandbox.bank import Bank
from tenderline_sandbox.carrier import Carrier
from tenderline_sandbox.carrier_api import CarrierApi
from tenderline_sandbox.control import EXPLAINED_ERRORS, Control
from tenderline_sandbox.crm import CrmError, DonorCrm
from tenderline_sandbox.crm_pages import CrmPages
from tenderline_sandbox.faults import FaultError, FaultSwitches
from tenderline_sandbox.generic_bank import GenericBank
from tenderline_sandbox.mailbox import Mailbox, MissingMailError
from tenderline_sandbox.pages import Pages
from tenderline_sandbox.settings import LOOPBACK, SandboxSettings
from tenderline_sandbox.smtp import SmtpServer
from tenderline_sandbox.webhook import POST_TIMEOUT_S, WebhookPoster

__all__ = ["Sandbox", "SandboxSettings"]

STOP_GRACE_S: Final = 2.0
REQUEST_BYTES_MAX: Final = 1024 * 1024
_OWN_HOSTS: Final = frozenset({LOOPBACK, "localhost", "::1"})
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sandbox:
    """Everything on the other side of the wire. Use as `async with Sandbox(settings) as sandbox`."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.url = ""
        """Where pages, control and the carrier's API are, once started."""
        self._stack: AsyncExitStack | None = None
        self.carrier: Carrier
        self.mailbox: Mailbox
        self.bank: Bank
        self.generic: GenericBank
        self.crm = DonorCrm(settings)
        self._bank_faults: FaultSwitches
        self._generic_faults: FaultSwitches
        self._smtp: SmtpServer

    @property
    def smtp_host(self) -> str:
        """Where the mail server listens."""
        return self._smtp.host

    @property
    def smtp_port(self) -> int:
        """Its port."""
        return self._smtp.port

    @property
    def smtp_certificate_path(self) -> Path | None:
        """The authority for its clients to trust; None without STARTTLS."""
        return self._smtp.certificate_path

    @property
    def faults(self) -> dict[str, FaultSwitches]:
        """The switches of each part."""
        return {
            "carrier": self.carrier.faults,
            "mailbox": self.mailbox.faults,
            "bank": self._bank_faults,
            "generic": self._generic_faults,
        }

    async def start(self) -> None:
        """Opens all ports; when one of them cannot be opened, none stays open."""
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=POST_TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()
                )
            )
            faults = FaultSwitches()
            poster = WebhookPoster(http, faults, self.settings.auth_token)
            self.carrier = Carrier(self.settings, faults, poster)
            stack.push_async_callback(self.carrier.stop)
            self.mailbox = Mailbox(FaultSwitches(), http)
            self._smtp = SmtpServer(self.mailbox, self.settings)
            stack.push_async_callback(self._smtp.stop)
            await self._smtp.start()
            self._bank_faults = FaultSwitches()
            self.bank = Bank(self.settings, self._bank_faults)
            stack.push_async_callback(self.bank.stop)
            await self.bank.start()
            self._generic_faults = FaultSwitches()
            told = self.settings.product_url.rstrip("/")
            self.generic = GenericBank(
                api_key=self.settings.api_key,
                webhook_secret=self.settings.webhook_secret,
                faults=self._generic_faults,
                callback_url=f"{told}/webhooks/generic" if told else None,
            )
            stack.push_async_callback(self.generic.stop)
            await self._serve(stack)
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """Closes everything, in the reverse order."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, stack: AsyncExitStack) -> None:
        pages = Pages(self.carrier, self.mailbox, self.faults, {"crm": self.crm.changes})
        app = web.Application(middlewares=[_same_machine, _explained], client_max_size=REQUEST_BYTES_MAX)
        app.on_response_prepare.append(_protect)
        app.router.add_get("/", _index)
        app.router.add_static("/static", Path(__file__).parent / "static")
        app.add_routes(CarrierApi(self.carrier, self.settings).routes())
        app.add_routes(Control(self.carrier, self.mailbox, self.faults).routes())
        app.add_routes(pages.routes())
        app.add_routes(self.bank.routes())
        app.add_routes(self.generic.routes())
        app.add_routes(self.crm.routes())
        app.add_routes(CrmPages(self.crm).routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_GRACE_S)
        stack.push_async_callback(runner.cleanup)
        stack.callback(pages.close)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, self.settings.port).start()
        self.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        self.bank.public_url = self.generic.public_url = self.url


async def _index(request: web.Request) -> web.StreamResponse:
    return screen.render("index.html")


@web.middleware
async def _same_machine(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keeps foreign web pages out: not by another name for this machine, and not with a form of theirs."""
    try:
        host = urlsplit(f"//{request.host}").hostname
    except ValueError:
        host = None
    if host not in _OWN_HOSTS:
        raise web.HTTPMisdirectedRequest(text=f"The sandbox answers only to http://{LOOPBACK}.")
    origin = request.headers.get("Origin")
    if origin is not None and request.method not in _READING and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="This request was sent by a page of another site.")
    return await handler(request)


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Says what was wrong: as JSON to programs, as a page to people."""
    try:
        return await handler(request)
    except (*EXPLAINED_ERRORS, CrmError, FaultError) as error:
        status, text = (404 if isinstance(error, MissingMailError) else 422), str(error)
    except web.HTTPError as error:
        if error.content_type == "application/json" or "text/html" not in request.headers.get("Accept", ""):
            raise
        status, text = error.status, error.text or error.reason
    if "text/html" in request.headers.get("Accept", ""):
        return screen.render("problem.html", status=status, code=status, text=text)
    return web.json_response({"error": text}, status=status)


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer says, unless it says something stricter itself."""
    response.headers.setdefault("Content-Security-Policy", screen.POLICY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
