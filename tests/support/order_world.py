"""A world of agents and lines without sound, in which whoever talks on a call asks for this and that."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from uuid import UUID, uuid5

from tenderline.cardholder import wire
from tenderline.cardholder.messages import Ended as Captured
from tenderline.cardholder.room import Room, RoomSettings
from tenderline.cardholder.spawn import Started
from tenderline.voice.dialog import Ended
from tenderline.voice.mixing import SILENCE, Wiring
from tenderline.voice.orders import Orders
from tenderline.voice.packet import PCMU
from tenderline.voice.party import Party
from tenderline.voice.reaching import Reach
from tenderline.voice.succession import Succession
from tenderline.voice.switch import AgentOnCall, Other, once

ROOT = UUID(int=7)
AGENTS = ["anna", "bob", "eve"]
IDS = {name: uuid5(ROOT, name) for name in AGENTS}
NAMES = {id: name for name, id in IDS.items()}


class Leg:
    payload_type, heard, told, on_key = PCMU, SILENCE, SILENCE, None

    def __init__(self) -> None:
        self.peer, self.masked, self.secret, self.is_listened_to = None, False, False, False
        self.is_closed, self.said = False, 0
        self._silent = asyncio.Event()

    def enqueue(self, frames) -> None:
        self.said += 1
        self._silent.clear()

    async def played(self) -> None:
        await self._silent.wait()

    def be_quiet(self) -> None:
        self._silent.set()

    def mask(self, on, *, peer_hears=False) -> None:
        self.masked = on

    def close(self) -> None:
        self.is_closed, self.peer = True, None


class Dialog:
    on_ended = None
    ended = None

    def hang_up(self) -> None:
        self.ended = Ended(200, "gone")
        self.on_ended(self.ended)


class World:
    """Agents who are free, rung, or on a call; lines that somebody waits in. The test answers for them."""

    def __init__(self) -> None:
        self.busy: set[str] = set()
        self.queues = ("general", "supervisor")
        self.lines: list[str] = []
        self.entered: list[str] = []
        self.legs: list[Leg] = []
        self.on_line: dict[str, Party] = {}
        self.ringing: dict[str, asyncio.Future[bool]] = {}
        self.freed = asyncio.Event()

    def party(self) -> Party:
        leg = Leg()
        self.legs.append(leg)
        return Party(SimpleNamespace(), Dialog(), leg)

    async def ring(self, name: str):
        assert name not in self.busy, "never one agent twice"
        self.busy.add(name)
        self.ringing[name] = asyncio.get_running_loop().create_future()
        answered = None
        try:
            if await self.ringing[name]:
                answered = self.party()
        finally:
            self.ringing.pop(name, None)
            if answered is None:
                self.let_go(name)
        if answered is None:
            return None
        self.on_line[name] = answered

        def release() -> None:
            answered.close()
            self.on_line.pop(name, None)
            self.let_go(name)

        return AgentOnCall(name, answered, once(release), IDS[name])

    def let_go(self, name: str) -> None:
        self.busy.discard(name)
        self.freed.set()

    async def agent_for(self, queue, *, entered=None, **_):
        if queue not in self.queues:
            return "nobody"
        self.lines.append(queue)
        self.entered.append(queue)
        try:
            await turn(4)
            if entered is not None:
                entered()
            while True:
                free = [name for name in AGENTS if name not in self.busy]
                if free and (found := await self.ring(free[0])) is not None:
                    return found
                self.freed.clear()
                await self.freed.wait()
        finally:
            self.lines.remove(queue)

    async def agent(self, agent_id, *, reserved=None, **_):
        await turn(4)
        if NAMES[agent_id] in self.busy:
            return "not_free"
        if reserved is not None:
            reserved()
        return await self.ring(NAMES[agent_id]) or "no_answer"

    async def reach(self, to, **_):
        self.ringing[to] = asyncio.get_running_loop().create_future()
        try:
            return self.party() if await self.ringing[to] else "no_answer"
        finally:
            self.ringing.pop(to, None)

    def may_dial(self, to) -> bool:
        return to == "+12025550123"


class Voice:
    """Says everything in silence."""

    async def prepare(self, spoken):
        return [SILENCE]


class Card:
    """A room with a child of the test's: `captured` is its last word."""

    def __init__(self) -> None:
        ours, self._child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        process = SimpleNamespace(pid=1, poll=lambda: None, kill=lambda: None, wait=lambda timeout: 0)
        self.room = Room(Started(process, ours), RoomSettings(), SimpleNamespace(timeout_s=5))

    def captured(self) -> None:
        """A card was keyed in, and has a token."""
        self._child.send(wire.ENCODE(Captured(result="captured", token="pm_1", brand="visa", last_four="4242")))

    def cancelled(self) -> None:
        """It was told to end, and did."""
        self._child.send(wire.ENCODE(Captured(result="cancelled")))


class Cards:
    """Those that were taken, the newest last."""

    def __init__(self) -> None:
        self.taken: list[Card] = []

    async def take(self, language, *, attended):
        self.taken.append(Card())
        return self.taken[-1].room


class Books:
    def __init__(self) -> None:
        self.here: set[UUID] = set()
        self.parts: list[str] = []

    async def record(self, on, *, sensitive=False) -> None: ...

    def segment(self, kind, detail="") -> None:
        self.parts.append(kind)

    def join(self, id, purpose, address) -> None:
        self.here.add(id)

    def leave(self, id) -> None:
        self.here.discard(id)

    def note(self, entry) -> None: ...


async def turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def until(happened) -> None:
    """Waits for it."""
    async with asyncio.timeout(20):
        while not happened():
            await turn(1)


class Talk:
    """The caller and anna, who talk; `orders` are hers to give. `pay` is what a payment does."""

    def __init__(self, pay) -> None:
        self.world, self.books, self.orders = World(), Books(), Orders()
        self.caller = self.world.party()
        wiring, reach = Wiring(self.caller.leg), Reach(self.world, ROOT, "+12025550100")
        self._succession = Succession(self.caller, self.books, self.orders, pay, wiring, reach, "general")

    async def begin(self) -> asyncio.Task:
        """They talk from here on; the task ends with the last who talks with the caller."""
        ringing = asyncio.ensure_future(self.world.ring("anna"))
        await turn(2)
        self.world.ringing["anna"].set_result(True)
        self.anna = Other.agent(await ringing)
        call = asyncio.ensure_future(self._succession.to_the_end(self.anna))
        await turn(4)
        return call

    @property
    def hear_each_other(self) -> bool:
        """The caller and anna."""
        one, other = self.caller.leg, self.anna.party.leg
        return (one.peer, other.peer) == (other, one)

    async def hang_up(self, call: asyncio.Task) -> None:
        """The caller does."""
        self.caller.dialog.hang_up()
        self.caller.close()
        await asyncio.gather(call, return_exceptions=True)
