"""What is asked of a live call by the API: looked at, asked of its node, audited, and never twice."""

# ruff: noqa: F811  # a fixture that is imported is named again by whoever takes it
from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from integration.test_agent_started import header, http, live, orders  # noqa: F401  # fixtures
from tenderline.store import agents, live_commands
from tenderline.voice.orders import NotNowError


def path(live, who, rest=""):
    return f"/api/v2/conversations/{live.call}/participants/{who}{rest}"


async def answered(http, method, url, orders, header, answer, **more):
    """The order that the node got, and what the client was told."""
    orders.open()
    asked = asyncio.create_task(http.request(method, url, headers=header, **more))
    async with asyncio.timeout(10):
        order = await orders.next()
    order.answer(answer)
    return order, await asked


async def test_a_caller_is_handed_on_once_and_it_is_written_down(http, header, live, orders, pool):
    url = path(live, live.agent, "/replace")
    body = {"queueId": "second"}
    order, told = await answered(http, "POST", url, orders, header, {"transferring": True}, json=body)
    assert (order.kind, dict(order.detail)) == ("transfer", {"to": "queue:second"})
    assert (told.status_code, told.json()["transferring"]) == (200, True)
    again = await http.post(url, json=body, headers=header)
    assert (again.status_code, again.json()) == (200, told.json())
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 1
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'call_transfer'") == 1


async def test_without_an_answer_the_same_again_is_not_done_twice(http, header, live, orders, pool, monkeypatch):
    url, body = path(live, live.agent, "/replace"), {"queueId": "second"}
    orders.open()
    monkeypatch.setitem(live_commands.answer_of.__kwdefaults__, "timeout_s", 0.3)
    lost = await http.post(url, json=body, headers=header)
    monkeypatch.setitem(live_commands.answer_of.__kwdefaults__, "timeout_s", 20)
    assert (lost.status_code, lost.json()["code"]) == (503, "call.no_answer")
    again = asyncio.create_task(http.post(url, json=body, headers=header))
    async with asyncio.timeout(20):
        (await orders.next()).answer({"transferring": True})
    assert (await again).json()["transferring"] is True
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 1


async def test_whom_a_call_goes_to_is_named_in_three_ways(http, header, live, orders, pool):
    async with pool.acquire() as connection:
        agent = await agents.make(connection, name="Bea", by="test")
    for body, wanted in (
        ({"userId": str(agent)}, f"agent:{agent}"),
        ({"address": "+12025550123"}, "+12025550123"),
        ({"queueId": "a queue"}, "queue:a queue"),
    ):
        url = path(live, live.agent, "/consult")
        order, told = await answered(http, "POST", url, orders, header, {"consulting": True}, json=body)
        assert (order.kind, order.detail["to"]) == ("consult", wanted)
        assert told.json()["consulting"] is True


@pytest.mark.parametrize(
    ("body", "kind", "answer"),
    [
        ({"held": True}, "hold", {"held": True}),
        ({"held": False}, "retrieve", {"held": False}),
        ({"state": "disconnected"}, "hang_up", {"hung_up": True}),
    ],
)
async def test_an_agents_part_is_changed(http, header, live, orders, body, kind, answer):
    order, told = await answered(http, "PATCH", path(live, live.agent), orders, header, answer, json=body)
    assert order.kind == kind
    assert (told.json()["held"], told.json()["disconnected"]) == (kind == "hold", kind == "hang_up")


async def test_what_cannot_be_is_refused_with_the_reason(http, header, live, orders, pool):
    replace, part = path(live, live.agent, "/replace"), path(live, live.agent)
    for method, url, body, status in (
        ("POST", replace, {}, 422),
        ("POST", replace, {"queueId": "a", "address": "+12025550123"}, 422),
        ("POST", replace, {"address": "sip:somebody@example.org"}, 400),
        ("POST", replace, {"address": "12025550123"}, 400),
        ("POST", path(live, uuid4(), "/replace"), {"queueId": "a"}, 404),
        ("POST", path(live, live.caller, "/replace"), {"queueId": "a"}, 409),
        ("PATCH", part, {}, 422),
        ("PATCH", part, {"held": True, "state": "disconnected"}, 422),
        ("PATCH", part, {"state": "connected"}, 400),
    ):
        told = await http.request(method, url, json=body, headers=header)
        assert (told.status_code, bool(told.json()["detail"])) == (status, True), body
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 0
    orders.shut()
    told = await http.post(replace, json={"queueId": "a"}, headers=header)
    assert (told.status_code, told.json()["code"]) == (409, NotNowError.code)
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'call_transfer'") == 1
    order, told = await answered(http, "POST", replace, orders, header, {"transferring": True}, json={"queueId": "a"})
    assert told.status_code == 200
    assert order.by.startswith("client:")
