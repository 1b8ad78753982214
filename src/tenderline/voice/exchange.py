"""Reaches others for a caller: agents by their telephones, who waits longest first; anybody else by the trunk."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass, field

import structlog

from tenderline.config import VoiceSettings
from tenderline.voice import sdp
from tenderline.voice.dialog import Answered, Dialog, Ended
from tenderline.voice.engine import MediaEngine
from tenderline.voice.leg import NoFreePortError
from tenderline.voice.party import Party
from tenderline.voice.registrar import Binding, Registrar
from tenderline.voice.sdp import UnusableDescriptionError
from tenderline.voice.sip import Endpoint
from tenderline.voice.switch import AgentOnCall, NoAgent, Unreached

log: structlog.stdlib.BoundLogger = structlog.get_logger()

AGENT_RING_S = 20.0
EVENTS_TYPE = 101
LOOK_EVERY_S = 0.2
AWAY_S = 30.0
"""A telephone that did not answer is left alone for this long."""

_BUSY = frozenset({486, 600, 603})
_NO_ANSWER = frozenset({408, 480, 487})
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
                while self._registrar.serving(queue):
                    binding = self._free(queue, line) if line.waiting[0] is ticket else None
                    if binding is not None:
                        agent = await self._ring_agent(binding, caller)
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

    def _free(self, queue: str, line: _Queue) -> Binding | None:
        now = time.monotonic()
        serving = self._registrar.serving(queue)
        return next((one for one in serving if not one.busy and line.away_until.get(one.name, 0) <= now), None)

    async def _ring_agent(self, binding: Binding, caller: str | None) -> AgentOnCall | None:
        self._registrar.take(binding)
        party: Party | None = None
        try:
            found = await self._call(
                binding.user, binding.source, ring_s=AGENT_RING_S, caller=caller or "anonymous", keys_offered=False
            )
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

    async def reach(self, to: str, *, ring_s: float, caller: str | None) -> Party | Unreached:
        """A number by the trunk, or `sip:NAME` of a telephone that is registered here. Nothing else: no open relay."""
        if to.startswith("sip:"):
            binding = self._registrar.bindings.get(to.removeprefix("sip:"))
            if binding is None:
                return "failed"
            return await self._call(
                binding.user, binding.source, ring_s=ring_s, caller=caller or "anonymous", keys_offered=False
            )
        return await self.dial(to, ring_s=ring_s, caller_id=None, keys_offered=False)

    async def dial(self, to: str, *, ring_s: float, caller_id: str | None, keys_offered: bool) -> Party | Unreached:
        """A number by the trunk, under a caller id of the list; the first one unless said otherwise."""
        settings = self._settings
        shown = caller_id or next(iter(settings.caller_ids), None)
        if settings.trunk_host is None or shown not in settings.caller_ids or not _E164.fullmatch(to):
            log.warning("not_dialled", why="no trunk, a caller id that is not allowed, or no number")
            return "failed"
        password = settings.trunk_password
        return await self._call(
            to,
            (settings.trunk_host, settings.trunk_port),
            ring_s=ring_s,
            caller=shown,
            keys_offered=keys_offered,
            user=settings.trunk_user,
            password=password.get_secret_value() if password is not None else None,
        )

    def uri_of(self, to: str) -> str:
        """The SIP URI that a transfer names."""
        if to.startswith("sip:"):
            binding = self._registrar.bindings.get(to.removeprefix("sip:"))
            if binding is not None:
                return f"sip:{binding.user}@{binding.source[0]}:{binding.source[1]}"
            return to
        return f"sip:{to}@{self._settings.trunk_host or self._endpoint.host}"

    async def _call(
        self,
        to: str,
        next_hop: tuple[str, int],
        *,
        ring_s: float,
        caller: str,
        keys_offered: bool,
        user: str | None = None,
        password: str | None = None,
    ) -> Party | Unreached:
        try:
            leg = self._engine.leg()
        except NoFreePortError:
            return "failed"
        party: Party | None = None
        kept = False
        try:
            events_type = EVENTS_TYPE if keys_offered else None
            offer = sdp.offer(self._engine.advertised, leg.port, session=leg.port, events_type=events_type)
            dialog = self._endpoint.dial(
                to=to, next_hop=next_hop, caller=caller, offer=offer, user=user, password=password
            )
            dialog.source = next_hop
            party = Party(self._engine, dialog, leg)
            outcome = await _until_answered(party, dialog, ring_s)
            kept = not isinstance(outcome, str)
            return outcome
        finally:
            if not kept:
                if party is not None:
                    party.close()
                leg.close()


async def _until_answered(party: Party, dialog: Dialog, ring_s: float) -> Party | Unreached:
    try:
        async with asyncio.timeout(ring_s):
            while True:
                said = await dialog.events.get()
                if isinstance(said, Answered):
                    party.answered(said.description or "")
                    return party
                if isinstance(said, Ended):
                    if said.status in _BUSY:
                        return "busy"
                    return "no_answer" if said.status in _NO_ANSWER else "failed"
    except TimeoutError:
        return "no_answer"
    except UnusableDescriptionError:
        return "failed"
