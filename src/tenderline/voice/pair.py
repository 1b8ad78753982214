"""Two who talk, until one of them hangs up; meanwhile what the agent asks of the call is carried out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import UUID

import structlog

from tenderline.core.errors import TenderlineError
from tenderline.flows.call import CallEndedError
from tenderline.store.conversations import Purpose, SegmentKind
from tenderline.voice.card_entry import framed
from tenderline.voice.mixing import Wiring
from tenderline.voice.orders import NotNowError, Order, Orders, UnknownOrderError
from tenderline.voice.party import Party
from tenderline.voice.prompts import sounds
from tenderline.voice.reaching import Reach, Reaching, Target, UnreachedError
from tenderline.voice.switch import Other, Talker

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Payment = Callable[[Order, "Pair"], Awaitable[None]]


class Books(Protocol):
    """Where the parts of a call are written down."""

    def segment(self, kind: SegmentKind, detail: str = "") -> None:
        """Another part of the call begins."""
        ...

    def join(self, id: UUID, purpose: Purpose, address: str | None) -> None:
        """Somebody is on the call from now on."""
        ...

    def leave(self, id: UUID) -> None:
        """Somebody is not on it any more."""
        ...


class Music:
    """Played to one party until it ends."""

    def __init__(self, party: Talker, sound: str = "music") -> None:
        self._party = party
        self._task = asyncio.ensure_future(self._play(framed(sounds.ulaw(sound))))

    async def _play(self, frames: list[bytes]) -> None:
        while True:
            self._party.leg.enqueue(frames)
            await self._party.leg.played()

    async def end(self) -> None:
        """Silence; twice is no error."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._party.leg.be_quiet()


class Pair:
    """The caller and somebody else. `payment` takes one when the agent asks for it.

    Besides there may be somebody whom the agent consults while the caller waits, and a supervisor who is sought while
    the two talk on.
    """

    def __init__(
        self,
        caller: Party,
        other: Other,
        books: Books,
        orders: Orders,
        payment: Payment,
        wiring: Wiring,
        reach: Reach,
        queue: str | None = None,
    ) -> None:
        self.caller, self.other, self.books, self.orders = caller, other.party, books, orders
        self._who, self._payment, self._wiring, self._reach, self._queue = other, payment, wiring, reach, queue
        self._part: tuple[SegmentKind, str] = (other.kind, other.name)
        self._music: Music | None = None
        self._ringback: Music | None = None
        self._consulted: Reaching | None = None
        self._target: Other | None = None
        self._escalated: Reaching | None = None
        self._onward: Reaching | None = None

    async def to_the_end(self) -> Reaching | None:
        """Returns when the other side's part is over, with whom the caller goes to; raises `CallEndedError` when the
        caller hung up."""
        self.caller.on_hold = self.other.on_hold = self._held
        self.orders.open()
        self.caller.leg.be_quiet()
        self.join()
        try:
            while await self._goes_on():
                pass
            return self._onward
        except BaseException:
            await self._drop(self._onward)
            raise
        finally:
            self.orders.shut()
            self.caller.on_hold = self.other.on_hold = None
            await self._end_music()
            self.part()
            for one in (self._consulted, self._escalated):
                if one is not self._onward:
                    await self._drop(one)

    def join(self) -> None:
        """Both hear each other from here on."""
        self._wiring.join(self.caller.leg, self.other.leg, agent=self.other.leg)

    def let_go(self) -> None:
        """The other side's part ends now, while the caller stays: an agent may get another call."""
        self._who.release()

    def part(self) -> None:
        """Neither hears the other any more."""
        self._wiring.part()

    def resume(self) -> None:
        """They talk again, as before."""
        self.join()
        self.books.segment(*self._part)

    async def _goes_on(self) -> bool:
        await self._heed()
        order = await self._next()
        if order is not None:
            await self._obey(order)
        elif self.other.is_gone:
            pass  # whoever is sought goes on with the caller
        elif self._escalated is not None and self._escalated.found is not None:
            self._supervisor_came(self._escalated)
        elif self._consulted is not None:
            await self._consultation(self._consulted)
        if self.other.is_gone and self._onward is None:
            await self._heed()
            self._onward = self._consulted or self._escalated
        return self._onward is None and not self.other.is_gone

    async def _next(self) -> Order | None:
        """What is asked next; None when something else happened first."""
        coming = asyncio.ensure_future(self.orders.next())
        news: list[asyncio.Future[Any]] = [asyncio.ensure_future(self.other.gone())]
        if self._target is not None:
            news.append(asyncio.ensure_future(self._target.party.gone()))
        elif self._consulted is not None:
            news.append(asyncio.ensure_future(self._consulted.over()))
        if self._escalated is not None:
            news.append(asyncio.ensure_future(self._escalated.over()))
        order: Order | None = None
        try:
            await self.caller.while_there(asyncio.wait({coming, *news}, return_when=asyncio.FIRST_COMPLETED))
            order = coming.result() if coming.done() else None
            return order
        finally:
            for one in (coming, *news):
                one.cancel()
            await asyncio.gather(coming, *news, return_exceptions=True)
            if order is None and not coming.cancelled() and coming.exception() is None:
                self.orders.put_off(coming.result())  # taken in the instant in which something else happened

    async def _obey(self, order: Order) -> None:
        if self.other.is_gone:
            self.orders.put_off(order)
            return
        try:
            await self._carry_out(order)
        except TenderlineError as error:
            order.refuse(error)
            if isinstance(error, CallEndedError):
                raise
        except BaseException:
            self.orders.put_off(order)
            raise

    async def _carry_out(self, order: Order) -> None:
        match order.kind:
            case "complete_transfer" | "cancel_consult" if self._consulted is None:
                raise NotNowError("Nobody is being consulted on this call.")
            case "complete_transfer":
                self._onward = self._consulted
                order.answer({"transferring": True})
            case "cancel_consult":
                await self._end_consultation()
                order.answer({"held": False})
            case "hang_up":
                self.other.close()
                self._onward = self._consulted or self._escalated
                order.answer({"hung_up": True})
            case "transfer":
                await self._transfer(order)
            case "escalate":
                await self._escalate(order)
            case "retrieve" if self._consulted is not None:
                await self._end_consultation()
                order.answer({"held": False})
            case "hold" | "secure_payment" | "consult" if self._consulted is not None:
                raise NotNowError("Somebody is being consulted; bring the caller back first, or hand her over.")
            case "consult":
                await self._consult(order)
            case "secure_payment":
                await self._pay(order)
            case "hold" | "retrieve":
                await self._hold(order.kind == "hold")
                order.answer({"held": self._music is not None})
            case _:
                raise UnknownOrderError(f"{order.kind!r} cannot be asked of a call.")

    async def _hold(self, on: bool) -> None:
        if on and self._music is None:
            self.part()
            self.books.segment("hold", self._part[1])
            self._music = Music(self.caller)
        elif not on and self._music is not None:
            await self._end_music()
            self.resume()

    async def _pay(self, order: Order) -> None:
        """Nothing else is asked of the call meanwhile, but what is done at once. A telephone that holds is no part of
        its own then: the payment is."""
        await self._hold(False)
        self.orders.shut()
        self.caller.on_hold = self.other.on_hold = None
        try:
            await self._payment(order, self)
        finally:
            self.caller.on_hold = self.other.on_hold = self._held
            self.orders.open()

    async def _begin(self, target: Target) -> Reaching:
        reaching = self._reach.begin(target, queue=self._queue)
        return await self._begun(reaching)

    async def _begun(self, reaching: Reaching) -> Reaching:
        try:
            await self.caller.while_there(reaching.begun())
        except BaseException:
            await self._drop(reaching)
            raise
        return reaching

    async def _transfer(self, order: Order) -> None:
        target = Target.parse(order.detail.get("to"))
        if self._consulted is not None:
            raise NotNowError("Somebody is being consulted; complete_transfer hands the caller over to her.")
        self._onward = await self._begin(target)
        order.answer({"transferring": True})

    async def _consult(self, order: Order) -> None:
        target = Target.parse(order.detail.get("to"))
        self._consulted = await self._begin(target)
        await self._hold(True)
        self._ringback = Music(self.other, "ringback")
        order.answer({"consulting": True, "held": True})

    async def _consultation(self, consulted: Reaching) -> None:
        """She answered, or nobody did, or she hung up again: then the caller is back."""
        if self._target is None and isinstance(consulted.found, Other):
            await self._end_ringback()
            self._target = consulted.found
            self._wiring.join(self.other.leg, self._target.party.leg, agent=self.other.leg)
        elif self._target is None or self._target.party.is_gone:
            await self._end_consultation()

    async def _end_consultation(self) -> None:
        consulted, self._consulted, self._target = self._consulted, None, None
        await self._drop(consulted)
        await self._end_music()
        self.resume()

    async def _escalate(self, order: Order) -> None:
        await self._seek()
        order.answer({"escalating": True})

    async def _seek(self) -> None:
        if self._escalated is None:
            self._escalated = await self._begun(self._reach.supervisor())

    async def _heed(self) -> None:
        """Seeks the supervisor who was wanted when nobody took orders."""
        if self.orders.supervisor_wanted.is_set():
            self.orders.supervisor_wanted.clear()
            try:
                await self._seek()
            except UnreachedError as error:
                log.warning("no_supervisor", why=error.detail)

    def _supervisor_came(self, escalated: Reaching) -> None:
        if isinstance(escalated.found, Other):
            self._onward = escalated
            return
        log.warning("no_supervisor", why=str(escalated.found))
        self._escalated = None

    def _held(self, on: bool) -> None:
        """A telephone put the other side on hold by itself."""
        if on:
            self.books.segment("hold", self._part[1])
        else:
            self.books.segment(*self._part)

    async def _end_music(self) -> None:
        await self._end_ringback()
        music, self._music = self._music, None
        if music is not None:
            await music.end()

    async def _end_ringback(self) -> None:
        ringback, self._ringback = self._ringback, None
        if ringback is not None:
            await ringback.end()

    @staticmethod
    async def _drop(reaching: Reaching | None) -> None:
        if reaching is not None:
            with contextlib.suppress(Exception):
                await reaching.stop()
