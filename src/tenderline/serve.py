"""The processes: an API process, a worker process, and `serve`, which runs both and a database on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar
from litestar.datastructures import State

from tenderline.api import health
from tenderline.api import routes as api_routes
from tenderline.api.errors import problem_of
from tenderline.api.webhooks import PREFIX, Webhooks
from tenderline.app import Services, open_services
from tenderline.config import Settings
from tenderline.core.errors import ConfigurationError, TenderlineError
from tenderline.store import db, events
from tenderline.store.embedded import EmbeddedPostgres
from tenderline.store.inbox import Inbox
from tenderline.store.jobs import back_off_s
from tenderline.web import own_page, payer
from tenderline.web import routes as web_routes
from tenderline.worker import reactions
from tenderline.worker import run as worker

log = structlog.get_logger(__name__)

CHILD_STOP_TIMEOUT_S = 40.0
CHILD_STEADY_S = 30.0
BACKLOG = 1024
DATABASE_CHECK_S = 5.0
READY_LOOK_S = 0.1
READY_ANSWER_TIMEOUT_S = 5.0
READY_LATE_S = 30.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def litestar_app(services: Services) -> Litestar:
    """The JSON API and the screens."""
    return Litestar(
        route_handlers=[
            *api_routes.route_handlers,
            *web_routes.route_handlers,
            *payer.route_handlers,
            *own_page.route_handlers,
        ],
        state=State({"services": services}),
        exception_handlers={Exception: web_routes.pages_or(problem_of)},
        openapi_config=api_routes.openapi_config,
        logging_config=None,  # ours stands already, with its net under it
        template_config=web_routes.template_config,
        debug=False,
    )


class Edge:
    """One ASGI application: webhooks on a bare route, everything else through the framework."""

    def __init__(self, webhooks: Webhooks, rest: Litestar) -> None:
        self._webhooks = webhooks
        self.rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self._webhooks(scope, receive, send)
        else:
            await self.rest(scope, receive, send)  # type: ignore[arg-type]  # the same protocol, other words


@asynccontextmanager
async def open_edge(services: Services) -> AsyncIterator[Edge]:
    """The edge with its inbox running."""
    async with Inbox(services.pool) as inbox:
        webhooks = Webhooks(services, inbox)
        counting = asyncio.create_task(webhooks.flush_counts_forever())
        try:
            yield Edge(webhooks, litestar_app(services))
        finally:
            counting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await counting


def stop_on_signals() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def require_free(host: str, port: int, *, remedy: str = "set api.bind_port to a free one") -> None:
    """Raises `ConfigurationError` unless a server can listen there.

    Asked before anything starts: the server itself shares a port with another one of this user without a word.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended are no hindrance
            probe.bind(address)
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                why = f"Port {port} of {host} is taken by another program; stop that one, or {remedy}."
            case errno.EACCES:
                why = f"Port {port} of {host} is not open to this user; {remedy}, of 1024 or above."
            case _:
                why = (
                    f"api.bind_host {host!r} cannot be listened on ({error.strerror}); name an address of this machine."
                )
        raise ConfigurationError(why) from error


def require_free_udp(host: str, port: int) -> None:
    """Raises `ConfigurationError` unless SIP can be listened for there."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, port))
    except OSError as error:
        raise ConfigurationError(
            f"UDP port {port} of {host} cannot be listened on ({error.strerror}); set voice.sip_port to a free one."
        ) from error


async def run_api(settings: Settings, database_url: str) -> None:
    """One API process, until a signal."""
    require_free(settings.api.bind_host, settings.api.bind_port)
    stop = stop_on_signals()
    events.subscribe(reactions.subscriptions())  # what a page changes has its reactions too
    async with open_services(settings, database_url) as services:
        await db.require_current_schema(services.pool)
        async with open_edge(services) as edge:
            server = Server(
                edge,
                address=settings.api.bind_host,
                port=settings.api.bind_port,
                interface=Interfaces.ASGI,
                backlog=BACKLOG,
                log_enabled=False,
                websockets=False,
            )
            serving = asyncio.create_task(server.serve())
            stopping = asyncio.create_task(stop.wait())
            log.info("api ready", url=f"http://{settings.api.bind_host}:{settings.api.bind_port}")
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                # The server waits for open answers, and an open board never ends by itself.
                await web_routes.close_streams(edge.rest)
                server.stop()  # type: ignore[no-untyped-call]
            await serving
            stopping.cancel()


async def run_worker(settings: Settings, database_url: str) -> None:
    """One worker process, until a signal."""
    stop = stop_on_signals()
    async with open_services(settings, database_url) as services:
        await db.require_current_schema(services.pool)
        log.info("worker ready")
        await worker.run(services, stop)


async def run_voice(settings: Settings, database_url: str) -> None:
    """One voice node, until a signal: it drains, and ends."""
    from tenderline.voice import node  # SIP and media: no other process needs them

    require_free_udp(settings.voice.bind_host, settings.voice.sip_port)
    stop = stop_on_signals()
    events.subscribe(reactions.subscriptions())  # who presses the key to be left alone is listened to
    async with open_services(settings, database_url) as services:
        await db.require_current_schema(services.pool)
        await node.run(services, stop)


@dataclass
class _Child:
    """A process of ours that is started again when it dies."""

    command: str
    environment: dict[str, str]
    arguments: list[str] = field(default_factory=list)

    async def keep_alive(self, stop: asyncio.Event) -> None:
        """Runs it until `stop`; after a death it is started again, with growing pauses while it dies young."""
        deaths = 0
        while not stop.is_set():
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tenderline", *self.arguments, self.command, env=self.environment
            )
            exited = asyncio.create_task(process.wait())
            stopping = asyncio.create_task(stop.wait())
            started = asyncio.get_running_loop().time()
            await asyncio.wait((exited, stopping), return_when=asyncio.FIRST_COMPLETED)
            if exited.done() and not stop.is_set():
                lived_s = asyncio.get_running_loop().time() - started
                deaths = 0 if lived_s > CHILD_STEADY_S else deaths + 1
                log.error("process died; starting it again", process=self.command, exit_code=process.returncode)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping, back_off_s(deaths, max_s=30.0))
                continue
            process.terminate()
            try:
                await asyncio.wait_for(exited, CHILD_STOP_TIMEOUT_S)
            except TimeoutError:
                log.error("process did not stop; killing it", process=self.command)
                process.kill()
                await process.wait()


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """The URL of the configured database, or of an embedded one that runs meanwhile."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    embedded = EmbeddedPostgres(settings.data_dir)
    url = await asyncio.to_thread(embedded.start)
    watching = asyncio.create_task(_keep_up(embedded))
    try:
        yield url
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await asyncio.to_thread(embedded.stop)


async def _keep_up(embedded: EmbeddedPostgres) -> None:
    """Starts the embedded database again when it died."""
    while True:
        await asyncio.sleep(DATABASE_CHECK_S)
        try:
            await asyncio.to_thread(embedded.start)
        except TenderlineError as error:
            log.error("embedded database does not start", why=error.detail)


async def run_everything(
    settings: Settings,
    *,
    stop: asyncio.Event,
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    prepare: Callable[[str], Awaitable[None]] | None = None,
    ready: Callable[[], None] | None = None,
) -> None:
    """Database, migrations, API and worker on one machine, until `stop`.

    `environment` and `arguments` are what the child processes read their settings from; `prepare` is called with the
    database's URL when the schema is there and before the first process starts, `ready` once the API can serve.
    """
    require_free(settings.api.bind_host, settings.api.bind_port)
    async with database(settings) as url:
        await db.migrate(url)
        if prepare is not None:
            await prepare(url)
        ours = {health.INSTANCE_VARIABLE: secrets.token_hex(16)}
        child_environment = {**environment, "TENDERLINE_DATABASE_URL": url, **ours}
        async with asyncio.TaskGroup() as group:
            for command in ("api", "work", *(("voice",) if settings.voice.enabled else ())):
                group.create_task(_Child(command, child_environment, list(arguments)).keep_alive(stop))
            if await _until_ready(settings, health.mark_of(ours), stop) and ready is not None:
                ready()


async def _until_ready(settings: Settings, mark: Mapping[str, str], stop: asyncio.Event) -> bool:
    """Waits until the API process that carries our mark can serve; False when told to stop before."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.api.bind_host, settings.api.bind_host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.api.bind_port}/health/ready"
    late_at = asyncio.get_running_loop().time() + READY_LATE_S
    timeout = aiohttp.ClientTimeout(total=READY_ANSWER_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        while not stop.is_set():
            why = await _why_not_ready(http, url, mark)
            if why is None:
                return True
            if asyncio.get_running_loop().time() > late_at:
                log.warning("api is not ready yet", url=url, why=why)
                late_at += READY_LATE_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), READY_LOOK_S)
    return False


async def _why_not_ready(http: aiohttp.ClientSession, url: str, mark: Mapping[str, str]) -> str | None:
    try:
        async with http.get(url) as response:
            if any(response.headers.get(name) != value for name, value in mark.items()):
                return "another program answers there"
            return None if response.status == 200 else f"it answers {response.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
