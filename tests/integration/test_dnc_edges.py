"""Do-not-contact lists over the API and on the screen: who may, how much, and what is said about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from support import edge, services
from tenderline.api import dnc as api
from tenderline.people import dnc_import
from tenderline.web import dnc as web

LISTS = "/api/v2/compliance/dnclists"
ONE, TWO = "+12025550123", "+12125550199"
CSV = {"content-type": "text/csv"}


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool)) as made:
        yield made


@pytest.fixture
async def browser(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as made:
        yield made


async def values(pool: Any) -> set[tuple[str, str]]:
    return {(row["value"], row["list"]) for row in await pool.fetch("SELECT value, list FROM dnc_entry")}


async def test_a_csv_is_posted_and_posting_it_again_changes_nothing(http, pool):
    header = await edge.token(http, pool, "outbound:write", "outbound:read")
    body = "phone,name\n2025550123,Ann\nnonsense,Bob\n(212) 555-0199,Eve\n"
    params = {"channels": "voice,sms", "expiresDays": "31"}
    first = await http.post(f"{LISTS}/national/entries", content=body, headers=header | CSV, params=params)
    assert first.status_code == 200, first.text
    told = first.json()
    assert (told["list"], told["source"], told["added"], told["rejected"]) == ("national", "US", 2, 1)
    assert told["rejects"][0]["line"] == 3
    assert "nonsense" not in first.text, "nothing is sent back"
    assert await values(pool) == {(ONE, "national"), (TWO, "national")}
    again = await http.post(f"{LISTS}/national/entries", content=body, headers=header | CSV, params=params)
    assert (again.json()["added"], again.json()["entries"]) == (0, 2)
    entry = (await http.get(f"{LISTS}/national/entries/{quote('+1 202 555 0123')}", headers=header)).json()
    assert (entry["value"], entry["inForce"]) == (ONE, True)
    assert entry["standing"][0]["channels"] == ["sms", "voice_artificial", "voice_live"]
    assert entry["standing"][0]["expiresAt"]
    missing = await http.get(f"{LISTS}/internal/entries/{quote(ONE)}", headers=header)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_single_entries_are_posted_as_json_and_make_no_list_newer(http, pool):
    header = await edge.token(http, pool, "outbound:write", "outbound:read")
    said = {"entries": ["(202) 555-0123", "Ann@Example.org", "junk"]}
    answer = await http.post(f"{LISTS}/internal/entries", json=said, headers=header)
    assert (answer.json()["added"], answer.json()["rejects"][0]["line"]) == (2, 3)
    assert await values(pool) == {(ONE, "internal"), ("ann@example.org", "internal")}
    lists = {one["list"]: one for one in (await http.get(LISTS, headers=header)).json()["entities"]}
    assert (lists["internal"]["entries"], lists["internal"]["refreshedAt"]) == (2, None)
    assert lists["national"]["source"] is None
    (actor,) = await pool.fetch("SELECT actor FROM audit WHERE action = 'dnc.import'")
    assert actor["actor"].startswith("client:")


@pytest.mark.parametrize(
    ("name", "content", "headers", "params", "status", "code"),
    [
        ("natoinal", "2025550123\n", CSV, {}, 422, "unknown_list"),
        ("internal", "2025550123\n", CSV, {"replace": "true"}, 422, "list_kept"),
        ("national", "2025550123\n", CSV, {"channels": "fax"}, 422, "invalid_list_setting"),
        ("national", "2025550123\n", CSV, {"region": "usa"}, 400, "invalid_request"),
        ("national", "2025550123\n", {"content-type": "application/zip"}, {}, 415, "unsupported_media_type"),
        ("national", "PK\x03\x04", CSV, {}, 422, "unreadable_list"),
        ("national", "nothing\nat all\n", CSV, {}, 422, "nothing_in_it"),
        ("national", "", CSV, {}, 422, "unreadable_list"),
        ("national", "{", {"content-type": "application/json"}, {}, 400, "invalid_request"),
        ("national", '{"entries": [1]}', {"content-type": "application/json"}, {}, 400, "invalid_request"),
    ],
)
async def test_what_is_posted_wrongly_is_a_problem_with_a_code(
    http, pool, name, content, headers, params, status, code
):
    header = await edge.token(http, pool, "outbound:write")
    answer = await http.post(f"{LISTS}/{name}/entries", content=content, headers=header | headers, params=params)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert await values(pool) == set()


async def test_reading_is_not_writing(http, pool):
    header = await edge.token(http, pool, "outbound:read")
    answer = await http.post(f"{LISTS}/national/entries", content="2025550123\n", headers=header | CSV)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    assert (await http.get(LISTS)).status_code == 401


async def test_a_body_without_a_bound_is_refused(http, pool, monkeypatch):
    monkeypatch.setattr(api, "JSON_BYTES_MAX", 100)
    header = await edge.token(http, pool, "outbound:write")
    answer = await http.post(f"{LISTS}/internal/entries", json={"entries": [ONE] * 50}, headers=header)
    assert answer.status_code == 400
    too_long = {**header, **CSV, "content-length": str(api.BODY_BYTES_MAX + 1)}
    answer = await http.post(f"{LISTS}/internal/entries", content=b"2025550123\n", headers=too_long)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert await values(pool) == set()


async def test_no_more_lists_are_read_in_at_once_than_a_process_can_bear(http, pool, monkeypatch):
    monkeypatch.setattr(dnc_import, "_under_way", dnc_import.AT_ONCE_MAX)
    header = await edge.token(http, pool, "outbound:write")
    answer = await http.post(f"{LISTS}/national/entries", content="2025550123\n", headers=header | CSV)
    assert (answer.status_code, answer.json()["code"]) == (503, "imports_busy")
    assert answer.headers["retry-after"]


async def upload(browser: httpx.AsyncClient, body: bytes, **fields: str) -> httpx.Response:
    shown = await browser.get("/do-not-contact")
    token = edge.csrf_of(shown.text)
    data = {"csrf_token": token, "list": "national", "region": "US", **fields}
    return await browser.post("/do-not-contact/import", data=data, files={"file": ("list.csv", body, "text/csv")})


async def test_somebody_of_compliance_reads_a_file_in_and_sees_what_became_of_it(browser, pool):
    await edge.sign_in(browser, await edge.make_user(pool, "compliance"))
    page = await upload(browser, b"phone\n2025550123\n<b>bold</b>\n", channel="sms", expires_days="31")
    assert page.status_code == 200, page.text
    assert "1 new" in page.text
    assert "&lt;b&gt;bold" in page.text
    assert await values(pool) == {(ONE, "national")}
    row = await pool.fetchrow("SELECT channels, expires_at IS NOT NULL AS ends FROM dnc_entry")
    assert (row["channels"], row["ends"]) == (["sms"], True)
    tried = await upload(browser, b"2125550199\n", only_try="yes")
    assert "nothing was changed" in tried.text
    assert await values(pool) == {(ONE, "national")}
    (audit,) = await pool.fetch("SELECT actor FROM audit WHERE action = 'dnc.import'")
    assert audit["actor"] == "compliance@example.org"


async def test_a_list_that_is_too_old_is_shown_in_red(browser, pool):
    await edge.sign_in(browser, await edge.make_user(pool, "compliance"))
    await upload(browser, b"2025550123\n")
    assert "too old" not in (await browser.get("/do-not-contact")).text
    await pool.execute("UPDATE dnc_list SET refreshed_at = now() - interval '32 days'")
    shown = (await browser.get("/do-not-contact")).text
    assert 'class="badge bad"' in shown
    assert "32 days ago" in shown
    assert "64.1200" in shown


@pytest.mark.parametrize("role", ["viewer", "agent", "supervisor", "engineer"])
async def test_other_roles_look_and_do_not_read_in(browser, pool, role):
    await edge.sign_in(browser, await edge.make_user(pool, role))
    shown = await browser.get("/do-not-contact")
    assert shown.status_code == 200
    assert "needs the role compliance" in shown.text
    token = edge.csrf_of(shown.text)
    answer = await browser.post(
        "/do-not-contact/import", data={"csrf_token": token, "list": "national"}, files={"file": ("x", b"2025550123\n")}
    )
    assert answer.status_code == 403
    assert await values(pool) == set()


async def test_an_upload_from_another_site_is_refused(browser, pool):
    await edge.sign_in(browser, await edge.make_user(pool, "compliance"))
    for data in ({"list": "national"}, {"list": "national", "csrf_token": "made up"}):
        answer = await browser.post("/do-not-contact/import", data=data, files={"file": ("x", b"2025550123\n")})
        assert answer.status_code == 403
    assert await values(pool) == set()


@pytest.mark.parametrize(
    ("body", "fields", "said"),
    [
        (b"2025550123\n", {"list": "parish"}, "There is no list"),
        (b"2025550123\n", {"expires_days": "soon"}, "Write the days as a number"),
        (b"\x1f\x8b rest", {}, "unpack it first"),
        (b"no\nnumber\n", {}, "No line of it"),
    ],
)
async def test_an_upload_that_is_wrong_is_said_on_the_page(browser, pool, body, fields, said):
    await edge.sign_in(browser, await edge.make_user(pool, "compliance"))
    page = await upload(browser, body, **fields)
    assert page.status_code == 422
    assert said in page.text
    assert "Nothing was changed." in page.text
    assert await values(pool) == set()


async def test_an_upload_larger_than_the_page_takes_says_so(browser, pool):
    await edge.sign_in(browser, await edge.make_user(pool, "compliance"))
    answer = await browser.post(
        "/do-not-contact/import", content=b"x", headers={
            "content-type": "multipart/form-data; boundary=x", "content-length": str(web.UPLOAD_BYTES_MAX + 1),
        },
    )  # fmt: skip
    assert answer.status_code == 413
    assert "larger than this address takes" in answer.text
