"""Segments on their page and by the API: seen by all, tried and changed by those who may; the donor of a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html import unescape
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from support import edge, services
from support.locks import waits_for
from tenderline.config import CrmRestSettings
from tenderline.core.donor import Donor, Given
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.crm.rest import Rest
from tenderline.routing import segments
from tenderline.store import conversations, donors, segment_rules, voice_nodes
from tenderline_sandbox.crm import PATH, DonorCrm
from tenderline_sandbox.settings import SandboxSettings

HIGH = "+12025550161"
STRICTER = segments.shipped_text().replace('"5000"', '"50000"')


@pytest.fixture
async def crm() -> DonorCrm:
    return DonorCrm(SandboxSettings())


@pytest.fixture
async def http(pool: Any, crm: DonorCrm) -> AsyncIterator[httpx.AsyncClient]:
    app = web.Application()
    app.add_routes(crm.routes())
    made = services.make(pool)
    async with TestServer(app) as server:
        url = f"http://127.0.0.1:{server.port}{PATH}"
        settings = CrmRestSettings(url=url, client_id="tenderline", client_secret="sandbox-crm-secret")
        rest = Rest(settings, currency="USD", region="US")
        object.__setattr__(made, "crm", rest)
        async with edge.client(made, headers={"Accept": "text/html"}) as client:
            yield client
        await rest.close()


async def form(http: httpx.AsyncClient, **fields: str) -> dict[str, str]:
    return {"csrf_token": edge.csrf_of((await http.get("/segments")).text), "base": "0", **fields}


async def test_rules_are_tried_over_a_known_donor_without_being_kept(http, pool):
    await edge.sign_in(http, await edge.make_user(pool, role="engineer"))
    shown = (await http.get("/segments")).text
    assert "High Value Donor" in shown
    assert "$5,000.00" in shown
    tried = await http.post("/segments/try", data=await form(http, text=STRICTER, number="(202) 555-0161"))
    assert tried.status_code == 200
    assert "Eleanor Whitfield: Acquisition New" in tried.text
    assert "$12,500.00" in tried.text
    tried = await http.post("/segments/try", data=await form(http, text=segments.shipped_text(), number=HIGH))
    assert "Eleanor Whitfield: High Value Donor" in tried.text
    assert await pool.fetchval("SELECT count(*) FROM segment_rules") == 0


async def test_a_crm_that_is_down_does_not_stop_a_trial(http, pool, crm):
    crm.set_mood("down")
    await edge.sign_in(http, await edge.make_user(pool, role="engineer"))
    tried = await http.post("/segments/try", data=await form(http, text=STRICTER, number=HIGH))
    assert "HTTP 503" in tried.text
    assert "Acquisition New" in tried.text


async def test_rules_in_force_are_versions_and_audited_and_never_overwrite_anothers(http, pool):
    email = await edge.make_user(pool, role="admin")
    await edge.sign_in(http, email)
    put = await http.post("/segments", data=await form(http, text=STRICTER.replace("\n", "\r\n"), number=""))
    assert put.status_code == 303
    shown = (await http.get("/segments")).text
    assert "Version 1." in shown
    assert "$50,000.00" in shown
    row = await pool.fetchrow("SELECT actor, data::text FROM audit WHERE action = 'segments_put'")
    assert row["actor"] == email
    again = await http.post("/segments", data=await form(http, text=segments.shipped_text(), number=""))
    assert again.status_code == 409, "it was looked at before version 1"
    async with pool.acquire() as connection:
        newest = await segment_rules.newest(connection)
    assert newest is not None
    assert newest.content == STRICTER


@pytest.mark.parametrize(
    "text",
    [
        *("", "segment = 1", STRICTER.replace("gave &&", "gift && ")),
        *(STRICTER.replace('"50000"', '"1e999999"'), f"many = {'9' * 5_000}\n{STRICTER}"),
        STRICTER.replace("gave &&", f"gift_count > {'9' * 5_000} &&"),
    ],
)
async def test_rules_that_cannot_be_used_are_refused_and_the_text_is_kept_in_the_form(http, pool, text):
    await edge.sign_in(http, await edge.make_user(pool, role="engineer"))
    for path in ("/segments", "/segments/try"):
        refused = await http.post(path, data=await form(http, text=text, number=HIGH))
        assert refused.status_code == 422
        assert 'role="alert"' in refused.text
        assert text.strip() in unescape(refused.text)
    assert await pool.fetchval("SELECT count(*) FROM segment_rules") == 0


async def test_of_two_who_put_rules_in_force_at_once_the_second_is_told(pool):
    async with pool.acquire() as one, pool.acquire() as other:
        first, second = one.transaction(), other.transaction()
        await first.start()
        await segment_rules.put(one, STRICTER, by="ann", expected=0)
        await second.start()
        waiting = asyncio.create_task(segment_rules.put(other, segments.shipped_text(), by="sue", expected=0))
        await waits_for(pool, one)
        await first.commit()
        with pytest.raises(segment_rules.SegmentsChangedMeanwhileError):
            await waiting
        await second.rollback()
    assert await pool.fetchval("SELECT count(*) FROM segment_rules") == 1


@pytest.mark.parametrize("role", ["viewer", "agent", "supervisor", "compliance"])
async def test_who_may_not_change_lines_may_look_only(http, pool, role):
    await edge.sign_in(http, await edge.make_user(pool, role=role))
    shown = await http.get("/segments")
    assert shown.status_code == 200
    assert "<textarea" not in shown.text
    token = edge.csrf_of(shown.text)
    for path in ("/segments", "/segments/try"):
        refused = await http.post(path, data={"csrf_token": token, "text": STRICTER, "number": HIGH, "base": "0"})
        assert refused.status_code == 403


async def test_the_page_of_a_call_and_the_api_say_who_called_and_what_went_wrong(http, pool):
    call, node = uuid7(), uuid7()
    donor = Donor(
        crm_id="D-1", name="Eleanor <i>", tier="Platinum", lifetime_value=Money(1_250_000, "USD"),
        last_gift=Given(datetime.now(UTC).date(), Money(250_000, "USD")), notes=("Likes <b>mornings</b>",),
    )  # fmt: skip
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, node, "192.0.2.1:5060", 150)
        now = datetime.now(UTC)
        started = conversations.Started(call, node, "inbound", HIGH, "+18005550123", None, None, None, None, now)
        await conversations.start(connection, started)
        late = donors.Told(
            conversation_id=call, caller=HIGH, crm="rest", state="late", reason="timed_out",
            detail="No answer within 2 s; the call went on.", is_late=True,
            segment="Acquisition_New", segment_why="nobody",
        )  # fmt: skip
        await donors.tell(connection, late)
    await edge.sign_in(http, await edge.make_user(pool))
    shown = (await http.get(f"/calls/{call}")).text
    assert "Looking the donor up failed: No answer within 2 s" in shown
    assert "donor_lookup_failure" in shown, "by which the log is searched"
    assert "it may still come" in shown
    found = donors.Told(
        conversation_id=call, caller=HIGH, crm="rest", state="found", took_ms=5_100, donor=donor,
        segment="High_Value_Donor", segment_why="lifetime > high_value",
    )  # fmt: skip
    async with pool.acquire() as connection:
        await donors.tell(connection, found)
    shown = (await http.get(f"/calls/{call}/live")).text
    assert "Eleanor &lt;i&gt;" in shown
    assert "Likes &lt;b&gt;mornings&lt;/b&gt;" in shown
    assert "$12,500.00" in shown
    assert "$2,500.00 today" in shown
    assert "the answer came late" in shown
    headers = await edge.token(http, pool, "contactcenter:read", "integration:all")
    told = (await http.get(f"/api/v2/conversations/{call}/donor", headers=headers)).json()
    assert (told["state"], told["isLate"], told["segment"]) == ("found", True, "High_Value_Donor")
    assert told["donor"]["lifetimeValue"] == {"amountMinor": 1_250_000, "currency": "USD"}
    assert (await http.get(f"/api/v2/conversations/{uuid7()}/donor", headers=headers)).status_code == 404


async def test_the_api_shows_tries_and_puts_rules(http, pool):
    headers = await edge.token(http, pool, "contactcenter:read", "integration:all")
    path = "/api/v2/routing/donor-segments"
    assert (await http.get(path, headers=headers)).json()["version"] == 0
    tried = await http.post(f"{path}/try", json={"phoneNumber": HIGH, "content": STRICTER}, headers=headers)
    assert tried.json()["segment"] == "Acquisition_New"
    for _ in range(2):
        put = await http.put(path, json={"content": STRICTER}, headers=headers)
        assert put.json()["version"] == 1
    refused = await http.put(path, json={"content": "default = 1"}, headers=headers)
    assert refused.status_code == 422
    assert refused.json()["code"] == "invalid_segments"
    tried = await http.post(f"{path}/try", json={"phoneNumber": HIGH}, headers=headers)
    assert tried.json()["segment"] == "Acquisition_New"
