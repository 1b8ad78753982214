"""My telephone over HTTP: who may, what is refused and why, and that the microphone is asked for on one page only."""

from __future__ import annotations

import pytest

from support import edge, services
from support.browser_offer import OFFER
from tenderline.core.clock import utc_now
from tenderline.core.ids import uuid7
from tenderline.store import agents, browser_phones, presence, voice_nodes
from tenderline.web import phone


async def signed_in(http, pool, role):
    email = await edge.make_user(pool, role)
    await edge.sign_in(http, email)
    page = await http.get("/phone")
    token = page.text.partition('name="csrf-token" content="')[2].partition('"')[0]
    return page, {"X-CSRF-Token": token, "Sec-Fetch-Site": "same-origin"}, email


@pytest.mark.parametrize(("role", "status"), [("agent", 200), ("supervisor", 200), ("admin", 200), ("viewer", 403)])
async def test_the_page_is_for_those_who_take_calls_and_alone_may_ask_for_the_microphone(pool, role, status):
    async with edge.client(services.make(pool)) as http:
        page, _, _ = await signed_in(http, pool, role)
        assert page.status_code == status
        allowed = page.headers["permissions-policy"]
        assert ("microphone=(self)" in allowed) == (status == 200)
        assert "microphone=()" in (await http.get("/")).headers["permissions-policy"]
        assert ('href="/phone"' in (await http.get("/")).text) == (status == 200)


async def test_an_offer_without_a_voice_node_says_what_to_start(pool):
    async with edge.client(services.make(pool)) as http:
        _, headers, _ = await signed_in(http, pool, "agent")
        answer = await http.post("/phone/sessions", content=OFFER, headers=headers)
        assert answer.status_code == 503
        assert "tenderline voice" in answer.text


async def test_what_is_no_offer_is_refused_and_a_stranger_s_session_is_not_there(pool):
    async with edge.client(services.make(pool)) as http:
        _, headers, _ = await signed_in(http, pool, "agent")
        for body in (b"", b"hello", b"v=0\x00", b"v=0" + b"x" * 20_000):
            assert (await http.post("/phone/sessions", content=body, headers=headers)).status_code == 422
        path = f"/phone/sessions/{uuid7()}"
        assert (await http.get(path)).status_code == 404
        assert (await http.post(f"{path}/beat", headers=headers)).status_code == 404
        assert (await http.post(f"{path}/calls/{uuid7()}/accept", headers=headers)).status_code == 404
        assert (await http.post(f"{path}/calls/{uuid7()}/shout", headers=headers)).status_code == 404
        assert (await http.post("/phone/sessions", content=OFFER)).status_code == 403


async def test_a_node_that_does_not_answer_is_named_and_a_newer_session_replaces_an_older_one(pool, monkeypatch):
    monkeypatch.setattr(phone, "ANSWER_WAIT_S", 0.2)
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, uuid7(), "127.0.0.1:5060", 10)
    async with edge.client(services.make(pool)) as http:
        _, headers, email = await signed_in(http, pool, "agent")
        for _ in range(2):
            answer = await http.post("/phone/sessions", content=OFFER, headers=headers)
            assert answer.status_code == 503
            assert "No voice node answered" in answer.text
        rows = await pool.fetch("SELECT session_id, state FROM browser_phone ORDER BY created_at")
        assert [row["state"] for row in rows] == ["replaced", "offered"]
        kept = await pool.fetchval("SELECT offer FROM browser_phone WHERE state = 'offered'")
        assert "a=fingerprint:" in kept
        assert "4611731400430051336" not in kept, "a long number of a browser may pass for a card's"
        old, new = (f"/phone/sessions/{row['session_id']}" for row in rows)
        assert (await http.get(old)).json()["state"] == "replaced"
        assert (await http.post(f"{old}/beat", headers=headers)).status_code == 404
        assert (await http.post(f"{new}/beat", headers=headers)).status_code == 204
        assert (await http.post(f"{new}/leave", headers=headers)).status_code == 204
        assert (await http.get(new)).json() == {
            "state": "ended",
            "why": "left",
            "call": None,
            "caller": None,
            "since": (await http.get(new)).json()["since"],
        }
        assert await pool.fetchval("SELECT count(*) FROM audit WHERE actor = $1 AND action LIKE 'phone.%'", email) == 3


async def test_a_session_comes_back_to_the_node_that_has_its_call(pool):
    nodes = [uuid7() for _ in range(3)]
    email = await edge.make_user(pool, "agent")
    user_id = await pool.fetchval("SELECT id FROM app_user WHERE email = $1", email)
    async with pool.acquire() as connection:
        for one in nodes:
            await voice_nodes.register(connection, one, "127.0.0.1:5060", 10)
        seen = set()
        for _ in range(4):
            session = uuid7()
            async with connection.transaction():
                await browser_phones.offer(connection, session, agent=email, user_id=user_id, text=OFFER)
                await browser_phones.leave(connection, session, user_id)
            seen.add(await connection.fetchval("SELECT node_id FROM browser_phone WHERE session_id = $1", session))
        assert len(seen) == 1
        await voice_nodes.leave(connection, seen.pop())
        session = uuid7()
        async with connection.transaction():
            await browser_phones.offer(connection, session, agent=email, user_id=user_id, text=OFFER)
        assert (await connection.fetchval("SELECT node_id FROM browser_phone WHERE session_id = $1", session)) in nodes


@pytest.mark.parametrize("left", [False, True], ids=["a network that broke", "a page that was left"])
async def test_after_a_long_call_a_session_comes_back_to_the_node_of_the_call_though_it_drains(pool, left):
    nodes = [uuid7() for _ in range(3)]
    email = await edge.make_user(pool, "agent")
    user_id = await pool.fetchval("SELECT id FROM app_user WHERE email = $1", email)
    async with pool.acquire() as connection:

        async def begin():
            session = uuid7()
            async with connection.transaction():
                await browser_phones.offer(connection, session, agent=email, user_id=user_id, text=OFFER)
            return session, await connection.fetchval(
                "SELECT node_id FROM browser_phone WHERE session_id = $1", session
            )

        for one in nodes:
            await voice_nodes.register(connection, one, "127.0.0.1:5060", 10)
        agent_id = await agents.make(connection, name="Anna", user_id=user_id, by="test")
        for _ in range(3):
            session, hers = await begin()
            await browser_phones.answered(connection, session, "v=0")
            await browser_phones.tell(connection, session, "talking", since=utc_now(), call_id=uuid7())
            await presence.reached_by_browser(connection, [agent_id], hers, lasting_s=20)
            await connection.execute("UPDATE browser_phone SET updated_at = now() - interval '1 hour'")
            await connection.execute(
                "UPDATE agent_presence SET state = 'on_call', node_id = $1, conversation_id = $2", hers, uuid7()
            )
            if left:
                await browser_phones.leave(connection, session, user_id)
                await connection.execute("UPDATE browser_phone SET updated_at = now() - interval '1 hour'")
            assert (await begin())[1] == hers
            await voice_nodes.drain(connection, hers)
            assert (await begin())[1] == hers
            await connection.execute("UPDATE agent_presence SET state = 'available', node_id = NULL")
            assert (await begin())[1] != hers, "without a call she goes where no call is ended"
            await connection.execute("UPDATE voice_node SET state = 'up'")


async def test_ice_servers_of_the_settings_reach_the_page_escaped(pool):
    made = services.make(
        pool,
        voice__browser_ice_urls="turn:turn.example.org",
        voice__browser_ice_user='us"er',
        voice__browser_ice_password="pass",
    )
    async with edge.client(made) as http:
        page, _, _ = await signed_in(http, pool, "agent")
        assert "turn:turn.example.org" in page.text
        assert 'us"er' not in page.text
