"""Queues, skills and agents by the API: made, changed, refused with the reason, and audited."""

from __future__ import annotations

from uuid import uuid4

import pytest

from support import edge, lines_up, services
from tenderline.store import waiting

QUEUES, SKILLS, AGENTS = (f"/api/v2/routing/{name}" for name in ("queues", "skills", "agents"))


@pytest.fixture
async def http(pool):
    async with edge.client(services.make(pool)) as made:
        yield made


@pytest.fixture
async def header(http, pool):
    return await edge.token(http, pool, "contactcenter:read", "integration:all")


async def test_a_queue_with_overflow_is_made_and_listed(http, header, pool):
    await http.put(f"{SKILLS}/Legacy_Gifts", json={"title": "Legacies"}, headers=header)
    await http.put(f"{QUEUES}/General", json={"title": "General"}, headers=header)
    rings = [{"proficiencyMin": 3}, {"afterS": 30, "skillsDropped": ["Legacy_Gifts"], "queuesJoined": ["General"]}]
    wanted = {"title": "Specialists", "rings": rings, "tiers": {"High_Value_Donor": 5}, "callbackAfterS": 60}
    made = await http.put(f"{QUEUES}/Retention", json=wanted, headers=header)
    assert made.status_code == 200, made.text
    found = (await http.get(QUEUES, headers=header)).json()["entities"]
    assert [one["name"] for one in found] == ["General", "Retention", "supervisor"]
    assert found[1]["rings"][1]["queuesJoined"] == ["General"]
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'queue_set'") == 2


async def test_a_skill_that_rings_name_is_not_deleted(http, header, pool):
    await http.put(f"{SKILLS}/Legacy_Gifts", json={"title": "Legacies"}, headers=header)
    queue = {"title": "General", "rings": [{}, {"afterS": 30, "skillsDropped": ["Legacy_Gifts"]}]}
    assert (await http.put(f"{QUEUES}/General", json=queue, headers=header)).status_code == 200
    refused = await http.delete(f"{SKILLS}/Legacy_Gifts", headers=header)
    assert (refused.status_code, refused.json()["code"]) == (409, "skill.in_use")
    assert "General" in refused.json()["detail"]
    assert (await http.put(f"{QUEUES}/General", json={"title": "General"}, headers=header)).status_code == 200
    assert (await http.delete(f"{SKILLS}/Legacy_Gifts", headers=header)).status_code == 204


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"rings": [{"afterS": 3}]}, "queue.rings"),
        ({"rings": [{}, {"afterS": 30, "queuesJoined": ["Nowhere"]}]}, "queue.unknown"),
        ({"rings": [{}, {"afterS": 30, "skillsDropped": ["Nothing"]}]}, "skill.unknown"),
        ({"wrapUpS": -1}, "invalid_request"),
    ],
)
async def test_what_cannot_be_a_queue_is_refused_by_name(http, header, changed, code):
    answer = await http.put(f"{QUEUES}/General", json={"title": "General", **changed}, headers=header)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] == code


async def test_a_queue_with_callers_in_it_is_not_deleted(http, header, pool):
    async with pool.acquire() as connection:
        node = await lines_up.make_node(connection)
        agent = await lines_up.make_agent(connection, "anna", ["general"], node=node)
        one = await lines_up.enter(connection, "general", node)
        refused = await http.delete(f"{QUEUES}/general", headers=header)
        assert refused.status_code == 409
        assert "1 callers wait in it" in refused.json()["detail"]
        await waiting.leave(connection, one.id, "abandoned")
    await http.delete(f"{AGENTS}/{agent}", headers=header)
    assert (await http.delete(f"{QUEUES}/general", headers=header)).status_code == 204
    assert (await http.delete(f"{QUEUES}/general", headers=header)).status_code == 404


async def test_an_agent_is_made_assigned_and_says_what_she_does(http, header, pool):
    await http.put(f"{QUEUES}/General", json={"title": "General"}, headers=header)
    await http.put(f"{SKILLS}/Legacy", json={"title": "Legacies"}, headers=header)
    wanted = {"name": "Anna", "queues": ["General"], "skills": {"Legacy": 4}}
    made = await http.post(AGENTS, json=wanted, headers=header)
    assert made.status_code == 201, made.text
    agent = made.json()["id"]
    assert (await http.post(AGENTS, json=wanted, headers=header)).json()["code"] == "agent.exists"
    said = await http.post(f"{AGENTS}/{agent}/presence", json={"state": "away", "reason": "lunch"}, headers=header)
    assert (said.json()["state"], said.json()["reason"]) == ("away", "lunch")
    changed = await http.put(f"{AGENTS}/{agent}", json={**wanted, "skills": {}}, headers=header)
    assert changed.json()["skills"] == {}
    assert (await http.delete(f"{SKILLS}/Legacy", headers=header)).status_code == 204
    card = {"state": "away", "reason": f"card {'4242' * 4}"}
    refused = await http.post(f"{AGENTS}/{agent}/presence", json=card, headers=header)
    assert (refused.status_code, "card number" in refused.text) == (422, True)
    unknown = await http.post(f"{AGENTS}/{uuid4()}/presence", json={"state": "away"}, headers=header)
    assert unknown.json()["code"] == "agent.unknown"
    actions = {row["action"] for row in await pool.fetch("SELECT DISTINCT action FROM audit")}
    assert {"agent_assigned", "agent_changed", "agent_state", "skill_removed"} <= actions
