"""Reaches others for a caller: agents by their telephones, who waits longest first; anybody else by the trunk."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass, field

import structlog

from tenderline.config import VoiceSettings
from tenderline.voice.browser.phone import BrowserPhone
from tenderline.voice.browser.phones import BrowserPhones
from tenderline.voice.engine import MediaEngine
from tenderline.voice.party import Party
from tenderline.voice.placing import Signs, Target, Unplaced, place
from tenderline.voice.registrar import Binding, Registrar
from tenderline.voice.sip import Endpoint
from tenderline.voice.switch import AgentOnCall, NoAgent, Reachable, Unreached

log: structlog.stdlib.BoundLogger = structlog.get_logger()

AGENT_RING_S = 20.0
LOOK_EVERY_S = 0.2
AWAY_S = 30.0
"""A telephone that did not answer is left alone for this long."""

_UNREACHED: dict[str, Unreached] = {"busy": "busy", "refused": "busy", "no_answer": "no_answer"}
_E164 = re.compile(r"\+[1-9]\d{6,14}")


@dataclass(slots=True)
class _Queue:
    waiting: deque[object] = field(default_factory=deque)
    away_until: dict[str, float] = field(default_factory=dict)


class Exchange:
    """Of one node: a plain queue, longest waiting first, any free telephone."""

    def __init__(self, endpoint: Endpoint, engine: MediaEngine, registrar: Registrar, settings: VoiceSettings) -> None:
        self._endpoint, self._engine, self._registrar, self._settings = endpoint, engine, registrar, settings
        self._queues: dict[str, _Queue] = {}
        self.browsers: BrowserPhones | None = None

    @property
    def waiting(self) -> dict[str, int]:
        """How many callers wait in each queue."""
        return {name: len(queue.waiting) for name, queue in self._queues.items() if queue.waiting}

    async def agent_for(self, queue: str, *, wait_max_s: float, caller: str | None) -> AgentOnCall | NoAgent:
        """The agent who answered; "nobody" at once when no telephone of that queue is registered."""
        line, ticket = self._queues.setdefault(queue, _Queue()), object()
        line.waiting.append(ticket)
        try:
            async with asyncio.timeout(wait_max_s):
                while self._serving(queue):
                    binding = self._free(queue, line) if line.waiting[0] is ticket else None
                    if binding is not None:
                        # While this one rings, the next in line may ring another telephone.
                        line.waiting.popleft()
                        try:
                            agent = await self._ring_agent(binding, caller)
                        finally:
                            line.waiting.appendleft(ticket)
                        if agent is not None:
                            return agent
                        line.away_until[binding.name] = time.monotonic() + AWAY_S
                        continue
                    await asyncio.sleep(LOOK_EVERY_S)
                return "nobody"
        except TimeoutError:
            return "timed_out"
        finally:
            line.waiting.remove(ticket)

    def _serving(self, queue: str) -> list[Reachable]:
        """Telephones and browsers of that queue, those free for longest first; busy ones too."""
        found: list[Reachable] = [*self._registrar.serving(queue)]
        if self.browsers is not None:
            found += self.browsers.serving(queue)
        return sorted(found, key=lambda one: one.free_since_s)

    def _free(self, queue: str, line: _Queue) -> Reachable | None:
        now = time.monotonic()
        serving = self._serving(queue)
        return next((one for one in serving if not one.busy and line.away_until.get(one.name, 0) <= now), None)

    async def _ring_agent(self, agent: Reachable, caller: str | None) -> AgentOnCall | None:
        if isinstance(agent, BrowserPhone):
            return await self._ring_browser(agent, caller)
        assert isinstance(agent, Binding), "an agent has a telephone or a browser"
        return await self._ring_telephone(agent, caller)

    async def _ring_browser(self, phone: BrowserPhone, caller: str | None) -> AgentOnCall | None:
        phone.taken = True
        answered = None

        def release() -> None:
            phone.release()
            phone.taken, phone.free_since_s = False, time.monotonic()

        try:
            answered = await phone.ring(ring_s=AGENT_RING_S, caller=caller)
        finally:
            if answered is None:
                release()
        return AgentOnCall(phone.name, answered, release) if answered is not None else None

    async def _ring_telephone(self, binding: Binding, caller: str | None) -> AgentOnCall | None:
        self._registrar.take(binding)
        party: Party | None = None
        try:
            target = Target(binding.user, binding.source, caller or "anonymous")
            found = await self._call(target, ring_s=AGENT_RING_S, keys_offered=False)
            party = None if isinstance(found, str) else found
        finally:
            if party is None:
                self._registrar.free(binding)
        if party is None:
            return None
        answered = party

        def release() -> None:
            answered.close()
            self._registrar.free(binding)

        return AgentOnCall(binding.name, answered, release)

    async def take_free_agent(self, queue: str, *, caller: str | None) -> AgentOnCall | None:
        """Rings one free telephone of that queue, for a call that we make; None when none is free or answers."""
        line = self._queues.setdefault(queue, _Queue())
        binding = None if line.waiting else self._free(queue, line)
        if binding is None:
            return None
        agent = await self._ring_agent(binding, caller)
        if agent is None:
            line.away_until[binding.name] = time.monotonic() + AWAY_S
        return agent

    def free_agents(self, queue: str) -> int:
        """How many telephones of that queue could take a call that we make: none while callers wait in it."""
        line = self._queues.setdefault(queue, _Queue())
        if line.waiting:
            return 0
        now = time.monotonic()
        serving = self._serving(queue)
        return sum(not one.busy and line.away_until.get(one.name, 0) <= now for one in serving)

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
        if settings.trunk_host is None or shown not in settings.caller_ids or not _E164.fullmatch(to):
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
        return await place(self._endpoint, self._engine, target, ring_s=ring_s, keys_offered=keys_offered, signs=signs)

    def uri_of(self, to: str) -> str:
        """The SIP URI that a transfer names."""
        if to.startswith("sip:"):
            binding = self._registrar.bindings.get(to.removeprefix("sip:"))
            if binding is not None:
                return f"sip:{binding.user}@{binding.source[0]}:{binding.source[1]}"
            return to
        return f"sip:{to}@{self._settings.trunk_host or self._endpoint.host}"

    async def _call(self, target: Target, *, ring_s: float, keys_offered: bool) -> Party | Unreached:
        found = await place(self._endpoint, self._engine, target, ring_s=ring_s, keys_offered=keys_offered)
        return _UNREACHED.get(found.why, "failed") if isinstance(found, Unplaced) else found
