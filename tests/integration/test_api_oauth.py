"""POST /oauth/token, as RFC 6749 wants it and as clients in the field do it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from support import edge, services
from tenderline.store import oauth

FORM = {"grant_type": "client_credentials"}


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool)) as made:
        yield made


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def test_a_client_gets_a_token_by_basic_and_by_form(http, pool):
    client_id, secret = await edge.make_client(pool, "outbound:read", "outbound:write")
    by_header = await http.post("/oauth/token", data=FORM, headers=basic(client_id, secret))
    by_form = await http.post("/oauth/token", data={**FORM, "client_id": client_id, "client_secret": secret})
    for answer in (by_header, by_form):
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        assert told["token_type"] == "Bearer"
        assert told["expires_in"] == 3600
        assert told["scope"] == "outbound:read outbound:write"
    assert by_header.json()["access_token"] != by_form.json()["access_token"]


async def test_a_token_is_stored_as_a_hash_only(http, pool):
    header = await edge.token(http, pool, "outbound:read")
    token = header["Authorization"].removeprefix("Bearer ")
    kept = await pool.fetchval("SELECT token_hash FROM oauth_token")
    assert token.encode() not in kept
    async with pool.acquire() as connection:
        grant = await oauth.find_token(connection, token)
    assert grant is not None
    assert grant.scopes == {"outbound:read"}


async def test_a_wrong_secret_and_an_unknown_client_get_the_same_answer(http, pool):
    client_id, _ = await edge.make_client(pool)
    wrong = await http.post("/oauth/token", data=FORM, headers=basic(client_id, "wrong"))
    unknown = await http.post("/oauth/token", data=FORM, headers=basic("client-nobody", "wrong"))
    odd = await http.post("/oauth/token", data={**FORM, "client_id": "a\x00b", "client_secret": "x"})
    assert wrong.status_code == unknown.status_code == odd.status_code == 401
    assert wrong.json() == unknown.json() == odd.json()
    assert wrong.json()["error"] == "invalid_client"
    assert wrong.headers["www-authenticate"].startswith("Basic ")


async def test_a_disabled_client_gets_nothing_and_its_tokens_die(http, pool):
    client_id, secret = await edge.make_client(pool)
    first = await http.post("/oauth/token", data=FORM, headers=basic(client_id, secret))
    async with pool.acquire() as connection, connection.transaction():
        await oauth.disable_client(connection, client_id)
    header = {"Authorization": f"Bearer {first.json()['access_token']}"}
    assert (await http.get("/api/v2/recovery/cases", headers=header)).status_code == 401
    assert (await http.post("/oauth/token", data=FORM, headers=basic(client_id, secret))).status_code == 401


async def test_a_client_may_ask_for_fewer_scopes_and_not_for_more(http, pool):
    client_id, secret = await edge.make_client(pool, "outbound:read", "outbound:write")
    fewer = await http.post("/oauth/token", data={**FORM, "scope": "outbound:read"}, headers=basic(client_id, secret))
    assert fewer.json()["scope"] == "outbound:read"
    more = await http.post("/oauth/token", data={**FORM, "scope": "integration:all"}, headers=basic(client_id, secret))
    assert more.status_code == 400
    assert more.json()["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
        ({**FORM, "client_id": "another"}, "invalid_request"),
        ({**FORM, "client_secret": "twice"}, "invalid_request"),
    ],
)
async def test_a_malformed_request_says_what_is_wrong(http, pool, data, error):
    client_id, secret = await edge.make_client(pool)
    answer = await http.post("/oauth/token", data=data, headers=basic(client_id, secret))
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_a_repeated_field_and_a_json_body_are_refused(http):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = await http.post("/oauth/token", content="grant_type=a&grant_type=b", headers=form)
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    as_json = await http.post("/oauth/token", json=FORM)
    assert as_json.status_code in (400, 401)


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Bearer abc", "Basic /////w=="])
async def test_a_header_that_cannot_be_read_is_an_invalid_client(http, header):
    answer = await http.post("/oauth/token", data=FORM, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_token_requests_are_limited_for_each_client(http, pool, monkeypatch):
    monkeypatch.setattr("tenderline.api.oauth.TOKENS_PER_CLIENT_MAX", 2)
    client_id, secret = await edge.make_client(pool)
    statuses = [
        (await http.post("/oauth/token", data=FORM, headers=basic(client_id, secret))).status_code for _ in range(3)
    ]
    assert statuses == [200, 200, 429]
    last = await http.post("/oauth/token", data=FORM, headers=basic(client_id, secret))
    assert 1 <= int(last.headers["retry-after"]) <= 60


async def test_every_token_is_in_the_audit_log(http, pool):
    await edge.token(http, pool, "outbound:read")
    row = await pool.fetchrow("SELECT actor, action FROM audit ORDER BY number DESC LIMIT 1")
    assert row["action"] == "token.issue"
    assert row["actor"].startswith("client:client-")
