"""The guard in front of a CRM, under random crowds and random misbehaviour."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenderline.routing.guard import SAMPLES_MIN, Guard, Limits

LIMITS = Limits(at_once_max=4, per_s=2.0, failures_max=3, pause_s=30.0, budget_s=2.0)
WIDE = Limits(at_once_max=1000, per_s=1000.0, failures_max=3, pause_s=30.0, budget_s=2.0)

moves = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.floats(0, 20)),
        st.tuples(st.just("good"), st.floats(0, 20)),
        st.tuples(st.just("bad"), st.floats(0, 20)),
    ),
    max_size=200,
)


@given(moves)
def test_a_crowd_never_passes_the_bounds_and_a_pause_is_kept(steps: list[tuple[str, float]]) -> None:
    guard, now, passed, paused_at, under_way = Guard(LIMITS), 0.0, 0, None, 0
    for what, after_s in steps:
        now += after_s
        if what == "ask":
            was = guard.paused(now)
            refused = guard.ask(now)
            assert not (was and refused is None), "nothing passes within a pause"
            passed += refused is None
            under_way += refused is None
        elif under_way:
            guard.done(now, took_s=after_s, ok=what == "good")
            under_way -= 1
        assert guard.under_way == under_way <= LIMITS.at_once_max
        assert passed <= LIMITS.per_s * now + LIMITS.per_s
        paused_at = now if guard.paused(now) else paused_at


@given(moves)
def test_whatever_happened_a_crm_that_works_again_is_asked_again(steps: list[tuple[str, float]]) -> None:
    guard, now, under_way = Guard(LIMITS), 0.0, 0
    for what, after_s in steps:
        now += after_s
        if what == "ask":
            under_way += guard.ask(now) is None
        elif under_way:
            guard.done(now, took_s=after_s, ok=what == "good")
            under_way -= 1
    for _ in range(under_way):
        guard.done(now, took_s=0.1, ok=True)
    now += 2 * LIMITS.pause_s
    for _ in range(3):
        assert guard.ask(now) is None
        guard.done(now, took_s=0.1, ok=True)
        now += 1.0
    assert guard.paused(now) is None


def test_failures_in_a_row_pause_it_and_one_look_up_tries_afterwards() -> None:
    guard = Guard(WIDE)
    for _ in range(3):
        assert guard.ask(0.0) is None
        guard.done(0.0, took_s=0.1, ok=False)
    assert guard.ask(29.9) == "failing"
    assert guard.ask(30.0) is None
    assert guard.ask(30.0) == "failing", "only one tries"
    guard.done(30.1, took_s=0.1, ok=False)
    assert guard.ask(60.0) == "failing", "it failed: another pause"
    assert guard.ask(60.2) is None
    guard.done(60.3, took_s=0.1, ok=True)
    assert guard.ask(60.3) is None


def test_a_crm_whose_slowest_answers_are_over_the_budget_is_left_alone_for_a_while() -> None:
    guard = Guard(WIDE)
    for count in range(SAMPLES_MIN):
        assert guard.ask(float(count)) is None
        guard.done(float(count), took_s=5.0 if count in (3, 9) else 0.1, ok=True)
    assert guard.paused(20.0) == "too slow"


def test_one_slow_answer_of_a_hundred_changes_nothing() -> None:
    guard = Guard(WIDE)
    for count in range(100):
        assert guard.ask(count / 10) is None
        guard.done(count / 10, took_s=5.0 if count == 50 else 0.1, ok=True)
    assert guard.paused(10.0) is None
