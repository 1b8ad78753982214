"""Reaches others for a caller: the agent whom the database chose, anybody else by the trunk."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

import structlog

from tenderline.config import VoiceSettings
from tenderline.routing.queues import NOTHING, Wish
from tenderline.store import presence
from tenderline.store.presence import Reserved
from tenderline.store.waiting import Offer, Outcome
from tenderline.voice import placing
from tenderline.voice.engine import MediaEngine
from tenderline.voice.party import Party
from tenderline.voice.placing import Signs, Target, Unplaced
from tenderline.voice.queueing import Queueing, Ticket
from tenderline.voice.registrar import Registrar
from tenderline.voice.sip import Endpoint
from tenderline.voice.switch import AgentOnCall, NoAgent, NoAnswer, Place, Talker, Unreached, once

log: structlog.stdlib.BoundLogger = structlog.get_logger()

AGENT_RING_S = 20.0

_UNREACHED: dict[str, Unreached] = {"busy": "busy", "refused": "busy", "no_answer": "no_answer"}
_E164 = re.compile(r"\+[1-9]\d{6,14}")


class Browsers(Protocol):
    """Agents who are reached by a browser of this node."""

    async def ring(self, agent_id: UUID, caller: str | None, ring_s: float) -> Talker | None:
        """Rings her browser, for a caller, so long; her party when she answers."""
        ...

    def release(self, agent_id: UUID) -> None:
        """Her call is over."""
        ...


class _Reachable(Protocol):
    """Where an agent is reached, as an offer and a reservation tell it."""

    @property
    def agent_id(self) -> UUID: ...
    @property
    def reach_kind(self) -> str | None: ...
    @property
    def reach_user(self) -> str | None: ...
    @property
    def reach_host(self) -> str | None: ...
    @property
    def reach_port(self) -> int | None: ...


class Exchange:
    """Of one node. Who takes whom the database says (`queueing`); here the telephones are rung."""

    def __init__(
        self,
        endpoint: Endpoint,
        engine: MediaEngine,
        registrar: Registrar,
        settings: VoiceSettings,
        queueing: Queueing,
        node_id: Callable[[], UUID],
    ) -> None:
        self._endpoint, self._engine, self._registrar, self._settings = endpoint, engine, registrar, settings
        self._queueing, self._node_id = queueing, node_id
        self.browsers: Browsers | None = None
        self.can_keep_places: Callable[[], bool] = lambda: False

    async def agent_for(
        self,
        queue: str,
        *,
        wait_max_s: float,
        caller: str | None,
        conversation_id: UUID,
        wish: Wish = NOTHING,
        place: Place | None = None,
        entered: Callable[[], None] | None = None,
    ) -> AgentOnCall | NoAgent:
        """The agent who answered; "nobody" at once when none is logged in who could ever take the call."""
        ticket: Ticket | None = None
        outcome: Outcome | None = "abandoned"
        offering: asyncio.TimerHandle | None = None
        try:
            async with asyncio.timeout(wait_max_s) as limit:
                ticket = await self._queueing.enter(queue, conversation_id=conversation_id, caller=caller, wish=wish)
                if ticket is None:
                    return "nobody"
                if entered is not None:
                    entered()
                loop, line = asyncio.get_running_loop(), ticket.line
                if line.wait_max_s is not None and line.wait_max_s < wait_max_s:
                    limit.reschedule(loop.time() + line.wait_max_s)
                if place is not None and line.callback_after_s is not None and caller and self.can_keep_places():
                    offering = loop.call_later(line.callback_after_s, place.offered.set)
                found = await self._wait(ticket, caller, place)
                outcome = None
                return found
        except TimeoutError:
            outcome = "timed_out"
            return "timed_out"
        finally:
            if offering is not None:
                offering.cancel()
            if ticket is not None and outcome is not None:
                self._queueing.leave(ticket, outcome)

    async def _wait(self, ticket: Ticket, caller: str | None, place: Place | None) -> AgentOnCall | NoAgent:
        while True:
            offer = await self._next(ticket, caller, place)
            if offer == "kept":
                return "kept"
            if isinstance(offer, str):
                self._queueing.forget(ticket)
                return "nobody"
            agent = await self.ring_offer(offer) if await self._queueing.take_up(offer) else None
            if agent is not None:
                self._queueing.forget(ticket)
                return agent
            ticket.is_rung = False
            self._queueing.wake()

    async def _next(self, ticket: Ticket, caller: str | None, place: Place | None) -> Offer | str:
        """What comes first: an offer, the end, or the wish to keep the place."""
        if place is None or caller is None:
            return await ticket.next()
        coming, wanted = asyncio.ensure_future(ticket.next()), asyncio.ensure_future(place.wanted.wait())
        try:
            await asyncio.wait((coming, wanted), return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            if await self._queueing.keep_place(ticket, caller):
                return "kept"
            place.wanted.clear()  # it is her turn: the agent is on the way
            return await coming
        finally:
            for one in (coming, wanted):
                one.cancel()
            await asyncio.gather(coming, wanted, return_exceptions=True)

    async def ring_offer(self, offer: Offer, ended: Callable[[], Outcome] = lambda: "talked") -> AgentOnCall | None:
        """Rings the agent whose reservation was taken up for this one in line; None when she did not answer, and is
        away now. `ended`: what is written down when she is let go."""
        party = await self._ring(offer, offer.caller, min(offer.ring_s, AGENT_RING_S * 3))
        if party is None:
            await self._queueing.give_back(offer, "no answer")
            return None
        is_hers = False
        try:
            is_hers = await self._queueing.connect(offer)
        finally:
            if not is_hers:
                self._hung_up(offer, party)
        if not is_hers:
            return None

        def release() -> None:
            self._hung_up(offer, party)
            self._queueing.settle(offer.id, ended())

        return AgentOnCall(offer.agent, party, once(release), offer.agent_id, offer.overflowed)

    async def take_free_agent(self, queue: str, *, caller: str | None, conversation_id: UUID) -> AgentOnCall | None:
        """Rings one free agent of that queue, for a call that we make; None when none is free or answers."""
        await self._queueing.registered()
        reserved = await self._queueing.persist(
            lambda connection: presence.reserve_for_call(connection, queue, self._node_id(), conversation_id)
        )
        return None if reserved is None else await self._ring_reserved(reserved, caller, conversation_id)

    async def agent(
        self,
        agent_id: UUID,
        *,
        caller: str | None,
        conversation_id: UUID,
        queue: str | None = None,
        reserved: Callable[[], None] | None = None,
        monitors: bool = False,
    ) -> AgentOnCall | NoAnswer:
        """Rings one agent by the same reservation as every other: she is never rung twice. Whoever monitors and does
        not answer is as she was before."""
        await self._queueing.registered()
        await self._queueing.written()
        wanted = presence.Wanted(agent_id, self._node_id(), conversation_id, queue, monitors)

        def undo(late: Reserved | None) -> None:
            if late is not None:
                self._queueing.after_call(agent_id, conversation_id)

        found = await self._queueing.persist_or_undo(
            lambda connection: presence.reserve_agent(connection, wanted), undo
        )
        if found is None:
            return "not_free"
        if reserved is not None:
            reserved()
        return await self._ring_reserved(found, caller, conversation_id, unanswered=not monitors) or "no_answer"

    async def _ring_reserved(
        self, reserved: Reserved, caller: str | None, conversation_id: UUID, *, unanswered: bool = True
    ) -> AgentOnCall | None:
        agent_id = reserved.agent_id
        party: Talker | None = None
        why: str | None = None
        try:
            party = await self._ring(reserved, caller, AGENT_RING_S)
            why = "no answer" if unanswered else None
        finally:
            if party is None:
                self._queueing.after_call(agent_id, conversation_id, why=why)
        if party is None:
            return None
        answered = party

        def release() -> None:
            self._hung_up(reserved, answered)
            self._queueing.after_call(agent_id, conversation_id, talked=True)

        is_hers = False
        try:
            is_hers = await self._queueing.persist(
                lambda connection: presence.talks(connection, agent_id, conversation_id)
            )
        finally:
            if not is_hers:
                release()
        return AgentOnCall(reserved.name, answered, once(release), agent_id) if is_hers else None

    async def free_agents(self, queue: str) -> int:
        """How many agents of that queue could take a call that we make: none while callers wait in it."""
        await self._queueing.registered()
        return await self._queueing.free_for_calls(queue)

    async def _ring(self, to: _Reachable, caller: str | None, ring_s: float) -> Talker | None:
        """Her party when she answers; whatever happens else, nothing is left of the call."""
        if to.reach_kind == "browser":
            return await self.browsers.ring(to.agent_id, caller, ring_s) if self.browsers is not None else None
        if to.reach_host is None or to.reach_port is None or to.reach_user is None:
            return None
        target = Target(to.reach_user, (to.reach_host, to.reach_port), caller or "anonymous")
        found = await self._call(target, ring_s=ring_s, keys_offered=False)
        return None if isinstance(found, str) else found

    def _hung_up(self, to: _Reachable, party: Talker) -> None:
        party.close()
        if to.reach_kind == "browser" and self.browsers is not None:
            self.browsers.release(to.agent_id)

    async def reach(self, to: str, *, ring_s: float, caller: str | None) -> Party | Unreached:
        """A number by the trunk, or `sip:NAME` of a telephone that is registered here. Nothing else: no open relay."""
        if to.startswith("sip:"):
            binding = self._registrar.bindings.get(to.removeprefix("sip:"))
            if binding is None:
                return "failed"
            target = Target(binding.user, binding.source, caller or "anonymous")
            return await self._call(target, ring_s=ring_s, keys_offered=False)
        return await self.dial(to, ring_s=ring_s, caller_id=None, keys_offered=False)

    async def dial(self, to: str, *, ring_s: float, caller_id: str | None, keys_offered: bool) -> Party | Unreached:
        """A number by the trunk, under a caller id of the list; the first one unless said otherwise."""
        found = await self.place(to, ring_s=ring_s, caller_id=caller_id, keys_offered=keys_offered)
        return _UNREACHED.get(found.why, "failed") if isinstance(found, Unplaced) else found

    async def place(
        self,
        to: str,
        *,
        ring_s: float,
        caller_id: str | None,
        keys_offered: bool,
        signs: Signs = Signs(),  # noqa: B008  # frozen, with nothing in it
    ) -> Party | Unplaced:
        """The same, told more exactly. Only numbers in E.164, only allowed caller ids, only by the trunk."""
        settings = self._settings
        shown = caller_id or next(iter(settings.caller_ids), None)
        if settings.trunk_host is None or shown not in settings.caller_ids or not self.may_dial(to):
            log.warning("not_dialled", why="no trunk, a caller id that is not allowed, or no number")
            return Unplaced("not_sent")
        password = settings.trunk_password
        target = Target(
            to,
            (settings.trunk_host, settings.trunk_port),
            shown,
            user=settings.trunk_user,
            password=password.get_secret_value() if password is not None else None,
        )
        return await placing.place(
            self._endpoint, self._engine, target, ring_s=ring_s, keys_offered=keys_offered, signs=signs
        )

    def may_dial(self, to: str) -> bool:
        """Only a number in E.164, only by a trunk, only with a caller id that is ours to show."""
        return bool(self._settings.trunk_host and self._settings.caller_ids and _E164.fullmatch(to))

    def uri_of(self, to: str) -> str:
        """The SIP URI that a transfer names."""
        if to.startswith("sip:"):
            binding = self._registrar.bindings.get(to.removeprefix("sip:"))
            if binding is not None:
                return f"sip:{binding.user}@{binding.source[0]}:{binding.source[1]}"
            return to
        return f"sip:{to}@{self._settings.trunk_host or self._endpoint.host}"

    async def _call(self, target: Target, *, ring_s: float, keys_offered: bool) -> Party | Unreached:
        found = await placing.place(self._endpoint, self._engine, target, ring_s=ring_s, keys_offered=keys_offered)
        return _UNREACHED.get(found.why, "failed") if isinstance(found, Unplaced) else found
