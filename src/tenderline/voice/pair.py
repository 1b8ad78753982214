"""Two who talk, until one of them hangs up; meanwhile what the agent asks of the call is carried out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from tenderline.store.conversations import SegmentKind
from tenderline.voice.card_entry import framed
from tenderline.voice.orders import Detail, NotNowError, Order, Orders, UnknownOrderError
from tenderline.voice.party import Party
from tenderline.voice.prompts import sounds
from tenderline.voice.switch import Talker

Payment = Callable[[Order, "Pair"], Awaitable[None]]


class Books(Protocol):
    """Where the parts of a call are written down."""

    def segment(self, kind: SegmentKind, detail: str = "") -> None:
        """Another part of the call begins."""
        ...


class Pair:
    """The caller and somebody else. `payment` takes one when the agent asks for it."""

    def __init__(
        self,
        caller: Party,
        other: Talker,
        books: Books,
        orders: Orders,
        part: tuple[SegmentKind, str],
        payment: Payment,
    ) -> None:
        self.caller, self.other, self.books, self.orders = caller, other, books, orders
        self._part, self._payment = part, payment
        self._music: asyncio.Task[None] | None = None

    async def to_the_end(self) -> None:
        """Returns when the other side hung up; raises `CallEndedError` when the caller did."""
        self.caller.on_hold = self.other.on_hold = self._held
        self.orders.open()
        self.caller.leg.be_quiet()
        self.join()
        try:
            while (order := await self._next()) is not None:
                await self._obey(order)
        finally:
            self.orders.shut()
            await self._end_music()
            self.part()
            self.caller.on_hold = self.other.on_hold = None

    def join(self) -> None:
        """Both hear each other from here on."""
        self.caller.leg.peer, self.other.leg.peer = self.other.leg, self.caller.leg

    def part(self) -> None:
        """Neither hears the other any more."""
        self.caller.leg.peer = self.other.leg.peer = None

    def resume(self) -> None:
        """They talk again, as before."""
        self.join()
        self.books.segment(*self._part)

    async def _next(self) -> Order | None:
        gone, coming = asyncio.ensure_future(self.other.gone()), asyncio.ensure_future(self.orders.next())
        try:
            await self.caller.while_there(asyncio.wait({gone, coming}, return_when=asyncio.FIRST_COMPLETED))
            return coming.result() if coming.done() else None
        finally:
            for one in (gone, coming):
                one.cancel()
            await asyncio.gather(gone, coming, return_exceptions=True)

    async def _obey(self, order: Order) -> None:
        if self.other.is_gone:
            _refuse(order, NotNowError())
            return
        match order.kind:
            case "secure_payment":
                await self._end_music()
                await self._payment(order, self)
            case "hold" if self._music is None:
                self.part()
                self.books.segment("hold", self._part[1])
                self._music = asyncio.ensure_future(self._play_music())
                answer(order, {"held": True})
            case "retrieve" if self._music is not None:
                await self._end_music()
                self.resume()
                answer(order, {"held": False})
            case "hold" | "retrieve":
                answer(order, {"held": self._music is not None})
            case _:
                _refuse(order, UnknownOrderError(f"{order.kind!r} cannot be asked of a call."))

    def _held(self, on: bool) -> None:
        """A telephone put the other side on hold by itself."""
        if on:
            self.books.segment("hold", self._part[1])
        else:
            self.books.segment(*self._part)

    async def _play_music(self) -> None:
        frames = framed(sounds.ulaw("music"))
        while True:
            self.caller.leg.enqueue(frames)
            await self.caller.leg.played()

    async def _end_music(self) -> None:
        music, self._music = self._music, None
        if music is not None:
            music.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await music
            self.caller.leg.be_quiet()


def answer(order: Order, detail: Detail) -> None:
    """It is done, or begun; whoever asked may have given up meanwhile."""
    if not order.answered.done():
        order.answered.set_result(detail)


def _refuse(order: Order, why: Exception) -> None:
    if not order.answered.done():
        order.answered.set_exception(why)
