"""A payer's own page: what she sees, what each of her choices does to the gate, and who cannot open it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from support import edge, services, world
from tenderline.core.ids import uuid7
from tenderline.notify.delivery import OWN_PAGE_LINK, link
from tenderline.people import choices
from tenderline.store import outcomes, people
from tenderline.store.outcomes import HandedOver
from tenderline.web import own_page

EVENTS = "SELECT count(*) FROM event WHERE kind = $1"


@pytest.fixture
def running(pool: Any) -> Any:
    return services.make(pool, organisation="Hope House", messengers=[services.message_class("sms")])


@pytest.fixture
async def http(running: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(running) as made:
        yield made


class Visit:
    """Her browser on her page."""

    def __init__(self, http: httpx.AsyncClient, running: Any, debtor: world.Debtor) -> None:
        self.http = http
        self.url = link(running, OWN_PAGE_LINK, debtor.person_id, debtor.contact_point_id)

    async def look(self, query: str = "") -> str:
        answer = await self.http.get(self.url + query)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([^"]+)"', await self.look())
        assert found
        return found[1]

    async def press(self, what: str, *, status: int = 303, headers: Any = None, **fields: str) -> httpx.Response:
        fields.setdefault("form_token", await self.form_token())
        answer = await self.http.post(f"{self.url}/{what}", data=fields, headers=headers)
        assert answer.status_code == status, answer.text
        return answer


def visit(http: Any, running: Any, debtor: world.Debtor) -> Visit:
    return Visit(http, running, debtor)


async def count(pool: Any, kind: str) -> int:
    return await pool.fetchval(EVENTS, kind)


async def audited(pool: Any) -> list[tuple[str, Any]]:
    rows = await pool.fetch("SELECT action, data FROM audit ORDER BY number")
    return [(row["action"], json.loads(row["data"])) for row in rows]


async def person(pool: Any, debtor: world.Debtor) -> Any:
    return await pool.fetchrow("SELECT * FROM person WHERE id = $1", debtor.person_id)


async def rules_of(pool: Any, attempt_id: UUID) -> list[str]:
    return json.loads((await world.attempt_state(pool, attempt_id))["decision"])["rules"]


async def hand_over(pool: Any, leased: Any) -> set[UUID]:
    return await outcomes.hand_over(pool, [(leased, "test", HandedOver(to=leased.address, text="x"))])


# --- what she sees ----------------------------------------------------------------------------------------------------


async def test_opening_the_page_changes_nothing(http, pool, running):
    debtor = await world.make_debtor(pool)
    before = [
        await pool.fetch(f"SELECT * FROM {table}") for table in ("person", "attempt", "event", "audit", "consent")
    ]
    await visit(http, running, debtor).look()
    after = [await pool.fetch(f"SELECT * FROM {table}") for table in ("person", "attempt", "event", "audit", "consent")]
    assert before == after


async def test_she_sees_what_was_sent_why_it_was_allowed_and_what_comes_next(http, pool, running):
    debtor = await world.make_debtor(pool, attempts_due=2)
    (leased,) = (await world.claim(pool)).leased
    await pool.execute("UPDATE attempt SET state = 'delivered' WHERE id = $1", leased.id)
    await world.claim(pool)  # the other waits for tomorrow
    page = await visit(http, running, debtor).look()
    assert "Text message</strong> to +1 202 •••" in page
    assert "a payment to Hope House that did not go through" in page
    assert "arrived" in page
    for reason in ("You had not asked us to stop.", "It was not paid yet.", "a time of day at which we may contact"):
        assert reason in page
    assert "Why not sooner: We had contacted you shortly before." in page
    assert "Leave this one out" in page


async def test_she_sees_what_was_held_back_and_why_in_plain_words(http, pool, running):
    debtor = await world.make_debtor(pool, attempts_due=2)
    first, second = debtor.attempt_ids
    await pool.execute("UPDATE attempt SET due_at = now() + interval '1 day' WHERE id = $1", second)
    await pool.execute("UPDATE contact_point SET state = 'unusable', state_why = '30003 unreachable handset'")
    await world.claim(pool)
    await pool.execute("UPDATE attempt SET state = 'suppressed', why = 'the payer left it out' WHERE id = $1", second)
    page = await visit(http, running, debtor).look()
    assert "What we held back" in page
    assert "The address does not work." in page
    assert "You left it out." in page
    assert "30003" not in page
    assert (await world.attempt_state(pool, first))["state"] == "suppressed"


async def test_what_is_older_than_a_year_is_not_shown(http, pool, running):
    debtor = await world.make_debtor(pool, attempts_due=2)
    await pool.execute(
        "UPDATE attempt SET state = 'delivered', contacted_at = now() - interval '366 days' WHERE id = $1",
        debtor.attempt_ids[0],
    )
    await pool.execute(
        "UPDATE attempt SET state = 'delivered', contacted_at = now() - interval '364 days' WHERE id = $1",
        debtor.attempt_ids[1],
    )
    assert (await visit(http, running, debtor).look()).count("arrived") == 1


async def test_the_page_names_nobody_and_shows_no_more_of_an_address_than_the_link_knew(http, pool, running):
    debtor = await world.make_debtor(pool, channel="email")
    async with pool.acquire() as connection, connection.transaction():
        await people.add_contact_point(connection, debtor.person_id, people.PHONE, "+12125550143")
        point = await people.find_by_address(connection, people.PHONE, "+12125550143")
    assert point
    await pool.execute(
        "INSERT INTO attempt (person_id, id, channel, purpose, contact_point_id, template, due_at, not_after, state,"
        " contacted_at) VALUES ($1, $2, 'sms', 'first_party_recovery', $3, 'recovery', now(), now(), 'delivered',"
        " now())",
        debtor.person_id, uuid7(), point[1],
    )  # fmt: skip
    page = await visit(http, running, debtor).look()
    assert "a number ending in 43" in page
    assert "•••@example.org" in page
    for hidden in (debtor.address, "2125550143", "555", "0143", "Payer", "$25", "25.00", "insufficient"):
        assert hidden not in page, hidden


async def test_nobody_keeps_the_page_and_nobody_learns_the_link(http, pool, running):
    debtor = await world.make_debtor(pool)
    headers = (await http.get(visit(http, running, debtor).url)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert "default-src 'self'" in headers["content-security-policy"]


async def test_what_was_done_is_said_only_while_it_is_so(http, pool, running):
    debtor = await world.make_debtor(pool)
    hers = visit(http, running, debtor)
    assert "We ask you for nothing more" not in await hers.look("?done=stopped")
    assert "Until your pause ends" not in await hers.look("?done=paused")
    assert "<script" not in await hers.look("?done=<script>")


# --- pause ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", choices.PAUSE_DAYS)
async def test_a_pause_holds_every_contact_to_its_end_and_moves_what_is_planned_behind_it(http, pool, running, days):
    debtor = await world.make_debtor(pool, attempts_due=2)
    before = await pool.fetch("SELECT id, due_at, not_after FROM attempt ORDER BY id")
    began = datetime.now(UTC)
    await visit(http, running, debtor).press("pause", days=str(days))
    until = (await person(pool, debtor))["paused_until"]
    assert timedelta(days=days) <= until - began <= timedelta(days=days + 2)
    after = await pool.fetch("SELECT id, due_at, not_after FROM attempt ORDER BY id")
    for was, now in zip(before, after, strict=True):
        assert now["due_at"] > was["due_at"] + timedelta(days=days)
        assert now["not_after"] - now["due_at"] == was["not_after"] - was["due_at"]
    assert (await world.claim(pool)).looked_at == 0
    await pool.execute("UPDATE attempt SET due_at = now()")
    assert (await world.claim(pool)).deferred == 1
    deferred = [row for row in await pool.fetch("SELECT * FROM attempt") if row["why"]]
    assert deferred[0]["due_at"] >= until
    assert "OWN-PAUSED" in json.loads(deferred[0]["decision"])["rules"]


async def test_a_pause_that_is_pressed_twice_is_one(http, pool, running):
    debtor = await world.make_debtor(pool)
    hers = visit(http, running, debtor)
    await hers.press("pause", days="14")
    due = await pool.fetchval("SELECT due_at FROM attempt")
    assert "Until your pause ends" in await hers.look((await hers.press("pause", days="14")).headers["location"][-12:])
    assert await count(pool, "ContactPaused") == 1
    assert [action for action, _ in await audited(pool)] == ["own_page.pause"]
    assert await pool.fetchval("SELECT due_at FROM attempt") == due


async def test_ending_a_pause_brings_back_what_it_put_off(http, pool, running):
    debtor = await world.make_debtor(pool)
    was = await pool.fetchval("SELECT due_at FROM attempt")
    hers = visit(http, running, debtor)
    await hers.press("pause", days="30")
    await hers.press("pause", days="7")  # shorter is a choice too
    await hers.press("resume")
    await hers.press("resume")
    assert (await person(pool, debtor))["paused_until"] is None
    assert abs(await pool.fetchval("SELECT due_at FROM attempt") - was) < timedelta(minutes=5)
    await pool.execute("UPDATE attempt SET due_at = now()")
    assert len((await world.claim(pool)).leased) == 1
    assert await count(pool, "ContactResumed") == 1
    assert [action for action, _ in await audited(pool)] == ["own_page.pause", "own_page.pause", "own_page.resume"]


async def test_a_pause_after_the_lease_still_stops_the_handover(http, pool, running):
    debtor = await world.make_debtor(pool)
    (leased,) = (await world.claim(pool)).leased
    await visit(http, running, debtor).press("pause", days="7")
    assert await hand_over(pool, leased) == set()
    await pool.execute("UPDATE person SET paused_until = now() - interval '1 s'")
    assert await hand_over(pool, leased) == {leased.id}


async def test_pauses_racing_the_claim_are_either_first_and_obeyed_or_second(pool):
    debtors = [await world.make_debtor(pool, attempts_due=2) for _ in range(30)]

    async def paused(debtor):
        now = datetime.now(UTC)
        async with pool.acquire() as connection, connection.transaction():
            await choices.pause(connection, debtor.person_id, now=now, until=now + timedelta(days=8))

    await asyncio.gather(
        asyncio.gather(*(world.claim(pool, batch_max=10) for _ in range(6))), *(paused(one) for one in debtors)
    )
    rows = await pool.fetch(
        "SELECT a.state, (a.decision ->> 'at')::timestamptz AS decided, e.at AS paused FROM attempt a"
        " JOIN event e ON e.person_id = a.person_id AND e.kind = 'ContactPaused' WHERE a.state = 'leased'"
    )
    assert await count(pool, "ContactPaused") == len(debtors)
    planned = await pool.fetch("SELECT due_at FROM attempt WHERE state = 'planned'")
    assert len(rows) + len(planned) == 2 * len(debtors)
    assert all(row["due_at"] > datetime.now(UTC) + timedelta(days=7) for row in planned), "and they moved behind it"


async def test_a_case_that_is_opened_during_a_pause_begins_after_it(http, pool, running):
    debtor = await world.make_debtor(pool)
    await visit(http, running, debtor).press("pause", days="30")
    until = (await person(pool, debtor))["paused_until"]
    from tenderline.recovery import cases

    await pool.execute("DELETE FROM attempt")
    await pool.execute("UPDATE recovery_case SET state = 'held', held_why = 'x', held_by = 'system'")
    async with pool.acquire() as connection, connection.transaction():
        await cases.on_payment_failed(connection, cases.practice_of(running), debtor.payment_id)
    rows = await pool.fetch("SELECT state, due_at FROM attempt ORDER BY due_at")
    assert {row["state"] for row in rows} == {"planned"}
    assert all(row["due_at"] >= until for row in rows)
    assert rows[-1]["due_at"] > rows[0]["due_at"] + timedelta(days=5), "the steps keep their distances"


# --- channels ---------------------------------------------------------------------------------------------------------


async def test_a_channel_that_she_turned_off_is_refused_until_she_turns_it_on_again(http, pool, running):
    debtor = await world.make_debtor(pool, attempts_due=2)
    hers = visit(http, running, debtor)
    for _ in range(2):
        await hers.press("channel", channel="sms", turn="off")
    assert "Nothing is planned." in await hers.look()
    assert (await world.claim(pool)).suppressed == 1
    refused = await pool.fetchrow("SELECT * FROM attempt WHERE state = 'suppressed'")
    assert "OWN-DECLINED" in json.loads(refused["decision"])["rules"]
    assert "You do not want to be contacted this way." in await hers.look()
    await hers.press("channel", channel="sms", turn="on")
    assert len((await world.claim(pool)).leased) == 1
    assert (await count(pool, "ChannelDeclined"), await count(pool, "ChannelAccepted")) == (1, 1)
    assert [data["after"] for _, data in await audited(pool)] == [["sms"], []]


async def test_turning_calls_off_leaves_text_messages_on(http, pool, running):
    debtor = await world.make_debtor(pool)
    await visit(http, running, debtor).press("channel", channel="voice", turn="off")
    assert len((await world.claim(pool)).leased) == 1


async def test_a_channel_turned_off_after_the_lease_still_stops_the_handover(http, pool, running):
    debtor = await world.make_debtor(pool)
    (leased,) = (await world.claim(pool)).leased
    await visit(http, running, debtor).press("channel", channel="sms", turn="off")
    assert await hand_over(pool, leased) == set()


async def test_turning_a_channel_on_lifts_no_opt_out(http, pool, running):
    debtor = await world.make_debtor(pool)
    hers = visit(http, running, debtor)
    await hers.press("channel", channel="sms", turn="off")
    await hers.press("stop")
    await hers.press("channel", channel="sms", turn="on")
    assert (await person(pool, debtor))["opted_out_at"] is not None
    assert (await world.claim(pool)).suppressed == 1


# --- stop -------------------------------------------------------------------------------------------------------------


async def test_stop_is_a_word_of_the_address_the_link_came_to_and_silences_every_channel(http, pool, running):
    debtor = await world.make_debtor(pool)
    hers = visit(http, running, debtor)
    for _ in range(3):
        await hers.press("stop")
    said = await pool.fetch("SELECT channel, address, granted, how FROM consent WHERE class IS NULL")
    assert [tuple(row) for row in said] == [("sms", debtor.address, False, "own page")]
    assert (await world.claim(pool)).suppressed == 1
    assert "OWN-OPT-OUT" in await rules_of(pool, debtor.attempt_ids[0])
    assert await count(pool, "PersonOptedOut") == 1
    assert [action for action, _ in await audited(pool)] == ["opt_out"]
    page = await hers.look("?done=stopped")
    assert "We ask you for nothing more" in page
    assert 'id="pause"' not in page


async def test_a_stop_is_never_refused_however_often_the_page_was_used(http, pool, running, monkeypatch):
    monkeypatch.setattr(own_page, "CHANGES_PER_LINK_MAX", 1)
    debtor = await world.make_debtor(pool)
    hers = visit(http, running, debtor)
    await hers.press("channel", channel="voice", turn="off")
    busy = await hers.press("channel", channel="voice", turn="on", status=429)
    assert 0 < int(busy.headers["retry-after"]) <= 3600
    assert (await person(pool, debtor))["declined_channels"] == ["voice"]
    await hers.press("stop")
    assert (await person(pool, debtor))["opted_out_at"] is not None


async def test_a_stop_counts_again_after_she_took_it_back(http, pool, running):
    from tenderline.people import consent

    debtor = await world.make_debtor(pool)
    hers = visit(http, running, debtor)
    await hers.press("stop")
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_in(connection, debtor.person_id, channel="sms", address=debtor.address, evidence="START")
    assert (await person(pool, debtor))["opted_out_at"] is None
    await hers.press("stop")
    assert (await person(pool, debtor))["opted_out_at"] is not None


# --- one contact less -------------------------------------------------------------------------------------------------


async def test_a_planned_contact_that_is_left_out_never_leaves_and_the_others_do(http, pool, running):
    debtor = await world.make_debtor(pool, attempts_due=2)
    hers = visit(http, running, debtor)
    left_out, other = debtor.attempt_ids
    for _ in range(2):
        await hers.press("leave-out", contact=str(left_out))
    assert [one.id for one in (await world.claim(pool)).leased] == [other]
    told = await pool.fetch("SELECT data FROM event WHERE kind = 'AttemptSuppressed'")
    assert len(told) == 1
    assert "You left it out." in await hers.look()
    answer = await hers.press("leave-out", contact=str(other))  # it is in the gate's hands
    assert "had left already" in await hers.look("?" + answer.headers["location"].partition("?")[2])


async def test_nobody_leaves_out_a_contact_of_somebody_else(http, pool, running):
    hers, theirs = await world.make_debtor(pool), await world.make_debtor(pool)
    await visit(http, running, hers).press("leave-out", contact=str(theirs.attempt_ids[0]))
    assert (await world.attempt_state(pool, theirs.attempt_ids[0]))["state"] == "planned"
    assert await audited(pool) == []
