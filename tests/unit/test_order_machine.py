"""Orders and hang-ups in any sequence: nobody is rung twice, and nothing is left of a call when it is over.

The parties are real, without sound; the switch is a world of agents and lines that does what the test says.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from uuid import UUID, uuid5

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenderline.core.errors import TenderlineError
from tenderline.flows.call import CallEndedError
from tenderline.voice.dialog import Ended
from tenderline.voice.mixing import SILENCE, Wiring
from tenderline.voice.monitoring import Monitoring
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
    payload_type, heard, told = PCMU, SILENCE, SILENCE

    def __init__(self) -> None:
        self.peer, self.masked, self.secret, self.is_listened_to = None, False, False, False
        self.is_closed = False
        self._silent = asyncio.Event()

    def enqueue(self, frames) -> None:
        self._silent.clear()

    async def played(self) -> None:
        await self._silent.wait()

    def be_quiet(self) -> None:
        self._silent.set()

    def close(self) -> None:
        self.is_closed, self.peer = True, None


class Dialog:
    on_ended = None

    def hang_up(self) -> None:
        self.on_ended(Ended(200, "gone"))


class World:
    """Agents who are free, rung, or on a call; lines that somebody waits in. The test answers for them."""

    def __init__(self) -> None:
        self.busy: set[str] = set()
        self.lines: list[str] = []
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
        if queue not in ("general", "supervisor"):
            return "nobody"
        self.lines.append(queue)
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


class Books:
    def __init__(self) -> None:
        self.here: set[UUID] = set()

    def segment(self, kind, detail="") -> None: ...

    def join(self, id, purpose, address) -> None:
        self.here.add(id)

    def leave(self, id) -> None:
        self.here.discard(id)

    def note(self, entry) -> None: ...


TARGETS = st.sampled_from(
    ["queue:general", "queue:none", "+12025550123", "+12025550124", *(f"agent:{id}" for id in IDS.values())]
)
ACTS = st.one_of(
    st.tuples(st.sampled_from(["transfer", "consult"]), TARGETS),
    st.tuples(
        st.sampled_from(
            ["complete_transfer", "cancel_consult", "escalate", "hang_up", "hold", "retrieve", "what", "secure_payment"]
        ),
        st.none(),
    ),
    st.tuples(st.sampled_from(["monitor", "monitor_stop"]), st.sampled_from(AGENTS)),
    st.tuples(st.sampled_from(["answers", "refuses"]), st.integers(0, 3)),
    st.tuples(st.just("goes"), st.integers(0, 3)),
    st.tuples(st.just("caller goes"), st.none()),
)
SCRIPT = st.lists(st.tuples(ACTS, st.integers(0, 12)), max_size=25)


async def turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def act(world: World, caller: Party, orders: Orders, asked: list, kind: str, what) -> None:
    match kind:
        case "answers" | "refuses":
            waiting = [one for one in world.ringing.values() if not one.done()]
            if waiting:
                waiting[what % len(waiting)].set_result(kind == "answers")
        case "goes":
            there = list(world.on_line.values())
            if there:
                there[what % len(there)].dialog.hang_up()
        case "caller goes":
            caller.dialog.hang_up()
        case _:
            detail = {"agent_id": str(IDS[what])} if what in IDS else {"to": what}
            asked.append(asyncio.ensure_future(orders.give(kind, detail, by="test")))


async def run(script) -> None:
    world, orders, books = World(), Orders(), Books()
    caller = world.party()
    wiring, asked = Wiring(caller.leg), []
    Monitoring(caller, wiring, books, world, ROOT).take_orders(orders)

    async def pay(order, pair) -> None:
        order.answer({})
        await asyncio.sleep(0)

    first = asyncio.ensure_future(world.ring("anna"))
    await turn(2)
    world.ringing["anna"].set_result(True)
    anna = Other.agent(await first)
    succession = Succession(caller, books, orders, pay, wiring, Reach(world, ROOT, "+12025550100"), "general")
    call = asyncio.ensure_future(succession.to_the_end(anna))
    for (kind, what), turns in script:
        act(world, caller, orders, asked, kind, what)
        await turn(turns)
        heard = caller.leg.peer
        assert heard is None or call.done() or not getattr(heard, "is_closed", False)
    await turn(30)
    if call.done():
        assert call.exception() is None or isinstance(call.exception(), CallEndedError)
        assert call.exception() is not None or call.result() in ("talked", "nobody", "timed_out")
    caller.dialog.hang_up()
    caller.close()
    with suppress(CallEndedError):
        await call
    await turn(60)
    for one in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(one, dict | TenderlineError), one
    assert (world.busy, world.lines, world.on_line, books.here) == (set(), [], {}, set())
    assert all(one.is_closed and one.peer is None for one in world.legs)
    left = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    assert not left, left


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCRIPT)
def test_whoever_asks_or_hangs_up_at_whatever_moment_nothing_is_left(script):
    async def limited() -> None:
        async with asyncio.timeout(20):
            await run(script)

    asyncio.run(limited())
