"""The processes: an API process, a worker process, and `serve`, which runs both and a database on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar
from litestar.datastructures import State

from tenderline.api import routes as api_routes
from tenderline.api.errors import problem_of
from tenderline.api.webhooks import PREFIX, Webhooks
from tenderline.app import Services, open_services
from tenderline.config import Settings
from tenderline.core.errors import TenderlineError
from tenderline.store import db, events
from tenderline.store.embedded import EmbeddedPostgres
from tenderline.store.inbox import Inbox
from tenderline.store.jobs import back_off_s
from tenderline.web import payer
from tenderline.web import routes as web_routes
from tenderline.worker import reactions
from tenderline.worker import run as worker

log = structlog.get_logger(__name__)

CHILD_STOP_TIMEOUT_S = 40.0
CHILD_STEADY_S = 30.0
BACKLOG = 1024
DATABASE_CHECK_S = 5.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def litestar_app(services: Services) -> Litestar:
    """The JSON API and the screens."""
    return Litestar(
        route_handlers=[*api_routes.route_handlers, *web_routes.route_handlers, *payer.route_handlers],
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


async def run_api(settings: Settings, database_url: str) -> None:
    """One API process, until a signal."""
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
) -> None:
    """Database, migrations, API and worker on one machine, until `stop`.

    `environment` and `arguments` are what the child processes read their settings from; `prepare` is called with the
    database's URL when the schema is there and before the first process starts.
    """
    async with database(settings) as url:
        await db.migrate(url)
        if prepare is not None:
            await prepare(url)
        child_environment = {**environment, "TENDERLINE_DATABASE_URL": url}
        async with asyncio.TaskGroup() as group:
            for command in ("api", "work"):
                group.create_task(_Child(command, child_environment, list(arguments)).keep_alive(stop))
