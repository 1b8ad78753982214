"""What the floor counts: service level by its definition, every number held against the rows that it opens."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import floor_life, lines_up
from tenderline.core.clock import utc_now
from tenderline.core.queue_rings import Ring
from tenderline.desk import floor as desk
from tenderline.store import agents, alerts, floor, presence
from tenderline.store.floor import Tally
from tenderline.web import floor as web

PROMISED_S = 20


@pytest.fixture
async def connection(pool):
    async with pool.acquire() as one:
        yield one


async def read(connection) -> desk.Floor:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await desk.read(connection)


async def queue_of(connection, name="general") -> desk.QueueLine:
    return next(one for one in (await read(connection)).queues if one.name == name)


lives = st.lists(
    st.fixed_dictionaries(
        {
            "ago_s": st.sampled_from([100.0, 1_500.0, 1_790.0]),
            "wait_s": st.sampled_from([0.0, 5.0, float(PROMISED_S), PROMISED_S + 0.001, 60.0]),
            "answered": st.booleans(),
            "kept": st.booleans(),
            "overflowed": st.booleans(),
        }
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None)
@given(lived=lives)
def test_the_service_level_is_answered_in_time_of_all_who_were_answered_or_left_later(lived):
    tally = Tally(
        answered=sum(one["answered"] for one in lived),
        answered_in_time=sum(one["answered"] and one["wait_s"] <= PROMISED_S for one in lived),
        abandoned=sum(not one["answered"] for one in lived),
        abandoned_late=sum(not one["answered"] and one["wait_s"] > PROMISED_S for one in lived),
    )
    level = tally.level_percent
    assert (level is None) == (tally.counted == 0)
    if level is not None:
        assert 0 <= level <= 100
        assert level * tally.counted <= 100 * tally.answered_in_time < (level + 1) * tally.counted


@pytest.fixture
def lifetimes():
    """Fixed by hand: every kind of end, before and after the promise."""
    ends = [(answered, kept, wait_s) for answered in (True, False) for kept in (True, False)
            for wait_s in (0.0, 19.9, 20.0, 20.1, 300.0)]  # fmt: skip
    return [
        {"ago_s": 400.0, "wait_s": wait_s, "answered": answered, "kept": kept, "overflowed": wait_s == 20.1}
        for answered, kept, wait_s in ends
    ]


async def test_every_number_of_a_queue_is_as_many_as_the_rows_it_opens(connection, lifetimes):
    await lines_up.make_queue(connection, "general", service_level_s=PROMISED_S)
    for one in lifetimes:
        await floor_life.was_in_line(connection, "general", **one)
    await floor_life.was_in_line(connection, "general", ago_s=1_900, wait_s=5)  # before the half hour
    await floor_life.was_in_line(connection, "general", ago_s=2 * 86_400, wait_s=5)  # on another day
    tally = (await floor.tallies(connection))["general", "lately"]
    own = [one for one in lifetimes if not one["kept"]]
    assert tally.answered == sum(one["answered"] for one in own)
    assert tally.answered_in_time == sum(one["answered"] and one["wait_s"] <= PROMISED_S for one in own)
    assert tally.abandoned == sum(not one["answered"] for one in own)
    assert tally.abandoned_late == sum(not one["answered"] and one["wait_s"] > PROMISED_S for one in own)
    assert tally.level_percent == 100 * 3 // 7
    tallies = await floor.tallies(connection)
    for period in get_args(floor.Period):
        shown = tallies["general", period]
        for what, number in (
            ("answered", shown.answered), ("abandoned", shown.abandoned), ("overflowed", shown.overflowed),
            ("level", shown.counted),
        ):  # fmt: skip
            assert len(await floor.counted(connection, "general", period, what)) == number, (period, what)


async def test_a_callback_that_somebody_chose_is_neither_answered_nor_abandoned(connection):
    await lines_up.make_queue(connection, "general")
    await floor_life.was_in_line(connection, "general", ago_s=60, wait_s=50, answered=True, kept=True)
    await floor_life.was_in_line(connection, "general", ago_s=60, wait_s=50, answered=False, outcome="callback_later")
    line = await queue_of(connection)
    assert {(one.tally.counted, one.percent, one.is_met) for one in line.levels} == {(0, None, True)}


async def test_a_target_that_is_missed_by_a_hair_does_not_look_met(connection):
    await lines_up.make_queue(connection, "general", service_level_s=PROMISED_S, service_level_percent=80)
    for number in range(200):
        await floor_life.was_in_line(connection, "general", ago_s=90, wait_s=1 if number < 159 else 60)
    lately = next(one for one in (await queue_of(connection)).levels if one.period == "lately")
    assert (lately.percent, lately.is_met) == (79, False)
    await floor_life.was_in_line(connection, "general", ago_s=90, wait_s=60, answered=False)
    await connection.execute("DELETE FROM waiting WHERE left_at - entered_at = interval '60 s'")
    lately = next(one for one in (await queue_of(connection)).levels if one.period == "lately")
    assert (lately.percent, lately.is_met) == (79, False)


async def test_each_agent_who_is_logged_in_is_counted_once_and_nobody_else(connection):
    ids = await floor_life.busy(connection)
    shown = await read(connection)
    line = next(one for one in shown.queues if one.name == "general")
    assert line.free + line.busy + line.wrap_up + line.away == len(shown.here) == 4
    assert {one.name for one in shown.offline} == {"carol"}
    dora = next(one for one in shown.agents if one.name == "dora")
    assert (dora.doing, dora.is_out_of_reach) == ("away", True), "she says she is there, and has no telephone"
    assert shown.agents[0].id == ids["talks"]
    assert shown.agents[0].in_distress
    assert shown.agents[0].doing == "busy", "distress makes nobody free"
    await presence.say(connection, ids["talks"], "available", reason=None, by="test")
    first = (await read(connection)).agents[0]
    assert (first.state, first.in_distress) == ("on_call", True), "her call's alert is open"
    for one in await alerts.open_ones(connection):
        await alerts.close(connection, one.id, "test", "looked at")
    assert not any(one.in_distress for one in (await read(connection)).agents)


async def test_priority_shows_from_the_second_at_which_other_queues_are_joined(connection):
    node = await lines_up.make_node(connection)
    await lines_up.make_queue(connection, "general")
    await lines_up.make_queue(connection, "specialists", rings=(Ring(), Ring(after_s=30, queues_joined=("general",))))
    await lines_up.make_agent(connection, "anna", ["specialists"], node=node)
    await presence.say(connection, (await agents.every(connection))[0].id, "away", reason="x", by="test")
    await lines_up.enter(connection, "specialists", node)
    (caller,) = (await read(connection)).callers
    assert (caller.has_priority, caller.call_id, caller.waited_s) == (False, None, None)
    await lines_up.hours_pass(connection, 30)
    (caller,) = (await read(connection)).callers
    assert caller.has_priority


async def test_who_is_rung_for_still_waits_and_who_keeps_the_place_is_counted_apart(connection):
    node = await lines_up.make_node(connection)
    await lines_up.make_queue(connection, "general", service_level_s=PROMISED_S)
    await lines_up.make_agent(connection, "anna", ["general"], node=node)
    await lines_up.enter(connection, "general", node)
    kept = await lines_up.enter(connection, "general", node)
    callback = await floor_life.asked_back(connection, due_at=utc_now() - timedelta(hours=2))
    await connection.execute(
        "UPDATE waiting SET kept_at = now(), node_id = NULL, callback_id = $2 WHERE id = $1", kept.id, callback
    )
    await lines_up.match(connection)
    line = await queue_of(connection)
    assert (line.waiting, line.kept, line.is_bare) == (1, 1, False)
    (caller,) = (await read(connection)).callers
    assert caller.agent == "anna"
    assert len(await floor.in_line(connection, "general", kept=True, limit=10)) == 1
    assert (await floor.callback_counts(connection)).overdue == 0, "she is called in her turn"
    assert not line.is_late
    await lines_up.hours_pass(connection, PROMISED_S + 1)
    assert (await queue_of(connection)).is_late


async def test_callbacks_are_counted_by_when_they_are_due_as_their_rows_say(connection):
    for seconds in (-90_000, -3_700, -3_500, -1, 60, 3_500, 3_700, 90_000):
        await floor_life.asked_back(connection, due_at=utc_now() + timedelta(seconds=seconds))
    found = await floor.callback_counts(connection)
    assert (found.overdue, found.due, found.later) == (2, 4, 2)
    for which in get_args(floor.Due):
        assert len(await floor.callbacks(connection, which)) == getattr(found, which)


async def test_card_entry_tells_how_far_and_never_what(connection):
    ids = await floor_life.busy(connection)
    shown = {one.call_id: one for one in (await read(connection)).card_entries}
    assert set(shown) == {ids["call"], ids["self"]}
    assert shown[ids["call"]].far == "Card number: 11 digits, Visa; the number was no card number; asked again"
    assert shown[ids["self"]].mode == "by herself"
    assert shown[ids["self"]].far == ""


async def test_a_crm_that_is_left_alone_is_said_until_it_is_asked_again(connection):
    assert (await read(connection)).crm.paused_why is None
    await floor_life.look_up(connection, "skipped", reason="skipped", detail="The CRM was not asked: failing.")
    crm = (await read(connection)).crm
    assert (crm.paused_why, crm.reasons) == ("The CRM was not asked: failing.", {"skipped": 1})
    await floor_life.look_up(connection, "found")
    crm = (await read(connection)).crm
    assert (crm.paused_why, crm.health.asked, crm.health.skipped) == (None, 2, 1)
    for what, number in (("asked", 2), ("skipped", 1), ("failed", 0), ("late", 0), ("nonsense", 0)):
        assert len(await floor.look_ups(connection, what)) == number


async def test_a_floor_on_which_nothing_happens_is_drawn_the_same(connection):
    await floor_life.busy(connection)
    once = web.render_live(await read(connection), may_act=True)
    await connection.execute("SELECT pg_sleep(1.1)")
    assert web.render_live(await read(connection), may_act=True) == once


async def questions_of(connection) -> int:
    asked: list[str] = []
    with connection.query_logger(lambda record: asked.append(record.query)):
        await read(connection)
        await asyncio.sleep(0)  # the logger is told after the answer
    return len(asked)


async def test_the_floor_asks_few_questions_however_many_rows_there_are(connection):
    await floor_life.busy(connection)
    few = await questions_of(connection)
    node = await lines_up.make_node(connection)
    for number in range(20):
        await lines_up.make_agent(connection, f"more {number}", ["general"], node=node)
        await lines_up.enter(connection, "general", node)
        await floor_life.was_in_line(connection, "general", ago_s=60, wait_s=5)
    assert await questions_of(connection) == few <= 15
