"""A caller in distress: one act, whoever notices it; killed anywhere it was not, and twice it is once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from support import lines_up, world
from support import services as world_services
from support.live_calls import make_call
from tenderline import app
from tenderline.campaigns import calling
from tenderline.compliance.distress import UnknownPhraseError
from tenderline.config import StripeSettings
from tenderline.core.errors import NotFoundError
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.gateways.stripe import Stripe
from tenderline.payments import agent_started, telephone
from tenderline.people import distress
from tenderline.store import alerts, callbacks, holds
from tenderline.store.calling_campaigns import CallingCampaign

SUE = "sue@example.org"


@pytest.fixture
def services(pool):
    return world_services.make(pool)


def a_gateway():
    """Nothing is charged here."""
    return Stripe(StripeSettings(api_key=SecretStr("sk_1"), api_url="http://127.0.0.1:9"))


async def say(services, call, text="he says I am forced to pay", source="transcript"):
    async with services.pool.acquire() as connection, connection.transaction():
        return await distress.read_words(services, connection, call, text, source=source, by="client:ears")


async def counts(pool):
    tables = ("alert", "callback", "live_command", "attempt", "audit", "event")
    return {name: await pool.fetchval(f"SELECT count(*) FROM {name}") for name in tables}


async def test_a_word_of_distress_does_all_of_it_at_once(services, pool):
    debtor = await world.make_debtor(pool)
    call = await make_call(pool, debtor.address)
    done = await say(services, call)
    assert done is not None
    assert done.is_new
    assert done.person_id == debtor.person_id
    async with pool.acquire() as connection:
        (alert,) = await alerts.open_ones(connection)
        (held,) = await holds.held(connection)
        (callback,) = await callbacks.waiting(connection)
    assert (alert.kind, alert.conversation_id, alert.person_id) == ("distress", call, debtor.person_id)
    assert alert.detail["reason"] == "forced (harm)"
    assert held.person_id == debtor.person_id
    assert held.distress_until.year == 9999
    now = datetime.now(UTC)
    assert now - timedelta(minutes=1) < callback.due_at <= now + timedelta(hours=24)
    assert callback.kind == "distress"
    asked = await pool.fetch("SELECT kind, detail ->> 'waits' AS waits FROM live_command ORDER BY asked_at, id")
    assert [tuple(row) for row in asked] == [("distress", None), ("escalate", "true")]
    actions = {row["action"] for row in await pool.fetch("SELECT action FROM audit")}
    assert {"distress_reported", "distress_held"} <= actions
    claim = await world.claim(pool)
    assert claim.leased == [], "nothing automatic leaves for her"


async def lead(pool):
    """How many supervisors were asked for, once half a minute is over."""
    await pool.execute("UPDATE live_command SET asked_at = asked_at - interval '31 s'")
    async with pool.acquire() as connection, connection.transaction():
        did = await distress.lead_again(connection)
        assert await distress.lead_again(connection) == 0, "not again at once"
        return did


async def eve_is_free(pool, call):
    """A supervisor whom the call's node can ring."""
    async with pool.acquire() as connection, connection.transaction():
        node = await connection.fetchval("SELECT node_id FROM conversation WHERE id = $1", call)
        eve = await lines_up.make_agent(connection, "eve", ["supervisor"], node=node, direct=False)
        return eve, node


async def test_the_first_supervisor_who_becomes_free_is_offered_a_call_that_none_was_there_for(services, pool):
    call = await make_call(pool, "+12025550117")
    await say(services, call)
    assert await lead(pool) == 0, "nobody is there"
    await eve_is_free(pool, call)
    assert await lead(pool) == 1
    asked = await pool.fetch("SELECT detail ->> 'reason' FROM live_command WHERE kind = 'escalate'")
    assert [tuple(row) for row in asked] == [("forced (harm)",)] * 2
    assert await lead(pool) == 1, "when she could not take it"


LED = {
    "the alert is taken": "UPDATE alert SET taken_by = 'eve', taken_at = now()",
    "the alert is closed": "UPDATE alert SET closed_by = 'eve', closed_at = now()",
    "the call is over": "UPDATE conversation SET ended_at = now()",
    "she waits for a supervisor": "INSERT INTO waiting (id, conversation_id, queue, rank_at)"
    " SELECT gen_random_uuid(), id, 'supervisor', now() FROM conversation",
    "a supervisor had her": "INSERT INTO waiting (id, conversation_id, queue, rank_at, connected_at, state, left_at)"
    " SELECT gen_random_uuid(), id, 'supervisor', now(), now(), 'left', now() FROM conversation",
    "a flow leads her": "DELETE FROM live_command WHERE kind = 'escalate'",
    "it was tried often enough": "INSERT INTO live_command (id, node_id, conversation_id, kind, detail, asked_by,"
    " not_after) SELECT gen_random_uuid(), node_id, conversation_id, kind, detail, asked_by, not_after"
    " FROM live_command, generate_series(1, 20) WHERE kind = 'escalate'",
    "the supervisor is away": "UPDATE agent_presence SET state = 'away'",
    "the supervisor is reached from elsewhere": "WITH other AS (INSERT INTO voice_node (id, sip_address, calls_max,"
    " lease_until) VALUES (gen_random_uuid(), '192.0.2.9:5060', 1, now() + interval '1 day') RETURNING id)"
    " UPDATE agent_presence SET reach_node = other.id FROM other",
    "the supervisor listens to it": "UPDATE agent_presence SET state = 'on_call', conversation_id = c.id,"
    " node_id = c.node_id FROM conversation c",
}


@pytest.mark.parametrize("why", LED)
async def test_no_supervisor_is_asked_for_again_when(services, pool, why):
    call = await make_call(pool, "+12025550118")
    await say(services, call)
    await eve_is_free(pool, call)
    await pool.execute(LED[why])
    assert await lead(pool) == 0


async def test_hits_at_once_and_again_are_one_act(services, pool):
    call = await make_call(pool, "+12025550111")
    await asyncio.gather(*(say(services, call) for _ in range(6)))
    once = await counts(pool)
    again = await say(services, call, "I want to die", source="agent_words")
    assert not again.is_new
    assert await counts(pool) == once
    assert once["alert"] == once["callback"] == 1
    assert once["live_command"] == 2


@pytest.mark.parametrize("step", ["hold", "raise_one", "add", "ask", "append"])
async def test_whatever_fails_on_the_way_nothing_is_done_by_half(services, pool, monkeypatch, step):
    call = await make_call(pool, "+12025550112")
    before = await counts(pool)
    owner = {"hold": holds, "raise_one": alerts, "add": callbacks, "ask": distress.live_commands}.get(
        step, distress.audit
    )

    async def dies(*_, **__):
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, dies)
        with pytest.raises(ConnectionResetError):
            await say(services, call)
    assert await counts(pool) == before
    assert (await say(services, call)).is_new


async def test_payment_is_refused_by_the_server_also_after_the_alert_is_closed(services, pool):
    call = await make_call(pool, "+12025550113")
    person, _, _ = await world.make_person(pool)
    done = await say(services, call)
    async with pool.acquire() as connection, connection.transaction():
        await alerts.close(connection, done.alert_id, SUE, "spoke with her")
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(holds.PaymentOffError):
            await agent_started.begin(connection, call, agent_started.Wish(), by="anna")
        with pytest.raises(holds.PaymentOffError):
            await telephone.begin(
                services, connection, person_id=person, contact_point_id=None, conversation_id=call, mode="automated",
                money=Money(2500, "USD"), campaign=None, fund=None,
            )  # fmt: skip


async def test_only_a_word_of_distress_does_it_and_only_on_a_call_there_is(services, pool):
    call = await make_call(pool, "+12025550114")
    before = await counts(pool)
    assert await say(services, call, "I would like to give ten dollars") is None
    assert await counts(pool) == before
    with pytest.raises(NotFoundError):
        await say(services, uuid7())


async def test_a_call_that_is_over_gets_no_command_and_a_withheld_number_no_callback(services, pool):
    over = await make_call(pool, "+12025550115", is_over=True)
    withheld = await make_call(pool, None)
    assert (await say(services, over)).callback_id is not None
    done = await say(services, withheld)
    assert done.callback_id is None
    assert done.person_id is None
    asked = await pool.fetch("SELECT conversation_id FROM live_command")
    assert {row["conversation_id"] for row in asked} == {withheld}


async def test_who_opted_out_by_telephone_is_left_for_a_person_to_decide_about(services, pool):
    from tenderline.people import by_phone

    async with pool.acquire() as connection, connection.transaction():
        await by_phone.opt_out(connection, "+12025550116", evidence="a test")
    await say(services, await make_call(pool, "+12025550116"))
    async with pool.acquire() as connection:
        (callback,) = await callbacks.waiting(connection)
    assert "a person decides" in callback.why


async def test_only_a_lifted_hold_lets_contacts_pass_again(services, pool):
    debtor = await world.make_debtor(pool)
    await say(services, await make_call(pool, debtor.address))
    assert (await world.claim(pool)).leased == []
    async with pool.acquire() as connection, connection.transaction():
        await distress.lift(connection, debtor.person_id, by=SUE, reason="a misunderstanding: a fraud *report*")
        with pytest.raises(distress.NotHeldError):
            await distress.lift(connection, debtor.person_id, by=SUE, reason="again")
        assert await holds.held(connection) == []
    again = "UPDATE attempt SET state = 'planned', why = NULL, decision = NULL"
    await pool.execute(again)
    waking = await world.claim(pool)
    assert [one.person_id for one in waking.leased] == [debtor.person_id], "what is planned from now on may leave"
    fresh = await pool.fetchval("SELECT distress_until FROM person WHERE id = $1", debtor.person_id)
    assert fresh is None
    lifted = await pool.fetch("SELECT actor FROM audit WHERE action = 'distress_lifted'")
    assert [row["actor"] for row in lifted] == [SUE]


async def test_screens_hear_of_an_alert_with_its_commit(services, pool):
    call, heard = await make_call(pool, "+12025550117"), asyncio.Event()
    async with pool.acquire() as ear:
        await ear.add_listener("tenderline_event", lambda *_: heard.set())
        await say(services, call)
        async with asyncio.timeout(10):
            await heard.wait()
        await ear.reset()


async def test_the_supervisors_campaign_calls_by_itself_within_a_day_and_a_flow_never_does(pool):
    shown = "+12025550000"
    made = world_services.make(pool, voice__caller_ids=shown, distress__callback_campaign="care")
    agents, machine = {"queue": "supervisor"}, {"flow": "welcome"}
    for number, who in (("+12025550118", agents), ("+12025550119", machine)):
        async with pool.acquire() as connection, connection.transaction():
            care = CallingCampaign(name="care", caller_id=shown, purpose="servicing", **who)
            await calling.put(made, connection, care, by=SUE)
        await say(made, await make_call(pool, number))
        rows = await pool.fetch("SELECT channel, template, due_at, not_after, state FROM attempt")
        assert len(rows) == 1, "a machine never calls somebody in distress"
        assert (rows[0]["channel"], rows[0]["template"], rows[0]["state"]) == ("voice_live", "care", "planned")
        assert rows[0]["due_at"] < rows[0]["not_after"] <= datetime.now(UTC) + timedelta(hours=24)


async def held_people(pool):
    return {row["id"] for row in await pool.fetch("SELECT id FROM person WHERE distress_until IS NOT NULL")}


async def test_whom_the_flow_identified_is_held_with_the_owner_of_the_number(services, pool):
    owner, _, office = await world.make_person(pool)
    donor = await world.make_debtor(pool)
    call = await make_call(pool, office)
    async with pool.acquire() as connection, connection.transaction():
        await distress.identified(connection, call, donor.person_id, by="conversation:1")
    assert await held_people(pool) == set(), "who calls is not in distress for that"
    done = await say(services, call)
    assert done.person_id == donor.person_id
    assert await held_people(pool) == {donor.person_id, owner}
    assert (await world.claim(pool)).leased == [], "her own dunning rests"
    subjects = {row["subject"] for row in await pool.fetch("SELECT subject FROM audit WHERE action = 'distress_held'")}
    assert subjects == {f"person:{donor.person_id}", f"person:{owner}"}
    told = await pool.fetchval("SELECT count(*) FROM event WHERE kind = 'DistressReported'")
    assert told == 2, "each hold is in the history of whom it holds"


async def test_who_is_identified_after_the_word_is_held_too(services, pool):
    donor = await world.make_debtor(pool)
    call = await make_call(pool, None)
    assert (await say(services, call)).person_id is None
    async with pool.acquire() as connection, connection.transaction():
        await distress.identified(connection, call, donor.person_id, by="conversation:1")
    assert await held_people(pool) == {donor.person_id}
    assert (await world.claim(pool)).leased == []


async def test_who_pays_on_the_call_is_held(pool):
    services = world_services.make(pool, gateways=[a_gateway()])
    owner, _, office = await world.make_person(pool)
    payer, _, _ = await world.make_person(pool)
    call = await make_call(pool, office)
    async with pool.acquire() as connection, connection.transaction():
        await telephone.begin(
            services, connection, person_id=payer, contact_point_id=None, conversation_id=call, mode="automated",
            money=Money(2500, "USD"), campaign=None, fund=None,
        )  # fmt: skip
    await say(services, call)
    assert await held_people(pool) == {owner, payer}


async def test_a_hold_that_was_lifted_comes_back_with_a_row_and_an_event_while_the_alert_is_open(services, pool):
    debtor = await world.make_debtor(pool)
    call = await make_call(pool, debtor.address)
    await say(services, call)
    async with pool.acquire() as connection, connection.transaction():
        await distress.lift(connection, debtor.person_id, by=SUE, reason="a misunderstanding")
    assert not (await say(services, call)).is_new
    assert await held_people(pool) == {debtor.person_id}
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'distress_held'") == 2
    assert await pool.fetchval("SELECT count(*) FROM event WHERE kind = 'DistressReported'") == 2


async def test_a_word_that_is_switched_off_does_nothing_and_one_that_never_was_on_ends_the_start(pool, database_url):
    quiet = world_services.make(pool, distress__phrases_off="error")
    call = await make_call(pool, "+12025550122")
    assert await say(quiet, call, "is there an error?") is None
    assert await say(quiet, call, "an error, or a scam?") is not None
    typo = world_services.make(pool, distress__phrases_off="errror message")
    with pytest.raises(UnknownPhraseError, match="errror message"):
        async with app.open_services(typo.settings, database_url):
            pass
