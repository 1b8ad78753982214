"""Orders and hang-ups in any sequence: nobody is rung twice, and nothing is left of a call when it is over.

The parties are real, without sound; the switch is a world of agents and lines that does what the test says.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.order_world import AGENTS, IDS, ROOT, Books, World, turn
from tenderline.core.errors import TenderlineError
from tenderline.flows.call import CallEndedError
from tenderline.voice.mixing import Wiring
from tenderline.voice.monitoring import Monitoring
from tenderline.voice.orders import Orders
from tenderline.voice.party import Party
from tenderline.voice.reaching import Reach
from tenderline.voice.succession import Succession
from tenderline.voice.switch import Other

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
    st.tuples(st.sampled_from(["caller goes", "supervisor wanted"]), st.none()),
)
SCRIPT = st.lists(st.tuples(ACTS, st.integers(0, 12)), max_size=25)


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
        case "supervisor wanted":
            asked.append(asyncio.ensure_future(orders.give("escalate", {"waits": True}, by="test")))
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
