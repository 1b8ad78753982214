"""Distress by the API and on the screens: transcripts, the button, who may lift a hold; and callbacks there."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from support import edge, world
from support import services as world_services
from support.live_calls import make_call
from tenderline.people import distress, transcript
from tenderline.store import holds

CARD = "4242" * 4
CALLS, READ, OUT = "oauth:api:callcenter", "contactcenter:read", ("outbound:read", "outbound:write")


@pytest.fixture
def services(pool):
    return world_services.make(pool, distress__transcripts_kept_days=7, distress__phrases="purple elephant")


@pytest.fixture
async def api(services):
    async with edge.client(services) as client:
        yield client


@pytest.fixture
async def screens(services):
    async with edge.client(services, headers={"Accept": "text/html"}) as client:
        yield client


def said(*texts, participant="caller", final=True):
    at = datetime.now(UTC).isoformat()
    return {"utterances": [{"participant": participant, "text": one, "at": at, "isFinal": final} for one in texts]}


async def sign_in(screens, pool, role):
    await edge.sign_in(screens, await edge.make_user(pool, role))
    return edge.csrf_of((await screens.get("/")).text)


async def test_a_transcript_is_read_across_its_pieces_and_an_agents_words_are_not(api, pool):
    header = await edge.token(api, pool, CALLS)
    call = await make_call(pool, "+12025550160")
    path = f"/api/v2/conversations/{call}/transcript"
    plain = await api.post(path, json=said("is this fraud or an error?", participant="agent"), headers=header)
    assert (plain.status_code, plain.json()) == (202, {"distress": False, "alertId": None})
    hit = await api.post(path, json=said("I want to", "die", final=False), headers=header)
    assert hit.json()["distress"] is True
    again = await api.post(path, json=said("the purple elephant"), headers=header)
    assert again.json() == hit.json(), "one alert, also for a phrase of the operator's own"


async def test_kept_words_hold_no_card_number_and_are_kept_once(api, pool):
    header = await edge.token(api, pool, CALLS)
    call = await make_call(pool, "+12025550161")
    spoken = "it is four two four two four two four two four two"
    body = said(f"my card is {CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}", spoken, "thank you")
    for _ in range(2):
        assert (
            await api.post(f"/api/v2/conversations/{call}/transcript", json=body, headers=header)
        ).status_code == 202
    rows = [row["text"] for row in await pool.fetch("SELECT text FROM transcript_line ORDER BY text")]
    assert len(rows) == 3
    assert "thank you" in rows
    assert not any(character.isdigit() for text in rows for character in text)
    assert not any("four two" in text for text in rows)


async def test_nothing_that_was_said_is_kept_unless_it_is_set(pool):
    services = world_services.make(pool)
    call = await make_call(pool, "+12025550162")
    one = transcript.Utterance(text="hello there", at=datetime.now(UTC))
    async with pool.acquire() as connection, connection.transaction():
        await transcript.take(services, connection, call, [one], by="x")
    assert await pool.fetchval("SELECT count(*) FROM transcript_line") == 0


@pytest.mark.parametrize(
    "body", [{}, {"utterances": []}, said(*["x"] * 101), said("x" * 2001), said("x", participant="dog")]
)
async def test_a_transcript_has_bounds(api, pool, body):
    header = await edge.token(api, pool, CALLS)
    call = await make_call(pool, "+12025550163")
    answer = await api.post(f"/api/v2/conversations/{call}/transcript", json=body, headers=header)
    assert answer.status_code in (400, 422)


async def test_only_a_supervisor_lifts_a_hold_by_the_api(api, pool, services):
    header = await edge.token(api, pool, CALLS, READ)
    may_lift = await edge.token(api, pool, "distress:lift")
    debtor = await world.make_debtor(pool)
    call = await make_call(pool, debtor.address)
    done = await api.post(f"/api/v2/conversations/{call}/distress", json={"reason": "she cried"}, headers=header)
    assert done.status_code == 202
    (held,) = (await api.get("/api/v2/distress/holds", headers=header)).json()["entities"]
    assert held["personId"] == str(debtor.person_id)
    agent, supervisor = [await edge.make_user(pool, role) for role in ("agent", "supervisor")]
    path = f"/api/v2/distress/holds/{debtor.person_id}/lift"
    listener = await api.post(path, json={"supervisor": supervisor, "reason": "spoke with her"}, headers=header)
    assert (listener.status_code, listener.json()["code"]) == (403, "missing_scope"), "a recogniser lifts nothing"
    for who, status in ((agent, 403), ("nobody@example.org", 403), (supervisor, 200), (supervisor, 409)):
        answer = await api.post(path, json={"supervisor": who, "reason": "spoke with her"}, headers=may_lift)
        assert answer.status_code == status, answer.text
    row = await pool.fetchrow("SELECT actor, data FROM audit WHERE action = 'distress_lifted'")
    assert row["actor"].startswith("client:")
    assert f'"supervisor":"{supervisor}"' in row["data"].replace('": "', '":"')
    async with pool.acquire() as connection:
        assert await holds.held(connection) == []


async def test_the_button_turns_payment_off_and_a_supervisor_lifts_the_hold(screens, pool):
    debtor = await world.make_debtor(pool)
    call = await make_call(pool, debtor.address)
    token = await sign_in(screens, pool, "agent")
    before = await screens.get(f"/calls/{call}")
    assert "Start secure payment" in before.text
    assert "Tell a supervisor" in before.text
    form = {"csrf_token": token, "reason": "<b>she</b> was told to pay"}
    assert (await screens.post(f"/calls/{call}/distress", data=form)).status_code == 303
    after = await screens.get(f"/calls/{call}")
    assert "Payment is off for this call" in after.text
    assert "Start secure payment" not in after.text
    assert "<b>she</b>" not in after.text
    refused = await screens.post(f"/calls/{call}/secure", data={"csrf_token": token, "mode": "leave"})
    assert refused.status_code == 409
    assert "Payment is off" in refused.text
    lift = f"/distress/{debtor.person_id}/lift"
    assert (await screens.post(lift, data={"csrf_token": token, "reason": "all is well"})).status_code == 403
    screens.cookies.clear()
    token = await sign_in(screens, pool, "supervisor")
    assert str(debtor.person_id) in (await screens.get("/distress")).text
    assert (await screens.post(lift, data={"csrf_token": token, "reason": ""})).status_code == 422
    assert (await screens.post(lift, data={"csrf_token": token, "reason": "all is well"})).status_code == 303
    assert "Nobody is held" in (await screens.get("/distress")).text


@pytest.mark.parametrize(
    ("number", "status"), [("49151" + "01234008", 303), ("4242" * 4, 422), ("3782822" + "46310005", 422)]
)
async def test_a_number_without_its_plus_may_look_like_a_card_and_a_card_is_no_number(pool, number, status):
    made = world_services.make(pool, compliance__default_region="DE")
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        form = {"csrf_token": await sign_in(http, pool, "agent"), "number": number, "zone": "Europe/Berlin"}
        assert (await http.post("/callbacks", data=form)).status_code == status
        assert (await http.post("/callbacks", data={**form, "note": f"at {number}"})).status_code == 422
    assert await pool.fetchval("SELECT count(*) FROM callback") == (status == 303)


async def test_callbacks_are_added_moved_and_cancelled_on_their_page(screens, pool):
    token = await sign_in(screens, pool, "agent")
    at = f"{world.ahead(1, 18, 'Europe/London'):%Y-%m-%dT%H:%M}"
    form = {"csrf_token": token, "number": "+12025550170", "at": at, "zone": "Europe/London"}
    form |= {"window_h": "3", "note": "<i>"}
    assert (await screens.post("/callbacks", data=form)).status_code == 303
    shown = (await screens.get("/callbacks")).text
    assert "+12025550170" in shown
    assert "by hand" in shown
    assert "<i>" not in shown
    made = await pool.fetchval("SELECT id FROM callback")
    later = f"{world.ahead(2, 18, 'Europe/London'):%Y-%m-%dT%H:%M}"
    assert (await screens.post(f"/callbacks/{made}/move", data={"csrf_token": token, "at": later})).status_code == 303
    assert (await screens.post(f"/callbacks/{made}/move", data={"csrf_token": token, "at": "soon"})).status_code == 422
    gone = await screens.post(f"/callbacks/{made}/close", data={"csrf_token": token, "outcome": "cancelled"})
    assert gone.status_code == 303
    assert "Nobody waits" in (await screens.get("/callbacks")).text


async def test_callbacks_by_the_api_are_idempotent_and_told_what_the_gate_says(api, pool):
    header = await edge.token(api, pool, *OUT)
    body = {"phoneNumber": "+12025550171", "zone": "America/New_York", "windowMinutes": 600}
    first = await api.post("/api/v2/callbacks", json=body, headers=header)
    assert first.status_code == 201, first.text
    assert (await api.post("/api/v2/callbacks", json=body, headers=header)).json() == first.json()
    (one,) = (await api.get("/api/v2/callbacks", headers=header)).json()["entities"]
    assert one["id"] == first.json()["id"]
    assert (await api.delete(f"/api/v2/callbacks/{one['id']}", headers=header)).status_code == 204
    assert (await api.delete(f"/api/v2/callbacks/{one['id']}", headers=header)).status_code == 409


async def test_what_an_agent_types_is_read(services, pool):
    call = await make_call(pool, "+12025550172")
    async with pool.acquire() as connection, connection.transaction():
        done = await distress.read_words(
            services, connection, call, "says that she likes her nephew", source="agent_words", by="anna"
        )
    assert done is None
    async with pool.acquire() as connection, connection.transaction():
        assert await distress.read_words(
            services, connection, call, "caller was threatened by nephew", source="agent_words", by="anna"
        )
