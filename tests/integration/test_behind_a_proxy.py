"""Limits count callers, not the proxy in front of them; and only the operator's own proxies are believed."""

from __future__ import annotations

from typing import Any

import pytest

from support import edge, services
from tenderline.api import oauth
from tenderline.core.ids import uuid7
from tenderline.notify.delivery import PAY_LINK, link
from tenderline.web import payer, sign_in

TRUST = {"api__trusted_proxies": "127.0.0.1, 10.0.0.0/8"}
ANN, BEN = "203.0.113.7", "2001:db8::7"


async def _sign_in(http: Any, *told: str) -> int:
    http.headers.pop("x-forwarded-for", None)
    if told:
        http.headers["x-forwarded-for"] = ", ".join(told)
    return int((await edge.sign_in(http, f"{uuid7()}@example.org", "wrong password")).status_code)


async def test_behind_a_trusted_proxy_each_caller_has_a_limit_of_her_own(pool, monkeypatch):
    monkeypatch.setattr(sign_in, "TRIES_PER_ADDRESS", 2)
    async with edge.client(services.make(pool, **TRUST)) as http:
        assert [await _sign_in(http, ANN) for _ in range(3)] == [401, 401, 429]
        assert await _sign_in(http, BEN, "10.1.1.1") == 401
        # Whatever she writes before it, the proxy appends who she is.
        assert await _sign_in(http, "192.0.2.99", ANN) == 429
        assert await _sign_in(http, "192.0.2.99", f"{ANN}:5000", "10.1.1.1") == 429


async def test_the_audit_log_names_the_caller_and_not_the_proxy(pool):
    async with edge.client(services.make(pool, **TRUST)) as http:
        await _sign_in(http, "192.0.2.99", ANN)
    assert await pool.fetchval("SELECT data->>'address' FROM audit") == ANN


async def test_a_stranger_cannot_choose_her_address(pool, monkeypatch):
    monkeypatch.setattr(sign_in, "TRIES_PER_ADDRESS", 2)
    async with edge.client(services.make(pool)) as http:
        assert [await _sign_in(http, f"192.0.2.{number}") for number in range(3)] == [401, 401, 429]


@pytest.mark.parametrize(("flags", "last"), [(TRUST, 401), ({}, 429)], ids=["trusted", "not_trusted"])
async def test_token_requests_are_counted_by_caller(pool, monkeypatch, flags, last):
    monkeypatch.setattr(oauth, "TOKENS_PER_ADDRESS_MAX", 2)
    async with edge.client(services.make(pool, **flags)) as http:
        statuses = []
        for number, caller in enumerate((ANN, ANN, ANN, BEN)):
            form = {"grant_type": "client_credentials", "client_id": f"c{number}", "client_secret": "x"}
            statuses.append(
                (await http.post("/oauth/token", data=form, headers={"X-Forwarded-For": caller})).status_code
            )
    assert statuses == [401, 401, 429, last]


@pytest.mark.parametrize(("flags", "last"), [(TRUST, 401), ({}, 429)], ids=["trusted", "not_trusted"])
async def test_requests_without_a_token_are_counted_by_caller(pool, flags, last):
    async with edge.client(services.make(pool, api__requests_per_minute_max=2, **flags)) as http:
        statuses = [
            (await http.get("/api/v2/recovery/cases", headers={"X-Forwarded-For": caller})).status_code
            for caller in (ANN, ANN, ANN, BEN)
        ]
    assert statuses == [401, 401, 429, last]


@pytest.mark.parametrize(("flags", "last"), [(TRUST, 404), ({}, 429)], ids=["trusted", "not_trusted"])
async def test_links_that_are_not_ours_are_counted_by_caller(pool, monkeypatch, flags, last):
    monkeypatch.setattr(payer, "INVALID_LINKS_PER_ADDRESS_MAX", 2)
    running = services.make(pool, **flags)
    bad = link(running, "stop", uuid7()).replace("/stop/", f"/{PAY_LINK}/")
    async with edge.client(running) as http:
        statuses = [
            (await http.get(bad, headers={"X-Forwarded-For": caller})).status_code for caller in (ANN, ANN, ANN, BEN)
        ]
    assert statuses == [404, 404, 429, last]
