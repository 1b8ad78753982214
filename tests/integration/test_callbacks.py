"""Callbacks at a time: through the gate, in her zone, moved, made and given up; and who is told when nobody calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from support import floor_life, lines_up, world
from support import services as world_services
from support.live_calls import make_call
from tenderline.campaigns import callbacks as feature
from tenderline.campaigns import calling
from tenderline.campaigns.callbacks import Wish
from tenderline.core.donor import Donor
from tenderline.core.errors import InvalidInputError
from tenderline.core.ids import uuid7
from tenderline.people import by_phone
from tenderline.store import alerts, callbacks, donors, floor, queues, waiting
from tenderline.store.calling_campaigns import CallingCampaign

ANNA = "anna@example.org"
SHOWN = "+12025550000"


@pytest.fixture
def services(pool):
    return world_services.make(pool, voice__caller_ids=SHOWN)


async def campaign(services, **more):
    wanted = CallingCampaign(name="call_back", caller_id=SHOWN, purpose="servicing", **({"queue": "general"} | more))
    async with services.pool.acquire() as connection, connection.transaction():
        await calling.put(services, connection, wanted, by=ANNA)


async def schedule(services, **wish):
    async with services.pool.acquire() as connection, connection.transaction():
        return await feature.schedule(services, connection, Wish(**wish), by=ANNA)


async def close(pool, callback_id, *, is_done):
    async with pool.acquire() as connection, connection.transaction():
        return await feature.close(connection, callback_id, is_done=is_done, by=ANNA)


def tomorrow_at(hour, zone):
    return world.ahead(1, hour, zone).replace(tzinfo=None)


async def test_a_time_without_an_offset_is_her_own_clock(services, pool):
    at = tomorrow_at(14, "America/Denver")
    made = await schedule(services, number="+13035550142", at=at, zone="America/Denver", note="about the gala")
    assert made.due_at == at.replace(tzinfo=ZoneInfo("America/Denver"))
    assert made.not_after == made.due_at + feature.WINDOW
    assert (made.state, made.zone, made.note, made.asked_by) == ("ahead", "America/Denver", "about the gala", ANNA)
    assert made.attempt_state is None
    assert "by hand" in made.why


async def test_a_campaign_calls_by_itself_and_says_who_is_on_the_line_first(services, pool):
    await campaign(services)
    at = tomorrow_at(14, "America/New_York")
    made = await schedule(services, number="+12025550143", at=at, zone="America/New_York", campaign="call_back")
    assert made.attempt_state == "planned"
    row = await pool.fetchrow("SELECT channel, purpose, template FROM attempt")
    assert tuple(row) == ("voice_live", "servicing", "call_back")
    agents = CallingCampaign(name="a", caller_id=SHOWN, purpose="servicing", queue="general")
    machine = CallingCampaign(name="b", caller_id=SHOWN, purpose="servicing", flow="welcome")
    assert (agents.first, machine.first) == ("agent", "donor")


async def test_what_the_gate_refuses_is_said_and_not_kept(services, pool):
    async with pool.acquire() as connection, connection.transaction():
        await by_phone.opt_out(connection, "+12025550144", evidence="a test")
    with pytest.raises(feature.RefusedByGateError, match="gate refuses"):
        await schedule(services, number="+12025550144", at=tomorrow_at(14, "America/New_York"), zone="America/New_York")
    assert await pool.fetchval("SELECT count(*) FROM callback") == 0


async def test_a_donors_preferred_window_is_kept_when_no_time_is_said(services, pool):
    call = await make_call(pool, "+12025550145")
    wanted = ("Mon-Sun 13:00-15:00",)
    async with pool.acquire() as connection:
        told = donors.Told(
            conversation_id=call, caller="+12025550145", crm="rest", state="found",
            donor=Donor(crm_id="7", preferred_windows=wanted),
        )  # fmt: skip
        await donors.tell(connection, told)
    made = await schedule(services, number="+12025550145", zone="America/New_York", conversation_id=call)
    assert 13 <= made.due_at.astimezone(ZoneInfo("America/New_York")).hour < 15


async def test_moving_takes_the_planned_call_back_and_plans_one_more(services, pool):
    await campaign(services)
    at, later = tomorrow_at(14, "America/New_York"), world.ahead(2, 14, "America/New_York")
    made = await schedule(services, number="+12025550146", at=at, zone="America/New_York", campaign="call_back")
    async with pool.acquire() as connection, connection.transaction():
        moved = await feature.move(
            services, connection, made.id, at=later, zone=None, window=timedelta(hours=1), by=ANNA
        )
    assert moved.due_at == later
    assert moved.not_after == moved.due_at + timedelta(hours=1)
    states = sorted(row["state"] for row in await pool.fetch("SELECT state FROM attempt"))
    assert states == ["planned", "suppressed"]


@pytest.mark.parametrize(("is_done", "state"), [(True, "done"), (False, "cancelled")])
async def test_what_is_done_or_cancelled_is_over_once_and_nobody_dials(services, pool, is_done, state):
    await campaign(services)
    at = tomorrow_at(14, "America/New_York")
    made = await schedule(services, number="+12025550147", at=at, zone="America/New_York", campaign="call_back")
    assert (await close(pool, made.id, is_done=is_done)).state == state
    with pytest.raises(feature.OverError):
        await close(pool, made.id, is_done=is_done)
    assert await pool.fetchval("SELECT state FROM attempt") == "suppressed"
    actions = [row["action"] for row in await pool.fetch("SELECT action FROM audit ORDER BY number")]
    assert actions[-1] == f"callback_{state}"


async def test_a_call_that_is_on_its_way_is_not_cancelled(services, pool):
    await campaign(services)
    at = tomorrow_at(14, "America/New_York")
    made = await schedule(services, number="+12025550148", at=at, zone="America/New_York", campaign="call_back")
    await pool.execute("UPDATE attempt SET state = 'leased', lease_until = now() + interval '1 minute'")
    with pytest.raises(feature.OverError):
        await close(pool, made.id, is_done=False)


async def test_a_callback_that_nobody_made_is_told_once_and_its_alert_ends_with_it(services, pool):
    made = await schedule(services, number="+12025550149", zone=world.zone_by_day())
    await pool.execute("UPDATE callback SET due_at = now() - interval '3 hours', not_after = now() - interval '1 hour'")
    for expected in (1, 0):
        async with pool.acquire() as connection, connection.transaction():
            assert await feature.raise_overdue(connection) == expected
    async with pool.acquire() as connection:
        (alert,) = await alerts.open_ones(connection)
        (shown,) = await callbacks.waiting(connection)
    assert (alert.kind, alert.detail["callback_id"], shown.state) == ("callback_overdue", str(made.id), "overdue")
    await close(pool, made.id, is_done=True)
    async with pool.acquire() as connection:
        assert await alerts.open_ones(connection) == []


async def late(connection):
    """What everybody is told of the callbacks: (alerts raised, overdue on the floor, as the page shows them)."""
    raised = await feature.raise_overdue(connection)
    counts = await floor.callback_counts(connection)
    assert len(await floor.callbacks(connection, "overdue")) == counts.overdue
    return raised, counts.overdue, [one.state for one in await callbacks.waiting(connection)]


async def test_one_without_a_window_that_nobody_will_dial_is_overdue_for_everybody_at_the_same_time(pool):
    now = datetime.now(UTC)
    async with pool.acquire() as connection, connection.transaction():
        await floor_life.asked_back(connection, due_at=now - timedelta(minutes=50))
        assert await late(connection) == (0, 0, ["due"])
        await connection.execute("UPDATE callback SET due_at = $1", now - timedelta(minutes=61))
        assert await late(connection) == (1, 1, ["overdue"])
        assert await late(connection) == (0, 1, ["overdue"])


async def test_a_call_that_is_planned_for_later_puts_it_off_until_its_window_ends(services, pool):
    await campaign(services)
    await schedule(services, number="+12025550153", zone=world.zone_by_day(), campaign="call_back")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE callback SET due_at = now() - interval '3 hours', not_after = now() + interval '1 hour'"
        )
        await connection.execute("UPDATE attempt SET due_at = now() - interval '10 minutes'")
        assert await late(connection) == (0, 0, ["due"])
        await connection.execute("UPDATE attempt SET state = 'failed'")
        assert await late(connection) == (1, 1, ["overdue"])
        await connection.execute("DELETE FROM alert")
        await connection.execute("UPDATE callback SET not_after = now() - interval '1 minute'")
        await connection.execute("UPDATE attempt SET state = 'planned'")
        assert await late(connection) == (1, 1, ["overdue"])


async def test_one_that_was_moved_and_is_late_again_is_told_again_and_a_closed_alert_is_not_repeated(services, pool):
    made = await schedule(services, number="+12025550154", zone=world.zone_by_day())

    async def is_late():
        await pool.execute("UPDATE callback SET due_at = now() - interval '3 hours', not_after = NULL")

    async def told():
        async with pool.acquire() as connection, connection.transaction():
            return await feature.raise_overdue(connection)

    await is_late()
    assert await told() == 1
    async with pool.acquire() as connection, connection.transaction():
        (alert,) = await alerts.open_ones(connection)
        await alerts.close(connection, alert.id, ANNA, "we know")
    assert await told() == 0, "somebody has looked at it"
    async with pool.acquire() as connection, connection.transaction():
        at = tomorrow_at(14, "America/New_York")
        await feature.move(services, connection, made.id, at=at, zone="America/New_York", window=None, by=ANNA)
    assert await told() == 0
    await is_late()
    await pool.execute("UPDATE alert SET raised_at = raised_at - interval '1 day'")
    assert await told() == 1


async def test_a_callback_that_is_ahead_or_planned_for_later_is_not_overdue(services, pool):
    await campaign(services)
    at = tomorrow_at(14, "America/New_York")
    await schedule(services, number="+12025550150", at=at, zone="America/New_York", campaign="call_back")
    async with pool.acquire() as connection, connection.transaction():
        assert await feature.raise_overdue(connection) == 0


async def test_cancelling_gives_up_the_place_that_was_kept_in_a_queue(services, pool):
    call = await make_call(pool, "+12025550151")
    async with pool.acquire() as connection, connection.transaction():
        made = await floor_life.asked_back(
            connection, conversation_id=call, number="+12025550151", due_at=datetime.now(UTC) - timedelta(hours=2)
        )
        sql = """INSERT INTO waiting (id, conversation_id, queue, caller, rank_at, kept_at, callback_id)
            VALUES ($1, $2, 'general', '+12025550151', now(), now(), $3)"""
        await queues.ensure(connection, ["general"], by=ANNA)
        await connection.execute(sql, uuid7(), call, made)
        await lines_up.make_node(connection)
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(feature.KeptPlaceError):
            await feature.move(
                services, connection, made, at=datetime.now(UTC) + timedelta(hours=1), zone="UTC", window=None, by=ANNA
            )
        assert await late(connection) == (0, 0, ["due"]), "she is called in her turn"
    await close(pool, made, is_done=False)
    assert await pool.fetchval("SELECT state FROM waiting") == "left"


async def kept(connection, *, ago_h):
    """A place that was kept so long ago, while some node can call; (its id, its callback's, the node's)."""
    await lines_up.make_queue(connection, "general")
    node, callback_id = await lines_up.make_node(connection), uuid7()
    await lines_up.make_agent(connection, "anna", ["general"], node=node)
    place = await lines_up.enter(connection, "general", node)
    assert await lines_up.keep(connection, place.id, callback_id)
    await connection.execute("UPDATE waiting SET kept_at = kept_at - $1 * interval '1 h'", float(ago_h))
    await connection.execute("UPDATE callback SET due_at = due_at - $1 * interval '1 h'", float(ago_h))
    return place.id, callback_id, node


NOBODY_CALLS = {
    "the campaign cannot call": "UPDATE voice_node SET calls_back = false",
    "every node is killed": "UPDATE voice_node SET lease_until = now() - interval '1 s'",
    "every node is gone": "UPDATE voice_node SET state = 'gone'",
    "every node drains": "UPDATE voice_node SET state = 'draining'",
    "there is none": "DELETE FROM voice_node",
}


@pytest.mark.parametrize("how", NOBODY_CALLS)
async def test_a_kept_place_that_nobody_can_call_is_overdue_and_says_so(pool, how):
    async with pool.acquire() as connection, connection.transaction():
        _, callback_id, _ = await kept(connection, ago_h=2)
        assert (await callbacks.get(connection, callback_id)).why == callbacks.IN_TURN
        assert await late(connection) == (0, 0, ["due"])
        await connection.execute(NOBODY_CALLS[how])
        assert await late(connection) == (1, 1, ["overdue"])
        assert "nobody calls her from it" in (await callbacks.get(connection, callback_id)).why


async def test_a_kept_place_that_nobody_can_call_for_some_minutes_is_not_overdue(pool):
    async with pool.acquire() as connection, connection.transaction():
        await kept(connection, ago_h=0.5)
        await connection.execute("UPDATE voice_node SET calls_back = false")
        assert await late(connection) == (0, 0, ["due"])


async def test_a_place_that_is_kept_for_hours_is_overdue_whoever_could_call(pool):
    async with pool.acquire() as connection, connection.transaction():
        await kept(connection, ago_h=4.1)
        assert await late(connection) == (1, 1, ["overdue"])


async def test_a_callback_whose_place_is_gone_does_not_say_that_she_keeps_it(pool):
    async with pool.acquire() as connection, connection.transaction():
        place, callback_id, _ = await kept(connection, ago_h=0)
        await waiting.leave(connection, place, "callback_later")
        assert (await callbacks.get(connection, callback_id)).why == "her place in line is gone: call by hand"
        await callbacks.explain(connection, callback_id, "she opted out")
        assert (await callbacks.get(connection, callback_id)).why == "she opted out"


@pytest.mark.parametrize(
    "wish",
    [
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))},
        {"at": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))},
        {"at": datetime(1, 1, 1), "zone": "Asia/Tokyo"},  # noqa: DTZ001
        {"at": datetime(2999, 1, 1, tzinfo=UTC)},
        {"zone": "Mars/Olympus"},
        {"number": "not a number"},
        {"at": datetime.now(UTC) + timedelta(hours=1), "window": timedelta(days=90)},
    ],
)
async def test_a_wish_that_cannot_be_kept_is_refused_with_its_reason(services, pool, wish):
    with pytest.raises(InvalidInputError):
        await schedule(services, **({"number": "+12025550152", "zone": "America/New_York"} | wish))
    assert await pool.fetchval("SELECT count(*) FROM callback") == 0


@pytest.mark.parametrize("state", ["leased", "in_doubt", "accepted", "delivered"])
async def test_a_call_that_rings_or_speaks_is_not_moved_and_nobody_is_called_twice(services, pool, state):
    await campaign(services)
    at = tomorrow_at(14, "America/New_York")
    made = await schedule(services, number="+12025550155", at=at, zone="America/New_York", campaign="call_back")
    await pool.execute("UPDATE attempt SET state = $1, lease_until = now()", state)
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(feature.OverError):
            await feature.move(
                services, connection, made.id, at=at + timedelta(days=1), zone=None, window=None, by=ANNA
            )
    assert [row["state"] for row in await pool.fetch("SELECT state FROM attempt")] == [state]


@pytest.mark.parametrize("state", ["in_doubt", "accepted"])
async def test_one_whose_node_died_while_it_rang_can_be_closed(services, pool, state):
    await campaign(services)
    at = tomorrow_at(14, "America/New_York")
    made = await schedule(services, number="+12025550156", at=at, zone="America/New_York", campaign="call_back")
    await pool.execute("UPDATE attempt SET state = $1", state)
    assert (await close(pool, made.id, is_done=False)).state == "cancelled"
