"""Somebody else is sought for a caller, while others talk or wait: a queue, one agent, or a number.

Whatever happens meanwhile, `stop` leaves nothing: no leg, no reservation, nobody in line.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID

import structlog

from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.routing.match import PRIORITY_MAX
from tenderline.routing.queues import NOTHING, Wish
from tenderline.voice.switch import Other, Switch

log: structlog.stdlib.BoundLogger = structlog.get_logger()

WAIT_MAX_S: Final = 1_800.0
RING_S: Final = 30.0
BEGUN_WITHIN_S: Final = 3.0
"""Whoever asked gives up after five seconds, and is to be told before."""

SUPERVISOR: Final = "supervisor"
_NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}")
_WHY: Final = {
    "nobody": "Nobody who takes calls of this queue is logged in, or there is no such queue.",
    "not_free": "This agent is not free, or cannot be reached.",
}

Found = Other | str
Begin = Callable[[Callable[[], None]], Coroutine[Any, Any, Found]]


class UnreachedError(TenderlineError):
    """Nobody could be reached there now; choose somebody else, or try again."""

    code = "call.unreached"
    status = 409


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call may be handed to."""

    kind: Literal["queue", "agent", "number"]
    value: str

    @staticmethod
    def parse(text: object) -> Target:
        """`queue:NAME`, `agent:UUID` or `+E164`. Raises `InvalidInputError`."""
        if isinstance(text, str):
            kind, _, value = text.partition(":")
            if kind == "queue" and 0 < len(value) <= 100:
                return Target("queue", value)
            if kind == "agent":
                try:
                    return Target("agent", str(UUID(value)))
                except ValueError:
                    pass
            if _NUMBER.fullmatch(text):
                return Target("number", text)
        raise InvalidInputError("to: queue:NAME, agent: and the id of an agent, or a number as +12025550123.")


SUPERVISORS: Final = Target("queue", SUPERVISOR)


class Reaching:
    """One search. It has begun when she is in line, or the telephone is about to be rung."""

    def __init__(self, target: Target, begin: Begin) -> None:
        self.target = target
        self._begun = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(begin(self._begun.set))
        self._task.add_done_callback(_name_its_fault)
        self._is_taken = False

    async def begun(self) -> None:
        """Returns when it has. Raises `UnreachedError` when it ended before, or takes too long."""
        waiting = asyncio.ensure_future(self._begun.wait())
        try:
            await asyncio.wait({waiting, self._task}, timeout=BEGUN_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._begun.is_set() and not isinstance(self.found, str):
            return
        raise UnreachedError(_WHY.get(str(self.found), UnreachedError.__doc__ or ""))

    @property
    def found(self) -> Found | None:
        """Who answered, or why nobody did; None while it lasts."""
        if not self._task.done():
            return None
        if self._task.cancelled() or self._task.exception() is not None:
            return "failed"
        return self._task.result()

    async def over(self) -> None:
        """Returns when it is over, whichever way."""
        await asyncio.wait({self._task})

    def take(self) -> Other:
        """Who answered; whoever takes her lets her go."""
        found = self.found
        assert isinstance(found, Other), "look before"
        self._is_taken = True
        return found

    async def stop(self) -> None:
        """It is of no use any more; twice is no error."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        found = self.found
        if isinstance(found, Other) and not self._is_taken:
            self._is_taken = True
            found.release()


def _name_its_fault(task: asyncio.Task[Any]) -> None:
    """Whoever asked is told that it failed; why is for the log."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("search_failed", exc_info=error)


class Reach:
    """Of one call. `waited_s` is what the caller waited for agents so far: it counts in every further line."""

    def __init__(self, switch: Switch, conversation_id: UUID, caller: str | None, wish: Wish = NOTHING) -> None:
        self._switch, self._conversation_id, self._caller = switch, conversation_id, caller
        self._wish = replace(wish, skills=(), preferred_agent=None)
        self.waited_s = wish.waited_s

    def begin(self, target: Target, *, queue: str | None = None) -> Reaching:
        """`queue`: whose time to write it up an agent gets. Raises `UnreachedError` for what could not be rung."""
        match target.kind:
            case "queue":
                return self._line(target, replace(self._wish, waited_s=self.waited_s))
            case "agent":
                return Reaching(target, lambda begun: self._agent(UUID(target.value), queue, begun))
            case "number":
                if not self._switch.may_dial(target.value):
                    raise UnreachedError("Calls to numbers need a trunk and a caller id; see voice.trunk_host.")
                return Reaching(target, lambda begun: self._number(target.value, begun))

    def supervisor(self) -> Reaching:
        """Ahead of everybody who waits for one."""
        return self._line(SUPERVISORS, Wish(priority=PRIORITY_MAX, waited_s=self.waited_s))

    def _line(self, target: Target, wish: Wish) -> Reaching:
        async def wait(begun: Callable[[], None]) -> Found:
            found = await self._switch.agent_for(
                target.value,
                wait_max_s=WAIT_MAX_S,
                caller=self._caller,
                conversation_id=self._conversation_id,
                wish=wish,
                entered=begun,
            )
            return found if isinstance(found, str) else Other.agent(found)

        return Reaching(target, wait)

    async def _agent(self, agent_id: UUID, queue: str | None, begun: Callable[[], None]) -> Found:
        found = await self._switch.agent(
            agent_id,
            caller=self._caller,
            conversation_id=self._conversation_id,
            queue=queue,
            reserved=begun,
        )
        return found if isinstance(found, str) else Other.agent(found)

    async def _number(self, number: str, begun: Callable[[], None]) -> Found:
        begun()
        party = await self._switch.reach(number, ring_s=RING_S, caller=self._caller)
        return party if isinstance(party, str) else Other(party, "external", number, party.close)
