"""A caller in distress on a live call: wherever she is, no card is charged any more and a supervisor is sought."""

from __future__ import annotations

import asyncio

import pytest

from support.order_world import ROOT, Books, Cards, Voice, World, turn, until
from tenderline.flows.call import CallEndedError, CardKeyed
from tenderline.flows.spoken import Spoken
from tenderline.voice.orders import NotNowError
from tenderline.voice.phone_call import PhoneCall
from tenderline.voice.secure_payment import TooLateError
from tenderline.voice.switch import Other

WORDS = Spoken("en", ())
PAYMENT = {"session_id": str(ROOT), "flow": "pay", "mode": "leave"}


class Flow:
    """Takes a card, and another when the bank declines it; then asks the bank about it until `charged`."""

    def __init__(self, declines=0) -> None:
        self.declines, self.keyed, self.charged = declines, [], asyncio.Event()
        self.asks_the_bank = asyncio.Event()

    def knows(self, name):
        return True

    async def run(self, call, name):
        for at in range(self.declines + 1):
            card = await call.card(lambda prompt, values: WORDS)
            self.keyed.append(card)
            if not isinstance(card, CardKeyed):
                call.variables["payment_result"] = "abandoned"
                return "returned"
            if at == self.declines:
                self.asks_the_bank.set()
                await self.charged.wait()
                call.variables["payment_result"] = "success"
        return "returned"


class OneCall:
    """A call, and whatever it needs."""

    def __init__(self, flow=None) -> None:
        self.world, self.books, self.cards, self.flow = World(), Books(), Cards(), flow or Flow()
        self.caller = self.world.party()
        self.results = []
        self.call = PhoneCall(
            self.caller, conversation_id=ROOT, caller="+12025550100", called="+18005550123", language="en",
            prompter=Voice(), scribe=self.books, switch=self.world, taken=True, cards=self.cards, flows=self.flow,
        )  # fmt: skip
        self.books.note = self.results.append

    async def asked(self, kind, **detail):
        async with asyncio.timeout(20):
            return await self.call.orders.give(kind, detail)

    async def distress(self):
        assert await self.asked("distress", reason="a word") == {"distress": True}
        return await self.asked("escalate", reason="a word", waits=True)

    async def answers(self):
        """Whoever is rung takes the call, and the caller hears her."""
        await until(lambda: self.world.ringing)
        ((name, ringing),) = self.world.ringing.items()
        ringing.set_result(True)
        await until(lambda: name in self.world.on_line)
        await until(lambda: self.caller.leg.peer is self.world.on_line[name].leg)
        return self.world.on_line[name]

    async def with_an_agent(self):
        ringing = asyncio.ensure_future(self.world.ring("anna"))
        await turn(2)
        self.world.ringing["anna"].set_result(True)
        self.anna = Other.agent(await ringing)
        talk = asyncio.ensure_future(self.call.talk(self.anna, "general"))
        await turn(4)
        return talk

    async def pays(self):
        """She keys in a card."""
        known = len(self.cards.taken)
        assert await self.asked("secure_payment", **PAYMENT) == {"state": "PENDING"}
        await self.next_card(known)

    async def next_card(self, known):
        await until(lambda: len(self.cards.taken) > known)
        await turn(4)

    async def over(self, task):
        self.caller.dialog.hang_up()
        self.caller.close()
        async with asyncio.timeout(20):
            await asyncio.gather(task, return_exceptions=True)

    async def seeks(self, *queues):
        await until(lambda: self.world.lines == list(queues))


@pytest.mark.parametrize("agent_stays", [True, False])
async def test_a_payment_ends_and_then_a_supervisor_is_sought(agent_stays):
    one = OneCall()
    talk = await one.with_an_agent()
    one.world.busy |= {"bob", "eve"}
    await one.pays()
    assert await one.distress() == {"escalating": True}
    if not agent_stays:
        one.anna.party.dialog.hang_up()
    one.cards.taken[0].cancelled()
    await one.seeks("supervisor")
    if agent_stays:
        assert one.caller.leg.peer is one.anna.party.leg, "the two talk on meanwhile"
    one.world.let_go("eve")
    await one.answers()
    assert one.flow.keyed == ["cancelled"]
    await one.over(talk)


async def test_a_supervisor_is_sought_after_a_charge_that_cannot_be_stopped_any_more():
    one = OneCall()
    talk = await one.with_an_agent()
    one.world.busy |= {"bob", "eve"}
    await one.pays()
    one.cards.taken[0].captured()
    await one.flow.asks_the_bank.wait()
    await one.distress()
    with pytest.raises(TooLateError):
        await one.asked("secure_cancel")
    assert one.world.lines == []
    one.flow.charged.set()
    await one.seeks("supervisor")
    await one.over(talk)


@pytest.mark.parametrize("how", ["secure_cancel", "distress"])
async def test_after_a_declined_card_the_next_one_can_be_stopped(how):
    one = OneCall(Flow(declines=1))
    talk = await one.with_an_agent()
    await one.pays()
    one.cards.taken[0].captured()
    await one.next_card(1)
    await one.asked(how)
    assert one.cards.taken[1].room.is_cancelled
    one.cards.taken[1].cancelled()
    await until(lambda: len(one.flow.keyed) == 2)
    assert [type(card) for card in one.flow.keyed] == [CardKeyed, str]
    await one.over(talk)


async def test_a_card_that_is_captured_in_the_instant_of_a_cancel_is_not_charged():
    one = OneCall()
    talk = await one.with_an_agent()
    await one.pays()
    one.cards.taken[0].captured()
    room = one.cards.taken[0].room
    await until(lambda: room._ended is not None)
    assert await one.asked("secure_cancel") == {}, "nothing is charged"
    await until(lambda: one.flow.keyed)
    assert one.flow.keyed == ["cancelled"]
    await one.over(talk)


@pytest.mark.parametrize("where", ["a prompt", "a key", "a good-bye", "in line"])
async def test_from_wherever_a_flow_has_her_she_is_put_to_a_supervisor_and_the_call_ends_with_that(where):
    one = OneCall()
    one.world.busy |= {"anna", "bob"}
    wait = {"wait_max_s": 60, "comfort": None, "comfort_every_s": 45}
    doing = asyncio.ensure_future(
        {
            "a prompt": lambda: one.call.say(WORDS, cut_by_key=False),
            "a key": lambda: one.call.key(timeout_s=60),
            "a good-bye": lambda: asyncio.sleep(0),
            "in line": lambda: one.call.queue("general", **wait),
        }[where]()
    )
    if where == "in line":
        one.world.busy.add("eve")
        await one.seeks("general")
    await turn(8)
    assert await one.distress() == {"escalating": True}
    if where == "a good-bye":
        doing = asyncio.ensure_future(one.call.hang_up())
    await one.seeks("supervisor")
    one.world.let_go("eve")
    supervisor = await one.answers()
    supervisor.dialog.hang_up()
    async with asyncio.timeout(20):
        if where == "a good-bye":
            await doing
        else:
            with pytest.raises(CallEndedError):
                await doing
    assert one.caller.is_gone
    assert one.world.lines == []


@pytest.mark.parametrize("where", ["a key", "in line"])
async def test_when_there_is_no_supervisor_she_is_where_she_was(where, monkeypatch):
    one = OneCall()
    one.world.queues = ("general",)
    one.world.busy |= {"anna", "bob", "eve"}
    wait = {"wait_max_s": 60, "comfort": None, "comfort_every_s": 45}
    if where == "in line":
        doing = asyncio.ensure_future(one.call.queue("general", **wait))
        await one.seeks("general")
        await one.distress()
        await until(lambda: one.books.parts == ["queue", "queue", "ivr", "queue"])
        await one.seeks("general")
        one.world.let_go("bob")
        await one.answers()
        await one.over(doing)
        return
    doing = asyncio.ensure_future(one.call.key(timeout_s=60))
    await turn(4)
    await one.distress()
    await until(lambda: one.books.parts[-1:] == ["ivr"])
    await turn(4)
    assert not doing.done(), "she has the time that is left"
    one.caller.leg.on_key("5")
    async with asyncio.timeout(5):
        assert await doing == "5"
    assert not one.caller.is_gone


async def test_what_was_cut_for_a_supervisor_who_is_not_there_is_said_again_from_its_beginning():
    one = OneCall()
    one.world.queues = ("general",)
    doing = asyncio.ensure_future(one.call.say(WORDS, cut_by_key=False))
    await until(lambda: one.caller.leg.said == 1)
    await one.distress()
    await until(lambda: one.books.parts[-1:] == ["ivr"])
    await turn(8)
    assert not doing.done()
    one.caller.leg.be_quiet()
    async with asyncio.timeout(5):
        assert await doing is False


@pytest.mark.parametrize("passes", range(8))
async def test_an_agent_who_answers_in_the_instant_in_which_the_caller_hangs_up_is_let_go(passes):
    one = OneCall()
    doing = asyncio.ensure_future(one.call.queue("general", wait_max_s=60, comfort=None, comfort_every_s=45))
    await until(lambda: one.world.ringing)
    one.world.ringing["anna"].set_result(True)
    await turn(passes)
    one.caller.dialog.hang_up()
    with pytest.raises(CallEndedError):
        async with asyncio.timeout(5):
            await doing
    await turn(4)
    assert (one.world.on_line, one.world.busy, one.world.lines) == ({}, set(), [])
    assert all(leg.is_closed for leg in one.world.legs if leg is not one.caller.leg)


@pytest.mark.parametrize("passes", range(8))
async def test_an_agent_who_answers_in_the_instant_in_which_a_supervisor_is_wanted_talks_or_is_let_go(passes):
    one = OneCall()
    one.world.queues = ("general",)
    one.world.busy |= {"bob", "eve"}
    doing = asyncio.ensure_future(one.call.queue("general", wait_max_s=60, comfort=None, comfort_every_s=45))
    await until(lambda: one.world.ringing)
    one.world.ringing["anna"].set_result(True)
    await turn(passes)
    one.call.orders.supervisor_wanted.set()
    await turn(40)
    assert ("anna" in one.world.ringing) or one.caller.leg.peer is one.world.on_line["anna"].leg
    await one.over(doing)
    assert (one.world.on_line, one.world.busy) == ({}, {"bob", "eve"})


class Refers:
    """The other side takes a transfer."""

    def __init__(self, one) -> None:
        self.one = one
        one.world.uri_of = lambda to: f"sip:{to}@127.0.0.1"
        one.caller.dialog.refer = self

    async def __call__(self, uri):
        self.one.call.orders.supervisor_wanted.set()
        return 202


@pytest.mark.parametrize("how", ["transfer", "to_provider"])
async def test_nobody_is_sought_for_a_caller_who_was_handed_over_to_another_system(how):
    one = OneCall()
    Refers(one)
    ways = {
        "transfer": lambda: one.call.transfer("+12025550123", ring_s=5),
        "to_provider": lambda: one.call.to_provider("+12025550123", {}),
    }
    async with asyncio.timeout(5):
        assert await ways[how]() == "transferred"
    assert one.caller.is_gone
    assert (one.world.ringing, one.world.lines) == ({}, [])


async def test_who_waits_to_be_handed_on_waits_for_a_supervisor_instead():
    one = OneCall()
    talk = await one.with_an_agent()
    one.world.busy |= {"bob", "eve"}
    assert await one.asked("transfer", to="queue:general") == {"transferring": True}
    one.world.busy.add("anna")
    await turn(20)
    await one.distress()
    await one.seeks("supervisor")
    await one.over(talk)
    assert one.world.lines == []


async def test_without_a_supervisor_whoever_was_sought_before_is_sought_again():
    one = OneCall()
    one.world.queues = ("general", "second")
    talk = await one.with_an_agent()
    one.world.busy |= {"bob", "eve"}
    assert await one.asked("transfer", to="queue:second") == {"transferring": True}
    one.world.busy.add("anna")
    await one.seeks("second")
    await until(lambda: one.books.parts[-1] == "queue")
    await one.distress()
    await turn(20)
    await one.seeks("second")
    one.world.let_go("bob")
    assert await one.answers() is one.world.on_line["bob"]
    await one.over(talk)
    assert one.world.lines == []


async def test_a_second_wish_for_a_supervisor_does_not_lose_her_place_in_their_line():
    one = OneCall()
    one.world.busy |= {"anna", "bob", "eve"}
    doing = asyncio.ensure_future(one.call.key(timeout_s=60))
    await turn(4)
    await one.distress()
    await one.seeks("supervisor")
    began = len(one.world.entered)
    await one.asked("escalate", reason="another word", waits=True)
    await turn(20)
    assert len(one.world.entered) == began
    assert not one.call.orders.supervisor_wanted.is_set()
    one.world.let_go("eve")
    await one.answers()
    await one.over(doing)


async def test_what_an_agent_asks_for_is_refused_as_ever_when_nobody_takes_orders():
    one = OneCall()
    with pytest.raises(NotNowError):
        await one.asked("escalate", reason="an angry donor")
    assert not one.call.orders.supervisor_wanted.is_set()
