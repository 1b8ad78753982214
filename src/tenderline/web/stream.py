"""Keeping screens live: one listener a process, a bounded wish for every screen, whole snapshots and never pieces.

A message is the whole live part of a page, and the browser morphs it in. So a screen that was slow, asleep or cut off
needs no history: what it gets next is how things stand. What waits for a slow one is a single flag, "look again".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import structlog
from litestar import Request
from litestar.datastructures import State
from litestar.response import Stream

from tenderline.app import Services
from tenderline.core.errors import TenderlineError
from tenderline.core.loops import goes_on
from tenderline.store import db, waiting
from tenderline.store.db import Connection
from tenderline.store.events import CHANNEL
from tenderline.web.pages import services_of

log = structlog.get_logger(__name__)

REDRAW_GAP_S: Final = 0.25
QUICK_GAP_S: Final = 0.03
"""An agent's desk must follow its call: such a screen looks this often, so its look must be cheap (`web/desk.py`)."""
REDRAW_GAP_MAX_S: Final = 5.0
REDRAW_REST_RATIO: Final = 4.0
"""A redraw is followed by a rest of so many times its own length: drawing takes a fifth of the time at most."""
TICK_S: Final = 3.0
HEARTBEAT_S: Final = 15.0
SESSION_CHECK_S: Final = 30.0
LISTEN_RETRY_S: Final = 1.0
SCREENS_MAX: Final = 1000
_STATE: Final = "live_hub"

Draw = Callable[[], Awaitable[str]]
Check = Callable[[], Awaitable[bool]]


class TooManyScreensError(TenderlineError):
    """Too many screens are open on this process; this one asks again every two seconds instead."""

    code = "too_many_screens"
    status = 503


class StoppingError(TenderlineError):
    """This process is stopping; ask again in a moment."""

    code = "stopping"
    status = 503


class Screen:
    """One open stream's end: whether it has to look again."""

    def __init__(self, *, is_quick: bool = False) -> None:
        self.is_quick = is_quick
        self.look = asyncio.Event()
        self.look.set()


@dataclass(frozen=True, slots=True)
class _Drawn:
    text: str
    version: int
    at_s: float


class Hub:
    """The process's one listener. It runs while somebody watches."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._screens: set[Screen] = set()
        self._listening: asyncio.Task[None] | None = None
        self._something, self._quickly = asyncio.Event(), asyncio.Event()
        self._version = self._quick_version = 0
        self._shared: dict[str, _Drawn] = {}
        self._drawing: dict[str, asyncio.Lock] = {}
        self._gap_s = REDRAW_GAP_S
        self.closing = asyncio.Event()

    @property
    def screens(self) -> int:
        """How many streams are open."""
        return len(self._screens)

    @contextlib.contextmanager
    def watch(self, *, is_quick: bool = False) -> Iterator[Screen]:
        """A screen of its own for the length of a stream."""
        screen = Screen(is_quick=is_quick)
        self._screens.add(screen)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen(), name="live screens")
        try:
            yield screen
        finally:
            self._screens.discard(screen)
            # Who closes the hub ends the listening herself: a second word would cut its tidying up short.
            if not self._screens and self._listening is not None and not self.closing.is_set():
                self._listening.cancel()
                self._listening = None

    async def shared(self, name: str, draw: Draw, *, is_quick: bool = False) -> str:
        """What all screens of one kind show, or look at first, drawn once for all of them."""
        clock = asyncio.get_running_loop().time
        async with self._drawing.setdefault(name, asyncio.Lock()):
            drawn = self._shared.get(name)
            version = self._quick_version if is_quick else self._version
            if drawn is None or drawn.version != version or clock() - drawn.at_s >= self._gap_s:
                began_s = clock()
                text = await draw()
                if not is_quick:
                    self._gap_s = min(REDRAW_GAP_MAX_S, max(REDRAW_GAP_S, REDRAW_REST_RATIO * (clock() - began_s)))
                drawn = self._shared[name] = _Drawn(text, version, clock())
            return drawn.text

    async def close(self) -> None:
        """Ends every stream after the message it is at."""
        self.closing.set()
        self._wake()
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening

    async def _listen(self) -> None:
        """Hints from the database, gathered for a moment; a tick finds what a lost hint missed."""
        while goes_on():
            try:
                async with self._services.pool.acquire() as connection:
                    await self._listen_on(connection)
            except db.AWAY as error:
                log.warning("screens do not hear the database; they look at intervals", why=str(error))
            self._wake()
            await asyncio.sleep(LISTEN_RETRY_S)

    async def _listen_on(self, connection: Connection) -> None:
        lost = asyncio.Event()

        def on_hint(*_: object) -> None:
            self._something.set()
            self._quickly.set()

        def on_end(*_: object) -> None:
            lost.set()
            self._something.set()

        connection.add_termination_listener(on_end)
        quick = asyncio.create_task(self._wake_quickly(), name="quick screens")
        try:
            await connection.add_listener(waiting.CHANNEL, on_hint)
            await connection.add_listener(CHANNEL, on_hint)
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._something.wait()
                self._something.clear()
                self._wake()
                await asyncio.sleep(self._gap_s)
        finally:
            quick.cancel()
            if not connection.is_closed():
                connection.remove_termination_listener(on_end)
                await connection.remove_listener(CHANNEL, on_hint)
                await connection.remove_listener(waiting.CHANNEL, on_hint)

    async def _wake_quickly(self) -> None:
        while True:
            await self._quickly.wait()
            self._quickly.clear()
            self._quick_version += 1
            for screen in self._screens:
                if screen.is_quick:
                    screen.look.set()
            await asyncio.sleep(QUICK_GAP_S)

    def _wake(self) -> None:
        self._version += 1
        self._quick_version += 1
        for screen in self._screens:
            screen.look.set()


def hub_of(state: State, services: Services) -> Hub:
    """The process's hub, made when it is first needed."""
    hub = state.get(_STATE)
    if hub is None:
        hub = Hub(services)
        state[_STATE] = hub
    assert isinstance(hub, Hub)
    return hub


async def close_streams(app: Any) -> None:
    """For the end of the process: browsers see their streams end, and come back to whoever serves next."""
    hub = app.state.get(_STATE)
    if isinstance(hub, Hub):
        await hub.close()


def message(number: int, html: str) -> bytes:
    """A snapshot as one server-sent event."""
    lines = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"id: {number}\n{lines}\n".encode()


async def snapshots(
    hub: Hub, screen: Screen, draw: Draw, is_signed_in: Check, *, pause_s: float = 0.0
) -> AsyncIterator[bytes]:
    """A snapshot at once, another whenever something changed, at most one in `pause_s`; ends with the sign-in, or with
    the process. When the database is away for a moment, the screen stays as it is."""
    clock = asyncio.get_running_loop().time
    number, shown = 0, ""
    checked_at_s = said_at_s = clock()
    while goes_on() and not hub.closing.is_set():
        screen.look.clear()
        drawn = shown
        with contextlib.suppress(*db.AWAY):
            if clock() - checked_at_s >= SESSION_CHECK_S:
                if not await is_signed_in():
                    yield b"event: signed-out\ndata: signed-out\n\n"
                    return
                checked_at_s = clock()
            drawn = await draw()
        if drawn != shown:
            number, shown, said_at_s = number + 1, drawn, clock()
            yield message(number, drawn)
        elif clock() - said_at_s >= HEARTBEAT_S:
            said_at_s = clock()
            yield b": still here\n\n"
        await _wait(hub.closing, pause_s)
        await _wait(screen.look, HEARTBEAT_S)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)


def respond(
    request: Request[Any, Any, Any], draw: Draw, is_signed_in: Check, *, pause_s: float = 0.0, is_quick: bool = False
) -> Stream:
    """A stream of snapshots as an answer. `is_quick`: it looks at every hint at once, so its look must be cheap."""
    hub = hub_of(request.app.state, services_of(request))
    if hub.closing.is_set():
        raise StoppingError()
    if hub.screens >= SCREENS_MAX:
        raise TooManyScreensError()

    async def body() -> AsyncIterator[bytes]:
        with hub.watch(is_quick=is_quick) as screen:
            async for chunk in snapshots(hub, screen, draw, is_signed_in, pause_s=pause_s):
                yield chunk

    return Stream(body(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
