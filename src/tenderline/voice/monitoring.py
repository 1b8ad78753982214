"""Supervisors who listen to a call, whisper to its agent, or join it, by their own telephone.

Each is rung by the exchange like an agent, and is reserved meanwhile. What she hears is decided frame by frame in
`mixing`: nothing, while a card is keyed in.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, get_args
from uuid import UUID

import structlog

from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.core.ids import uuid7
from tenderline.store import audit
from tenderline.store.conversations import Purpose
from tenderline.voice.mixing import Mode, Wiring
from tenderline.voice.orders import ASKED_BY, Detail, Orders
from tenderline.voice.secure_payment import Entry
from tenderline.voice.switch import AgentOnCall, Switch, Talker

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MONITORS_MAX = 3


class TooManyMonitorsError(TenderlineError):
    """Three supervisors monitor this call already; ask one of them to stop."""

    code = "call.monitored"
    status = 409


class NotMonitoringError(TenderlineError):
    """She does not monitor this call."""

    code = "call.not_monitored"
    status = 409


class Books(Protocol):
    """Where it is written who listened."""

    def join(self, id: UUID, purpose: Purpose, address: str | None) -> None:
        """Somebody is on the call from now on."""
        ...

    def leave(self, id: UUID) -> None:
        """Somebody is not on it any more."""
        ...

    def note(self, entry: Entry) -> None:
        """Written down in its place among the rest."""
        ...


class Monitor:
    """One supervisor, from the order on until she hangs up, is told to, or the caller is gone."""

    def __init__(self, agent_id: UUID, mode: Mode, by: str) -> None:
        self.agent_id, self.mode, self.by = agent_id, mode, by
        self.stopped = asyncio.Event()
        self.party: Talker | None = None
        self.task: asyncio.Task[None] | None = None


class _OnLine:
    """She answered: her leg, and what she may now."""

    def __init__(self, monitor: Monitor, party: Talker) -> None:
        self._monitor, self.leg = monitor, party.leg

    @property
    def mode(self) -> Mode:
        return self._monitor.mode


class Monitoring:
    """Of one call, from its first moment to its last."""

    def __init__(self, caller: Talker, wiring: Wiring, books: Books, switch: Switch, conversation_id: UUID) -> None:
        self._caller, self._wiring, self._books, self._switch = caller, wiring, books, switch
        self._conversation_id = conversation_id
        self._monitors: dict[UUID, Monitor] = {}

    def take_orders(self, orders: Orders) -> None:
        """They are carried out at once, whatever the call is doing."""
        orders.at_once.update(monitor=self._begin, monitor_stop=self._stop)

    def _begin(self, detail: Detail) -> Detail:
        by = str(detail.get(ASKED_BY, ""))
        agent_id = _agent_of(detail)
        mode: Mode | None = next((one for one in get_args(Mode) if one == detail.get("mode", "listen")), None)
        if mode is None:
            raise InvalidInputError(f"mode: one of {', '.join(get_args(Mode))}.")
        known = self._monitors.get(agent_id)
        if known is None:
            if len(self._monitors) >= MONITORS_MAX:
                raise TooManyMonitorsError()
            known = self._monitors[agent_id] = Monitor(agent_id, mode, by)
            known.task = asyncio.get_running_loop().create_task(self._carry(known))
        elif known.mode != mode:
            known.mode, known.by = mode, by
            if known.party is not None:
                self._wiring.listen(agent_id, _OnLine(known, known.party))
                self._audit("monitor_mode", known)
        return {"monitoring": mode, "ringing": known.party is None}

    def _stop(self, detail: Detail) -> Detail:
        monitor = self._monitors.get(_agent_of(detail))
        if monitor is None:
            raise NotMonitoringError()
        monitor.stopped.set()
        return {"monitoring": None}

    async def _carry(self, monitor: Monitor) -> None:
        over: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(monitor.stopped.wait()),
            asyncio.ensure_future(self._caller.gone()),
        ]
        ringing = asyncio.ensure_future(self._ring(monitor))
        try:
            await asyncio.wait({ringing, *over}, return_when=asyncio.FIRST_COMPLETED)
            found = ringing.result() if ringing.done() else "stopped"
            if isinstance(found, AgentOnCall):
                await self._listen(monitor, found, over)
            else:
                log.info("nobody_monitors", agent=str(monitor.agent_id), why=found)
        except Exception:  # a supervisor's fault ends no call
            log.exception("monitoring_failed", conversation=str(self._conversation_id))
        finally:
            for one in (ringing, *over):
                one.cancel()
            ended = await asyncio.gather(ringing, *over, return_exceptions=True)
            if isinstance(ended[0], AgentOnCall):
                ended[0].release()
            self._monitors.pop(monitor.agent_id, None)

    async def _ring(self, monitor: Monitor) -> AgentOnCall | str:
        return await self._switch.agent(
            monitor.agent_id, caller=None, conversation_id=self._conversation_id, monitors=True
        )

    async def _listen(self, monitor: Monitor, found: AgentOnCall, over: list[asyncio.Future[Any]]) -> None:
        joined, gone = uuid7(), asyncio.ensure_future(found.party.gone())
        try:
            monitor.party = found.party
            self._books.join(joined, "monitor", found.name)
            self._audit("monitor_started", monitor)
            self._wiring.listen(monitor.agent_id, _OnLine(monitor, found.party))
            await asyncio.wait({gone, *over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            self._wiring.stop(monitor.agent_id)
            found.release()
            self._books.leave(joined)
            self._audit("monitor_ended", monitor)

    def _audit(self, action: str, monitor: Monitor) -> None:
        data = {"agent": str(monitor.agent_id), "mode": monitor.mode}
        subject, by = f"conversation:{self._conversation_id}", monitor.by or "system"
        self._books.note(
            lambda connection: audit.append(connection, actor=by, action=action, subject=subject, data=data)
        )


def _agent_of(detail: Detail) -> UUID:
    try:
        return UUID(str(detail.get("agent_id")))
    except ValueError:
        raise InvalidInputError("agent_id: the id of the agent who monitors.") from None
