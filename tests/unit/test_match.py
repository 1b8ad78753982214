"""Matching callers with agents: what holds for every crowd, and the shapes that other systems got wrong."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core.queue_rings import InvalidRingsError, Ring, checked, reaches
from tenderline.routing import match as matching
from tenderline.routing.match import Caller, FreeAgent, QueueRules, Serving, head_start_s, match, ring_to_skip_to

QUEUES = ("general", "major", "spanish")
SKILLS = ("legacy", "spanish")
NODES = (UUID(int=901), UUID(int=902))
RULES = {
    "general": QueueRules("general"),
    "major": QueueRules(
        "major",
        (
            Ring(proficiency_min=4),
            Ring(after_s=15, proficiency_min=2),
            Ring(after_s=30, skills_dropped=("legacy",), queues_joined=("general",)),
        ),
        {"high": 5},
    ),
    "spanish": QueueRules("spanish", (Ring(), Ring(after_s=20, queues_joined=("general",)))),
}


def caller(number, queue="general", *, entered_s=0.0, head_s=0.0, skills=(), **more):
    return Caller(
        UUID(int=number), queue, entered_s, entered_s - head_s, frozenset(skills), **{"node": NODES[0], **more}
    )


def agent(number, *queues, free_since_s=0.0, skills=None, node=None):
    return FreeAgent(UUID(int=1000 + number), frozenset(queues), skills or {}, free_since_s, node)


def who(found):
    return {one.caller.int: one.agent.int - 1000 for one in found}


callers = st.builds(
    lambda number, queue, entered, steps, skills, ring_min, returned, node, preferred: (
        number, queue, float(entered), steps, skills, ring_min, returned, node, preferred,
    ),
    st.integers(1, 500), st.sampled_from(QUEUES), st.integers(0, 90), st.integers(0, 10),
    st.frozensets(st.sampled_from(SKILLS)), st.integers(0, 2), st.booleans(), st.sampled_from((None, *NODES)),
    st.none() | st.tuples(st.integers(1, 40), st.integers(0, 120)),
)  # fmt: skip
crowds = st.lists(callers, max_size=30, unique_by=lambda one: one[0]).map(
    lambda some: [
        Caller(
            UUID(int=n), queue, at, at - matching.STEP_S * steps, skills, ring_min, returned,
            UUID(int=1000 + preferred[0]) if preferred else None, float(preferred[1]) if preferred else 0.0, node,
        )
        for n, queue, at, steps, skills, ring_min, returned, node, preferred in some
    ]
)  # fmt: skip
staffs = st.lists(
    st.builds(
        lambda number, queues, skills, since, node: FreeAgent(UUID(int=1000 + number), queues, skills, since, node),
        st.integers(1, 40), st.frozensets(st.sampled_from(QUEUES), min_size=1),
        st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 5)), st.integers(0, 100).map(float),
        st.sampled_from((None, *NODES)),
    ),
    max_size=30, unique_by=lambda one: one.id,
)  # fmt: skip


def reach_of(one, now_s):
    """The rules of a ring, counted by hand."""
    rings = RULES[one.queue].rings or (Ring(),)
    by_time = max(number for number, ring in enumerate(rings) if ring.after_s <= now_s - one.entered_s)
    number = min(len(rings) - 1, max(by_time, one.ring_min))
    passed = rings[: number + 1]
    queues = {one.queue} | {name for ring in passed for name in ring.queues_joined}
    dropped = {name for ring in passed for name in ring.skills_dropped}
    return queues, dropped, min(ring.proficiency_min for ring in passed)


def may(one, who_is_free, now_s):
    queues, dropped, proficiency = reach_of(one, now_s)
    if one.preferred_agent is not None and now_s < one.preferred_until_s and one.preferred_agent != who_is_free.id:
        return False
    near = who_is_free.node is None or one.node is None or who_is_free.node == one.node
    knows = all(who_is_free.skills.get(skill, 0) >= proficiency for skill in one.skills - dropped)
    return near and bool(queues & who_is_free.queues) and knows


def rank(one, now_s):
    queues, _, _ = reach_of(one, now_s)
    return (not one.returned, one.rank_s - (matching.OVERFLOW_HEAD_START_S if len(queues) > 1 else 0.0), one.id)


@given(crowds, staffs)
def test_nobody_is_matched_twice_and_only_with_whom_she_may_be(crowd, staff):
    now_s = 100.0
    found = match(now_s, crowd, staff, RULES)
    assert len({one.agent for one in found}) == len({one.caller for one in found}) == len(found)
    by_id, free = {one.id: one for one in crowd}, {one.id: one for one in staff}
    for one in found:
        assert may(by_id[one.caller], free[one.agent], now_s)
        assert one.overflowed == (by_id[one.caller].queue not in free[one.agent].queues)


@given(crowds, staffs)
def test_no_agent_idles_whom_somebody_in_line_may_have(crowd, staff):
    now_s = 100.0
    found = match(now_s, crowd, staff, RULES)
    served, taken = {one.caller for one in found}, {one.agent for one in found}
    for one in crowd:
        for idle in staff:
            assert one.id in served or idle.id in taken or not may(one, idle, now_s)


@given(crowds, staffs)
def test_whoever_is_before_in_line_is_served_before(crowd, staff):
    now_s = 100.0
    found = match(now_s, crowd, staff, RULES)
    served, free = {one.caller for one in found}, {one.id: one for one in staff}
    by_id = {one.id: one for one in crowd}
    for one in found:
        for waiting in crowd:
            if waiting.id not in served and may(waiting, free[one.agent], now_s):
                assert rank(by_id[one.caller], now_s) < rank(waiting, now_s)


@given(crowds, staffs)
def test_the_agent_who_is_free_for_longest_takes_the_first(crowd, staff):
    now_s = 100.0
    found = match(now_s, crowd, staff, RULES)
    if found:
        first = min(
            (one for one in crowd if any(may(one, free, now_s) for free in staff)), key=lambda one: rank(one, now_s)
        )
        taken = next(one.agent for one in found if one.caller == first.id)
        longest = min((one for one in staff if may(first, one, now_s)), key=lambda one: (one.free_since_s, one.id))
        assert taken == longest.id


@given(crowds, staffs, st.randoms())
def test_the_order_in_which_rows_are_read_changes_nothing(crowd, staff, chance):
    before = match(100.0, crowd, staff, RULES)
    chance.shuffle(crowd)
    chance.shuffle(staff)
    assert match(100.0, crowd, staff, RULES) == before


@given(st.integers(0, 10), st.integers(0, 10), st.floats(0, 5_000), st.floats(0, 5_000), st.floats(0, 5_000))
def test_the_order_of_two_never_turns_round_by_waiting(steps, other_steps, entered_s, other_entered_s, later_s):
    one = caller(1, entered_s=entered_s, head_s=head_start_s(steps, None, {}))
    two = caller(2, entered_s=other_entered_s, head_s=head_start_s(other_steps, None, {}))
    now_s = max(entered_s, other_entered_s)
    lone = [agent(1, "general")]
    assert match(now_s, [one, two], lone, RULES) == match(now_s + later_s, [one, two], lone, RULES)


def test_a_call_of_low_priority_is_served_in_bounded_time_however_many_urgent_ones_come():
    """One agent, an urgent caller every second for ever: who is not urgent waits no longer than the bound."""
    low, now_s, line = caller(1, entered_s=0), 0.0, []
    line.append(low)
    while low in line:
        now_s += 1
        line.append(caller(int(now_s) + 1, entered_s=now_s, head_s=head_start_s(10, None, {})))
        (served,) = match(now_s, line, [agent(1, "general")], RULES)
        line = [one for one in line if one.id != served.caller]
        assert now_s <= 2 * matching.STEP_S * matching.PRIORITY_MAX


def test_a_caller_whose_ring_is_still_narrow_holds_no_agent_back_from_another_queue():
    """An urgent caller waits for a specialist; the idle generalist takes the other queue's caller meanwhile."""
    urgent = caller(1, "major", skills=["legacy"], head_s=600)
    other = caller(2, "general", entered_s=9)
    assert who(match(10.0, [urgent, other], [agent(7, "general")], RULES)) == {2: 7}


def test_a_caller_overflows_at_thirty_seconds_ahead_of_the_other_queues_own():
    rich = caller(1, "major", skills=["legacy"])
    early = caller(2, "general", entered_s=-60)
    lone = [agent(7, "general")]
    assert who(match(29.999, [rich, early], lone, RULES)) == {2: 7}
    (found,) = match(30.0, [rich, early], lone, RULES)
    assert (found.caller, found.ring, found.overflowed) == (rich.id, 2, True)
    assert matching.next_change_s(20.0, [rich], RULES) == 30.0
    assert matching.next_change_s(30.0, [rich], RULES) is None


def test_proficiency_that_is_asked_for_falls_ring_by_ring():
    rich = caller(1, "major", skills=["legacy"])
    beginner, expert = agent(1, "major", skills={"legacy": 2}), agent(2, "major", skills={"legacy": 4}, free_since_s=5)
    assert who(match(10.0, [rich], [beginner, expert], RULES)) == {1: 2}
    assert who(match(15.0, [rich], [beginner, expert], RULES)) == {1: 1}


def test_rings_that_nobody_is_logged_in_for_are_skipped_and_a_queue_without_anybody_is_told():
    rules, wanted = RULES["major"], frozenset({"legacy"})

    def skip_to(*staff):
        return ring_to_skip_to(rules, wanted, NODES[0], staff)

    assert skip_to(Serving(frozenset({"major"}), {"legacy": 5})) == 0
    assert skip_to(Serving(frozenset({"major"}), {"legacy": 3})) == 1
    assert skip_to(Serving(frozenset({"general"}), {})) == 2
    assert skip_to(Serving(frozenset({"spanish"}), {"legacy": 5})) is None
    assert skip_to(Serving(frozenset({"general"}), {}, NODES[1])) is None, "this node cannot ring her"
    assert who(match(0.0, [caller(1, "major", skills=["legacy"], ring_min=2)], [agent(7, "general")], RULES)) == {1: 7}


def test_the_agent_of_last_time_is_waited_for_and_not_for_ever():
    one = caller(1, preferred_agent=UUID(int=1002), preferred_until_s=20.0)
    other, known = agent(1, "general"), agent(2, "general", free_since_s=9)
    assert match(10.0, [one], [other], RULES) == []
    assert who(match(10.0, [one], [other, known], RULES)) == {1: 2}
    assert who(match(20.0, [one], [other], RULES)) == {1: 1}
    assert matching.next_change_s(10.0, [one], RULES) == 20.0


def test_who_was_offered_and_not_answered_is_the_next():
    returned, urgent = caller(1, returned=True, entered_s=50), caller(2, entered_s=0, head_s=600)
    assert who(match(60.0, [returned, urgent], [agent(1, "general")], RULES)) == {1: 1}


def test_agents_share_the_calls_evenly():
    """Whoever is free for longest is next: nobody has two calls more than anybody else."""
    staff, calls = {number: float(number) for number in range(7)}, dict.fromkeys(range(7), 0)
    for now_s in range(10, 710):
        free = [agent(number, "general", free_since_s=since_s) for number, since_s in staff.items()]
        (found,) = match(float(now_s), [caller(now_s, entered_s=now_s)], free, RULES)
        number = found.agent.int - 1000
        calls[number] += 1
        staff[number] = float(now_s)
    assert max(calls.values()) - min(calls.values()) <= 1


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 5), st.frozensets(st.sampled_from(QUEUES))), max_size=6))
def test_rings_only_ever_widen(some):
    rings = tuple(
        Ring(after_s=at, proficiency_min=proficiency, queues_joined=tuple(sorted(joined)))
        for at, proficiency, joined in some
    )
    found = reaches(rings, "general")
    for narrow, wide in pairwise(found):
        assert narrow.queues <= wide.queues
        assert narrow.skills_dropped <= wide.skills_dropped
        assert narrow.proficiency_min >= wide.proficiency_min


@pytest.mark.parametrize(
    ("rings", "why"),
    [
        ([Ring(after_s=5)], "second 0"),
        ([Ring(), Ring(after_s=30), Ring(after_s=30)], "begin later"),
        ([Ring(proficiency_min=2), Ring(after_s=30, proficiency_min=3)], "only widen"),
        ([Ring(after_s=number) for number in range(11)], "10 rings at most"),
    ],
)
def test_rings_that_make_no_sense_are_refused_by_name(rings, why):
    with pytest.raises(InvalidRingsError, match=why) as refused:
        checked(rings, "major")
    assert "'major'" in refused.value.detail
