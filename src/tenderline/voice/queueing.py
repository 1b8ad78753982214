"""The line in front of agents as one node sees it: its callers wait here, the database decides who takes whom.

Registrations are written down, matches made, offers handed to those who wait. Hints by NOTIFY make it quick; a tick
finds what they missed. While the database is away nobody is lost and nobody is matched: callers wait and are comforted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg
import structlog

from tenderline.core.ids import uuid7
from tenderline.core.loops import goes_on
from tenderline.routing import queues as routing
from tenderline.routing.queues import InLine, Wish
from tenderline.store import callbacks, db, presence, waiting
from tenderline.store.db import Connection, Pool
from tenderline.store.waiting import Offer, Outcome
from tenderline.voice.hints import listen
from tenderline.voice.registrar import Registrar
from tenderline.voice.registrations import Registrations
from tenderline.voice.timeline import Timeline

log: structlog.stdlib.BoundLogger = structlog.get_logger()

TICK_S: Final = 1.0
WRITE_TIMEOUT_S: Final = 5.0
RETRY_S: Final = 0.5
SETTLED_WAIT_S: Final = 2.0
GAP_S: Final = 0.01
"""Changes of this time are one match."""
_AGAIN: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.DeadlockDetectedError,
)
"""What passes by itself; anything else would fail again."""
_DEFECTS: Final = (asyncpg.IntegrityConstraintViolationError, asyncpg.SyntaxOrAccessError, asyncpg.DataError)
"""What a database raises that is there, and was told something wrong."""

T = TypeVar("T")
Entry = Callable[[Connection], Awaitable[T]]


@dataclass(slots=True)
class Ticket:
    """A caller of this node in line: what comes is an offer, or the reason why none will come."""

    line: InLine
    conversation_id: UUID
    coming: asyncio.Queue[Offer | str]
    is_rung: bool = False
    keeping: asyncio.Task[bool] | None = None
    """Under way, or done: whether she keeps her place without us."""

    async def next(self) -> Offer | str:
        """The next offer; "nobody" or another outcome when it is over."""
        return await self.coming.get()


class Queueing:
    """Of one node; `start`, then `close`. `on_kept` is told of places that were kept and whose turn it is."""

    def __init__(self, pool: Pool, registrar: Registrar, timeline: Timeline, node_id: Callable[[], UUID]) -> None:
        self._pool, self._registrar, self._timeline, self._node_id = pool, registrar, timeline, node_id
        self._tickets: dict[UUID, Ticket] = {}
        self._registrations = Registrations(pool, registrar, node_id)
        self._something = asyncio.Event()
        self._looked_s = 0.0
        self._next_in_s: float | None = None
        self._kept: set[asyncio.Task[Any]] = set()
        self._called_back: set[UUID] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_away = False
        self.on_kept: Callable[[Offer], Awaitable[None]] | None = None
        self.live: Callable[[], list[UUID]] | None = None
        """The calls that this node carries now."""
        registrar.on_change = self.wake

    @property
    def waiting(self) -> int:
        """Callers of this node who wait."""
        return len(self._tickets)

    def start(self) -> None:
        """Begins to match."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run()),
            loop.create_task(listen(self._pool, waiting.CHANNEL, self._on_hint)),
        ]

    async def close(self) -> None:
        """Matches no more; telephones of this node are unknown to the others from now on."""
        tasks = [*self._tasks, *self._kept]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._registrar.on_change = None
        names = self._registrations.names
        if names:
            self._timeline.put(lambda connection: presence.unreached(connection, self._node_id(), names))

    def wake(self) -> None:
        """Something changed."""
        self._something.set()

    # For callers.

    async def enter(self, queue: str, *, conversation_id: UUID, caller: str | None, wish: Wish) -> Ticket | None:
        """In line; None when nobody could ever take the call. Waits for as long as the database is away."""

        id = uuid7()

        async def enter(connection: Connection) -> InLine | None:
            return await routing.enter(
                connection,
                queue,
                conversation_id=conversation_id,
                node_id=self._node_id(),
                caller=caller,
                wish=wish,
                id=id,
            )

        await self._until_back(self.registered)
        line = await self.persist_or_undo(enter, lambda _: self.settle(id, "abandoned"))
        if line is None:
            self.settle(id, "nobody")  # a first try whose answer was lost may have written her down
            return None
        ticket = self._tickets[line.id] = Ticket(line, conversation_id, asyncio.Queue())
        self.wake()
        return ticket

    def leave(self, ticket: Ticket, outcome: Outcome) -> None:
        """Out of the line, whatever the database is doing; an agent who was reserved is free. Unless she keeps her
        place: where that is not decided yet, it is waited for."""
        self._tickets.pop(ticket.line.id, None)
        if ticket.keeping is None:
            self.settle(ticket.line.id, outcome)
            return

        def kept_or_left(keeping: asyncio.Task[bool]) -> None:
            if keeping.cancelled():
                return  # the node ends, and its lines with it
            self._tickets.pop(ticket.line.id, None)
            if keeping.exception() is not None or not keeping.result():
                self.settle(ticket.line.id, outcome)

        ticket.keeping.add_done_callback(kept_or_left)

    def settle(self, id: UUID, outcome: Outcome) -> None:
        """Writes down how a waiting or a talk ended; in its time, if the database is away."""

        async def settle(connection: Connection) -> None:
            await waiting.leave(connection, id, outcome)
            await waiting.hint(connection)

        self._timeline.put(settle)

    def forget(self, ticket: Ticket) -> None:
        """She talks, or keeps her place without us: nothing more comes for this ticket."""
        self._tickets.pop(ticket.line.id, None)

    async def keep_place(self, ticket: Ticket, number: str) -> bool:
        """She hangs up and stays in line; False when it is her turn just now. Once begun it goes to its end."""
        self.forget(ticket)
        keeping = ticket.keeping = asyncio.get_running_loop().create_task(self._keep_place(ticket, number))
        self._kept.add(keeping)
        keeping.add_done_callback(self._kept.discard)
        return await asyncio.shield(keeping)

    async def _keep_place(self, ticket: Ticket, number: str) -> bool:
        callback_id = uuid7()

        async def keep(connection: Connection) -> None:
            await callbacks.add_in_turn(
                connection, callback_id, number, asked_by=f"conversation:{ticket.conversation_id}"
            )
            if not await waiting.keep_place(connection, ticket.line.id, callback_id):
                raise _NotInLineError

        try:
            await self.persist(keep)
        except _NotInLineError:
            self._tickets[ticket.line.id] = ticket
            self.wake()
            return False
        return True

    async def persist(self, entry: Entry[T]) -> T:
        """Runs it in a transaction of its own, again until the database answers. The answer to a commit may be lost:
        what it does must be safe to do twice."""

        async def once() -> T:
            async with asyncio.timeout(WRITE_TIMEOUT_S), self._pool.acquire() as connection, connection.transaction():
                return await entry(connection)

        return await self._until_back(once)

    async def persist_or_undo(self, entry: Entry[T], undo: Callable[[T], None]) -> T:
        """The same; when whoever waits for it is gone before it is done, `undo` gets what it did."""
        doing = asyncio.get_running_loop().create_task(self.persist(entry))
        self._kept.add(doing)
        doing.add_done_callback(self._kept.discard)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            doing.add_done_callback(lambda done: undo(done.result()) if _is_well(done) else None)
            raise

    async def written(self) -> None:
        """What was to be written down before is, or that takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_WAIT_S):
                await self._timeline.written()

    async def _until_back(self, what: Callable[[], Awaitable[T]]) -> T:
        task = asyncio.current_task()
        told = task.cancelling() if task is not None else 0
        while True:
            try:
                return await what()
            except _AGAIN as error:
                if task is not None and task.cancelling() > told:
                    raise asyncio.CancelledError from None  # its tidying up failed, and hid it
                self._say_away(error)
            await asyncio.sleep(RETRY_S)

    # For agents.

    async def take_up(self, offer: Offer) -> bool:
        """Whether the agent may be rung now: her reservation still stands."""
        return await self.persist(
            lambda connection: presence.take_up(connection, offer.agent_id, offer.conversation_id)
        )

    async def connect(self, offer: Offer) -> bool:
        """Whether the agent who answered may have this caller."""
        return await self.persist(
            lambda connection: waiting.connect(connection, offer.id, offer.agent_id, offer.conversation_id)
        )

    async def give_back(self, offer: Offer, reason: str) -> None:
        """The agent did not answer."""

        async def give_back(connection: Connection) -> None:
            await waiting.give_back(connection, offer.id, offer.agent_id, offer.conversation_id, reason=reason)
            await waiting.hint(connection)

        await self.persist(give_back)
        self.wake()

    def put_back(self, offer: Offer) -> None:
        """The call failed before anybody was called for this place: written down in its time."""

        async def put_back(connection: Connection) -> None:
            await waiting.put_back(connection, offer.id, offer.agent_id, offer.conversation_id)
            await waiting.hint(connection)

        self._timeline.put(put_back)

    def after_call(
        self, agent_id: UUID, conversation_id: UUID, *, talked: bool = False, why: str | None = None
    ) -> None:
        """A call that we made is over for its agent: written down now, or when the database is back."""

        async def settle(connection: Connection) -> None:
            if talked:
                await presence.finish(connection, agent_id, conversation_id)
            elif why is not None:
                await presence.did_not_answer(connection, agent_id, conversation_id, why)
            else:
                await presence.free_again(connection, agent_id, conversation_id)
            await waiting.hint(connection)

        self._timeline.put(settle)

    async def free_for_calls(self, queue: str) -> int:
        """How many agents of that queue this node could ring for calls that we make."""
        async with self._pool.acquire() as connection:
            return await presence.free_for_calls(connection, queue, self._node_id())

    async def registered(self) -> None:
        """What telephones are registered here is written down. Raises what the database raises."""
        await self._registrations.write()

    # The loop.

    async def _run(self) -> None:
        while goes_on():
            try:
                await self._turn()
                if self._is_away:
                    log.info("queues go on")
                    self._is_away = False
            except Exception as error:
                if isinstance(error, db.AWAY) and not isinstance(error, _DEFECTS):
                    self._say_away(error)
                else:  # by whatever: a node that matches no more is the worst of all
                    log.exception("queues_failed", callers=len(self._tickets))
                self._next_in_s = None
                await asyncio.sleep(RETRY_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(TICK_S, max(GAP_S, self._next_in_s or TICK_S))):
                    await self._something.wait()
            self._something.clear()
            await asyncio.sleep(GAP_S)

    def _say_away(self, error: Exception) -> None:
        if not self._is_away:
            log.warning("queues wait for the database", why=type(error).__name__, callers=len(self._tickets))
        self._is_away = True

    async def _turn(self) -> None:
        await self.registered()
        async with asyncio.timeout(WRITE_TIMEOUT_S), self._pool.acquire() as connection:
            if time.monotonic() - self._looked_s >= TICK_S:
                async with connection.transaction():
                    await routing.look_round(connection)
                    if self.live is not None:
                        await waiting.clear_strays(connection, self._node_id(), self.live())
                await self._taken_out(connection)
                self._looked_s = time.monotonic()
            async with connection.transaction():
                turn = await routing.match(connection)
            self._next_in_s = turn.next_in_s
            found = await waiting.offers(connection, self._node_id())
        for offer in found:
            self._hand_over(offer)

    async def _taken_out(self, connection: Connection) -> None:
        quiet = [id for id, ticket in self._tickets.items() if not ticket.is_rung]
        if quiet:
            for id, outcome in (await waiting.taken_out(connection, quiet)).items():
                ticket = self._tickets.get(id)
                if ticket is not None and not ticket.is_rung:
                    ticket.coming.put_nowait(outcome)

    def _hand_over(self, offer: Offer) -> None:
        """To whoever waits, once; one for whom nobody here waits any more is let go by its last word, or in time."""
        if offer.kept_at is not None:
            if self.on_kept is not None and offer.id not in self._called_back:
                self._called_back.add(offer.id)
                task = asyncio.get_running_loop().create_task(self._call_back(offer, self.on_kept))
                self._kept.add(task)
                task.add_done_callback(self._kept.discard)
            return
        ticket = self._tickets.get(offer.id)
        if ticket is not None and not ticket.is_rung:
            ticket.is_rung = True
            ticket.coming.put_nowait(offer)

    async def _call_back(self, offer: Offer, on_kept: Callable[[Offer], Awaitable[None]]) -> None:
        try:
            await on_kept(offer)
        except Exception:  # one call's fault ends no other call
            log.exception("callback_failed", waiting=str(offer.id))
        finally:
            self._called_back.discard(offer.id)

    def _on_hint(self, node: str) -> None:
        if node in ("", str(self._node_id())):
            self.wake()


class _NotInLineError(Exception):
    pass


def _is_well(done: asyncio.Task[Any]) -> bool:
    return not done.cancelled() and done.exception() is None
