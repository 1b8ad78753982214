"""The resources of the API: what they answer, to whom, how often, and what a mistake looks like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from support import edge, services, world
from tenderline.core.events import CaseOpened
from tenderline.store import events, jobs, limits
from tenderline.store.inbox import Inbox

CASES = "/api/v2/recovery/cases"
DEAD = "/api/v2/recovery/dead-letters"


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool)) as made:
        yield made


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    problem = answer.json()
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert {"type", "title", "status", "detail", "code", "instance"} <= set(problem)
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    return True


async def test_cases_come_newest_first_a_page_at_a_time(http, pool):
    made = [(await world.make_debtor(pool)).case_id for _ in range(5)]
    header = await edge.token(http, pool, "outbound:read")
    found: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        params = {"pageSize": "2", **({"cursor": cursor} if cursor else {})}
        page = (await http.get(CASES, params=params, headers=header)).json()
        assert page["pageSize"] == 2
        found += [entity["id"] for entity in page["entities"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert found == [str(case_id) for case_id in reversed(made)]


async def test_a_case_is_told_in_camel_case_with_its_amount_in_minor_units(http, pool):
    debtor = await world.make_debtor(pool)
    header = await edge.token(http, pool, "outbound:read")
    entity = (await http.get(CASES, params={"state": "open"}, headers=header)).json()["entities"][0]
    assert entity["amount"] == {"minor": 2500, "currency": "USD"}
    assert entity["transactionId"] == debtor.transaction_id
    assert entity["selfUri"] == f"{CASES}/{debtor.case_id}"
    assert (await http.get(CASES, params={"state": "held"}, headers=header)).json()["entities"] == []


async def test_a_case_tells_its_timeline_and_what_the_gate_said_with_its_legal_source(http, pool):
    debtor = await world.make_debtor(pool, zone=world.zone_by_night())
    about = {"person_id": debtor.person_id, "case_id": debtor.case_id}
    async with pool.acquire() as connection, connection.transaction():
        opened = CaseOpened(**about, amount="$25.00", reason="insufficient_funds")
        await events.append(connection, [opened])
    await world.claim(pool)
    header = await edge.token(http, pool, "outbound:read")
    detail = (await http.get(f"{CASES}/{debtor.case_id}", headers=header)).json()
    (attempt,) = detail["attempts"]
    assert attempt["state"] == "planned"
    assert debtor.address not in str(detail)
    assert attempt["address"].endswith(debtor.address[-4:])
    decision = attempt["decision"]
    assert decision["answer"] == "defer"
    assert decision["until"] is not None
    assert [rule["id"] for rule in decision["rules"]] == ["OWN-HOURS"]
    assert "47 CFR" in decision["rules"][0]["source"]
    assert [entry["kind"] for entry in detail["timeline"]] == ["CaseOpened", "AttemptDeferred"]
    assert detail["timeline"][0]["sentence"] == "Case opened: $25.00, insufficient funds"


async def test_without_a_token_the_answer_says_how_to_get_one(http):
    answer = await http.get(CASES)
    assert is_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tenderline"'
    wrong = await http.get(CASES, headers={"Authorization": "Bearer nonsense"})
    assert is_problem(wrong, 401, "unauthenticated")
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]


async def test_an_expired_token_is_worth_nothing(http, pool):
    header = await edge.token(http, pool, "outbound:read")
    await pool.execute("UPDATE oauth_token SET expires_at = now()")
    assert (await http.get(CASES, headers=header)).status_code == 401


async def test_a_missing_scope_is_named(http, pool):
    header = await edge.token(http, pool, "contactcenter:read")
    answer = await http.get(CASES, headers=header)
    assert is_problem(answer, 403, "missing_scope")
    assert "outbound:read" in answer.json()["detail"]
    assert 'scope="outbound:read"' in answer.headers["www-authenticate"]
    reader = await edge.token(http, pool, "outbound:read")
    assert is_problem(await http.post(f"{DEAD}/replay", json={}, headers=reader), 403, "missing_scope")


@pytest.mark.parametrize(
    "params",
    [
        {"state": "odd"},
        {"pageSize": "0"},
        {"pageSize": "201"},
        {"pageSize": "many"},
        {"cursor": "not-one-of-ours"},
        {"cursor": "MDAwMS0wMS0wMQ"},
        {"cursor": "é"},
        {"cursor": "x" * 300},
    ],
)
async def test_a_wrong_parameter_is_a_400_that_says_so(http, pool, params):
    header = await edge.token(http, pool, "outbound:read")
    answer = await http.get(CASES, params=params, headers=header)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_an_unknown_case_and_an_unknown_address_are_404_problems(http, pool):
    header = await edge.token(http, pool, "outbound:read")
    assert is_problem(await http.get(f"{CASES}/{UUID(int=7)}", headers=header), 404, "not_found")
    assert is_problem(await http.get(f"{CASES}/seven", headers=header), 404, "not_found")
    assert is_problem(await http.get("/api/v2/nothing", headers=header), 404, "not_found")
    wrong_method = await http.delete(CASES, headers=header)
    assert is_problem(wrong_method, 405, "method_not_allowed")
    assert "GET" in wrong_method.headers["allow"]


async def test_every_answer_tells_the_limit_and_one_too_many_says_when_to_come_back(pool):
    async with edge.client(services.make(pool, api__requests_per_minute_max=3)) as http:
        header = await edge.token(http, pool, "outbound:read")
        left = [(await http.get(CASES, headers=header)).headers["x-ratelimit-remaining"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        refused = await http.get(CASES, headers=header)
        assert is_problem(refused, 429, "rate_limited")
        assert refused.headers["x-ratelimit-limit"] == "3"
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert int(refused.headers["x-ratelimit-reset"]) <= 60
        missing = await http.get(CASES)
        assert missing.headers["x-ratelimit-limit"] == "3"


async def test_one_window_is_shared_by_all_processes(pool):
    taken = await asyncio.gather(*(_take(pool) for _ in range(8)))
    assert sorted(window.count for window in taken) == list(range(1, 9))
    assert sum(window.is_exceeded for window in taken) == 3


async def _take(pool: Any) -> limits.Window:
    async with pool.acquire() as connection:
        return await limits.take(connection, "shared", limit=5, window_s=3600)


async def test_old_windows_are_swept_away(pool, monkeypatch):
    monkeypatch.setattr(limits, "SWEEP_EVERY", 1)
    await pool.execute("INSERT INTO rate_window VALUES ('old', now() - interval '2 hours', 3)")
    async with pool.acquire() as connection:
        await limits.take(connection, "new", limit=5)
    assert [row["subject"] for row in await pool.fetch("SELECT subject FROM rate_window")] == ["new"]


async def test_a_defect_shows_an_error_id_and_nothing_else(http, pool, monkeypatch):
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("tenderline.api.cases.cases.page", broken)
    header = await edge.token(http, pool, "outbound:read")
    answer = await http.get(CASES, headers=header)
    assert is_problem(answer, 500, "internal")
    assert "secret detail" not in answer.text
    assert answer.json()["instance"].removeprefix("urn:uuid:") in answer.json()["detail"]
    assert "x-ratelimit-remaining" in answer.headers


async def test_dead_letters_are_listed_and_replayed_once_by_an_audited_client(http, pool):
    await _make_dead(pool)
    header = await edge.token(http, pool, "outbound:read", "outbound:write")
    dead = (await http.get(DEAD, headers=header)).json()
    (webhook,), (job,) = dead["webhooks"], dead["jobs"]
    assert webhook["why"] == "KeyError: of j•••@example.org"
    wanted = {"jobs": [job["id"], 999_999], "webhooks": [webhook["id"]]}
    first = await http.post(f"{DEAD}/replay", json=wanted, headers=header)
    assert first.json() == {"jobs": [job["id"]], "webhooks": [webhook["id"]]}
    again = await http.post(f"{DEAD}/replay", json=wanted, headers=header)
    assert again.json() == {"jobs": [], "webhooks": []}
    rows = await pool.fetch("SELECT data::text FROM audit WHERE action = 'dead_letters.replay'")
    assert len(rows) == 1
    states = {row["state"]: row["n"] for row in await pool.fetch("SELECT state, count(*) AS n FROM inbox GROUP BY 1")}
    assert (states.get("unread"), states.get("dead")) == (1, None)
    assert await jobs.dead(pool) == []


async def _make_dead(pool: Any) -> None:
    from tenderline.core.webhooks import Envelope, Urgency

    envelope = Envelope(event_id="evt_1", event_type="a.b", urgency=Urgency.OTHER, body=b"{}")
    async with Inbox(pool) as receiving:
        await receiving.receive("stripe", envelope)
    await pool.execute("UPDATE inbox SET state = 'dead', error = 'KeyError: of jo@example.org'")
    async with pool.acquire() as connection, connection.transaction():
        await jobs.enqueue(connection, "open_case", b"{}", key="one")
    await pool.execute("UPDATE pgqueuer SET status = 'failed'")


@pytest.mark.parametrize(
    "body", ['{"jobs": "all"}', '{"jobs": [0]}', '{"webhooks": [99999999999999999999]}', "[]", "{", '{"odd": 1}']
)
async def test_a_replay_that_cannot_be_read_is_a_400(http, pool, body):
    header = await edge.token(http, pool, "outbound:write")
    answer = await http.post(f"{DEAD}/replay", content=body, headers={**header, "Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_body_without_end_is_refused(http, pool):
    header = await edge.token(http, pool, "outbound:write")
    answer = await http.post(f"{DEAD}/replay", content=b"[" * 100_000, headers=header)
    assert answer.status_code in (400, 413)


async def test_health_tells_life_from_readiness(http, pool):
    assert (await http.get("/health/live")).json() == {"status": "ok"}
    assert (await http.get("/health/ready")).json() == {"status": "ok"}
    await pool.execute("DELETE FROM migration")
    answer = await http.get("/health/ready")
    assert is_problem(answer, 503, "not_ready")
    assert "tenderline migrate" in answer.json()["detail"]
    assert (await http.get("/health/live")).status_code == 200
