"""All browsers of one node: sessions come as rows and leave as rows, what happens to them is written behind them.

Nothing on the media loop waits for the database: what a page should know is noted and written by a task of its own, the
newest state of each session and no more than that.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from tenderline.config import VoiceSettings
from tenderline.core.errors import TenderlineError
from tenderline.core.loops import goes_on
from tenderline.store import browser_phones, db
from tenderline.store.browser_phones import Wish
from tenderline.store.db import Connection, Pool
from tenderline.voice.browser import dtls, web_sdp
from tenderline.voice.browser.path import BrowserPath
from tenderline.voice.browser.phone import BrowserPhone
from tenderline.voice.engine import MediaEngine

log: structlog.stdlib.BoundLogger = structlog.get_logger()

TICK_S: Final = 1.0
RETRY_S: Final = 1.0


class BrowserPhones:
    """Of one node. `changed` is set whenever somebody came, went, or takes a call."""

    def __init__(
        self,
        pool: Pool,
        engine: MediaEngine,
        settings: VoiceSettings,
        *,
        node_id: Callable[[], UUID],
    ) -> None:
        self._pool, self._engine, self._settings = pool, engine, settings
        self._node_id = node_id
        self.changed = asyncio.Event()
        self._phones: dict[str, BrowserPhone] = {}
        self._identity: dtls.Identity | None = None
        self._hosts: tuple[str, ...] = ()
        self._dirty: dict[UUID, BrowserPhone] = {}
        self._something, self._to_write = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def phones(self) -> list[BrowserPhone]:
        """Every agent's, connected or not."""
        return list(self._phones.values())

    def start(self) -> None:
        """Answers browsers from here on."""
        if dtls.is_installed():
            self._identity = dtls.identity()
        else:
            log.warning("no_browser_audio", why=dtls.NoBrowserAudioError().detail)
        self._hosts = _hosts(self._settings.bind_host, self._settings.advertised_host)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._listen()), loop.create_task(self._write())]

    async def close(self) -> None:
        """Ends every session; what is known of them is not written any more: the node's lease tells the pages."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for phone in self._phones.values():
            phone.drop_path()
        self._phones.clear()

    async def turn(self) -> None:
        """Looks at the rows once."""
        async with self._pool.acquire() as connection:
            wishes = await browser_phones.of_node(connection, self._node_id())
            live = {one.session_id for one in wishes}
            for wish in wishes:
                try:
                    await self._see(connection, wish)
                except db.AWAY:
                    raise
                except Exception:
                    # One session's defect is no other one's.
                    log.exception("browser_session_failed", agent=wish.agent)
                    await browser_phones.end(connection, wish.session_id, "a defect of the voice node; see its log")
        for name, phone in list(self._phones.items()):
            if phone.session_id not in live and phone.session_id is not None:
                phone.session_id = None
                phone.drop_path()
            if phone.session_id is None and not phone.taken and not phone.is_coming_back:
                del self._phones[name]

    async def _see(self, connection: Connection, wish: Wish) -> None:
        if wish.offer is not None:
            await self._answer(connection, wish, wish.offer)
            return
        phone = self._phones.get(wish.agent)
        if phone is None or phone.session_id != wish.session_id:
            # A session of before this node began anew: its page makes another one.
            await browser_phones.end(connection, wish.session_id, "the node began anew")
            return
        phone.is_leased = wish.is_leased
        if wish.wanted is not None:
            await browser_phones.took(connection, wish.session_id, wish.wanted)
            phone.do(wish.wanted, wish.wanted_call)
        if phone.state == "connecting" and not wish.is_leased:
            await browser_phones.end(connection, wish.session_id, "the page is gone")

    async def _answer(self, connection: Connection, wish: Wish, offer: str) -> None:
        try:
            if self._identity is None:
                raise dtls.NoBrowserAudioError()
            read = web_sdp.read(offer)
            path = BrowserPath(self._settings.bind_host, self._engine.browser_socket(), self._identity, self._hosts)
        except TenderlineError as error:
            log.warning("browser_refused", agent=wish.agent, why=error.detail)
            await browser_phones.end(connection, wish.session_id, error.detail)
            return
        try:
            answer = path.answer(read)
        except BaseException:
            path.close()
            raise
        phone = self._phones.get(wish.agent)
        if phone is None:
            phone = self._phones[wish.agent] = BrowserPhone(
                wish.agent,
                make_leg=lambda: self._engine.browser_leg(grace_s=self._settings.browser_grace_s),
                publish=self._changed,
                auto_answer=self._settings.browser_auto_answer,
            )
        phone.take_path(wish.session_id, path)
        await browser_phones.answered(connection, wish.session_id, answer)

    def _changed(self, phone: BrowserPhone) -> None:
        self.changed.set()
        if phone.session_id is not None:
            self._dirty[phone.session_id] = phone
            self._to_write.set()

    async def _write(self) -> None:
        while goes_on():
            await self._to_write.wait()
            self._to_write.clear()
            dirty, self._dirty = self._dirty, {}
            try:
                async with self._pool.acquire() as connection:
                    for session_id, phone in dirty.items():
                        if phone.session_id == session_id:
                            await _tell(connection, session_id, phone)
            except db.AWAY as error:
                log.warning("browser_states_wait", why=type(error).__name__)
                self._dirty = {**dirty, **self._dirty}
                await asyncio.sleep(RETRY_S)
                self._to_write.set()

    async def _listen(self) -> None:
        while goes_on():
            try:
                async with self._pool.acquire() as connection:
                    await self._listen_on(connection)
            except db.AWAY as error:
                log.warning("browsers_do_not_hear_the_database", why=type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _listen_on(self, connection: Connection) -> None:
        lost = asyncio.Event()

        def on_hint(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            if payload == str(self._node_id()):
                self._something.set()

        def on_end(*_: object) -> None:
            lost.set()
            self._something.set()

        connection.add_termination_listener(on_end)
        await connection.add_listener(browser_phones.CHANNEL, on_hint)
        try:
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._something.wait()
                self._something.clear()
                await self.turn()
        finally:
            if not connection.is_closed():
                connection.remove_termination_listener(on_end)
                await connection.remove_listener(browser_phones.CHANNEL, on_hint)


async def _tell(connection: Connection, session_id: UUID, phone: BrowserPhone) -> None:
    """How it stands. What no database takes stands in the caller's name, if anywhere: her agent hears of the call."""
    told = partial(browser_phones.tell, connection, session_id, phone.state, since=phone.since, call_id=phone.call_id)
    try:
        await told(caller=phone.caller)
    except asyncpg.DataError as error:
        log.warning("browser_caller_is_not_told", agent=phone.name, why=type(error).__name__)
        await told(caller=None)


def _hosts(bind_host: str, advertised_host: str | None) -> tuple[str, ...]:
    """The addresses that browsers are told, as addresses: a name would be looked up by each of them."""
    host = advertised_host or bind_host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return (str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0]),)
    if not address.is_unspecified:
        return (str(address),)
    family, far = (socket.AF_INET, "192.0.2.1") if address.version == 4 else (socket.AF_INET6, "2001:db8::1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((far, 9))  # nothing is sent; the kernel says which address it would send from
        except OSError:
            return ("127.0.0.1" if address.version == 4 else "::1",)
        return (str(probe.getsockname()[0]),)
