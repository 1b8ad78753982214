"""The line when something goes wrong between two steps: nobody is stuck in it, and nothing is done twice."""

from __future__ import annotations

from uuid import uuid4

import pytest

from support import lines_up
from tenderline.store import agents, presence, voice_nodes, waiting


@pytest.fixture
async def connection(pool):
    async with pool.acquire() as one:
        yield one


@pytest.fixture
async def node(connection):
    return await lines_up.make_node(connection)


async def offered(connection, node, queue="general"):
    """Somebody in line, and the agent who is reserved for her."""
    one = await lines_up.enter(connection, queue, node)
    assert (await lines_up.match(connection)).matched == 1
    return (await lines_up.offers(connection, node))[one.id]


async def row_of(connection, id):
    return await connection.fetchrow("SELECT * FROM waiting WHERE id = $1", id)


async def test_an_offer_whose_agent_was_freed_stops_nobody_and_is_made_again(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    offer = await offered(connection, node)
    await presence.take_up(connection, anna, offer.conversation_id)
    await presence.free_again(connection, anna, offer.conversation_id)  # what is done for a call that is lost
    other = await lines_up.enter(connection, "general", node)
    assert (await lines_up.match(connection)).matched == 0, "and it does not fail: an agent has one offer"
    await lines_up.look_round(connection)
    assert (await lines_up.match(connection)).matched == 1
    row = await row_of(connection, offer.id)
    assert (row["state"], row["returned"], row["agent_id"]) == ("offered", True, anna)
    assert (await row_of(connection, other.id))["state"] == "waiting"


async def test_a_lost_call_of_a_kept_place_gives_the_place_back_and_the_agent_too(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    await lines_up.keep(connection, one.id)
    await lines_up.match(connection)
    assert await waiting.call_of(connection, one.id, anna, made := uuid4())
    await lines_up.hours_pass(connection, waiting.STRAY_S + 1)
    await waiting.clear_strays(connection, node, [])
    await lines_up.look_round(connection)
    row = await row_of(connection, one.id)
    assert (row["state"], row["node_id"], row["agent_id"]) == ("waiting", None, None)
    assert await lines_up.state_of(connection, anna) == "available"
    assert not await waiting.connect(connection, one.id, anna, made)


async def test_a_lost_call_of_a_kept_place_that_was_answered_leaves_the_callback_to_people(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    await lines_up.keep(connection, one.id)
    await lines_up.match(connection)
    await waiting.call_of(connection, one.id, anna, made := uuid4())
    assert await waiting.connect(connection, one.id, anna, made)
    await lines_up.hours_pass(connection, waiting.STRAY_S + 1)
    await waiting.clear_strays(connection, node, [])
    assert (await row_of(connection, one.id))["outcome"] == "callback_later"
    assert await lines_up.state_of(connection, anna) == "available"


async def test_every_step_of_a_call_may_be_written_twice(connection, node):
    """The answer to a commit may be lost: then the step is done again, and must say the same."""
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = uuid4()
    for _ in range(2):
        assert (await lines_up.enter(connection, "general", node, id=one)).id == one
    (id,) = await connection.fetchval("SELECT array_agg(id) FROM waiting")
    await lines_up.match(connection)
    offer = (await lines_up.offers(connection, node))[id]
    for _ in range(2):
        assert await presence.take_up(connection, anna, offer.conversation_id)
    for _ in range(2):
        assert await waiting.connect(connection, id, anna, offer.conversation_id)
    assert await lines_up.state_of(connection, anna) == "on_call"
    assert not await waiting.connect(connection, id, anna, uuid4())


async def test_a_place_is_kept_and_called_once_however_often_that_is_written(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    one = await lines_up.enter(connection, "general", node)
    callback_id, made = uuid4(), uuid4()
    for _ in range(2):
        assert await lines_up.keep(connection, one.id, callback_id)
    await lines_up.match(connection)
    assert await lines_up.keep(connection, one.id, callback_id), "also when her turn came between the two"
    assert (await row_of(connection, one.id))["node_id"] == node
    assert await connection.fetchval("SELECT count(*) FROM callback") == 1
    for _ in range(2):
        assert await waiting.call_of(connection, one.id, anna, made)
    assert not await waiting.call_of(connection, one.id, anna, uuid4())
    assert not await lines_up.keep(connection, one.id), "another wish comes too late"


async def test_a_call_that_we_make_gets_one_agent_however_often_she_is_reserved(connection, node):
    for name in ("anna", "bob"):
        await lines_up.make_agent(connection, name, ["general"], node=node)
    call = uuid4()
    found = {(await presence.reserve_for_call(connection, "general", node, call)).agent_id for _ in range(2)}
    assert len(found) == 1


async def test_an_agent_who_is_not_rung_any_more_is_connected_to_nobody(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    offer = await offered(connection, node)
    assert not await waiting.connect(connection, offer.id, anna, offer.conversation_id), "she is only reserved"
    assert (await row_of(connection, offer.id))["state"] == "offered", "neither of the two is changed"


async def test_distress_while_it_rings_loses_no_call_and_lasts(connection, node):
    await lines_up.make_queue(connection, "general", wrap_up_s=15)
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    offer = await offered(connection, node)
    await presence.take_up(connection, anna, offer.conversation_id)
    assert await presence.say(connection, anna, "distress", reason="help", by="anna") == "distress"
    assert await waiting.connect(connection, offer.id, anna, offer.conversation_id)
    assert await lines_up.state_of(connection, anna) == "distress"
    await waiting.leave(connection, offer.id, "talked")
    found = await agents.get(connection, anna)
    assert (found.state, found.reason, found.conversation_id) == ("distress", "help", None)
    assert await presence.say(connection, anna, "available", reason=None, by="anna") == "available"


async def test_distress_that_passes_while_it_rings_changes_nothing(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    offer = await offered(connection, node)
    await presence.take_up(connection, anna, offer.conversation_id)
    await presence.say(connection, anna, "distress", reason="help", by="anna")
    assert await presence.say(connection, anna, "available", reason=None, by="anna") == "ringing"
    await waiting.give_back(connection, offer.id, anna, offer.conversation_id, reason="no answer")
    assert await lines_up.state_of(connection, anna) == "away"


async def test_whoever_is_in_distress_before_it_rings_is_not_rung(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    offer = await offered(connection, node)
    await presence.say(connection, anna, "distress", reason=None, by="anna")
    assert not await presence.take_up(connection, anna, offer.conversation_id)
    await lines_up.make_agent(connection, "bob", ["general"], node=node)
    await lines_up.look_round(connection)
    assert (await lines_up.match(connection)).matched == 1
    assert (await lines_up.offers(connection, node))[offer.id].agent == "bob"


@pytest.mark.parametrize("ending", ["did not answer", "hung up"])
async def test_distress_lasts_also_when_the_call_does_not_come_about(connection, node, ending):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    offer = await offered(connection, node)
    await presence.take_up(connection, anna, offer.conversation_id)
    await presence.say(connection, anna, "distress", reason="help", by="anna")
    if ending == "hung up":
        await waiting.leave(connection, offer.id, "abandoned")
    else:
        await waiting.give_back(connection, offer.id, anna, offer.conversation_id, reason="no answer")
    found = await agents.get(connection, anna)
    assert (found.state, found.reason, found.node_id, found.until) == ("distress", "help", None, None)


async def test_whoever_gets_another_telephone_is_not_rung_on_the_old_one(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    await connection.execute("INSERT INTO telephone (name, ha1_md5, ha1_sha256) VALUES ('desk', '', '')")
    await agents.change(connection, anna, name="Anna", user_id=None, telephone="desk", enabled=True, by="test")
    assert not (await agents.get(connection, anna)).is_reachable
    assert await lines_up.enter(connection, "general", node) is None


async def test_an_open_browser_is_rung_before_the_desk_telephone_which_is_there_when_it_is_gone(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    await presence.reached_by_browser(connection, [anna], node, lasting_s=30)
    await lines_up.register(connection, node, "anna")
    assert (await agents.get(connection, anna)).reach_kind == "browser"
    await presence.browser_gone(connection, [anna], node)
    await lines_up.register(connection, node, "anna")
    found = await agents.get(connection, anna)
    assert (found.reach_kind, found.is_reachable) == ("telephone", True)


async def test_a_node_that_cannot_call_back_keeps_no_agent_from_others(connection, node):
    anna = await lines_up.make_agent(connection, "anna", ["general"], node=node)
    kept = await lines_up.enter(connection, "general", node)
    await lines_up.keep(connection, kept.id)
    other = await lines_up.enter(connection, "general", node)
    await voice_nodes.renew(connection, node, 0, calls_back=False)
    await lines_up.match(connection)
    assert (await row_of(connection, other.id))["agent_id"] == anna
    assert (await row_of(connection, kept.id))["state"] == "waiting"
    await waiting.leave(connection, other.id, "abandoned")
    await voice_nodes.renew(connection, node, 0, calls_back=True)
    await lines_up.match(connection)
    assert (await row_of(connection, kept.id))["agent_id"] == anna
