"""Users, roles, settings and the audit log by the API: what a token may do, and whom it can never make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from support import edge, services

USERS = "/api/v2/users"


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool, smtp__password="a-secret-nobody-sees")) as made:
        yield made


@pytest.fixture
async def headers(http: httpx.AsyncClient, pool: Any) -> dict[str, str]:
    return await edge.token(http, pool, "integration:all")


async def test_users_need_their_scope(http, pool):
    other = await edge.token(http, pool, "contactcenter:read", "outbound:write")
    for path in (USERS, f"{USERS}/roles", "/api/v2/settings", "/api/v2/audit"):
        assert (await http.get(path)).status_code == 401
        assert (await http.get(path, headers=other)).status_code == 403
    assert (await http.post(USERS, json={"email": "a@example.org", "name": "A"}, headers=other)).status_code == 403


async def test_a_user_is_made_changed_and_shut_out(http, pool, headers):
    made = (await http.post(USERS, json={"email": "Ann@Example.org", "name": "Ann"}, headers=headers)).json()
    assert (made["email"], made["role"], made["disabledAt"]) == ("ann@example.org", "agent", None)
    twice = await http.post(USERS, json={"email": "ann@example.org", "name": "Ann"}, headers=headers)
    assert (twice.status_code, twice.json()["code"]) == (409, "user_exists")
    path = f"{USERS}/{made['id']}"
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as hers:
        assert (await edge.sign_in(hers, "ann@example.org", made["password"])).status_code == 303
        assert (await hers.get("/")).headers["location"] == "/password"
        changed = (await http.patch(path, json={"role": "supervisor"}, headers=headers)).json()
        assert (changed["role"], changed["password"]) == ("supervisor", None)
        assert (await hers.get("/")).headers["location"] == "/sign-in"
    shut = (await http.patch(path, json={"disabled": True}, headers=headers)).json()
    assert shut["disabledAt"]
    assert (await http.patch(path, json={"disabled": True}, headers=headers)).json() == shut, "it is so already"
    back = (await http.patch(path, json={"disabled": False, "resetPassword": True}, headers=headers)).json()
    assert back["disabledAt"] is None
    assert back["password"] not in (None, made["password"])
    listed = (await http.get(USERS, headers=headers)).json()["entities"]
    assert [one["email"] for one in listed] == ["ann@example.org"]
    assert "password" not in listed[0]
    rows = (await http.get("/api/v2/audit?actor=client:&pageSize=2", headers=headers)).json()
    assert [one["action"] for one in rows["entities"]] == ["user.set_password", "user.enable"]
    older = await http.get(f"/api/v2/audit?actor=client:&before={rows['nextBefore']}", headers=headers)
    told = [one["action"] for one in older.json()["entities"]]
    assert told == ["user.disable", "user.set_role", "user.create", "token.issue"]
    assert older.json()["nextBefore"] is None


async def test_a_token_makes_and_touches_no_administrator(http, pool, headers):
    refused = await http.post(USERS, json={"email": "b@example.org", "name": "B", "role": "admin"}, headers=headers)
    assert refused.status_code in (400, 422)
    await edge.make_user(pool, role="admin")
    path = f"{USERS}/{await pool.fetchval('SELECT id FROM app_user')}"
    for wish in ({"role": "viewer"}, {"disabled": True}, {"resetPassword": True}):
        refused = await http.patch(path, json=wish, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "user.administrator")
    assert (await http.patch(path, json={}, headers=headers)).status_code == 400
    missing = await http.patch(f"{USERS}/00000000-0000-7000-8000-000000000000", json={"role": "agent"}, headers=headers)
    assert missing.status_code == 404


async def test_roles_and_settings_are_told_and_no_secret(http, headers):
    roles = {one["name"]: one for one in (await http.get(f"{USERS}/roles", headers=headers)).json()["entities"]}
    assert "administer" in roles["admin"]["permissions"]
    assert roles["viewer"]["permissions"] == ["view"]
    answer = await http.get("/api/v2/settings", headers=headers)
    assert "a-secret-nobody-sees" not in answer.text
    settings = {one["key"]: one for one in answer.json()["entities"]}
    password = settings["smtp.password"]
    assert (password["value"], password["isSecret"], password["kind"]) == ("set", True, "flag")
    assert (settings["stripe.api_key"]["value"], settings["stripe.api_key"]["kind"]) == ("not set", "default")


async def test_dispositions_and_scripts_are_put_and_told(http, headers, pool):
    reading = await edge.token(http, pool, "contactcenter:read")
    path = "/api/v2/dispositions/gave_already"
    wish = {"title": "Gave already", "nextAction": "callback", "afterDays": 2, "localTime": "09:30", "key": 7}
    assert (await http.put(path, json=wish, headers=reading)).status_code == 403
    put = (await http.put(path, json=wish, headers=headers)).json()
    assert (put["code"], put["localTime"], put["enabled"]) == ("gave_already", "09:30", True)
    assert (await http.put(path, json={**wish, "key": 1}, headers=headers)).json()["code"] == "disposition.key_taken"
    assert (await http.put(path, json={**wish, "afterDays": None}, headers=headers)).status_code == 422
    listed = (await http.get("/api/v2/dispositions", headers=reading)).json()["entities"]
    assert "gave_already" in [one["code"] for one in listed]
    script = {"title": "Appeal", "steps": [{"title": "Greet", "text": "Good day {name}"}]}
    for version in (1, 2):
        put = (await http.put("/api/v2/scripts/appeal", json=script, headers=headers)).json()
        assert (put["version"], put["steps"]) == (version, script["steps"])
    assert (await http.put("/api/v2/scripts/No-Name", json=script, headers=headers)).status_code == 422
    listed = (await http.get("/api/v2/scripts", headers=reading)).json()["entities"]
    assert [one["version"] for one in listed if one["name"] == "appeal"] == [2]
