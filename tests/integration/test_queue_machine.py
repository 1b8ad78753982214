"""The line against a model that counts by hand: agents and callers who come, wait, answer, do not, and go, on nodes
that die. Never one agent twice, never a call lost, nobody idle whom somebody may have, in order, overflow in its time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from uuid import UUID

import asyncpg
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support import lines_up, postgres
from tenderline.core.queue_rings import Ring
from tenderline.store import db, presence, waiting

OVERFLOW_S, WRAP_UP_S, MARGIN_S = 30.0, 10.0, 0.5
STAFF = {"ada": ["general"], "bea": ["general"], "cleo": ["major"], "dora": ["major", "general"]}


@dataclass
class Caller:
    id: UUID
    queue: str
    node: UUID
    waited_s: float = 0.0
    head_s: float = 0.0
    returned: bool = False
    is_kept: bool = False


@dataclass
class Model:
    """What must be true, kept beside the tables."""

    states: dict[str, str] = field(default_factory=dict)
    wraps_s: dict[str, float] = field(default_factory=dict)
    aways_s: dict[str, float] = field(default_factory=dict)
    callers: dict[UUID, Caller] = field(default_factory=dict)
    with_agent: dict[UUID, str] = field(default_factory=dict)
    talking: set[UUID] = field(default_factory=set)
    ended: set[UUID] = field(default_factory=set)


class Crowd(RuleBasedStateMachine):
    """One crowd, from an empty house on."""

    url: str

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.connection = self.run(asyncpg.connect(self.url))

    def run(self, work):
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self):
        self.run(self.clean())
        self.model = Model(states=dict.fromkeys(STAFF, "available"))

    async def clean(self):
        await self.connection.execute(
            "TRUNCATE waiting, presence_past, agent_presence, agent_queue, agent_skill, agent, queue, telephone"
            " CASCADE; DELETE FROM voice_node"
        )
        self.nodes = [await lines_up.make_node(self.connection) for _ in range(2)]
        self.home = await lines_up.make_node(self.connection)
        await lines_up.make_queue(self.connection, "general", wrap_up_s=int(WRAP_UP_S))
        rings = (Ring(), Ring(after_s=OVERFLOW_S, queues_joined=("general",)))
        await lines_up.make_queue(self.connection, "major", rings=rings)
        self.ids = {}
        for name, of in STAFF.items():
            self.ids[name] = await lines_up.make_agent(self.connection, name, of, node=self.home)
        self.names = {id: name for name, id in self.ids.items()}

    def teardown(self):
        self.run(self.connection.close())
        self.loop.close()

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule(
        some=st.lists(
            st.tuples(st.sampled_from(["general", "major"]), st.integers(0, 1), st.integers(0, 10)),
            min_size=1,
            max_size=5,
        )
    )
    def some_call(self, some):
        for queue, node, priority in some:
            line = self.run(lines_up.enter(self.connection, queue, self.nodes[node], priority=priority))
            assert line is not None, "somebody is logged in for each queue"
            self.model.callers[line.id] = Caller(line.id, queue, self.nodes[node], head_s=60.0 * priority)

    @precondition(lambda self: self.in_line())
    @rule()
    def a_node_matches(self):
        self.come_back()
        before = self.in_line()
        self.run(lines_up.match(self.connection))
        rows = self.run(self.connection.fetch("SELECT id, agent_id, overflowed FROM waiting WHERE state = 'offered'"))
        fresh = {row["id"]: row for row in rows if row["id"] not in self.model.with_agent}
        free = {name for name, state in self.model.states.items() if state == "available"}
        for id, row in fresh.items():
            name, one = self.names[row["agent_id"]], self.model.callers[id]
            assert name in free, f"{name} was not free"
            free.discard(name)
            assert self.may(one, name, late_by_s=MARGIN_S)
            assert row["overflowed"] == (one.queue not in STAFF[name])
            self.model.with_agent[id], self.model.states[name] = name, "reserved"
        for one in before:
            if one.id in fresh:
                continue
            assert not any(self.may(one, name, late_by_s=-MARGIN_S) for name in free), "an agent idles"
            for id, row in fresh.items():
                if self.may(one, self.names[row["agent_id"]], late_by_s=-MARGIN_S) and not self.is_at_the_edge(one):
                    assert self.order(self.model.callers[id]) <= self.order(one, slack_s=3.0), "somebody was overtaken"

    @rule(seconds=st.sampled_from([1.0, 7.0, 14.0, 29.0, 31.0, 90.0]))
    def time_passes(self, seconds):
        self.run(lines_up.hours_pass(self.connection, seconds))
        for one in self.model.callers.values():
            one.waited_s += seconds
        for pauses in (self.model.wraps_s, self.model.aways_s):
            for name in pauses:
                pauses[name] -= seconds

    @precondition(lambda self: self.model.with_agent)
    @rule(data=st.data(), answers=st.booleans())
    def a_telephone_rings(self, data, answers):
        rung = [id for id in self.model.with_agent if id not in self.model.talking]
        if not rung:
            return
        id = data.draw(st.sampled_from(sorted(rung)))
        name, one = self.model.with_agent[id], self.model.callers[id]
        offer = self.run(lines_up.offers(self.connection, one.node))[id]
        if one.is_kept:
            assert self.run(waiting.call_of(self.connection, id, offer.agent_id, id))
            offer = replace(offer, conversation_id=id)
        if answers:
            assert self.run(lines_up.answer(self.connection, offer))
            self.model.talking.add(id)
            self.model.states[name] = "on_call"
            return
        assert self.run(presence.take_up(self.connection, offer.agent_id, offer.conversation_id))
        if data.draw(st.booleans()):
            self.somebody_presses_one(data, id)  # her agent is rung: it changes nothing
        given = waiting.give_back(self.connection, id, offer.agent_id, offer.conversation_id, reason="no answer")
        self.run(given)
        del self.model.with_agent[id]
        self.model.states[name], one.returned = "away", True
        self.model.aways_s[name] = presence.AWAY_S

    @precondition(lambda self: self.model.callers)
    @rule(data=st.data())
    def somebody_presses_one(self, data, id=None):
        """She wants to keep her place: she does when she is in line, whether or not anything follows it."""
        id = id or data.draw(st.sampled_from(sorted(self.model.callers)))
        one = self.model.callers[id]
        stays = id not in self.model.with_agent and not one.is_kept
        assert self.run(lines_up.keep(self.connection, id)) == stays
        if stays:
            one.is_kept, one.node = True, self.home

    @precondition(lambda self: self.model.with_agent)
    @rule(data=st.data())
    def a_call_is_lost_while_it_rings(self, data):
        """Its task ended between two steps, and the agent was freed: the offer comes back, and poisons nothing."""
        rung = [id for id in self.model.with_agent if id not in self.model.talking]
        if not rung:
            return
        id = data.draw(st.sampled_from(sorted(rung)))
        name, one = self.model.with_agent[id], self.model.callers[id]
        agent_id, call = self.ids[name], self.run(lines_up.conversation_of(self.connection, id))
        assert self.run(presence.take_up(self.connection, agent_id, call))
        self.run(presence.free_again(self.connection, agent_id, call))
        if data.draw(st.booleans()):
            self.run(lines_up.match(self.connection))  # fails nowhere, and gives her nobody yet
            rows = self.run(self.connection.fetch("SELECT id, agent_id FROM waiting WHERE state = 'offered'"))
            assert [row["id"] for row in rows if row["agent_id"] == agent_id] == [id]
            for row in rows:
                if row["id"] not in self.model.with_agent:
                    other = self.names[row["agent_id"]]
                    self.model.with_agent[row["id"]], self.model.states[other] = other, "reserved"
            self.come_back()
        del self.model.with_agent[id]
        self.model.states[name], one.returned = "available", True
        self.somebody_looks_round()

    @precondition(lambda self: self.model.callers)
    @rule(data=st.data())
    def somebody_hangs_up(self, data):
        id = data.draw(st.sampled_from(sorted(self.model.callers)))
        talked = id in self.model.talking
        self.run(waiting.leave(self.connection, id, "talked" if talked else "abandoned"))
        self.gone(id, talked=talked)

    def gone(self, id, *, talked):
        one, name = self.model.callers.pop(id), self.model.with_agent.pop(id, None)
        self.model.talking.discard(id)
        self.model.ended.add(id)
        if name is not None:
            wraps = talked and one.queue == "general"
            self.model.states[name] = "wrap_up" if wraps else "available"
            if wraps:
                self.model.wraps_s[name] = WRAP_UP_S

    @rule(name=st.sampled_from(sorted(STAFF)), comes=st.booleans())
    def an_agent_goes_or_comes(self, name, comes):
        if self.model.states[name] in ("reserved", "on_call"):
            return
        self.model.wraps_s.pop(name, None)
        self.model.aways_s.pop(name, None)
        self.model.states[name] = "available" if comes else "away"
        said = presence.say(self.connection, self.ids[name], "available" if comes else "away", reason="x", by="test")
        self.run(said)

    @rule(which=st.integers(0, 1))
    def a_node_is_killed(self, which):
        self.run(lines_up.kill(self.connection, self.nodes[which]))
        for id in [id for id, one in self.model.callers.items() if one.node == self.nodes[which]]:  # kept places stay
            self.gone(id, talked=False)
        self.nodes[which] = self.run(lines_up.make_node(self.connection))

    @rule()
    def somebody_looks_round(self):
        self.run(lines_up.look_round(self.connection))
        for id, name in list(self.model.with_agent.items()):
            state = self.run(lines_up.state_of(self.connection, self.ids[name]))
            if id not in self.model.talking and state == "available":  # nobody took it up for too long
                del self.model.with_agent[id]
                self.model.states[name], self.model.callers[id].returned = "available", True

    # --- the model ----------------------------------------------------------------------------------------------------

    def come_back(self):
        for pauses, state in ((self.model.wraps_s, "wrap_up"), (self.model.aways_s, "away")):
            for name in [name for name, left_s in pauses.items() if left_s <= 0]:
                del pauses[name]
                if self.model.states[name] == state:
                    self.model.states[name] = "available"

    def in_line(self):
        return [one for id, one in self.model.callers.items() if id not in self.model.with_agent]

    def is_at_the_edge(self, one):
        return abs(one.waited_s - OVERFLOW_S) <= MARGIN_S

    def may(self, one, name, *, late_by_s):
        joined = {"general"} if one.queue == "major" and one.waited_s + late_by_s >= OVERFLOW_S else set()
        return bool(({one.queue} | joined) & set(STAFF[name]))

    def order(self, one, *, slack_s=0.0):
        """By the model's clock, which is behind the real one by as long as the test runs: `slack_s` allows for it."""
        ahead_s = 120.0 if one.queue == "major" and one.waited_s >= OVERFLOW_S - MARGIN_S else 0.0
        return not one.returned, slack_s - one.waited_s - one.head_s - ahead_s

    # --- what is always true ------------------------------------------------------------------------------------------

    @invariant()
    def nobody_is_lost_and_nobody_is_there_twice(self):
        if not hasattr(self, "model"):
            return
        rows = {row["id"]: row for row in self.run(self.connection.fetch("SELECT * FROM waiting"))}
        for id in self.model.callers:
            expected = "waiting"
            if id in self.model.with_agent:
                expected = "connected" if id in self.model.talking else "offered"
            assert rows[id]["state"] == expected
        for id in self.model.ended:
            assert rows[id]["state"] == "left"
        busy = [row["agent_id"] for row in rows.values() if row["state"] in ("offered", "connected")]
        assert len(busy) == len(set(busy)), "one agent has two callers"
        held = self.run(self.connection.fetch("SELECT agent_id FROM agent_presence WHERE node_id IS NOT NULL"))
        assert {row["agent_id"] for row in held} == set(busy), "an agent is stuck, or is free on a call"


def test_a_crowd_is_served_as_the_model_says(server_url):
    async def prepared():
        async with postgres.fresh_database(server_url, db.migrate) as url:
            Crowd.url = url
            await asyncio.to_thread(
                run_state_machine_as_test,
                Crowd,
                settings=settings(
                    max_examples=40,
                    stateful_step_count=40,
                    deadline=None,
                    phases=(Phase.explicit, Phase.generate),  # to shrink a crowd takes minutes, and tells little more
                ),
            )

    asyncio.run(prepared())
