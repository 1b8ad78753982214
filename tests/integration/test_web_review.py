"""Replies that wait to be read: who may say so, what follows, and that nobody is forgotten or contacted meanwhile."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from support import edge, services, world
from tenderline.core.clock import utc_now
from tenderline.messengers.base import Channel, IncomingMessage
from tenderline.people import replies


@pytest.fixture
def made(pool):
    return services.make(pool, messengers=[services.message_class("sms")])


@pytest.fixture
async def http(made: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(made, headers={"Accept": "text/html"}) as client:
        yield client


async def signed_in(http: httpx.AsyncClient, pool: Any, role: str = "supervisor") -> str:
    """The CSRF token of somebody of a role."""
    await edge.sign_in(http, await edge.make_user(pool, role))
    return edge.csrf_of((await http.get("/")).text)


async def write(pool: Any, sender: str, text: str = "stop by tomorrow?") -> None:
    async with pool.acquire() as connection, connection.transaction():
        message = IncomingMessage(channel=Channel.SMS, sender=sender, text=text, provider_reference="SM1")
        await replies.on_message(connection, message, utc_now())


async def held(made: Any, pool: Any) -> world.Debtor:
    """Somebody whose unclear reply holds her case."""
    debtor = await world.make_debtor(pool)
    reactor = services.Reactor(made)
    await write(pool, debtor.address)
    await reactor.settle()
    return debtor


def seen(page: httpx.Response, person_id: Any) -> str:
    section = re.search(rf'id="person-{person_id}".*?</section>', page.text, re.S)
    assert section
    found = re.search(r'name="seen" value="([^"]*)"', section[0])
    assert found
    return found[1]


async def state(pool: Any, debtor: world.Debtor) -> tuple[Any, ...]:
    row = await pool.fetchrow(
        "SELECT p.review_at IS NOT NULL AS waits, p.opted_out_at IS NOT NULL AS silent, c.state FROM person p"
        " JOIN recovery_case c ON c.person_id = p.id WHERE p.id = $1",
        debtor.person_id,
    )
    return tuple(row)


async def test_the_list_shows_who_wrote_what_the_longest_waiting_first(http, pool):
    await signed_in(http, pool, "viewer")
    first, second = await world.make_debtor(pool), await world.make_debtor(pool)
    await write(pool, second.address, "who are you <b>people</b>? call +12025550199, please stop by")
    await write(pool, first.address)
    page = await http.get("/review")
    assert page.text.index(str(second.person_id)) < page.text.index(str(first.person_id))
    assert "stop by tomorrow?" in page.text
    assert "<b>people" not in page.text
    assert "2025550199" not in page.text
    assert "Deciding needs the role" in page.text
    assert (
        'id="tile-people-review"><a class="tile look" href="/review"><span class="count">2</span>'
        in (await http.get("/")).text
    )


async def test_an_empty_list_says_that_nothing_waits(http, pool):
    await signed_in(http, pool)
    assert "Nothing waits" in (await http.get("/review")).text


@pytest.mark.parametrize("role", ["supervisor", "compliance"])
async def test_once_it_is_read_contacts_go_on_and_the_log_says_who_read_it(http, made, pool, role):
    token = await signed_in(http, pool, role)
    debtor = await held(made, pool)
    assert await state(pool, debtor) == (True, False, "held")
    assert (await world.claim(pool)).deferred == 1
    page = await http.get("/review")
    data = {"csrf_token": token, "seen": seen(page, debtor.person_id)}
    done = await http.post(f"/review/{debtor.person_id}/go-on", data=data)
    assert (done.status_code, done.headers["location"]) == (303, "/review")
    assert await state(pool, debtor) == (False, False, "open")
    await pool.execute("UPDATE attempt SET due_at = now()")
    assert len((await world.claim(pool)).leased) == 1
    row = await pool.fetchrow("SELECT actor, data::text FROM audit WHERE action = 'reply.read'")
    assert row["actor"] == f"{role}@example.org"
    assert '"go_on"' in row["data"]
    assert str(debtor.case_id) in row["data"]


async def test_what_means_stop_silences_every_channel_since_it_was_written(http, made, pool):
    token = await signed_in(http, pool)
    debtor = await held(made, pool)
    data = {"csrf_token": token, "seen": seen(await http.get("/review"), debtor.person_id)}
    assert (await http.post(f"/review/{debtor.person_id}/opt-out", data=data)).status_code == 303
    assert await state(pool, debtor) == (False, True, "open")
    word = await pool.fetchrow("SELECT * FROM consent WHERE NOT granted")
    wrote_at = await pool.fetchval("SELECT at FROM event WHERE kind = 'MessageReceived'")
    assert (word["evidence"], word["at"]) == ("stop by tomorrow?", wrote_at)
    assert word["how"] == "reply, read by supervisor@example.org"
    await pool.execute("UPDATE attempt SET due_at = now()")
    assert len((await world.claim(pool)).leased) == 0
    actions = [row["action"] for row in await pool.fetch("SELECT action FROM audit ORDER BY number")]
    assert actions[1:] == ["opt_out", "case.release", "reply.read"]


async def test_somebody_without_a_case_is_read_too(http, pool):
    token = await signed_in(http, pool)
    await write(pool, "+442079460998")
    person_id = await pool.fetchval("SELECT id FROM person")
    data = {"csrf_token": token, "seen": seen(await http.get("/review"), person_id)}
    assert (await http.post(f"/review/{person_id}/go-on", data=data)).status_code == 303
    assert await pool.fetchval("SELECT review_at FROM person") is None


async def test_every_case_that_waited_for_it_goes_on(http, made, pool):
    token = await signed_in(http, pool)
    debtor, other = await held(made, pool), await held(made, pool)
    await pool.execute("UPDATE attempt SET person_id = $1 WHERE person_id = $2", debtor.person_id, other.person_id)
    await pool.execute("UPDATE payment SET person_id = $1 WHERE person_id = $2", debtor.person_id, other.person_id)
    await pool.execute("UPDATE recovery_case SET person_id = $1", debtor.person_id)
    data = {"csrf_token": token, "seen": seen(await http.get("/review"), debtor.person_id)}
    await http.post(f"/review/{debtor.person_id}/go-on", data=data)
    assert {row["state"] for row in await pool.fetch("SELECT state FROM recovery_case")} == {"open"}


async def test_a_case_that_cannot_go_on_is_held_for_what_it_lacks(http, made, pool):
    token = await signed_in(http, pool)
    debtor = await held(made, pool)
    await pool.execute("UPDATE recovery_case SET amount_minor = NULL")
    await pool.execute("UPDATE payment SET amount_minor = NULL")
    data = {"csrf_token": token, "seen": seen(await http.get("/review"), debtor.person_id)}
    assert (await http.post(f"/review/{debtor.person_id}/go-on", data=data)).status_code == 303
    row = await pool.fetchrow("SELECT state, held_by, held_why FROM recovery_case")
    assert (row["state"], row["held_by"]) == ("held", "system")
    assert "amount" in row["held_why"].lower()
    assert await pool.fetchval("SELECT review_at FROM person") is None


async def test_a_case_that_a_person_holds_stays_held(http, made, pool):
    token = await signed_in(http, pool)
    debtor = await held(made, pool)
    await pool.execute("UPDATE recovery_case SET held_by = 'eve@example.org', held_why = 'she called'")
    data = {"csrf_token": token, "seen": seen(await http.get("/review"), debtor.person_id)}
    await http.post(f"/review/{debtor.person_id}/go-on", data=data)
    assert await state(pool, debtor) == (False, False, "held")


async def test_releasing_the_case_by_hand_still_reads_the_reply(http, made, pool):
    token = await signed_in(http, pool)
    debtor = await held(made, pool)
    assert (await http.post(f"/cases/{debtor.case_id}/release", data={"csrf_token": token})).status_code == 303
    assert await state(pool, debtor) == (False, False, "open")
    assert "Nothing waits" in (await http.get("/review")).text


async def test_who_wrote_again_meanwhile_is_read_again(http, made, pool):
    token = await signed_in(http, pool)
    debtor = await held(made, pool)
    data = {"csrf_token": token, "seen": seen(await http.get("/review"), debtor.person_id)}
    await write(pool, debtor.address, "will you ever stop by?")
    answer = await http.post(f"/review/{debtor.person_id}/go-on", data=data)
    assert answer.status_code == 409
    assert "wrote again" in answer.text
    assert (await state(pool, debtor))[0]


async def test_what_was_read_already_or_is_nobodys_is_said(http, made, pool):
    token = await signed_in(http, pool)
    debtor = await held(made, pool)
    data = {"csrf_token": token, "seen": seen(await http.get("/review"), debtor.person_id)}
    path = f"/review/{debtor.person_id}/opt-out"
    assert (await http.post(path, data=data)).status_code == 303
    assert (await http.post(path, data=data)).status_code == 409
    assert (await http.post(f"/review/{debtor.case_id}/go-on", data=data)).status_code == 404


@pytest.mark.parametrize("role", ["viewer", "agent"])
async def test_others_may_look_and_not_decide(http, made, pool, role):
    token = await signed_in(http, pool, role)
    debtor = await held(made, pool)
    for action in ("go-on", "opt-out"):
        answer = await http.post(f"/review/{debtor.person_id}/{action}", data={"csrf_token": token, "seen": ""})
        assert answer.status_code == 403
    assert (await state(pool, debtor))[0]


async def test_a_decision_needs_the_token_of_the_session(http, made, pool):
    await signed_in(http, pool)
    debtor = await held(made, pool)
    answer = await http.post(f"/review/{debtor.person_id}/go-on", data={"csrf_token": "forged", "seen": ""})
    assert answer.status_code == 403
