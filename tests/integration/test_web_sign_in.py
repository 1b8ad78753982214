"""Signing in and out, and what stands between a screen and somebody who may not use it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler

from support import desk_call, edge, services, world
from tenderline.core.errors import InvalidInputError
from tenderline.store import credentials, users
from tenderline.store.users import Permission, Role, WeakPasswordError
from tenderline.web import pages, sign_in
from tenderline.web import routes as web_routes

DISCARD = "/dead-letters/webhooks/{webhook}/discard"
ACTING = ["/dead-letters/replay", DISCARD, "/cases/{case}/hold", "/cases/{case}/release"]
RULES = ["/rules/new", *(f"/rules/{{rule}}/{step}" for step in ("change", "off", "as-shipped"))]
REVIEW = ["/review/{person}/go-on", "/review/{person}/opt-out"]
LINES = ["/lines", "/lines/remove", "/lines/calling", "/segments", "/segments/try", "/cases/{case}/opt-out"]
TOLD = ["/outgoing/replay", *(f"/outgoing/{{endpoint}}/{step}" for step in ("replay", "disable", "enable"))]
PHONE = ["/phone/sessions", *(f"/phone/sessions/{{session}}/{one}" for one in ("beat", "leave", "calls/{call}/{what}"))]
SECURE = ["/calls/{call}/secure", "/calls/{call}/secure/{session}/cancel", "/calls/{call}/secure/{session}/restart"]
MONEY = ["/payments/{payment}/refund", "/payments/unmatched/{row}/settle"]
FLOOR = [*(f"/floor/agents/{{agent}}/{step}" for step in ("assign", "state")),
         *(f"/floor/calls/{{call}}/{step}" for step in ("monitor", "monitor-stop")),
         *(f"/floor/alerts/{{alert}}/{step}" for step in ("take", "close"))]  # fmt: skip
DESK = ["/sign-out", "/session/active", "/do-not-contact/import"]
ADMIN = [
    "/password", "/admin/queues/new", "/admin/queues/{name}", "/admin/queues/{name}/delete",
    "/admin/skills", "/admin/skills/delete", "/admin/audit/verify",
    "/admin/agents/new", "/admin/agents/{agent}", "/admin/agents/{agent}/delete",
    "/admin/users", *(f"/admin/users/{{user}}/{one}" for one in ("role", "disable", "enable", "password")),
    *(f"/admin/{one}" for one in ("dispositions/new", "dispositions/{code}", "scripts/new", "scripts/{name}")),
    "/admin/clients", *(f"/admin/clients/{{client}}/{one}" for one in ("scopes", "secret", "disable", "enable")),
]  # fmt: skip
ENDING = [f"/desk/{step}" for step in ("state", "order", "ending")]
CALLBACKS = ["/callbacks", "/callbacks/{callback}/move", "/callbacks/{callback}/close"]
DISTRESS = ["/calls/{call}/distress", "/distress/{person}/lift"]
POST_ROUTES = [
    *CALLBACKS,
    *DISTRESS,
    *ADMIN,
    *DESK,
    *ENDING,
    *LINES,
    *TOLD,
    *ACTING,
    *RULES,
    *REVIEW,
    *MONEY,
    *SECURE,
    *PHONE,
    *FLOOR,
]
MASKING = {"/calls/{call}/distress", "/desk/order", "/desk/ending"}
"""Cards written here have tests of their own: what is written is read for distress before it is refused."""
VISA, FULL_WIDTH = "4242" * 4, {ord("0") + one: 0xFF10 + one for one in range(10)}
PLACES = {
    "{case}": "{case_id:uuid}", "{webhook}": "{inbox_id:int}", "{rule}": "{rule_id:str}",
    "{person}": "{person_id:uuid}", "{endpoint}": "{endpoint_id:uuid}", "{call}": "{call_id:uuid}",
    "{session}": "{session_id:uuid}", "{payment}": "{payment_id:uuid}", "{row}": "{row_id:uuid}",
    "{what}": "{what:str}", "{name}": "{name:str}", "{agent}": "{agent_id:uuid}", "{user}": "{user_id:uuid}",
    "{client}": "{client_id:str}", "{code}": "{code:str}",
    "{alert}": "{alert_id:uuid}", "{callback}": "{callback_id:uuid}",
}  # fmt: skip


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as made:
        yield made


async def test_the_right_password_leads_to_where_one_wanted_to_go(http, pool):
    email = await edge.make_user(pool)
    away = await http.get("/cases")
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in?next=/cases")
    answer = await edge.sign_in(http, email.upper(), next="/cases")
    assert (answer.status_code, answer.headers["location"]) == (303, "/cases")
    assert (await http.get("/cases")).status_code == 200


async def test_a_link_cannot_lead_through_the_sign_in_to_another_site(http, pool):
    email = await edge.make_user(pool)
    for bad in ("//evil.example", "https://evil.example", "/\\evil.example", "/%2f/evil.example", "javascript:x"):
        answer = await edge.sign_in(http, email, next=bad)
        assert answer.headers["location"] == "/"


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_only_its_hash_is_kept(http, pool):
    answer = await edge.sign_in(http, await edge.make_user(pool))
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(sign_in.SESSION_COOKIE))
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    token = http.cookies[sign_in.SESSION_COOKIE]
    assert len(token) >= 43
    assert await pool.fetchval("SELECT token_hash FROM session") == hashlib.sha256(token.encode()).digest()


async def test_over_https_the_cookie_is_secure_and_browsers_are_told_to_stay(pool):
    async with edge.client(services.make(pool, public_url="https://desk.example.org")) as http:
        answer = await edge.sign_in(http, await edge.make_user(pool))
        assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))
        assert answer.headers["strict-transport-security"].startswith("max-age=")


async def test_a_wrong_password_and_an_unknown_address_get_the_same_page(http, pool):
    email = await edge.make_user(pool)
    wrong = await edge.sign_in(http, email, "not the password")
    unknown = await edge.sign_in(http, "nobody@example.org", "not the password")
    odd = await edge.sign_in(http, "not an address \x00", "x")
    assert wrong.status_code == unknown.status_code == odd.status_code == 401
    assert wrong.text.replace(email, "") == unknown.text.replace("nobody@example.org", "")
    assert await pool.fetchval("SELECT count(*) FROM session") == 0


async def test_an_unknown_address_costs_the_same_work(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(credentials, "_verify", lambda stored, given: asked.append(stored) or False)
    assert not await credentials.matches(None, "x")
    assert not await credentials.matches("a hash", "x")
    assert len(asked) == 2
    assert edge.REAL_HASHER.memory_cost >= 64 * 1024
    assert edge.REAL_HASHER.type.name == "ID"


async def test_who_tries_too_often_has_to_wait(http, pool, monkeypatch):
    monkeypatch.setattr(sign_in, "TRIES_PER_ACCOUNT_AND_ADDRESS", 3)
    email = await edge.make_user(pool)
    statuses = [(await edge.sign_in(http, email, "wrong password")).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    right = await edge.sign_in(http, email)
    assert right.status_code == 429
    assert int(right.headers["retry-after"]) > 0


async def test_a_sign_in_forgives_the_tries_before_it(http, pool, monkeypatch):
    monkeypatch.setattr(sign_in, "TRIES_PER_ACCOUNT_AND_ADDRESS", 3)
    email = await edge.make_user(pool)
    for _ in range(3):
        await edge.sign_in(http, email, "wrong password")
        await edge.sign_in(http, email, "wrong password")
        assert (await edge.sign_in(http, email)).status_code == 303


async def test_the_form_cannot_be_posted_from_elsewhere(http, pool):
    email = await edge.make_user(pool)
    data = {"email": email, "password": edge.PASSWORD}
    assert (await http.post("/sign-in", data=data)).status_code == 403
    token = edge.csrf_of((await http.get("/sign-in")).text)
    http.cookies.clear()
    assert (await http.post("/sign-in", data={**data, "csrf_token": token})).status_code == 403
    cross = await http.get("/sign-in")
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = await http.post("/sign-in", data={**data, "csrf_token": edge.csrf_of(cross.text)}, headers=header)
        assert answer.status_code == 403
    assert await pool.fetchval("SELECT count(*) FROM session") == 0


async def test_signing_in_again_replaces_the_session_that_the_browser_brought(http, pool):
    email = await edge.make_user(pool)
    await edge.sign_in(http, email)
    first = http.cookies[sign_in.SESSION_COOKIE]
    await edge.sign_in(http, email)
    assert http.cookies[sign_in.SESSION_COOKIE] != first
    assert await pool.fetchval("SELECT count(*) FROM session") == 1


async def test_signing_out_ends_the_session_everywhere(http, pool):
    await edge.sign_in(http, await edge.make_user(pool))
    token = http.cookies[sign_in.SESSION_COOKIE]
    page = await http.get("/")
    answer = await http.post("/sign-out", data={"csrf_token": edge.csrf_of(page.text)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    http.cookies.set(sign_in.SESSION_COOKIE, token)
    assert (await http.get("/")).status_code == 303


async def test_sign_ins_are_in_the_audit_log_without_what_was_typed_wrongly(http, pool):
    email = await edge.make_user(pool)
    await edge.sign_in(http, "my password in the wrong field")
    await edge.sign_in(http, email, "wrong password")
    await edge.sign_in(http, email)
    page = await http.get("/")
    await http.post("/sign-out", data={"csrf_token": edge.csrf_of(page.text)})
    rows = await pool.fetch("SELECT actor, action, data::text AS data FROM audit ORDER BY number")
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("unknown", "sign_in.refused"),
        (email, "sign_in.refused"),
        (email, "sign_in.ok"),
        (email, "sign_out"),
    ]
    assert "wrong field" not in str([dict(row) for row in rows])


@pytest.mark.parametrize(
    "change", ["used_at = now() - interval '16 minutes'", "expires_at = now() - interval '1 second'"]
)
async def test_a_session_ends_idle_and_in_any_case(http, pool, change):
    await edge.sign_in(http, await edge.make_user(pool))
    await pool.execute(f"UPDATE session SET {change}")
    assert (await http.get("/")).status_code == 303


async def test_a_screen_that_updates_itself_does_not_keep_the_sign_in_alive(http, pool):
    await edge.sign_in(http, await edge.make_user(pool))
    page = await http.get("/")
    old = "UPDATE session SET used_at = now() - interval '10 minutes'"
    idle = "SELECT extract(epoch FROM now() - used_at) FROM session"
    await pool.execute(old)
    assert (await http.get("/board/live")).status_code == 200
    assert await pool.fetchval(idle) > 500
    active = await http.post("/session/active", headers={"X-CSRF-Token": edge.csrf_of(page.text)})
    assert active.status_code == 204
    assert await pool.fetchval(idle) < 60


async def test_a_disabled_user_is_out_at_once(http, pool):
    email = await edge.make_user(pool)
    await edge.sign_in(http, email)
    async with pool.acquire() as connection, connection.transaction():
        await users.disable_user(connection, email)
    assert (await http.get("/")).status_code == 303
    assert (await edge.sign_in(http, email)).status_code == 401


async def test_a_new_password_ends_old_sign_ins(http, pool):
    email = await edge.make_user(pool)
    await edge.sign_in(http, email)
    async with pool.acquire() as connection, connection.transaction():
        await users.set_password(connection, email, "another four random words")
    assert (await http.get("/")).status_code == 303
    assert (await edge.sign_in(http, email, "another four random words")).status_code == 303


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "supervisor@example.org", "x" * 2000])
async def test_a_password_that_is_too_easy_is_refused(pool, password):
    async with pool.acquire() as connection:
        with pytest.raises(WeakPasswordError):
            await users.create_user(connection, "supervisor@example.org", "S", password, "viewer")


async def test_users_have_one_of_the_roles_and_one_address(pool):
    await edge.make_user(pool)
    async with pool.acquire() as connection:
        with pytest.raises(users.UserExistsError):
            await users.create_user(connection, "Supervisor@Example.org", "S", edge.PASSWORD, "viewer")
        with pytest.raises(InvalidInputError, match="known are viewer"):
            await users.create_user(connection, "x@example.org", "S", edge.PASSWORD, "king")


def test_looking_is_for_every_role_and_acting_for_those_who_answer_for_it():
    acting = {role for role in Role if Permission.HOLD in users.PERMISSIONS[role]}
    assert acting == {Role.SUPERVISOR, Role.ENGINEER, Role.ADMIN}
    assert all(Permission.VIEW in users.PERMISSIONS[role] for role in Role)


def _handlers() -> list[HTTPRouteHandler]:
    (router,) = web_routes.route_handlers
    return [handler for route in router.routes for handler in route.route_handlers]  # type: ignore[union-attr]


def test_every_screen_is_behind_the_guard_and_this_file_knows_every_post():
    open_to_all = {path for one in _handlers() if one.opt.get(sign_in.PUBLIC) for path in one.paths}
    assert open_to_all == {"/sign-in", "/static/{name:path}"}
    posts = {path for one in _handlers() if "POST" in one.http_methods for path in one.paths}
    known = {re.sub(r"\{\w+\}", lambda place: PLACES[place[0]], path) for path in POST_ROUTES}
    assert posts - {"/sign-in"} == known


@pytest.mark.parametrize("path", POST_ROUTES)
async def test_no_post_is_taken_without_its_token_or_from_another_site(http, pool, path):
    debtor = await world.make_debtor(pool)
    path = path.replace("{case}", str(debtor.case_id)).replace("{webhook}", "1")
    path = path.replace("{what}", "accept")
    path = path.replace("{payment}", str(debtor.payment_id)).replace("{row}", str(debtor.payment_id))
    path = re.sub(r"{\w+}", str(debtor.person_id), path.replace("{rule}", "OWN-HOURS"))
    await edge.sign_in(http, await edge.make_user(pool))
    token = edge.csrf_of((await http.get("/")).text)
    before = await pool.fetchval("SELECT count(*) FROM audit")
    for attempt in (
        {"data": {"why": "x"}},
        {"data": {"why": "x", "csrf_token": "wrong"}},
        {"data": {"why": "x", "csrf_token": token}, "headers": {"Sec-Fetch-Site": "cross-site"}},
        {"data": {"why": "x", "csrf_token": token}, "headers": {"Sec-Fetch-Site": "same-site"}},
        {"data": {"why": "x", "csrf_token": token}, "headers": {"Origin": "http://evil.example"}},
    ):
        assert (await http.post(path, **attempt)).status_code == 403
    assert await pool.fetchval("SELECT count(*) FROM audit") == before
    assert (await http.get("/")).status_code == 200


@pytest.mark.parametrize("path", [one for one in POST_ROUTES if one not in MASKING])
async def test_no_form_takes_a_card_number_however_it_is_written_and_nothing_of_it_is_kept(http, pool, path):
    path = re.sub(r"{\w+}", "00000000-0000-7000-8000-000000000000", path.replace("{webhook}", "1"))
    await edge.sign_in(http, await edge.make_user(pool, "admin"))
    form = {"csrf_token": edge.csrf_of((await http.get("/")).text)}
    before = await pool.fetchval("SELECT count(*) FROM audit")
    for written in (VISA, " ".join([VISA[:4]] * 4), f"it is {VISA[:8]}\u00a0{VISA[8:]}", VISA.translate(FULL_WIDTH)):
        for name in ("note", "reason", "why"):
            answer = await http.post(path, data={**form, name: written})
            assert (answer.status_code, "holds a card number" in answer.text) == (422, True), (name, written)
            assert written not in answer.text
    assert await pool.fetchval("SELECT count(*) FROM audit") == before


async def test_what_is_written_of_distress_is_masked_and_held_up_by_nothing(http, pool):
    await edge.sign_in(http, await edge.make_user(pool, "agent"))
    call = await desk_call.ring(pool, *await desk_call.make_agent(pool))
    form = {"csrf_token": edge.csrf_of((await http.get("/")).text), "reason": f"wept, and read out {VISA}"}
    assert (await http.post(f"/calls/{call.call}/distress", data=form)).status_code == 303
    assert VISA not in str(await pool.fetch("SELECT detail FROM alert"))


@pytest.mark.parametrize("role", ["viewer", "agent", "compliance"])
@pytest.mark.parametrize("path", ACTING)
async def test_acting_needs_the_role_and_looking_does_not(http, pool, role, path):
    debtor = await world.make_debtor(pool)
    await edge.sign_in(http, await edge.make_user(pool, role))
    page = await http.get(f"/cases/{debtor.case_id}")
    assert page.status_code == 200
    assert "hold-form" not in page.text
    data = {"csrf_token": edge.csrf_of((await http.get("/")).text), "why": "x"}
    answer = await http.post(path.replace("{case}", str(debtor.case_id)).replace("{webhook}", "1"), data=data)
    assert answer.status_code == 403
    assert "role does not allow" in answer.text


@pytest.mark.parametrize("path", ["/", "/sign-in", "/cases", "/nowhere", "/static/tenderline.css", "/board/live"])
async def test_every_answer_to_a_browser_carries_the_strict_headers(http, pool, path):
    await edge.sign_in(http, await edge.make_user(pool))
    if path == "/nowhere":
        path = "/cases/00000000-0000-7000-8000-000000000000"
    headers = (await http.get(path)).headers
    assert headers["content-security-policy"] == pages.CONTENT_SECURITY_POLICY
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "camera=()" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


async def test_only_listed_files_are_served_and_pinned_ones_may_be_kept(http):
    pinned = await http.get(pages.static_url("live.js"))
    assert "immutable" in pinned.headers["cache-control"]
    assert pinned.headers["content-type"].startswith("text/javascript")
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/vendor", "/static/nothing.js"):
        assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize(
    "folder",
    [
        Path(str(resources.files("tenderline.web").joinpath("static", "vendor"))),
        Path(__file__).parents[1] / "browser" / "vendor",
    ],
    ids=["screens", "tests"],
)
def test_vendored_scripts_are_what_their_list_says(folder):
    listed = json.loads((folder / "vendor.json").read_text("utf-8"))
    assert {entry.name for entry in folder.glob("*.js")} == set(listed)
    for name, told in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == told["sha256"], name
        assert (folder / told["licence_file"]).is_file()


def test_pages_hold_no_inline_script_and_no_inline_style():
    for name in pages.environment().list_templates():
        source, _, _ = pages.environment().loader.get_source(pages.environment(), name)  # type: ignore[union-attr]
        assert " style=" not in source, name
        assert "<style" not in source, name
        assert all("src=" in tag for tag in source.split("<script")[1:]), name
        assert not re.search(r"\son[a-z]+=", source), name
