"""Calls that we make, by the API and on the page of lines."""

from __future__ import annotations

import httpx
import pytest

from support import edge, services, world
from tenderline.store import lines

OURS = "+18005550100"
CAMPAIGNS = "/api/v2/telephony/calling-campaigns"
CALLS = "/api/v2/conversations/calls"
GOOD = {"callerId": OURS, "purpose": "servicing", "queue": "general"}


@pytest.fixture
async def http(pool):
    async with edge.client(services.make(pool, voice__caller_ids=OURS)) as made:
        yield made


@pytest.fixture
async def header(http, pool):
    return await edge.token(http, pool, "outbound:read", "outbound:write")


async def put(http, header, name="back", **changed) -> httpx.Response:
    return await http.put(f"{CAMPAIGNS}/{name}", json={**GOOD, **changed}, headers=header)


async def test_a_calling_campaign_is_made_changed_and_listed(http, header, pool):
    assert (await put(http, header)).status_code == 200
    assert (await put(http, header, ringS=40)).json()["ringS"] == 40
    (found,) = (await http.get(CAMPAIGNS, headers=header)).json()["entities"]
    assert (found["name"], found["queue"], found["flow"], found["enabled"]) == ("back", "general", None, True)
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'calling_campaign_set'") == 2


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"callerId": "+19995550123"}, "calling_campaign.caller_id"),
        ({"flow": "welcome"}, "calling_campaign.flow_or_queue"),
        ({"queue": None}, "calling_campaign.flow_or_queue"),
        ({"queue": None, "flow": "nothing"}, "unknown_flow"),
        ({"queue": None, "flow": "line_check", "purpose": "charity_solicitation"}, "flow.no_opt_out"),
    ],
)
async def test_what_cannot_be_a_calling_campaign(http, header, changed, code):
    answer = await put(http, header, **changed)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] == code


async def test_a_call_is_planned_once_however_often_it_is_asked_for(http, header, pool):
    await put(http, header)
    _, _, number = await world.make_person(pool)
    wanted = {"campaign": "back", "phoneNumber": number}
    first = await http.post(CALLS, json=wanted, headers=header)
    assert first.status_code == 202
    assert first.json()["state"] == "planned"
    assert (await http.post(CALLS, json=wanted, headers=header)).json() == first.json()
    keyed = {**header, "Idempotency-Key": "k1"}
    second = await http.post(CALLS, json=wanted, headers=keyed)
    assert second.json()["id"] != first.json()["id"]
    assert (await http.post(CALLS, json=wanted, headers=keyed)).json() == second.json()
    reused = await http.post(CALLS, json={**wanted, "phoneNumber": "+12125550199"}, headers=keyed)
    assert reused.json()["code"] == "idempotency_key_reused"
    assert await pool.fetchval("SELECT count(*) FROM attempt") == 2


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"campaign": "none"}, "calling_campaign.unknown"),
        ({"phoneNumber": "12"}, None),
        ({"notAfter": "2020-01-01T00:00:00Z"}, "call.no_time"),
        ({"notAfter": "2090-01-01T00:00:00Z"}, "call.no_time"),
    ],
)
async def test_a_call_that_cannot_be_planned(http, header, pool, changed, code):
    await put(http, header)
    answer = await http.post(CALLS, json={"campaign": "back", "phoneNumber": "+12125550123", **changed}, headers=header)
    assert 400 <= answer.status_code < 500
    assert code is None or answer.json()["code"] == code
    assert await pool.fetchval("SELECT count(*) FROM attempt") == 0


async def test_a_campaign_that_is_switched_off_plans_nothing(http, header):
    await put(http, header, enabled=False)
    answer = await http.post(CALLS, json={"campaign": "back", "phoneNumber": "+12125550123"}, headers=header)
    assert (answer.status_code, answer.json()["code"]) == (409, "calling_campaign.disabled")


async def test_the_page_of_lines_sets_one_and_the_page_of_calls_shows_what_is_planned(http, header, pool):
    await put(http, header, name="other")
    _, _, number = await world.make_person(pool)
    await http.post(CALLS, json={"campaign": "other", "phoneNumber": number}, headers=header)
    await edge.sign_in(http, await edge.make_user(pool, "engineer"))
    page = (await http.get("/lines")).text
    form = {
        "csrf_token": edge.csrf_of(page), "name": "spring", "caller_id": OURS, "purpose": "servicing",
        "flow": "line_check", "machine_flow": "", "queue": "", "language": "en", "currency": "USD", "fund": "",
        "ring_s": "25", "enabled": "yes",
    }  # fmt: skip
    assert (await http.post("/lines/calling", data=form)).status_code == 303
    assert (await http.post("/lines/calling", data={**form, "ring_s": "5"})).status_code == 422
    assert (await http.post("/lines/calling", data={**form, "name": "<b>"})).status_code == 422
    assert "spring" in (await http.get("/lines")).text
    calls = (await http.get("/calls")).text
    assert "Calls we will make" in calls
    assert number in calls
    async with pool.acquire() as connection:
        assert await lines.callbacks(connection, 10) == []
    attempt_id, person_id = await pool.fetchrow("SELECT id, person_id FROM attempt")
    for path in ("/", "/attempts", f"/attempts/{attempt_id}/why", f"/people/{person_id}/ask"):
        assert (await http.get(path)).status_code == 200, path
    assert "Call by an agent" in (await http.get("/attempts")).text
