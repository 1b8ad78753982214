"""The room for one card, seen from the voice process: keys go in, what to say and one token come out.

The parent keeps no key: each is a constant of one byte that is sent at once. Everything is bounded, by time as well: a
child that dies, that does not deal with a message, or that lives too long, is killed, and its capture has ended with
`system_problem`. `RoomPool` keeps started children ready, since a caller should not wait for an interpreter.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tenderline.cardholder import wire
from tenderline.cardholder.messages import FIELDS, Action, Ended, Field
from tenderline.cardholder.spawn import NoRoomError, Started, start
from tenderline.cardholder.whereabouts import Whereabouts
from tenderline.cardholder.wire import Begin, GatewayTarget

__all__ = ["Begin", "Event", "Frames", "GatewayTarget", "NoRoomError", "Room", "RoomPool", "RoomSettings"]

EVENTS_MAX: Final = 256
SOUND_BYTES_MAX: Final = 20 * wire.CLIP_BYTES_MAX
PACKETS_AT_ONCE_MAX: Final = 32
LOOK_EVERY_S: Final = 1.0
STALLED_S: Final = 3.0
CANCEL_S: Final = 1.0
ASKING_GRACE_S: Final = 10.0
"""Beyond the gateway's own time-out: for looking its name up, which has one of its own."""
REAP_S: Final = 5.0

_KEYS: Final = tuple(bytes((code,)) for code in range(wire.KEYS_MAX))


@dataclass(frozen=True, repr=False)
class Frames:
    """The full number spoken, in mu-law at 8 kHz: card data as sound. For the caller's leg only, never a recording."""

    ulaw: bytes


Event = Action | Frames


@dataclass(frozen=True, kw_only=True)
class RoomSettings:
    """`clips`: by language, how zero to nine are spoken, in mu-law; needed for a full read-back only."""

    strict: bool = True
    """Nothing starts unless memory is locked and swap is off. Without it a room says what is missing and goes on."""
    rooms_max: int = 50
    """At once; each child is some 28 MB of locked memory."""
    lifetime_s: float = wire.LIFETIME_S_MAX
    start_s: float = 10.0
    clips: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    dumpable_for_tests: bool = False
    """Lets the test that looks for copies read the child's memory. Nothing else has a reason to."""


class Room:
    """One capture. Made by `RoomPool.take`; `next` gives what is to be done, and `Ended` for ever once it has ended."""

    def __init__(self, started: Started, settings: RoomSettings, target: GatewayTarget) -> None:
        self.why: str | None = None
        """Why the gateway gave no answer, or what the child died of, in words that may be logged."""
        self.is_cancelled = False
        """Whether it was to be ended: then a card that was taken in that instant is not used either."""
        self._process, self._link = started
        self._asking_s = target.timeout_s + ASKING_GRACE_S
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()
        self._ended: Ended | None = None
        self._sound = bytearray()
        self._sent = 1  # `begin` is a message like every other
        self._taken = 0
        self._asking = False
        now = time.monotonic()
        self._taken_at = now
        self._dies_at = now + settings.lifetime_s
        self._cancelled_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._link.fileno(), self._receive)
        self._watch: asyncio.TimerHandle | None = self._loop.call_later(LOOK_EVERY_S, self._look)

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether its child is still there."""
        return self._process.poll() is None

    def key(self, code: int) -> None:
        """A key that the caller pressed: 0 to 9, 10 for *, 11 for #, 12 to 15 for A to D."""
        self._send(_KEYS[code])

    def prompt_ended(self) -> None:
        """Everything that was to be said has been played."""
        self._send(wire.PROMPT_ENDED)

    def restart(self, field: Field) -> None:
        """The caller, or the agent, wants to key a field again."""
        self._send(wire.RESTART + bytes((FIELDS.index(field),)))

    def cancel(self) -> None:
        """Ends it, within a second even while the gateway is asked."""
        self.is_cancelled = True
        if self._ended is None:
            self._cancelled_at = time.monotonic()
            self._send(wire.CANCEL)
            self._loop.call_later(CANCEL_S, self._look_once)

    def gateway_is_at(self, addresses: list[str]) -> None:
        """So that the child can connect before the last key."""
        self._send(wire.ADDRESSES + wire.ENCODE(addresses))

    async def next(self) -> Event:
        """What is to be done next; waits for it."""
        while not self._events and self._ended is None:
            self._news.clear()
            await self._news.wait()
        if self._events:
            return self._events.popleft()
        assert self._ended is not None
        return self._ended

    async def close(self) -> None:
        """Kills the child, which is how its memory is emptied, and waits until it is gone. May be repeated."""
        self._over(Ended(result="cancelled"))
        await asyncio.to_thread(_reap, self._process)

    def _send(self, message: bytes) -> None:
        if self._ended is not None:
            return
        try:
            self._link.send(message)
        except OSError as error:  # gone, or so far behind that its socket is full
            self._problem(type(error).__name__)
            return
        if self._sent == self._taken:
            self._taken_at = time.monotonic()
        self._sent += 1

    def _receive(self) -> None:
        for _ in range(PACKETS_AT_ONCE_MAX):
            if self._ended is not None:
                return
            try:
                packet = self._link.recv(wire.PACKET_BYTES_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._problem(type(error).__name__)
                return
            if not packet:
                self._problem(self.why or "the child ended")
                return
            self._understand(packet)

    def _understand(self, packet: bytes) -> None:
        match packet[:1]:
            case wire.TAKEN:
                self._taken += 1
                self._taken_at = time.monotonic()
                self._asking = False
            case wire.ASKING:
                self._asking = True
                self._taken_at = time.monotonic()
            case wire.SOUND if len(self._sound) + len(packet) <= SOUND_BYTES_MAX:
                self._sound += memoryview(packet)[1:]
            case wire.SOUND_ENDS:
                self._happens(Frames(bytes(self._sound)))
                self._sound = bytearray()
            case b"{":
                self._hear(packet)
            case _:
                self._problem("an unknown message")

    def _hear(self, packet: bytes) -> None:
        try:
            word = wire.WORD.decode(packet)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._problem("an unreadable message")
            return
        match word:
            case wire.InVain(why=why):
                self.why = why
            case wire.Failed(kind=kind):
                self._problem(f"a defect ({kind})")
            case wire.Ready() | wire.Refused():
                self._problem("an unknown message")
            case Ended():
                self._ended = word
                self._happens(word)
            case _:
                self._happens(word)

    def _happens(self, event: Event) -> None:
        if len(self._events) >= EVENTS_MAX:
            self._problem("nobody takes what happens")
            return
        if not isinstance(event, Ended):
            self._events.append(event)
        self._news.set()

    def _look(self) -> None:
        """Once a second: a child that does not answer, or is too old, is not waited for."""
        self._watch = None
        self._look_once()
        if self._ended is None:
            self._send(wire.PING)
        if self._link.fileno() >= 0:
            self._watch = self._loop.call_later(LOOK_EVERY_S, self._look)

    def _look_once(self) -> None:
        now = time.monotonic()
        if now >= self._dies_at:
            self._problem("its time is over")
            self._over(wire.SYSTEM_PROBLEM)
        if self._ended is not None:
            return
        if self._cancelled_at is not None and now >= self._cancelled_at + CANCEL_S:
            self._over(Ended(result="cancelled"))
        elif self._sent > self._taken and now > self._taken_at + (self._asking_s if self._asking else STALLED_S):
            self._problem("the child does not answer")

    def _problem(self, why: str) -> None:
        if self._ended is None:
            self.why = why
            self._over(wire.SYSTEM_PROBLEM)

    def _over(self, ended: Ended) -> None:
        """Kills the child and lets go of everything; what had ended before stays as it was."""
        if self._link.fileno() >= 0:
            self._loop.remove_reader(self._link.fileno())
            self._link.close()
            self._process.kill()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._sound = bytearray()
        if self._ended is None:
            self._events.clear()
            self._ended = ended
            self._news.set()


class RoomPool:
    """Started children, and the rooms that were made of them."""

    def __init__(self, settings: RoomSettings, warm: int) -> None:
        self.missing: list[str] = []
        """What the last child had to do without; empty when strict."""
        self._settings = settings
        self._warm = warm
        self._idle: deque[Started] = deque()
        self._rooms: set[Room] = set()
        self._opening = 0
        self._whereabouts = Whereabouts()
        self._filling: asyncio.Task[None] | None = None
        self._closed = False

    async def warm_up(self) -> None:
        """Starts as many children as are kept ready. Raises `NoRoomError` when this machine cannot have one."""
        while len(self._idle) < self._warm and not self._closed:
            started = await self._start()
            if self._closed:
                await _discard(started)
            else:
                self._idle.append(started)

    async def take(self, begin: Begin) -> Room:
        """A room for one capture. Raises `NoRoomError`, which says why."""
        self._rooms = {room for room in self._rooms if room.is_alive}
        if self._closed or len(self._rooms) + self._opening >= self._settings.rooms_max:
            raise NoRoomError("No more cards can be taken at once; raise the bound of rooms if memory allows.")
        self._opening += 1
        try:
            room = await self._open(begin)
        finally:
            self._opening -= 1
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._fill())
        return room

    async def _open(self, begin: Begin) -> Room:
        started = await self._ready()
        try:
            await asyncio.wait_for(self._prepare(started, begin), self._settings.start_s)
            if self._closed:
                raise NoRoomError("No card can be taken any more: this is being shut down.")
        except (OSError, TimeoutError) as error:
            await _discard(started)
            raise NoRoomError(f"The process for card data did not take its task ({type(error).__name__}).") from None
        except (NoRoomError, asyncio.CancelledError):
            await _discard(started)
            raise
        room = Room(started, self._settings, begin.gateway)
        self._rooms.add(room)
        self._whereabouts.tell(begin.gateway, room.gateway_is_at)
        return room

    async def close(self) -> None:
        """Kills and reaps every child, also those that are in use."""
        self._closed = True
        self._whereabouts.close()
        if self._filling is not None:
            self._filling.cancel()
            with suppress(asyncio.CancelledError):
                await self._filling
        while self._idle:
            await _discard(self._idle.popleft())
        for room in list(self._rooms):
            await room.close()
        self._rooms.clear()

    async def _fill(self) -> None:
        # What is wrong now is told to whoever takes a room next: that starts one, and says why it cannot.
        with suppress(NoRoomError):
            await self.warm_up()

    async def _ready(self) -> Started:
        while self._idle:
            started = self._idle.popleft()
            if started.process.poll() is None:
                return started
            await _discard(started)
        return await self._start()

    async def _start(self) -> Started:
        """A child that has said that it is ready."""
        options = [wire.STRICT] * self._settings.strict + [wire.DUMPABLE] * self._settings.dumpable_for_tests
        starting = asyncio.ensure_future(asyncio.to_thread(start, *options))
        try:
            started = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _discard(await starting)
            raise
        try:
            packet = await asyncio.wait_for(
                asyncio.get_running_loop().sock_recv(started.link, wire.PACKET_BYTES_MAX), self._settings.start_s
            )
            word = wire.WORD.decode(packet)
        except (OSError, TimeoutError, msgspec.MsgspecError) as error:
            await _discard(started)
            status = started.process.returncode
            raise NoRoomError(f"The process for card data ended with {status} ({type(error).__name__}).") from None
        except asyncio.CancelledError:
            await _discard(started)
            raise
        if isinstance(word, wire.Ready):
            self.missing = word.missing
            return started
        await _discard(started)
        missing = "; ".join(word.missing) if isinstance(word, wire.Refused) else type(word).__name__
        raise NoRoomError(f"This machine cannot hold card data safely: {missing}.")

    async def _prepare(self, started: Started, begin: Begin) -> None:
        loop = asyncio.get_running_loop()
        if begin.policy.read_back == "full":
            clips = self._settings.clips.get(begin.language.split("-")[0], ())
            if len(clips) != wire.DIGIT_CLIPS or not all(0 < len(clip) <= wire.CLIP_BYTES_MAX for clip in clips):
                raise NoRoomError(f"There are no clips of ten digits in {begin.language!r}; read back the last four.")
            for digit, clip in enumerate(clips):
                for at in range(0, len(clip), wire.SOUND_BYTES_MAX):
                    part = clip[at : at + wire.SOUND_BYTES_MAX]
                    await loop.sock_sendall(started.link, wire.CLIP + bytes((digit,)) + part)
        await loop.sock_sendall(started.link, wire.ENCODE(begin))


async def _discard(started: Started) -> None:
    started.link.close()
    await asyncio.to_thread(_reap, started.process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """In a thread. One that was killed ends at once, unless the kernel is in trouble; then it is not waited for."""
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(REAP_S)
