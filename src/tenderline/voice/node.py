"""A voice node: one process that answers calls, runs their flows and keeps their books.

It takes a lease in the database and renews it. When it dies, the others find its lease over and close its calls in the
books; its media are gone with it, those of other nodes are untouched.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from tenderline.app import Services
from tenderline.core.errors import TenderlineError
from tenderline.core.ids import uuid7
from tenderline.core.loops import goes_on
from tenderline.core.telephone_password import ALGORITHMS
from tenderline.flows import run as flow_run
from tenderline.flows.call import CallEndedError
from tenderline.store import db, recording_care, voice_nodes
from tenderline.store.conversations import Started
from tenderline.store.recording_store import RecordingStore
from tenderline.voice import attestation, sip_text, speech
from tenderline.voice.backstage import DatabaseBackstage
from tenderline.voice.browser.phones import BrowserPhones
from tenderline.voice.browser.reach import BrowserReach
from tenderline.voice.calling_out import CallingOut
from tenderline.voice.card_rooms import CardRooms
from tenderline.voice.commands import Commands
from tenderline.voice.dialog import Dialog
from tenderline.voice.directory import REFRESH_EVERY_S, Directory, Route
from tenderline.voice.ears import Ears
from tenderline.voice.engine import MediaEngine
from tenderline.voice.exchange import Exchange
from tenderline.voice.kept_places import KeptPlaces
from tenderline.voice.leg import NoFreePortError
from tenderline.voice.party import Party
from tenderline.voice.probe import TrunkProbe
from tenderline.voice.prompts.pack import Prompts
from tenderline.voice.queueing import Queueing
from tenderline.voice.registrar import Registrar
from tenderline.voice.registration import Registration
from tenderline.voice.rig import Rig
from tenderline.voice.scribe import CallScribe
from tenderline.voice.sip import Endpoint
from tenderline.voice.sip_limits import SourceLimits
from tenderline.voice.timeline import Timeline

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DRAIN_WAIT_S = 30.0
BURST_CALLS = 40
CARE_EVERY_S = 60.0
CALL_OUT_EVERY_S = 1.0
KEYS_KEPT_FLOW = "line_check"


class VoiceNode:
    """One node; `start`, then `close`."""

    def __init__(self, services: Services) -> None:
        settings = services.settings.voice
        self.id = uuid7()
        self._services, self._settings = services, settings
        self._limits = SourceLimits(settings.calls_per_s, BURST_CALLS, settings.unlimited_networks)
        self.engine = MediaEngine(
            settings.bind_host,
            range(settings.rtp_port_min + settings.rtp_port_min % 2, settings.rtp_port_max + 1),
            advertised=settings.advertised_host,
            media_timeout_s=settings.media_timeout_s,
        )
        self.registrar = Registrar(
            services.key_for("telephone nonces"),
            self._limits,
            algorithms=("MD5",) if settings.telephones_md5_only else ALGORITHMS,
        )
        self.directory = Directory(services.pool, services.settings.compliance.default_region)
        self.timeline = Timeline(services.pool)
        self.prompts = Prompts(services.settings.data_dir)
        self.recording_store = RecordingStore(services.settings)
        self.master_key = services.key_for("recordings")
        self._writer = ThreadPoolExecutor(1, "recordings")
        self._backstage = DatabaseBackstage(services)
        self._cards = CardRooms(services, self.prompts) if services.settings.capture.enabled else None
        listener = speech.source_of(services.settings.distress)
        self._ears = Ears(services, listener) if listener is not None else None
        self._calls: dict[UUID, asyncio.Task[object]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = False
        self.is_closed = False
        self._registration: Registration | None = None
        self.endpoint: Endpoint
        self.exchange: Exchange
        self.queueing: Queueing
        self.browsers: BrowserPhones
        self.rig: Rig
        self._calling_out: CallingOut | None = None
        self._kept_places: KeptPlaces | None = None

    @property
    def calls(self) -> int:
        """Calls that are not over."""
        return len(self._calls)

    async def start(self) -> None:
        """Answers calls from here on."""
        await self.directory.refresh()
        self.registrar.know(self.directory.telephones)
        self.endpoint = Endpoint(
            self._settings.bind_host,
            self._settings.sip_port,
            limits=self._limits,
            on_call=self._on_call,
            registrar=self.registrar,
        )
        self.queueing = Queueing(self._services.pool, self.registrar, self.timeline, lambda: self.id)
        self.queueing.live = lambda: list(self._calls)
        self.exchange = Exchange(
            self.endpoint, self.engine, self.registrar, self._settings, self.queueing, lambda: self.id
        )
        self.browsers = BrowserPhones(self._services.pool, self.engine, self._settings, node_id=lambda: self.id)
        self.exchange.browsers = self._reach = BrowserReach(
            self._services.pool,
            self.browsers,
            lambda: self.id,
            self._settings.browser_queues,
            self.queueing.wake,
        )
        self.rig = Rig(
            services=self._services,
            engine=self.engine,
            exchange=self.exchange,
            directory=self.directory,
            timeline=self.timeline,
            prompts=self.prompts,
            backstage=self._backstage,
            recording_store=self.recording_store,
            writer=self._writer,
            master_key=self.master_key,
            cards=self._cards,
            ears=self._ears,
        )
        if self._cards is not None:
            await self._cards.start()
        address = f"{self._settings.advertised_host or self._settings.bind_host}:{self.endpoint.port}"
        async with self._services.pool.acquire() as connection:
            await voice_nodes.register(connection, self.id, address, self._settings.calls_max, calls_back=False)
        self.timeline.start()
        self.queueing.start()
        self.browsers.start()
        self._reach.start()
        self._register_at_trunk()
        self._commands = Commands(self._services.pool, lambda: self.id, self.rig.live.get)
        self._commands.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._every(voice_nodes.RENEW_EVERY_S, self._renew)),
            loop.create_task(self._every(REFRESH_EVERY_S, self._refresh)),
            loop.create_task(self._every(CARE_EVERY_S, self._care)),
        ]
        if self._settings.trunk_host is not None and self._settings.calls_out_max:
            self._call_out((self._settings.trunk_host, self._settings.trunk_port))
        log.info("voice ready", sip=address, node=str(self.id))

    def _call_out(self, trunk: tuple[str, int]) -> None:
        """Looks for due calls, and calls back who kept a place."""
        self._calling_out = CallingOut(
            self.rig,
            node_id=lambda: self.id,
            carry=self._keep,
            room=lambda: 0 if self._draining else self._settings.calls_max - self.calls,
            probe=TrunkProbe(self.endpoint, trunk),
        )
        self._tasks.append(
            asyncio.get_running_loop().create_task(self._every(CALL_OUT_EVERY_S, self._calling_out.turn))
        )
        kept = self._kept_places = KeptPlaces(
            self.rig,
            self.queueing,
            self._calling_out,
            carry=self._keep,
            has_room=lambda: not self._draining and self.calls < self._settings.calls_max,
        )
        self.exchange.can_keep_places, self.queueing.on_kept = kept.can_be_kept, kept.call

    def _register_at_trunk(self) -> None:
        trunk = self._settings
        if trunk.trunk_register and trunk.trunk_host and trunk.trunk_user and trunk.trunk_password:
            self._registration = Registration(
                self.endpoint,
                (trunk.trunk_host, trunk.trunk_port),
                trunk.trunk_user,
                trunk.trunk_password.get_secret_value(),
            )
            self._registration.start()

    async def close(self) -> None:
        """Takes no new calls, lets those that last finish for a while, and leaves."""
        self._draining = self.is_closed = True
        self.endpoint.takes_calls = False
        if self._calls:
            log.info("voice drains", calls=len(self._calls))
            await asyncio.wait(self._calls.values(), timeout=DRAIN_WAIT_S)
        await self._commands.close()
        for task in [*self._calls.values(), *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._calls.values(), *self._tasks, return_exceptions=True)
        if self._registration is not None:
            self._registration.stop()
        await self._reach.close()
        await self.browsers.close()
        await self.endpoint.close()
        await self.queueing.close()
        if self._ears is not None:
            await self._ears.close()
        await self.timeline.close()
        await self._backstage.close()
        if self._cards is not None:
            await self._cards.close()
        self._writer.shutdown()
        async with self._services.pool.acquire() as connection:
            await voice_nodes.leave(connection, self.id)

    async def _every(self, interval_s: float, what: Callable[[], Awaitable[None]]) -> None:
        while goes_on():
            await asyncio.sleep(interval_s)
            try:
                await what()
            except db.AWAY as error:
                log.warning("database_away", why=type(error).__name__)
            except TenderlineError as error:
                log.error("turn_failed", why=error.detail)

    async def _renew(self) -> None:
        async with self._services.pool.acquire() as connection, connection.transaction():
            calls_back = self._kept_places is not None and self._kept_places.can_call()
            state = await voice_nodes.renew(connection, self.id, self.calls, calls_back=calls_back)
            await voice_nodes.bury(connection)
        if state is None and not self._draining:
            # Somebody found our lease over and closed our calls in the books: what they are now is nobody's record.
            log.error("lease_lost", node=str(self.id))
            for task in tuple(self._calls.values()):
                task.cancel()
            self.id = uuid7()
            async with self._services.pool.acquire() as connection:
                await voice_nodes.register(
                    connection, self.id, self._settings.bind_host, self._settings.calls_max, calls_back=False
                )
        self._draining = self._draining or state == "draining"
        self.endpoint.takes_calls = not self._draining

    async def _refresh(self) -> None:
        await self.directory.refresh()
        self.registrar.know(self.directory.telephones)
        for flow in self.directory.take_fresh():
            await self.prompts.make_ready(flow)

    async def _care(self) -> None:
        """Recordings whose time is over go; those of a process that died are brought home."""
        keep = timedelta(days=self._settings.recordings_kept_days)
        await recording_care.adopt(self._services.pool, self.recording_store, keep=keep)
        await recording_care.delete_due(self._services.pool, self.recording_store)

    def _on_call(self, dialog: Dialog) -> None:
        """A call arrives. Everything here is in memory; nothing waits for the database."""
        assert dialog.invite is not None, "an inbound dialog has its INVITE"
        assert dialog.source is not None
        called = sip_text.user_of(dialog.invite.uri)
        route = self.directory.route(called)
        if route is None:
            if self._limits.offend(dialog.source[0]):
                log.warning("source_blocked", why="numbers that are not ours", source=dialog.source[0])
            dialog.refuse(404, "Not Found")
            return
        if self._draining or self.calls >= self._settings.calls_max:
            dialog.refuse(503, "Service Unavailable")
            return
        try:
            leg = self.engine.leg()
        except NoFreePortError:
            log.error("no_free_port")
            dialog.refuse(503, "Service Unavailable")
            return
        party = Party(self.engine, dialog, leg)
        conversation_id = uuid7()
        self._keep(conversation_id, self._carry(conversation_id, party, route, called))

    def _keep(self, conversation_id: UUID, call: Coroutine[Any, Any, object]) -> None:
        """Runs a call; while it lasts it counts, and draining waits for it."""
        task = asyncio.get_running_loop().create_task(call)
        self._calls[conversation_id] = task

        def over(_: object) -> None:
            self._calls.pop(conversation_id, None)
            orders = self.rig.live.pop(conversation_id, None)
            if orders is not None:
                orders.end()

        task.add_done_callback(over)

    def _books(self, conversation_id: UUID, party: Party, route: Route) -> tuple[str | None, CallScribe]:
        """Who calls, as far as it is known; and the books of the call, begun."""
        invite = party.dialog.invite
        assert invite is not None, "an inbound dialog has its INVITE"
        caller = self.directory.number(sip_text.user_of(invite.first("from") or ""))
        scribe = self.rig.scribe(conversation_id, party.leg)
        scribe.begin(
            Started(
                id=conversation_id,
                node_id=self.id,
                direction="inbound",
                caller=caller,
                called=route.line.number,
                campaign=route.line.campaign,
                flow=route.flow.name,
                flow_version=route.version,
                attestation=attestation.read(invite),
                at=datetime.now(UTC),
            )
        )
        return caller, scribe

    async def _carry(self, conversation_id: UUID, party: Party, route: Route, called: str) -> None:
        """One call from ring to end. Whatever happens, the line is hung up, the ports are free, the books closed."""
        caller, scribe = self._books(conversation_id, party, route)
        self._backstage.call_arrived(conversation_id, caller, route.line.number, route.line.look_up_by)
        call = self.rig.phone_call(
            party,
            scribe,
            conversation_id=conversation_id,
            caller=caller,
            called=called,
            language=route.line.language,
        )
        call.variables.update(
            organisation=self._services.settings.organisation,
            campaign=route.line.campaign,
            currency=route.line.currency,
            fund=route.line.fund,
        )
        by, why = "system", "a defect"
        try:
            await call.answer()
            scribe.answered()
            if route.line.record:
                await scribe.record(True)
            why = await flow_run.run(route.flow, call, self.rig.backstage, scribe)
            by = "caller" if party.is_gone and not party.dialog.ended_by_us else "flow"
        except CallEndedError:
            by, why = "caller", "hung up"
        except TenderlineError as error:
            why = error.code
        except asyncio.CancelledError:
            why = "the node stopped"
            raise
        except Exception:
            log.exception("call_failed", conversation=str(conversation_id))
        finally:
            party.close()
            if route.flow.name == KEYS_KEPT_FLOW and isinstance(kept := call.variables.get("keyed"), str):
                scribe.keys(kept)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(scribe.end(by=by, why=why))


async def run(services: Services, stop: asyncio.Event) -> None:
    """One node until `stop` is set."""
    node = VoiceNode(services)
    await node.start()
    try:
        await stop.wait()
    finally:
        await node.close()
