"""The floor as a screen: what is shown to whom, what a supervisor may do from it, and that nothing breaks out of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from support import edge, floor_life, lines_up, services
from tenderline.core.ids import uuid7
from tenderline.desk import floor as desk
from tenderline.store import agents, alerts, live_commands, presence, queues
from tenderline.web import stream
from tenderline.web.floor import _TOKEN_PLACE

ROLES = ["viewer", "agent", "engineer", "compliance", "supervisor", "admin"]
MAY_ACT = {"supervisor", "admin"}


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as made:
        yield made


@pytest.fixture
async def ids(pool: Any) -> dict[str, Any]:
    async with pool.acquire() as connection:
        return await floor_life.busy(connection)


async def signed_in(http, pool, role="supervisor") -> str:
    email = await edge.make_user(pool, role=role)
    await edge.sign_in(http, email)
    return email


async def token(http) -> str:
    return edge.csrf_of((await http.get("/floor")).text)


async def audited(pool, action) -> list[tuple[str, str]]:
    rows = await pool.fetch("SELECT actor, subject FROM audit WHERE action = $1 ORDER BY number", action)
    return [(row["actor"], row["subject"]) for row in rows]


async def test_the_floor_shows_everybody_and_nothing_breaks_out(http, pool, ids):
    await signed_in(http, pool)
    shown = (await http.get("/floor")).text
    for said in ("lunch &lt;i&gt;", "Specialists &lt;b&gt;", "High Value Donor &lt;i&gt;", "fraud", "Distress", "★",
                 "Card number: 11 digits, Visa", "by herself", "The CRM was not asked: failing.", "127.0.0.1:5060",
                 "no telephone or browser", "+12025550190"):  # fmt: skip
        assert said in shown, said
    for raw in ("<i>", "<u>", "<script>alert", "<b>"):
        assert raw not in shown, raw
    assert f"/calls/{ids['call']}" in shown
    assert (await http.get("/floor/live")).status_code == 200


async def test_without_anybody_the_floor_says_so(http, pool):
    await pool.execute("DELETE FROM queue")  # that of supervisors, which is there from the beginning
    await signed_in(http, pool, "viewer")
    shown = (await http.get("/floor")).text
    for said in ("Nobody needs you now", "There is no queue yet", "Nobody waits", "No voice node runs"):
        assert said in shown, said


@pytest.mark.parametrize("role", ROLES)
async def test_everybody_may_look_and_only_a_supervisor_may_act(http, pool, ids, role):
    await signed_in(http, pool, role)
    page = await http.get("/floor")
    assert page.status_code == 200
    assert ("/monitor" in page.text) == (role in MAY_ACT)
    assert ("data-panel" in page.text) == (role in MAY_ACT)
    form = {"csrf_token": edge.csrf_of(page.text)}
    asked = {
        f"/floor/agents/{ids['anna']}/assign": {"queue": "general", "seen": "x"},
        f"/floor/agents/{ids['anna']}/state": {"state": "away", "reason": "x"},
        f"/floor/calls/{ids['call']}/monitor": {"mode": "listen"},
        f"/floor/calls/{ids['call']}/monitor-stop": {},
        f"/floor/alerts/{ids['alert']}/take": {},
        f"/floor/alerts/{ids['alert']}/close": {"note": "x"},
    }
    for path, more in asked.items():
        answer = await http.post(path, data=form | more)
        assert (answer.status_code == 403) == (role not in MAY_ACT), path
    for path in (f"/floor/agents/{ids['anna']}", f"/floor/agents/{ids['anna']}/panel"):
        assert (await http.get(path)).status_code == (200 if role in MAY_ACT else 403)


async def test_two_who_look_share_a_drawing_and_each_has_her_own_token(pool, ids):
    made = services.make(pool)
    async with edge.client(made, headers={"Accept": "text/html"}) as anna:
        await signed_in(anna, pool)
        first = (await anna.get("/floor/live")).text
        own = await token(anna)
        cookies = dict(anna.cookies)
        anna.cookies.clear()
        other = await edge.make_user(pool, email="other@example.org")
        await edge.sign_in(anna, other)
        second = (await anna.get("/floor/live")).text
        others = await token(anna)
        assert own != others
        assert own in first
        assert others in second
        assert own not in second
        assert _TOKEN_PLACE not in first + second
        assert first.replace(own, "") == second.replace(others, "")
        assert cookies != dict(anna.cookies)


NUMBERS = [
    *(f"/floor/callers?queue=general&what={what}" for what in ("waiting", "kept")),
    *(
        f"/floor/callers?queue=general&period={period}&what={what}"
        for period in ("today", "lately")
        for what in ("level", "answered", "abandoned", "overflowed")
    ),
    "/floor/callers?what=waiting",
    *(f"/floor/agents?queue=general&doing={doing}" for doing in ("free", "busy", "wrap_up", "away")),
    *(f"/floor/callbacks?which={which}" for which in ("overdue", "due", "later")),
    *(f"/floor/look-ups?what={what}" for what in ("asked", "late", "failed", "skipped", "timed_out")),
]


async def test_every_number_opens_its_rows(http, pool, ids):
    await signed_in(http, pool, "viewer")
    for path in NUMBERS:
        assert (await http.get(path)).status_code == 200, path
    assert "3 rows." in (await http.get("/floor/callers?queue=specialists&what=waiting")).text
    assert "5 rows." in (await http.get("/floor/callers?queue=general&period=lately&what=answered")).text
    assert "6 rows." in (await http.get("/floor/callers?queue=general&period=lately&what=level")).text
    shown = (await http.get("/floor/agents?doing=busy")).text
    assert "1 row." in shown
    assert "Distress" in shown
    live = (await http.get("/floor")).text.replace("&amp;", "&")
    for path in (
        set(NUMBERS) - {"/floor/callers?what=waiting", "/floor/look-ups?what=failed"} - {"/floor/look-ups?what=skipped"}
    ):
        assert f'href="{path}"' in live, path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/floor/callers", 422),
        ("/floor/callers?what=<b>", 422),
        ("/floor/callers?what=answered&period=today", 422),
        ("/floor/callers?what=answered&queue=general&period=ever", 422),
        ("/floor/callers?what=waiting&queue=no<b>where", 404),
        ("/floor/agents?doing=nothing", 422),
        ("/floor/callbacks?which=", 422),
        ("/floor/agents/01a10000-0000-7000-8000-000000000001", 404),
        ("/floor/alerts/01a10000-0000-7000-8000-000000000002", 404),
        ("/floor?call=nonsense&mode=<b>", 200),
    ],
)
async def test_what_there_is_not_is_said_plainly(http, pool, ids, path, status):
    await signed_in(http, pool)
    answer = await http.get(path)
    assert answer.status_code == status
    assert "<b>" not in answer.text


async def assign_form(http, pool, agent_id, **more: Any) -> dict[str, Any]:
    shown = (await http.get(f"/floor/agents/{agent_id}")).text
    seen = shown.partition('name="seen" value="')[2].partition('"')[0]
    return {"csrf_token": edge.csrf_of(shown), "seen": seen, **more}


async def test_an_agent_is_moved_and_gets_a_skill_and_it_is_audited(http, pool, ids):
    email = await signed_in(http, pool)
    async with pool.acquire() as connection:
        await queues.put_skill(connection, "spanish", "Spanish <i>", by="test")
    form = await assign_form(http, pool, ids["anna"])
    path = f"/floor/agents/{ids['anna']}/assign"
    more = {"queue": "specialists", "skill:spanish": "5", "skill:legacy_gifts": ""}
    moved = await http.post(path, data=form | more)
    assert (moved.status_code, moved.headers["location"]) == (303, f"/floor#agent-{ids['anna']}")
    async with pool.acquire() as connection:
        found = await agents.get(connection, ids["anna"])
    assert (found.queues, found.skills) == (["specialists"], {"spanish": 5})
    assert (email, str(ids["anna"])) in await audited(pool, "agent_assigned")
    again = await http.post(path, data=form | {"queue": "general"})
    assert again.status_code == 409, "somebody changed her since this form was shown"
    fresh = await assign_form(http, pool, ids["anna"])
    for wrong, status in (({"queue": "nowhere"}, 404), ({"skill:flying": "3"}, 404), ({"skill:spanish": "6"}, 422),
                          ({"skill:spanish": "x"}, 422)):  # fmt: skip
        assert (await http.post(path, data=fresh | wrong)).status_code == status, wrong
    nowhere = await http.post(f"/floor/agents/{uuid7()}/assign", data=fresh)
    assert nowhere.status_code == 404
    none = await http.post(path, data=fresh)
    assert none.status_code == 303, "an agent of no queue is nobody's fault"


async def test_a_state_is_set_for_an_agent_with_a_reason_and_on_a_call_it_counts_from_its_end_on(http, pool, ids):
    email = await signed_in(http, pool)
    form = {"csrf_token": await token(http)}
    path = f"/floor/agents/{ids['bob']}/state"
    for wrong in ({"state": "distress"}, {"state": ""}, {"state": "away"}, {"state": "away", "reason": "\x07"}):
        assert (await http.post(path, data=form | wrong)).status_code == 422, wrong
    assert (await http.post(path, data=form | {"state": "available"})).status_code == 303
    assert (await http.post(path, data=form | {"state": "offline", "reason": "went home"})).status_code == 303
    async with pool.acquire() as connection:
        found = await agents.get(connection, ids["bob"])
        assert (found.state, found.reason) == ("offline", "went home")
    assert [actor for actor, _ in await audited(pool, "agent_state")][-2:] == [email, email]
    talks = f"/floor/agents/{ids['talks']}/state"
    assert (await http.post(talks, data=form | {"state": "away", "reason": "rest"})).status_code == 303
    async with pool.acquire() as connection:
        found = await agents.get(connection, ids["talks"])
    assert (found.state, found.next_state, found.next_reason) == ("distress", "away", "rest")
    assert (await http.post(f"/floor/agents/{uuid7()}/state", data=form | {"state": "available"})).status_code == 404


@contextlib.asynccontextmanager
async def node_that(pool, *, refuses: str | None = None) -> AsyncIterator[list[live_commands.Command]]:
    """A node that takes what is asked of its calls, and says yes or no."""
    taken: list[live_commands.Command] = []

    async def answer() -> None:
        while True:
            async with pool.acquire() as connection:
                node = await connection.fetchval("SELECT id FROM voice_node")
                for one in await live_commands.take(connection, node):
                    taken.append(one)
                    if refuses:
                        await live_commands.refuse(connection, one.id, "call.refused", refuses)
                    else:
                        await live_commands.answer(connection, one.id, {})
            await asyncio.sleep(0.01)

    task = asyncio.create_task(answer())
    try:
        yield taken
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def supervisor_with_telephone(http, pool) -> tuple[str, Any]:
    email = await signed_in(http, pool)
    async with pool.acquire() as connection:
        user_id = await connection.fetchval("SELECT id FROM app_user WHERE email = $1", email)
        return email, await agents.make(connection, name="The supervisor", user_id=user_id, by="test")


async def test_a_supervisor_listens_with_her_own_telephone_and_it_is_audited(http, pool, ids):
    email, own = await supervisor_with_telephone(http, pool)
    form = {"csrf_token": await token(http)}
    path = f"/floor/calls/{ids['call']}"
    async with node_that(pool) as taken:
        answer = await http.post(f"{path}/monitor", data=form | {"mode": "whisper"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/floor?call={ids['call']}&mode=whisper")
        shown = (await http.get(answer.headers["location"])).text
        assert "only the agent hears you" in shown
        assert (await http.post(f"{path}/monitor-stop", data=form)).status_code == 303
    assert [(one.kind, dict(one.detail), one.asked_by) for one in taken] == [
        ("monitor", {"agent_id": str(own), "mode": "whisper"}, email),
        ("monitor_stop", {"agent_id": str(own)}, email),
    ]
    assert await audited(pool, "call_monitor") == [(email, f"conversation:{ids['call']}")]
    assert await audited(pool, "call_monitor_stop") == [(email, f"conversation:{ids['call']}")]
    assert (await http.post(f"{path}/monitor", data=form | {"mode": "record"})).status_code == 422


async def test_what_a_call_refuses_is_said_on_the_floor(http, pool, ids):
    await supervisor_with_telephone(http, pool)
    form = {"csrf_token": await token(http), "mode": "join"}
    async with node_that(pool, refuses="A card is being keyed in <b>now</b>."):
        answer = await http.post(f"/floor/calls/{ids['call']}/monitor", data=form)
    assert answer.status_code == 409
    assert "A card is being keyed in &lt;b&gt;now&lt;/b&gt;." in answer.text
    assert 'id="floor-queues"' in answer.text
    gone = await http.post(f"/floor/calls/{uuid7()}/monitor", data=form)
    assert gone.status_code == 409
    assert "does not last any more" in gone.text


async def test_who_has_no_telephone_is_told_so_and_nothing_is_asked(http, pool, ids):
    await signed_in(http, pool)
    form = {"csrf_token": await token(http), "mode": "join"}
    answer = await http.post(f"/floor/calls/{ids['call']}/monitor", data=form)
    assert answer.status_code == 409
    assert "have an administrator add one" in answer.text
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 0
    assert await audited(pool, "call_monitor") == []


async def test_an_alert_is_taken_and_closed_with_a_note(http, pool, ids):
    email = await signed_in(http, pool)
    form = {"csrf_token": await token(http)}
    path = f"/floor/alerts/{ids['alert']}"
    assert (await http.post(f"{path}/take", data=form)).status_code == 303
    assert f"taken by {email}" in (await http.get("/floor")).text
    shown = (await http.get(f"{path}/panel")).text
    assert "&lt;script&gt;" in shown
    assert (await http.post(f"{path}/close", data=form)).status_code == 422, "what was done has to be said"
    assert (await http.post(f"{path}/close", data=form | {"note": "called the family"})).status_code == 303
    async with pool.acquire() as connection:
        assert ids["alert"] not in [one.id for one in await alerts.open_ones(connection)]
    assert (await http.get(path)).status_code == 404
    late = await http.post(f"{path}/take", data=form)
    assert late.status_code == 404
    assert 'role="alert" id="problem"' in late.text
    assert str(ids["alert"]) not in (await http.get("/floor")).text


def test_what_an_alert_says_is_short_and_without_ids():
    said = desk.alert_said(
        {"reason": "fraud", "callback_id": "9", "held": True, "callback_at": "2026-11-22T10:00:00+00:00", "x": None}
    )
    assert said == "fraud; callback at: 22 Nov 10:00 UTC"
    assert len(desk.alert_said({"reason": "y" * 5_000})) <= 160
    assert desk.alert_said({"source": "agent_words", "step": "pay"}) == "typed by the agent; step: pay"
    assert desk.alert_said({"source": ["of", "another", "kind"]}) == ""


async def test_a_change_of_an_agents_state_reaches_screens_by_the_hint_of_routing(pool, ids, monkeypatch):
    monkeypatch.setattr(stream, "TICK_S", 3600.0)
    hub = stream.Hub(services.make(pool))
    with hub.watch() as screen:
        async with asyncio.timeout(20):
            while not await pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND query LIKE 'LISTEN%tenderline_event%'"
            ):
                await asyncio.sleep(0.01)
            screen.look.clear()
            async with pool.acquire() as connection, connection.transaction():
                await presence.say(connection, ids["bob"], "available", reason=None, by="test")
                await lines_up.waiting.hint(connection)
            await screen.look.wait()
    await hub.close()


async def test_the_api_tells_the_floor_in_one_read(http, pool, ids):
    headers = await edge.token(http, pool, "contactcenter:read")
    told = (await http.get("/api/v2/routing/floor", headers=headers)).json()
    general = next(one for one in told["queues"] if one["name"] == "general")
    lately = next(one for one in general["levels"] if one["period"] == "lately")
    assert (lately["percent"], lately["answered"], lately["answeredInTime"]) == (66, 5, 4)
    assert (lately["abandoned"], lately["abandonedLate"], lately["isMet"]) == (2, 1, False)
    assert [one["id"] for one in told["agents"] if one["inDistress"]] == [str(ids["talks"])]
    assert [one["kind"] for one in told["alerts"]] == ["distress", "callback_overdue"]
    assert told["callbacks"] == {"overdue": 1, "due": 1, "later": 1}
    assert set(told["inCardEntry"]) == {str(ids["call"]), str(ids["self"])}
    assert (told["crm"]["asked"], told["crm"]["pausedWhy"]) == (3, "The CRM was not asked: failing.")
    assert (await http.get("/api/v2/routing/floor")).status_code == 401
    assert msgspec.json.encode(told)
