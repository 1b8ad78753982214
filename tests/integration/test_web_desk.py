"""The agent's desk: what it shows of a call, what it asks of the call's node, and what follows when a call ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

from support import desk_call, edge, services, world
from support.desk_call import CALLER
from tenderline.campaigns import callbacks as feature
from tenderline.core.ids import uuid7
from tenderline.store import agents, callbacks, calling_campaigns, desks, dispositions, people, scripts, secure_sessions
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.store.dispositions import Disposition
from tenderline.store.scripts import Script, ScriptStep
from tenderline.voice.commands import Commands
from tenderline.voice.orders import Orders
from tenderline.web import desk

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
async def agent(pool):
    return await desk_call.make_agent(pool)


@pytest.fixture
async def http(pool, agent):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as made:
        await edge.sign_in(made, agent[0])
        yield made


@pytest.fixture
async def live(pool, agent):
    return await desk_call.ring(pool, *agent)


@pytest.fixture
async def orders(pool, live):
    """The node takes orders of this call."""
    made = Orders()
    commands = Commands(pool, lambda: live.node, lambda call: made if call == live.call else None)
    commands.start()
    yield made
    await commands.close()


async def shown(http):
    answer = await http.get("/desk")
    assert answer.status_code == 200, answer.text
    return answer.text


async def post(http, path, **fields):
    return await http.post(path, data={"csrf_token": edge.csrf_of(await shown(http)), **fields})


async def end(http, live, code, **fields):
    return await post(http, "/desk/ending", call=str(live.call), code=code, **fields)


async def state_of(pool, live):
    return await pool.fetchval("SELECT state FROM agent_presence WHERE agent_id = $1", live.agent)


async def test_everything_an_agent_has_to_know_is_on_one_page_and_stays_when_it_is_loaded_anew(http, pool, live):
    first = await shown(http)
    assert "Nobody was looked up" in first
    assert "★ Priority" in first
    await desk_call.know(pool, live)
    text = await shown(http)
    for told in ("Maud Lindqvist", "+1 202-555-0100", "Gold", "$7,500.00",
                 "$250.00", "Waited</dt><dd>1:", "Legacy Gifts",
                 "High Value Donor", "Prefers letters.", "greeting", "for Wells", "On a call", "Recording",
                 "Thank you, Maud Lindqvist.", "Local time"):  # fmt: skip
        assert told.casefold() in text.casefold(), told
    assert await shown(http) == text
    assert (await http.get("/desk/live")).status_code == 200


async def test_while_it_rings_she_sees_who_calls_and_without_a_call_what_to_do(http, pool, agent):
    assert "No call" in await shown(http)
    live = await desk_call.ring(pool, *agent, talking=False, overflowed=False)
    await desk_call.know(pool, live)
    text = await shown(http)
    assert "Ringing" in text
    assert "Maud Lindqvist" in text
    assert "★ Priority" not in text
    assert 'id="actions"' not in text, "nothing can be asked of a call that nobody has answered"
    assert 'id="endings"' not in text
    assert (await end(http, live, "settled")).status_code == 409


async def test_the_recording_is_said_to_be_silent_while_a_card_is_keyed_in(http, pool, live):
    async with pool.acquire() as connection:
        await secure_sessions.begin(
            connection, id=uuid7(), conversation_id=live.call, participant_id=live.caller,
            source_participant_id=live.participant, mode="attended", flow="secure_payment", disconnect=False,
            user_data={}, asked_by=live.email,
        )  # fmt: skip
    text = await shown(http)
    assert "Secure: the recording is silent" in text
    assert "The caller keys a card in." in text
    for refused in ('id="order-hold"', 'id="order-hang-up"', 'value="transfer"', 'value="consult"'):
        button = text[text.index(refused) :].split("</button>")[0]
        assert 'disabled aria-describedby="call-state"' in button, refused


async def test_a_payment_that_is_started_here_comes_back_here(http, pool, live, orders):
    orders.open()
    text = await shown(http)
    form = {"csrf_token": edge.csrf_of(text), "mode": "leave", "amount": "25", "fund": "", "back": "desk"}
    assert '<input type="hidden" name="back" value="desk">' in text
    asked = asyncio.create_task(http.post(f"/calls/{live.call}/secure", data=form))
    async with asyncio.timeout(10):
        order = await orders.next()
    order.answered.set_result({"state": "PENDING"})
    answer = await asked
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk")
    away = await http.post(f"/calls/{live.call}/secure", data={**form, "back": "//evil.example"})
    assert away.status_code == 409, "one is open already; and no other place is ever led to"


async def test_what_she_says_of_herself_counts_at_once_or_from_the_end_of_her_call_on(http, pool, agent):
    assert (await post(http, "/desk/state", state="available")).status_code == 303
    assert "Ready" in await shown(http)
    assert (await post(http, "/desk/state", state="away", reason="Lunch")).status_code == 303
    assert "Lunch" in await shown(http)
    assert (await post(http, "/desk/state", state="away")).status_code == 422
    assert (await post(http, "/desk/state", state="busy")).status_code == 422
    live = await desk_call.ring(pool, *agent)
    assert (await post(http, "/desk/state", state="away", reason="Break")).status_code == 303
    text = await shown(http)
    assert "On a call" in text
    assert "then Away: Break" in text
    await desk_call.hang_up(pool, live)
    assert await state_of(pool, live) == "away"
    rows = await pool.fetch("SELECT actor FROM audit WHERE action = 'agent_state'")
    assert {row["actor"] for row in rows} == {live.email}


async def test_what_the_node_does_and_refuses_is_said_in_its_own_words(http, pool, live, orders):
    refused = await post(http, "/desk/order", call=str(live.call), kind="hold")
    assert refused.status_code == 409
    assert "data-detail" in refused.text
    orders.open()
    token = edge.csrf_of(await shown(http))
    fields = {"csrf_token": token, "call": str(live.call), "kind": "transfer", "to": "queue:General_Acquisition"}
    asked = asyncio.create_task(http.post("/desk/order", data=fields))
    async with asyncio.timeout(10):
        order = await orders.next()
    assert (order.kind, order.detail) == ("transfer", {"to": "queue:General_Acquisition"})
    order.answered.set_result({"transferring": True})
    assert (await asked).status_code == 303
    asked = asyncio.create_task(http.post("/desk/order", data={**fields, "kind": "consult", "number": "202 555 0111"}))
    async with asyncio.timeout(10):
        order = await orders.next()
    assert order.detail == {"to": "+12025550111"}
    order.answered.set_result({})
    assert (await asked).status_code == 303
    await pool.execute(
        "INSERT INTO segment (conversation_id, ordinal, kind, started_at) VALUES ($1, 2, 'hold', now())", live.call
    )
    assert "Back to the caller" in await shown(http), "a consultation that was begun shows how it goes on"
    await pool.execute(
        "INSERT INTO segment (conversation_id, ordinal, kind, started_at) VALUES ($1, 3, 'agent', now())", live.call
    )
    assert "Back to the caller" not in await shown(http), "and ends by itself when nobody answers there"
    actions = await pool.fetch("SELECT action FROM audit WHERE action LIKE 'call_%' ORDER BY number")
    assert [row["action"] for row in actions] == ["call_hold", "call_transfer", "call_consult"]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "explode"},
        {"kind": "transfer", "to": ""},
        {"kind": "transfer", "to": "nowhere"},
        {"kind": "transfer", "number": "12"},
        {"kind": "escalate", "reason": ""},
        {"kind": "hold", "call": "nothing"},
    ],
)
async def test_what_cannot_be_asked_is_refused_and_asked_of_nobody(http, pool, live, fields):
    answer = await post(http, "/desk/order", **{"call": str(live.call), **fields})
    assert answer.status_code == 422
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 0


async def test_a_call_of_somebody_else_obeys_only_her(http, pool, live):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as other:
        email, _ = await desk_call.make_agent(pool, name="Berta")
        await edge.sign_in(other, email)
        token = edge.csrf_of(await shown(other))
        form = {"csrf_token": token, "call": str(live.call), "kind": "hang_up"}
        assert (await other.post("/desk/order", data=form)).status_code == 409
        assert (await other.post("/desk/ending", data={**form, "code": "settled"})).status_code == 409
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 0


@pytest.mark.parametrize("role", ["viewer", "engineer", "compliance"])
async def test_who_takes_no_calls_has_no_desk(pool, role):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, role=role))
        assert (await http.get("/desk")).status_code == 403
        assert 'href="/desk"' not in (await http.get("/")).text


async def test_a_user_who_is_no_agent_is_told_so(pool):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, role="supervisor"))
        assert "You are no agent yet" in await shown(http)
        token = edge.csrf_of((await http.get("/cases")).text)
        answer = await http.post("/desk/state", data={"csrf_token": token, "state": "available"})
        assert answer.status_code == 409


async def test_each_end_says_what_follows_before_it_is_chosen_and_six_have_a_key(http, live):
    text = await shown(http)
    for key in range(1, 7):
        assert f'data-key="{key}"' in text
    there = datetime.now(UTC).astimezone(NEW_YORK) + timedelta(days=2)
    assert f"A call on {there:%a} {there.day} {there:%b}, 10:00 local time" in text
    assert "No more contact on any channel" in text
    assert "No machine contacts this person until" in text


async def test_keeping_an_end_ends_her_time_to_write_it_up_and_twice_is_once(http, pool, live):
    await desk_call.hang_up(pool, live)
    assert await state_of(pool, live) == "wrap_up"
    assert "Keep and finish" in await shown(http)
    for note in ("Thanked her.", "Thanked her.", ""):
        assert (await end(http, live, "settled", note=note)).status_code == 303
    assert await state_of(pool, live) == "available"
    told = await pool.fetchval("SELECT data->>'agent_id' FROM event WHERE kind = 'CallDisposed'")
    assert told == str(await pool.fetchval("SELECT agent_id FROM conversation_disposition")), "whose choice it is"
    assert await pool.fetchval("SELECT count(*) FROM event WHERE kind = 'CallDisposed'") == 1
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'call_disposed'") == 1
    late = await end(http, live, "wrong_number")
    assert late.status_code == 409
    assert "what was chosen stands" in late.text
    assert "No call" in await shown(http)


async def test_a_call_without_time_to_write_up_is_still_shown_until_its_end_is_told(http, pool, live):
    await pool.execute("UPDATE queue SET wrap_up_s = 0")
    await desk_call.hang_up(pool, live)
    assert await state_of(pool, live) == "available"
    assert 'id="endings"' in await shown(http)
    assert (await end(http, live, "settled")).status_code == 303
    assert 'id="endings"' not in await shown(http)


async def test_no_more_contact_silences_every_channel_and_cannot_be_taken_back_by_another_choice(http, pool, live):
    assert (await end(http, live, "never_call", note="she said stop")).status_code == 303
    person = await pool.fetchrow("SELECT p.* FROM person p JOIN contact_point c ON c.person_id = p.id")
    assert person["opted_out_at"] is not None
    consent = await pool.fetchrow("SELECT channel, address, evidence FROM consent")
    assert tuple(consent) == ("voice", CALLER, "she said stop")
    answer = await end(http, live, "settled")
    assert answer.status_code == 409
    assert "only she can take it back" in answer.text


async def test_a_wrong_number_is_not_used_again_until_another_choice_is_made(http, pool, live):
    async with pool.acquire() as connection, connection.transaction():
        person_id, _ = await people.of_number(connection, CALLER)
    assert (await end(http, live, "wrong_number")).status_code == 303
    assert await pool.fetchval("SELECT state FROM contact_point") == "unusable"
    assert (await end(http, live, "settled")).status_code == 303
    assert await pool.fetchval("SELECT state FROM contact_point WHERE person_id = $1", person_id) == "usable"


async def test_a_promise_silences_machines_until_its_day_and_another_choice_lifts_it(http, pool, live):
    assert (await end(http, live, "promise_to_pay")).status_code == 303
    until = await pool.fetchval("SELECT paused_until FROM person")
    there = until.astimezone(NEW_YORK)
    assert (there.hour, there.date()) == (9, datetime.now(NEW_YORK).date() + timedelta(days=7))
    assert await pool.fetchval("SELECT actor FROM audit WHERE action = 'call.pause'") == live.email
    assert (await end(http, live, "settled")).status_code == 303
    assert await pool.fetchval("SELECT paused_until FROM person") is None


async def callback_campaign(pool):
    async with pool.acquire() as connection, connection.transaction():
        wanted = CallingCampaign(name="callbacks", caller_id="+18005550123", purpose="servicing", queue=desk_call.QUEUE)
        await calling_campaigns.put(connection, wanted, by="test")


async def test_a_callback_is_planned_through_the_gate_at_her_hour_and_moved_by_another_choice(pool, agent, live):
    await callback_campaign(pool)
    made = services.make(pool, voice__callback_campaign="callbacks")
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, agent[0])
        assert (await end(http, live, "no_answer")).status_code == 303
        first = await pool.fetchrow("SELECT id, due_at, state, decision FROM attempt")
        assert first["state"] == "planned"
        assert first["decision"] is not None, "the gate was asked"
        assert first["due_at"].astimezone(NEW_YORK).hour == 10
        assert await pool.fetchval("SELECT attempt_id FROM callback WHERE state = 'waiting'") == first["id"]
        day = datetime.now(NEW_YORK).date() + timedelta(days=3)
        assert (await end(http, live, "call_back", when=f"{day}T15:30")).status_code == 303
        rows = {row["state"]: row for row in await pool.fetch("SELECT state, due_at, why, own_act_at FROM attempt")}
        assert set(rows) == {"suppressed", "planned"}, "the first is not made any more"
        assert rows["planned"]["due_at"].astimezone(NEW_YORK).strftime("%H:%M") == "15:30"
        assert rows["planned"]["own_act_at"] is not None
        states = [row["state"] for row in await pool.fetch("SELECT state FROM callback ORDER BY created_at")]
        assert states == ["cancelled", "waiting"]
        await pool.execute("UPDATE attempt SET state = 'leased', lease_until = now() WHERE state = 'planned'")
        late = await end(http, live, "settled")
        assert late.status_code == 409
        assert "on its way" in late.text
        assert await pool.fetchval("SELECT state FROM callback WHERE state <> 'cancelled'") == "waiting"
        assert (await end(http, live, "never_call")).status_code == 303, "silence waits for nothing"
        assert await pool.fetchval("SELECT opted_out_at FROM person") is not None
        assert await pool.fetchval("SELECT count(*) FROM callback WHERE state = 'waiting'") == 0


@pytest.mark.parametrize("state", ["delivered", "failed", "suppressed"])
async def test_another_choice_after_the_call_is_over_is_kept_and_closes_the_callback(pool, agent, live, state):
    await callback_campaign(pool)
    made = services.make(pool, voice__callback_campaign="callbacks")
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, agent[0])
        assert (await end(http, live, "no_answer")).status_code == 303
        row = await pool.fetchrow("SELECT kind, campaign, zone, not_after, asked_by, attempt_id FROM callback")
        assert (row["kind"], row["campaign"], row["zone"]) == ("agent", "callbacks", "America/New_York")
        assert row["not_after"] is not None
        assert row["asked_by"] == live.email
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE attempt SET state = $1", state)
            await connection.execute("UPDATE callback SET due_at = now() - interval '2 hours'")
            assert await feature.raise_overdue(connection) == (state != "delivered")
        assert (await end(http, live, "settled")).status_code == 303
    closed = await pool.fetchrow("SELECT state, closed_by, closed_at FROM callback")
    assert (closed["state"], closed["closed_by"]) == ("cancelled", live.email)
    assert closed["closed_at"] is not None
    assert await pool.fetchval("SELECT count(*) FROM alert WHERE closed_at IS NULL") == 0


async def test_a_callback_of_an_agents_choice_is_moved_into_the_campaign_that_it_was_planned_in(pool, agent, live):
    await callback_campaign(pool)
    made = services.make(pool, voice__callback_campaign="callbacks")
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, agent[0])
        assert (await end(http, live, "no_answer")).status_code == 303
        later = world.ahead(5, 14, "America/New_York")
        async with pool.acquire() as connection, connection.transaction():
            (one,) = await callbacks.waiting(connection)
            await feature.move(made, connection, one.id, at=later, zone=None, window=None, by="sue")
    planned = await pool.fetch("SELECT template FROM attempt WHERE state = 'planned'")
    assert [row["template"] for row in planned] == ["callbacks"], "somebody dials"


async def test_a_callback_that_the_gate_refuses_is_not_chosen_and_nothing_of_it_stays(pool, agent, live):
    await callback_campaign(pool)
    async with pool.acquire() as connection, connection.transaction():
        person_id, _ = await people.of_number(connection, CALLER)
    await pool.execute("UPDATE person SET opted_out_at = now(), opted_out_by = 'sms' WHERE id = $1", person_id)
    made = services.make(pool, voice__callback_campaign="callbacks")
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, agent[0])
        answer = await end(http, live, "no_answer")
    assert answer.status_code == 409
    assert "The gate refuses to call" in answer.text
    for table in ("callback", "conversation_disposition", "attempt"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_without_a_campaign_for_callbacks_one_is_listed_for_people(http, pool, live):
    assert (await end(http, live, "call_back")).status_code == 303
    assert await pool.fetchval("SELECT count(*) FROM attempt") == 0
    text = await shown(http)
    assert "Nobody calls by itself" in text


async def test_without_a_campaign_the_gate_is_asked_all_the_same(http, pool, live):
    async with pool.acquire() as connection, connection.transaction():
        person_id, _ = await people.of_number(connection, CALLER)
    await pool.execute("UPDATE person SET opted_out_at = now(), opted_out_by = 'sms' WHERE id = $1", person_id)
    answer = await end(http, live, "call_back")
    assert answer.status_code == 409
    assert "The gate refuses to call" in answer.text
    assert await pool.fetchval("SELECT count(*) FROM callback") == 0


@pytest.mark.parametrize("when", ["2020-01-01T10:00", "2126-01-01T10:00", "soon", "2026-11-30T10:00+00:00"])
async def test_an_hour_that_is_none_is_refused(http, pool, live, when):
    assert (await end(http, live, "call_back", when=when)).status_code == 422
    assert await pool.fetchval("SELECT count(*) FROM conversation_disposition") == 0


async def test_the_choice_is_written_into_the_case_that_the_call_was_about(http, pool, live):
    debtor = await world.make_debtor(pool, zone=world.zone_by_day())
    await pool.execute("UPDATE conversation SET person_id = $2 WHERE id = $1", live.call, debtor.person_id)
    assert (await end(http, live, "promise_to_pay")).status_code == 303
    assert await pool.fetchval("SELECT disposition FROM recovery_case") == "promise_to_pay"


async def test_two_choices_at_once_are_one_after_the_other(http, pool, live):
    token = edge.csrf_of(await shown(http))
    form = {"csrf_token": token, "call": str(live.call), "code": "call_back"}
    answers = await asyncio.gather(*(http.post("/desk/ending", data=form) for _ in range(4)))
    assert {one.status_code for one in answers} == {303}
    assert await pool.fetchval("SELECT count(*) FROM callback") == 1


async def test_dispositions_and_scripts_can_be_changed_and_the_fitting_ones_are_shown(http, pool, live):
    async with pool.acquire() as connection, connection.transaction():
        mine = Disposition(code="legacy", title="Thinks of a legacy", key=7, queues=[desk_call.QUEUE])
        await dispositions.put(connection, mine, by="test")
        other = Disposition(code="other", title="Of another queue", queues=["Elsewhere"])
        await dispositions.put(connection, other, by="test")
        with pytest.raises(dispositions.KeyTakenError):
            await dispositions.put(connection, Disposition(code="twice", title="Twice", key=7), by="test")
        own = Script(name="spring", title="Spring", steps=[ScriptStep("Ask {name}", "<b>")], campaigns=["spring"])
        assert await scripts.put(connection, own, by="test") == 1
        assert await scripts.put(connection, own, by="test") == 2
        assert {one.name: one.version for one in await scripts.every(connection)} == {"donation": 1, "spring": 2}
        assert len(await dispositions.every(connection)) == 8
    text = await shown(http)
    assert "Thinks of a legacy" in text
    assert "Of another queue" not in text
    assert "Ask …" in text
    assert "&lt;b&gt;" in text


async def test_a_desk_is_drawn_anew_only_when_something_of_its_own_changed(pool, agent, live):
    async def versions() -> dict[str, str]:
        async with pool.acquire() as connection:
            return await desks.versions(connection)

    other, _ = await desk_call.make_agent(pool, name="Berta")
    of_email = dict(await pool.fetch("SELECT email, id::text FROM app_user"))
    hers, others = of_email[agent[0]], of_email[other]
    before = await versions()
    assert await versions() == before
    await desk_call.know(pool, live)
    after = await versions()
    assert after[hers] != before[hers]
    assert after[others] == before[others]
    await pool.execute("UPDATE agent_presence SET reach_until = now() + interval '2 hours'")
    assert (await versions())[hers] == after[hers], "a beat is no news"
    for change in (
        "INSERT INTO segment (conversation_id, ordinal, kind, started_at) VALUES ($1, 9, 'hold', now())",
        "UPDATE recording SET state = 'failed' WHERE conversation_id = $1",
        "UPDATE flow_step SET exit = 'other' WHERE conversation_id = $1",
        "UPDATE conversation SET ended_at = now() WHERE id = $1",
        "INSERT INTO live_command (id, node_id, conversation_id, kind, detail, asked_by, not_after)"
        " VALUES (gen_random_uuid(), $1, $1, 'hold', '{}', 'x', now())",
    ):
        known = (await versions())[hers]
        await pool.execute(change, live.call)
        assert (await versions())[hers] != known, change


async def tells(lines, words):
    async for line in lines:
        if words in line:
            return
    raise AssertionError(f"the stream ended without “{words}”")


async def test_a_desk_that_was_open_before_its_user_was_an_agent_shows_it_as_soon_as_she_is_one(pool, monkeypatch):
    monkeypatch.setattr(desk, "LOOK_ANEW_S", 3_600.0)
    email, port = await edge.make_user(pool, "agent", "berta@example.org"), edge.free_port()
    made = services.make(pool, public_url=f"http://127.0.0.1:{port}")
    async with edge.server(made, port=port) as (base, _), httpx.AsyncClient(base_url=base, timeout=20) as http:
        await edge.sign_in(http, email)
        async with asyncio.timeout(20), http.stream("GET", "/stream/desk") as answer:
            lines = answer.aiter_lines()
            await tells(lines, "You are no agent yet")
            async with pool.acquire() as connection, connection.transaction():
                user_id = await connection.fetchval("SELECT id FROM app_user WHERE email = $1", email)
                await agents.make(connection, name="Berta", user_id=user_id, by="test")
            await tells(lines, "No call")


async def test_a_change_of_state_is_told_to_screens_whoever_makes_it(pool, agent):
    heard = asyncio.Event()
    async with pool.acquire() as connection:
        await connection.add_listener("tenderline_event", lambda *_: heard.set())
        await pool.execute("UPDATE agent_presence SET state = 'available' WHERE agent_id = $1", agent[1])
        await asyncio.wait_for(heard.wait(), 10)
        await connection.reset()
