"""Two who talk, and what goes wrong while something is asked of them."""

from __future__ import annotations

import asyncio

import pytest

from support.order_world import Talk, turn, until
from tenderline.voice.orders import NotNowError, Orders


async def test_a_payment_refused_while_the_caller_is_on_hold_leaves_the_two_hearing_each_other():
    async def refuse(order, pair):
        order.refuse(NotNowError())

    talk = Talk(refuse)
    call = await talk.begin()
    assert await talk.orders.give("hold", {}) == {"held": True}
    with pytest.raises(NotNowError):
        await talk.orders.give("secure_payment", {})
    assert talk.hear_each_other
    assert await talk.orders.give("retrieve", {}) == {"held": False}
    assert talk.hear_each_other
    await talk.hang_up(call)
    assert talk.books.parts == ["agent", "hold", "agent"]


@pytest.mark.parametrize("when", ["she is sought", "a payment is taken"])
async def test_an_agent_who_hangs_up_while_an_order_is_carried_out_hands_over_to_whoever_is_sought(when):
    paid = asyncio.Event()

    async def pay(order, pair):
        order.answer({})
        await paid.wait()

    talk = Talk(pay)
    talk.world.busy |= {"bob", "eve"}
    call = await talk.begin()
    asked = asyncio.ensure_future(talk.orders.give("escalate", {}))
    await until(lambda: talk.world.lines)
    if when == "a payment is taken":
        await asked
        await talk.orders.give("secure_payment", {})
    talk.anna.party.dialog.hang_up()
    await turn(4)
    paid.set()
    assert await asked == {"escalating": True}
    await turn(10)
    assert talk.world.lines == ["supervisor"]
    ((name, ringing),) = talk.world.ringing.items()
    ringing.set_result(True)
    await until(lambda: name in talk.world.on_line)
    await until(lambda: talk.caller.leg.peer is talk.world.on_line[name].leg)
    await talk.hang_up(call)


async def test_an_order_that_breaks_or_whose_call_ends_is_refused_and_nobody_waits_for_ever():
    async def breaks(order, pair):
        raise ZeroDivisionError

    talk = Talk(breaks)
    call = await talk.begin()
    async with asyncio.timeout(20):
        with pytest.raises(NotNowError):
            await talk.orders.give("secure_payment", {})
        with pytest.raises(ZeroDivisionError):
            await call

    async def never(order, pair):
        await asyncio.Event().wait()

    talk = Talk(never)
    call = await talk.begin()
    asked = asyncio.ensure_future(talk.orders.give("secure_payment", {}))
    await turn(4)
    call.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(NotNowError):
            await asked
    await asyncio.gather(call, return_exceptions=True)


async def test_what_nobody_took_in_time_is_refused_and_is_not_done_later(monkeypatch):
    monkeypatch.setattr("tenderline.voice.orders.ANSWERED_WITHIN_S", 0.01)
    orders = Orders()
    orders.open()
    with pytest.raises(NotNowError):
        await orders.give("hang_up", {})
    coming = asyncio.ensure_future(orders.next())
    await turn(4)
    assert not coming.done(), "who asked has been told that it is not done"
    monkeypatch.undo()
    asked = asyncio.ensure_future(orders.give("hold", {}))
    (await coming).answer({"held": True})
    assert await asked == {"held": True}


async def test_a_telephone_that_holds_during_a_payment_does_not_cut_it_short_in_the_books():
    paid = asyncio.Event()

    async def pay(order, pair):
        order.answer({})
        pair.books.segment("secure_ivr")
        await paid.wait()
        pair.resume()

    talk = Talk(pay)
    call = await talk.begin()
    await talk.orders.give("secure_payment", {})
    for party in (talk.caller, talk.anna.party):
        for on in (True, False):
            if party.on_hold is not None:
                party.on_hold(on)
    paid.set()
    await turn(4)
    assert talk.books.parts == ["agent", "secure_ivr", "agent"]
    talk.anna.party.on_hold(True)
    assert talk.books.parts[-1] == "hold"
    await talk.hang_up(call)
