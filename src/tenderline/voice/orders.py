"""What is asked of one call while it lasts: by the agent who talks on it, or by whoever looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenderline.core.errors import InvalidInputError, TenderlineError

WAITING_MAX: Final = 4
ANSWERED_WITHIN_S: Final = 30.0
"""Longer than anything takes to begin; who asked is told that it was not done, and it is not done later."""

Detail = Mapping[str, Any]
AtOnce = Callable[[Detail], Detail]
WAITS: Final = "waits"
"""In what a supervisor is wanted by: it is kept until she can be sought, when nobody takes orders now."""
ASKED_BY: Final = "asked_by"
"""In what is asked at once: who asks."""


class NotNowError(TenderlineError):
    """Nobody is talking with an agent on this call now; look at the call, and ask again when somebody is."""

    code = "call.not_now"
    status = 409


class UnknownOrderError(InvalidInputError):
    """This cannot be asked of a call."""

    code = "call.unknown_order"


@dataclass(frozen=True, slots=True)
class Order:
    """One thing that is asked; who carries it out sets `answered`, at once or as soon as it is begun."""

    kind: str
    detail: Detail
    answered: asyncio.Future[Detail]
    by: str = ""

    def answer(self, detail: Detail) -> None:
        """It is done, or begun; whoever asked may have given up meanwhile."""
        if not self.answered.done():
            self.answered.set_result(detail)

    def refuse(self, why: Exception) -> None:
        """It cannot be done, or not now."""
        if not self.answered.done():
            self.answered.set_exception(why)


class Orders:
    """Of one call. Those that wait are taken by `next`; those in `at_once` are done where they arrive."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Order] = asyncio.Queue(WAITING_MAX)
        self._is_open = False
        self.at_once: dict[str, AtOnce] = {}
        self.supervisor_wanted = asyncio.Event()
        """Kept from when nobody took orders; whoever seeks her clears it."""

    def open(self) -> None:
        """Somebody takes orders from here on."""
        self._is_open = True

    def shut(self) -> None:
        """Nobody does any more; those that wait are refused."""
        self._is_open = False
        while not self._waiting.empty():
            self.put_off(self._waiting.get_nowait())

    def put_off(self, order: Order) -> None:
        """Nobody can carry it out now: what can wait is kept, all else is refused."""
        if order.kind == "escalate" and order.detail.get(WAITS) is True:
            self.supervisor_wanted.set()
            order.answer({"escalating": True})
        else:
            order.refuse(NotNowError())

    def end(self) -> None:
        """The call is over. Whoever took orders is let go of: a call must not wait for the collector to be free."""
        self.shut()
        self.at_once.clear()

    async def give(self, kind: str, detail: Detail, *, by: str = "") -> Detail:
        """The answer. Raises what speaks against it: `NotNowError`, `UnknownOrderError`, and others."""
        done = self.at_once.get(kind)
        if done is not None:
            return done({**detail, ASKED_BY: by} if by else detail)
        order = Order(kind, detail, asyncio.get_running_loop().create_future(), by)
        if self._is_open and not self._waiting.full():
            self._waiting.put_nowait(order)
        else:
            self.put_off(order)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                return await order.answered
        except TimeoutError:
            raise NotNowError("It could not be begun in time; look at the call before you ask again.") from None

    async def next(self) -> Order:
        """The next one that somebody waits for; whoever takes it answers it."""
        while (order := await self._waiting.get()).answered.done():
            pass
        return order
