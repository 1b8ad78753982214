"""All who talk with one caller, one after the other: from whoever took the call to whoever lets it go."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

import structlog

from tenderline.core.ids import uuid7
from tenderline.store.conversations import Purpose, SegmentKind
from tenderline.voice.mixing import Wiring
from tenderline.voice.orders import Orders
from tenderline.voice.pair import Books, Music, Pair, Payment
from tenderline.voice.party import Party
from tenderline.voice.reaching import SUPERVISORS, Found, Reach, Reaching, Target, UnreachedError
from tenderline.voice.switch import Other

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Talked = Literal["talked", "timed_out", "nobody"]

_PURPOSES: Final[dict[SegmentKind, Purpose]] = {"agent": "agent", "external": "external"}


class Succession:
    """Of one call. `queue` is the one that she waited in: who cannot be handed on any more goes there again."""

    def __init__(
        self,
        caller: Party,
        books: Books,
        orders: Orders,
        payment: Payment,
        wiring: Wiring,
        reach: Reach,
        queue: str | None,
    ) -> None:
        self._caller, self._books, self._orders, self._payment = caller, books, orders, payment
        self._wiring, self._reach, self._queue = wiring, reach, queue

    async def from_line(self, onward: Reaching) -> Talked:
        """The same, for a caller who talks with nobody yet and waits for whoever is sought."""
        found = await self._wait_for(onward)
        if isinstance(found, str):
            return "timed_out" if found == "timed_out" else "nobody"
        return await self.to_the_end(found)

    async def to_the_end(self, other: Other) -> Talked:
        """Returns when somebody's part is over and the caller goes to nobody else; "nobody" and "timed_out" when she
        was to go to somebody who did not come. Raises `CallEndedError` when she hung up."""
        while True:
            onward = await self._talk(other)
            if onward is None:
                return "talked"
            found = await self._wait_for(onward)
            if isinstance(found, str):
                found = await self._back(other, found)
            if isinstance(found, str):
                return "timed_out" if found == "timed_out" else "nobody"
            other = found

    async def _talk(self, other: Other) -> Reaching | None:
        """Whoever `other` is, she is let go when her part is over."""
        joined = other.participant or uuid7()
        try:
            self._books.segment(other.kind, other.name)
            if other.participant is None:
                self._books.join(joined, _PURPOSES.get(other.kind, "external"), other.name)
            pair = Pair(
                self._caller,
                other,
                self._books,
                self._orders,
                self._payment,
                self._wiring,
                self._reach,
                self._queue,
            )
            return await pair.to_the_end()
        finally:
            other.release()
            self._books.leave(joined)

    async def _wait_for(self, onward: Reaching) -> Found:
        """With music. Who comes is taken; whatever happens else, nothing of the search is left. A supervisor who is
        wanted meanwhile is sought instead, and when there is none, whoever was sought before is sought again."""
        music: Music | None = None
        begun_s = asyncio.get_running_loop().time()
        waited_before_s = self._reach.waited_s
        try:
            if onward.found is None:
                is_line = onward.target.kind == "queue"
                self._books.segment("queue" if is_line else "hold", onward.target.value if is_line else "")
                music = Music(self._caller)
                first = onward.target
                while (instead := await self._instead(onward, first)) is not None:
                    await onward.stop()
                    self._reach.waited_s = waited_before_s + asyncio.get_running_loop().time() - begun_s
                    to_lead = instead == SUPERVISORS
                    onward = self._reach.supervisor() if to_lead else self._reach.begin(instead, queue=self._queue)
            elif self._caller.is_gone:
                await self._caller.while_there(asyncio.sleep(0))
            found = onward.found
            assert found is not None, "it is over"
            return found if isinstance(found, str) else onward.take()
        finally:
            self._reach.waited_s = waited_before_s + asyncio.get_running_loop().time() - begun_s
            if music is not None:
                await music.end()
            await onward.stop()

    async def _instead(self, onward: Reaching, first: Target) -> Target | None:
        """Whom to seek next: supervisors when they are wanted, `first` again when there are none; None at the end."""
        while await self._is_led(onward):
            self._orders.supervisor_wanted.clear()
            if onward.target != SUPERVISORS:
                return SUPERVISORS
        if onward.target == first or not isinstance(onward.found, str):
            return None
        log.warning("no_supervisor", why=onward.found)
        return first

    async def _is_led(self, onward: Reaching) -> bool:
        """Waits for the end of a search. True when a supervisor is wanted before it."""
        over = asyncio.ensure_future(onward.over())
        wanted = asyncio.ensure_future(self._orders.supervisor_wanted.wait())
        try:
            await self._caller.while_there(asyncio.wait({over, wanted}, return_when=asyncio.FIRST_COMPLETED))
            return onward.found is None
        finally:
            for one in (over, wanted):
                one.cancel()
            await asyncio.gather(over, wanted, return_exceptions=True)

    async def _back(self, asked: Other, why: str) -> Found:
        """Nobody came: to the agent who asked, when she is still there, else in the line that she came by."""
        again = [Target("agent", str(asked.agent_id))] if asked.agent_id is not None else []
        if self._queue is not None:
            again.append(Target("queue", self._queue))
        found: Found = why
        for target in again:
            try:
                reaching = self._reach.begin(target, queue=self._queue)
            except UnreachedError:
                continue
            found = await self._wait_for(reaching)
            if isinstance(found, Other):
                return found
        return found
