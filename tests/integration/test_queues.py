"""The line in front of agents, in a real database: getting in, being matched, given back, kept and cleared away."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from support import lines_up, postgres, services
from tenderline.core.queue_rings import Ring
from tenderline.desk import queues as floor_of
from tenderline.store import agents, db, presence, queues, users, waiting
from tenderline.voice.backstage import DatabaseBackstage


@pytest.fixture
async def connection(pool):
    async with pool.acquire() as one:
        yield one


@pytest.fixture
async def node(connection):
    return await lines_up.make_node(connection)


async def only_offer(connection, node):
    (offer,) = (await lines_up.offers(connection, node)).values()
    return offer


async def row_of(connection, one):
    return await connection.fetchrow("SELECT * FROM waiting WHERE id = $1", one.id)


async def test_a_caller_gets_the_agent_who_is_reserved_before_she_is_rung(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    assert (await lines_up.match(connection)).matched == 1
    offer = await only_offer(connection, node)
    assert (offer.id, offer.agent_id, offer.reach_host, offer.reach_port) == (one.id, anna, "127.0.0.1", 5070)
    assert await lines_up.state_of(connection, anna) == "reserved"
    assert await lines_up.answer(connection, offer)
    assert await lines_up.state_of(connection, anna) == "on_call"
    await waiting.leave(connection, one.id, "talked")
    assert await lines_up.state_of(connection, anna) == "available"
    past = await connection.fetch("SELECT state FROM presence_past WHERE agent_id = $1 ORDER BY began_at", anna)
    assert [row["state"] for row in past] == ["offline", "available", "reserved", "ringing", "on_call"]


async def test_nobody_waits_where_nobody_is_logged_in_or_where_there_is_no_queue(connection, node):
    await lines_up.make_agent(connection, "anna", ["general"])
    assert await lines_up.enter(connection, "general", node) is None
    assert await lines_up.enter(connection, "nowhere", node) is None


async def test_a_caller_whose_last_agent_goes_home_is_told(connection, node):
    await lines_up.make_agent(connection, "anna", ["general"], node=node)
    await lines_up.enter(connection, "general", node)
    assert (await lines_up.match(connection)).matched == 1
    late = await lines_up.enter(connection, "general", node)
    await presence.unreached(connection, node, ["anna"])
    await lines_up.look_round(connection)
    assert await waiting.taken_out(connection, [late.id]) == {late.id: "nobody"}


async def test_who_does_not_answer_is_away_and_the_caller_is_at_the_head_again(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    offer = await only_offer(connection, node)
    await presence.take_up(connection, anna, offer.conversation_id)
    await waiting.give_back(connection, offer.id, anna, offer.conversation_id, reason="no answer")
    assert await lines_up.state_of(connection, anna) == "away"
    await lines_up.enter(connection, "general", node, priority=10)
    await lines_up.make_agent(connection, "bob", ["general"], node=node)
    await lines_up.match(connection)
    assert (await only_offer(connection, node)).id == one.id
    await lines_up.hours_pass(connection, presence.AWAY_S)
    assert (await lines_up.match(connection)).matched == 1, "a telephone that says nothing is tried again after a while"


async def test_an_agent_who_is_a_user_stays_away_until_she_says_otherwise(connection, node):
    user = await make_user(connection)
    anna = await agents.make(connection, name="Anna", user_id=user, of_queues=[], by="test")
    await lines_up.make_queue(connection, "general")
    await agents.assign(connection, anna, of_queues=["general"], skills={}, by="test")
    await presence.reached_by_browser(connection, [anna], node, lasting_s=30)
    assert await lines_up.state_of(connection, anna) == "offline", "an open browser alone takes no calls"
    await presence.say(connection, anna, "available", reason=None, by="test")
    await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    offer = await only_offer(connection, node)
    assert offer.reach_kind == "browser"
    await waiting.give_back(connection, offer.id, anna, offer.conversation_id, reason="no answer")
    await lines_up.hours_pass(connection, 10_000)
    assert (await lines_up.match(connection)).matched == 0
    assert await lines_up.state_of(connection, anna) == "away"


async def test_what_an_agent_says_on_a_call_counts_from_its_end_on(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    await lines_up.answer(connection, await only_offer(connection, node))
    assert await presence.say(connection, anna, "away", reason="lunch", by="anna") == "on_call"
    with pytest.raises(agents.AgentBusyError):
        await agents.remove(connection, anna, by="test")
    await waiting.leave(connection, one.id, "talked")
    found = await agents.get(connection, anna)
    assert (found.state, found.reason, found.conversation_id) == ("away", "lunch", None)


async def test_distress_shows_at_once_and_makes_nobody_free(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    await lines_up.answer(connection, await only_offer(connection, node))
    assert await presence.say(connection, anna, "distress", reason=None, by="anna") == "distress"
    assert await presence.say(connection, anna, "available", reason=None, by="anna") == "on_call"


async def test_the_time_to_wrap_up_is_the_queues(connection, node):
    await lines_up.make_queue(connection, "general", wrap_up_s=15)
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    await lines_up.answer(connection, await only_offer(connection, node))
    await waiting.leave(connection, one.id, "talked")
    found = await agents.get(connection, anna)
    assert (found.state, found.queue) == ("wrap_up", "general")
    await lines_up.enter(connection, "general", node)
    assert (await lines_up.match(connection)).matched == 0
    await lines_up.hours_pass(connection, 15)
    assert (await lines_up.match(connection)).matched == 1


async def test_a_caller_who_hangs_up_while_it_rings_frees_the_agent(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    offer = await only_offer(connection, node)
    await waiting.leave(connection, one.id, "abandoned")
    assert await lines_up.state_of(connection, anna) == "available"
    assert not await lines_up.answer(connection, offer), "whoever rings her now is told that she is not reserved"


async def test_overflow_opens_at_thirty_seconds_and_carries_priority(connection, node):
    await lines_up.make_queue(connection, "general")
    await queues.put_skill(connection, "legacy", "", by="test")
    rings = (Ring(), Ring(after_s=30, skills_dropped=("legacy",), queues_joined=("general",)))
    await lines_up.make_queue(connection, "major", rings=rings, tiers={"High_Value_Donor": 5})
    await lines_up.make_agent(connection, "gina", ["general"], node=node)
    eva = await lines_up.make_agent(connection, "eva", ["major"], node=node, skills={"legacy": 5})
    await presence.say(connection, eva, "away", reason="lunch", by="test")
    rich = await lines_up.enter(connection, "major", node, skills=("legacy",), tier="High_Value_Donor")
    turn = await lines_up.match(connection)
    assert turn.matched == 0
    assert 29 < turn.next_in_s <= 30, "the node knows when to look again"
    await lines_up.hours_pass(connection, 29.5)
    assert (await lines_up.match(connection)).matched == 0
    await lines_up.hours_pass(connection, 0.5)
    assert (await lines_up.match(connection)).matched == 1
    offer = await only_offer(connection, node)
    assert (offer.id, offer.overflowed, offer.ring, offer.tier) == (rich.id, True, 1, "High_Value_Donor")


async def test_a_ring_that_nobody_is_logged_in_for_is_skipped_at_once(connection, node):
    await lines_up.make_queue(connection, "general")
    rings = (Ring(), Ring(after_s=30, queues_joined=("general",)))
    await lines_up.make_queue(connection, "major", rings=rings)
    await lines_up.make_agent(connection, "gina", ["general"], node=node)
    eva = await lines_up.make_agent(connection, "eva", ["major"], node=node)
    await presence.say(connection, eva, "away", reason="lunch", by="test")
    patient = await lines_up.enter(connection, "major", node)
    assert (await lines_up.match(connection)).matched == 0, "a specialist is logged in"
    await presence.unreached(connection, node, ["eva"])
    await lines_up.look_round(connection)
    assert (await lines_up.match(connection)).matched == 1
    assert (await row_of(connection, patient))["overflowed"]


async def test_the_agent_of_last_time_is_preferred_for_a_while(connection, node):
    await lines_up.make_queue(connection, "general", last_agent_wait_s=20)
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    await lines_up.answer(connection, await only_offer(connection, node))
    await waiting.leave(connection, one.id, "talked")
    await lines_up.make_agent(connection, "bob", ["general"], node=node)
    await lines_up.hours_pass(connection, 60)
    await presence.say(connection, anna, "away", reason=None, by="test")
    again = await lines_up.enter(connection, "general", node)
    turn = await lines_up.match(connection)
    assert turn.matched == 0, "Bob is free, and waits for Anna's caller no longer than the bound"
    assert 19 < turn.next_in_s <= 20
    await presence.say(connection, anna, "available", reason=None, by="test")
    await lines_up.match(connection)
    assert (await row_of(connection, again))["agent_id"] == anna


async def test_a_telephone_behind_an_address_translation_is_rung_by_its_own_node_only(connection, node):
    other = await lines_up.make_node(connection)
    await lines_up.make_agent(connection, "anna", ["general"], node=node, direct=False)
    assert await lines_up.enter(connection, "general", other) is None
    near = await lines_up.enter(connection, "general", node)
    await lines_up.make_agent(connection, "bob", ["general"], node=node)
    far = await lines_up.enter(connection, "general", other)
    assert (await lines_up.match(connection)).matched == 2
    assert (await row_of(connection, far))["agent_id"] != (await row_of(connection, near))["agent_id"]
    assert (await only_offer(connection, other)).agent == "bob"


async def test_a_killed_nodes_callers_and_reservations_are_let_go(connection, node):
    other = await lines_up.make_node(connection)
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=other)
    bob = await lines_up.make_agent(connection, "bob", ["general"], node=node)
    first = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    talking = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    for offer in (await lines_up.offers(connection, node)).values():
        if offer.id == talking.id:
            await lines_up.answer(connection, offer)
    await lines_up.enter(connection, "general", node)
    await lines_up.kill(connection, node)
    rows = await connection.fetch("SELECT DISTINCT state, outcome FROM waiting")
    assert [tuple(row) for row in rows] == [("left", "node_gone")]
    assert await lines_up.state_of(connection, anna) == "available", "she is registered elsewhere"
    assert await lines_up.state_of(connection, bob) == "offline", "her telephone was registered there"
    assert (await row_of(connection, first))["left_at"] is not None


async def test_a_reservation_that_no_node_takes_up_is_taken_back(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    offer = await only_offer(connection, node)
    await lines_up.hours_pass(connection, waiting.OFFER_STALE_S + 1)
    await lines_up.look_round(connection)
    assert await lines_up.state_of(connection, anna) == "available"
    assert not await presence.take_up(connection, anna, offer.conversation_id), "who comes too late rings nobody"
    assert (await lines_up.match(connection)).matched == 1


async def test_a_place_is_kept_without_the_caller(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    await presence.say(connection, anna, "away", reason=None, by="test")
    first = await lines_up.enter(connection, "general", node)
    second = await lines_up.enter(connection, "general", node)
    await connection.execute("INSERT INTO callback (id, number, due_at) VALUES ($1, '+12025550100', now())", first.id)
    assert await waiting.keep_place(connection, first.id, first.id)
    await lines_up.kill(connection, await lines_up.make_node(connection))
    await presence.say(connection, anna, "available", reason=None, by="test")
    await lines_up.match(connection)
    offer = await only_offer(connection, node)
    assert (offer.id, offer.callback_id) == (first.id, first.id), "her place is the one she had"
    assert offer.kept_at is not None
    await waiting.give_back(connection, offer.id, anna, offer.conversation_id, reason="no answer")
    row = await row_of(connection, first)
    assert (row["state"], row["node_id"]) == ("waiting", None)
    assert (await row_of(connection, second))["state"] == "waiting"


async def test_a_kept_place_outlives_the_node_that_was_about_to_call(connection, node):
    await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    await connection.execute("INSERT INTO callback (id, number, due_at) VALUES ($1, '+12025550100', now())", one.id)
    await waiting.keep_place(connection, one.id, one.id)
    await lines_up.match(connection)
    await lines_up.kill(connection, node)
    row = await row_of(connection, one)
    assert (row["state"], row["node_id"], row["agent_id"], row["returned"]) == ("waiting", None, None, True)


async def test_calls_that_we_make_get_no_agent_whom_a_caller_waits_for(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    waits = await lines_up.enter(connection, "general", node)
    assert await presence.free_for_calls(connection, "general", node) == 0
    assert await presence.reserve_for_call(connection, "general", node, uuid4()) is None
    await waiting.leave(connection, waits.id, "abandoned")
    call = uuid4()
    reserved = await presence.reserve_for_call(connection, "general", node, call)
    assert (reserved.agent_id, reserved.telephone) == (anna, "anna")
    await lines_up.enter(connection, "general", node)
    assert (await lines_up.match(connection)).matched == 0
    assert await presence.talks(connection, anna, call)
    await presence.finish(connection, anna, call)
    assert (await lines_up.match(connection)).matched == 1


async def test_nodes_that_match_at_once_give_each_agent_one_caller(pool, connection, node):
    for number in range(20):
        await lines_up.make_agent(connection, f"a{number}", ["general"], node=node)
    for _ in range(30):
        await lines_up.enter(connection, "general", node)

    async def one_node():
        async with pool.acquire() as own:
            return (await lines_up.match(own)).matched

    assert sum(await asyncio.gather(*(one_node() for _ in range(6)))) == 20
    rows = await connection.fetch("SELECT agent_id FROM waiting WHERE state = 'offered'")
    assert len({row["agent_id"] for row in rows}) == len(rows) == 20
    first = await connection.fetch("SELECT state FROM waiting ORDER BY rank_at LIMIT 20")
    assert {row["state"] for row in first} == {"offered"}, "those who came first"


async def test_an_estimate_rests_on_the_queues_own_calls_and_a_flow_may_tell_it(pool, connection, node):
    told = DatabaseBackstage(services.make(pool)).expected_wait_s

    async def wait_s_of(connection, queue):
        found = await told(queue, timeout_s=10)
        assert [one.wait_s for one in await waiting.paces(connection) if one.queue == queue] == [found]
        return found

    await lines_up.make_queue(connection, "general")
    assert await told("unheard of", timeout_s=10) is None
    assert await wait_s_of(connection, "general") is None, "nobody serves it"
    await lines_up.make_agent(connection, "anna", ["general"], node=node)
    assert await wait_s_of(connection, "general") == 0, "she is free"
    one = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    assert await wait_s_of(connection, "general") == waiting.TALK_S_USUAL
    await lines_up.enter(connection, "general", node)
    assert await wait_s_of(connection, "general") == 2 * waiting.TALK_S_USUAL
    await lines_up.answer(connection, await only_offer(connection, node))
    await connection.execute("UPDATE waiting SET connected_at = connected_at - interval '60 s'")
    await waiting.leave(connection, one.id, "talked")
    await lines_up.match(connection)
    assert await wait_s_of(connection, "general") == pytest.approx(60, abs=5)


async def test_a_queue_in_use_is_not_deleted_and_the_reason_is_told(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    await presence.say(connection, anna, "away", reason=None, by="test")
    one = await lines_up.enter(connection, "general", node)
    with pytest.raises(queues.QueueInUseError, match=r"1 callers wait in it.*1 agents serve it"):
        await queues.remove(connection, "general", by="test")
    await waiting.leave(connection, one.id, "abandoned")
    await agents.assign(connection, anna, of_queues=[], skills={}, by="test")
    await queues.remove(connection, "general", by="test")
    assert await queues.get(connection, "general") is None
    with pytest.raises(queues.NoSuchQueueError):
        await queues.remove(connection, "general", by="test")


async def test_a_telephone_that_gets_a_user_is_no_agent_by_itself_any_more(connection, node):
    alone = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    user = await make_user(connection)
    hers = await agents.make(connection, name="Anna", user_id=user, telephone="anna", of_queues=["general"], by="test")
    assert [one.id for one in await agents.every(connection)] == [hers] != [alone]
    await agents.of_telephone(connection, "anna", ["other"], by="test")
    assert (await agents.get(connection, hers)).queues == ["general"], "her queues are hers, not the telephone's"
    with pytest.raises(agents.AgentExistsError):
        await agents.make(connection, name="Anna", by="test")


async def test_what_worked_before_goes_on_after_the_upgrade(server_url):
    async def until_then(url):
        await db.migrate(url, until="0013_pre_rescue.sql")

    async with postgres.fresh_database(server_url, until_then) as url:
        before = await asyncpg.connect(url)
        await before.execute(
            "INSERT INTO telephone (name, ha1_md5, ha1_sha256, queues) VALUES"
            " ('anna', '', '', '{general,late}'), ('hall', '', '', '{}')"
        )
        await before.close()
        await db.migrate(url)
        async with db.open_pool(url) as opened, opened.acquire() as connection:
            found = await agents.every(connection)
            assert [(one.name, one.telephone, one.automatic, one.queues, one.state) for one in found] == [
                ("anna", "anna", True, ["general", "late"], "offline")
            ]


async def make_user(connection):
    return await users.create_user(connection, "anna@example.org", "Anna", "correct horse battery", "agent")


async def test_the_floor_shows_who_waits_and_how_many_were_served_in_time(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    since = datetime.now(UTC) - timedelta(hours=1)
    one = await lines_up.enter(connection, "general", node)
    await lines_up.match(connection)
    await lines_up.answer(connection, await only_offer(connection, node))
    late = await lines_up.enter(connection, "general", node)
    await lines_up.enter(connection, "general", node)
    await lines_up.hours_pass(connection, 40)
    await waiting.leave(connection, late.id, "abandoned")
    await presence.say(connection, anna, "distress", reason=None, by="test")
    seen = await floor_of.floor(connection, since)
    (row,) = [one for one in seen.queues if one.now.name != "supervisor"]
    assert (row.now.waiting, row.now.connected, row.now.in_time, row.now.lost_late) == (1, 1, 1, 1)
    assert 40 <= row.now.oldest_s < 60
    assert (row.level_percent, row.is_below) == (50, True)
    assert [(agent.name, agent.state) for agent in seen.agents] == [("anna", "distress")]
    await waiting.leave(connection, one.id, "talked")
