"""What the board, the lists and the case page say, and what their buttons do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from support import edge, services, world
from tenderline.core.events import AttemptPlanned, CaseOpened, MessageReceived, PaymentFailed
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.desk import words
from tenderline.store import cases, events, jobs, people
from tenderline.store.inbox import Inbox

SMS = services.message_class("sms")


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool, messengers=[SMS]), headers={"Accept": "text/html"}) as made:
        yield made


async def desk(http: httpx.AsyncClient, pool: Any, role: str = "supervisor") -> None:
    await edge.sign_in(http, await edge.make_user(pool, role))


def tiles(html: str) -> dict[tuple[str, str], tuple[str, int]]:
    found = re.findall(
        r'<li id="tile-(\w+?)-(\w+)"><a class="[^"]*" href="([^"]+)"><span class="count">(\d+)</span>', html
    )
    return {(what, state): (href, int(count)) for what, state, href, count in found}


async def _told(pool: Any, debtor: world.Debtor) -> None:
    about = {"person_id": debtor.person_id, "payment_id": debtor.payment_id, "case_id": debtor.case_id}
    planned = AttemptPlanned(**about, attempt_id=debtor.attempt_ids[0], channel="sms", due="2026-11-21T14:00:00+00:00")
    failed = PaymentFailed(
        person_id=debtor.person_id, payment_id=debtor.payment_id, amount="$25.00", reason="insufficient_funds"
    )
    opened = CaseOpened(**about, amount="$25.00", reason="insufficient_funds")
    async with pool.acquire() as connection, connection.transaction():
        await events.append(connection, [failed, opened, planned])


async def _dead(pool: Any) -> None:
    envelope = Envelope(event_id="evt_1", event_type="a.b", urgency=Urgency.OTHER, body=b"{}")
    other = Envelope(event_id="evt_2", event_type="c.d", urgency=Urgency.OTHER, body=b"{}")
    async with Inbox(pool) as receiving:
        await receiving.receive("stripe", envelope)
        await receiving.receive("stripe", other)
    await pool.execute("UPDATE inbox SET state = 'dead', error = 'KeyError: x' WHERE event_id = 'evt_1'")
    async with pool.acquire() as connection, connection.transaction():
        await jobs.enqueue(connection, "open_case", b"{}", key="one")
    await pool.execute("UPDATE pgqueuer SET status = 'failed'")


async def test_an_empty_board_says_what_to_do_next(http, pool):
    await desk(http, pool)
    page = await http.get("/")
    assert "/webhooks/stripe" in page.text
    assert all(count == 0 for _, count in tiles(page.text).values())


async def test_every_number_on_the_board_opens_exactly_its_rows(http, pool):
    await desk(http, pool)
    for _ in range(3):
        await world.make_debtor(pool)
    await world.make_debtor(pool, zone=world.zone_by_night())
    await world.claim(pool, batch_max=2)
    await _dead(pool)
    found = tiles((await http.get("/")).text)
    assert len(found) == 17
    assert found["cases", "open"][1] == 4
    assert found["attempts", "leased"][1] == 2
    assert found["attempts", "planned"][1] == 2
    assert [found["inbox", "unread"][1], found["inbox", "dead"][1], found["jobs", "dead"][1]] == [1, 1, 1]
    for (what, state), (href, count) in found.items():
        page = await http.get(href.partition("#")[0])
        assert page.status_code == 200, href
        rows = re.findall(r"<tr.*?</tr>", page.text.replace("\n", " "))
        if what in ("inbox", "jobs"):
            marks = {"unread": "c.d", "dead": "a.b" if what == "inbox" else "open case"}
            rows = [row for row in rows if marks[state] in row]
        else:
            rows = [row for row in rows if 'id="' in row]
        assert len(rows) == count, (href, rows)


async def test_the_board_says_why_each_contact_was_allowed_or_held(http, pool):
    await desk(http, pool)
    allowed, held = await world.make_debtor(pool), await world.make_debtor(pool, zone=world.zone_by_night())
    await world.claim(pool)
    page = (await http.get("/")).text
    rows = {name: re.search(rf'<tr id="attempt-{name}">.*?</tr>', page, re.S) for name in
            (allowed.attempt_ids[0], held.attempt_ids[0])}  # fmt: skip
    assert "Allowed" in rows[allowed.attempt_ids[0]][0]
    assert "OWN-OPT-OUT" in rows[allowed.attempt_ids[0]][0]
    assert "Held until" in rows[held.attempt_ids[0]][0]
    assert "OWN-HOURS" in rows[held.attempt_ids[0]][0]
    case = re.search(rf'<tr id="case-{held.case_id}">.*?</tr>', page, re.S)
    assert "outside 08:00 to 21:00" in case[0]


async def test_news_leads_to_the_case_it_is_about_also_when_it_is_of_a_payment(http, pool):
    await desk(http, pool)
    debtor = await world.make_debtor(pool)
    await _told(pool, debtor)
    page = (await http.get("/")).text
    news = re.findall(r'<li id="event-.*?</li>', page, re.S)
    assert len(news) == 3
    assert all(f"/cases/{debtor.case_id}" in line and "Payer" in line for line in news)
    assert any("Payment of $25.00 failed: insufficient funds" in line for line in news)
    assert any("SMS planned for 21 Nov 14:00 UTC" in line for line in news)


async def test_news_of_a_newer_version_does_not_break_the_board(http, pool):
    await desk(http, pool)
    debtor = await world.make_debtor(pool)
    await _told(pool, debtor)
    await pool.execute(
        """UPDATE event SET data = jsonb_set(data, '{kind}', '"SomethingNew"') WHERE kind = 'CaseOpened'"""
    )
    assert "SomethingNew, written by a newer version" in (await http.get("/")).text
    assert "SomethingNew" in (await http.get(f"/cases/{debtor.case_id}")).text


async def test_a_case_page_shows_rules_with_their_source_and_the_payers_own_time(http, pool):
    await desk(http, pool)
    debtor = await world.make_debtor(pool, zone=world.zone_by_night())
    await _told(pool, debtor)
    await world.claim(pool)
    page = (await http.get(f"/cases/{debtor.case_id}")).text
    assert "OWN-HOURS" in page
    assert "47 CFR 64.1200(c)(1)" in page
    assert "payer's time" in page
    assert "time zones 20" in page
    assert world.zone_by_night() in page
    assert "case-timeline" in page


async def test_addresses_are_masked_everywhere(http, pool):
    await desk(http, pool)
    debtor = await world.make_debtor(pool, address="+12025550143")
    await _told(pool, debtor)
    await world.claim(pool)
    for path in ("/", f"/cases/{debtor.case_id}", "/attempts", "/cases"):
        text = re.sub(r"<[^>]+>", " ", (await http.get(path)).text)
        assert "2025550143" not in text
        assert not re.search(r"[0-9]{12}", text)
    assert "+1 202 ••• 0143" in (await http.get("/attempts")).text


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("phone", "+12025550143", "+1 202 ••• 0143"),
        ("phone", "+4915112345678", "+49 151 ••• 5678"),
        ("phone", "+29051234", "+290 ••• 34"),
        ("phone", "nonsense", "•••"),
        ("email", "ann@example.org", "a•••@example.org"),
        ("push", "token", "•••"),
        ("phone", None, None),
    ],
)
def test_a_masked_address_tells_two_apart_and_reaches_nobody(kind, value, shown):
    assert words.mask_address(kind, value) == shown


def test_a_sentence_of_others_is_stripped_of_what_its_reader_need_not_see():
    told = (
        "refused +12025550143 and ann@example.org, 4242 4242 4242 4242, id 123456789012, at 2026-11-21T14:00:00+00:00"
    )
    shown = words.plain(told)
    for secret in ("2025550143", "ann@", "4242 4242", "123456789012"):
        assert secret not in shown
    assert "21 Nov 14:00 UTC" in shown
    assert words.sentence("sms failed: do_not_honor for pi_3Abc") == "SMS failed: do not honor for pi_3Abc"


async def test_a_supervisor_holds_a_case_and_lets_it_go_on(http, pool):
    await desk(http, pool)
    debtor = await world.make_debtor(pool)
    path = f"/cases/{debtor.case_id}"
    page = await http.get(path)
    data = {"csrf_token": edge.csrf_of(page.text), "why": "she called us"}
    assert (await http.post(f"{path}/hold", data=data)).headers["location"] == path
    held = (await http.get(path)).text
    assert "Held by supervisor@example.org: she called us" in held
    assert "Case held: she called us" in held
    assert (await http.post(f"{path}/hold", data=data)).status_code == 409
    assert (await http.post(f"{path}/release", data=data)).status_code == 303
    assert (await http.post(f"{path}/release", data=data)).status_code == 409
    async with pool.acquire() as connection:
        case = await cases.get(connection, debtor.case_id)
    assert case is not None
    assert case.state == "open"
    actions = [row["action"] for row in await pool.fetch("SELECT action FROM audit ORDER BY number")]
    assert actions == ["sign_in.ok", "case.hold", "case.release"]


async def test_a_viewer_silences_nobody(http, pool):
    await edge.sign_in(http, await edge.make_user(pool, role="viewer"))
    debtor = await world.make_debtor(pool)
    page = (await http.get(f"/cases/{debtor.case_id}")).text
    assert "Wants no more contact" not in page
    data = {"csrf_token": edge.csrf_of(page), "channel": "sms", "said": "x"}
    assert (await http.post(f"/cases/{debtor.case_id}/opt-out", data=data)).status_code == 403


async def test_an_agent_who_hears_it_silences_every_channel(http, pool):
    await edge.sign_in(http, await edge.make_user(pool, role="agent"))
    debtor = await world.make_debtor(pool)
    path = f"/cases/{debtor.case_id}"
    page = (await http.get(path)).text
    assert "Wants no more contact" in page
    data = {"csrf_token": edge.csrf_of(page), "channel": "voice", "said": "don't call me again"}
    assert (await http.post(f"{path}/opt-out", data={**data, "said": " "})).status_code == 422
    assert (await http.post(f"{path}/opt-out", data={**data, "channel": "pigeon"})).status_code == 422
    answer = await http.post(f"{path}/opt-out", data=data)
    assert answer.status_code == 303
    row = await pool.fetchrow("SELECT opted_out_at, opted_out_by FROM person WHERE id = $1", debtor.person_id)
    assert row["opted_out_at"] is not None
    assert row["opted_out_by"].startswith("voice:")
    kept = await pool.fetchrow(
        "SELECT how, evidence FROM consent WHERE person_id = $1 AND NOT granted", debtor.person_id
    )
    assert tuple(kept) == ("told to agent@example.org", "don't call me again")


@pytest.mark.parametrize("why", ["", "   ", "x" * 201, "a\x00b"])
async def test_a_hold_needs_a_reason_that_can_be_read(http, pool, why):
    await desk(http, pool)
    debtor = await world.make_debtor(pool)
    token = edge.csrf_of((await http.get("/")).text)
    answer = await http.post(f"/cases/{debtor.case_id}/hold", data={"csrf_token": token, "why": why})
    assert answer.status_code == 422
    assert "Write 1 to 200" in answer.text


async def test_ticked_dead_letters_are_replayed_and_the_others_stay(http, pool):
    await desk(http, pool)
    await _dead(pool)
    page = await http.get("/dead-letters")
    (webhook,) = re.findall(r'name="webhook" value="(\d+)"', page.text)
    data = {"csrf_token": edge.csrf_of(page.text), "webhook": [webhook]}
    assert (await http.post("/dead-letters/replay", data=data)).status_code == 303
    states = {row["state"]: row["n"] for row in await pool.fetch("SELECT state, count(*) AS n FROM inbox GROUP BY 1")}
    assert (states.get("unread"), states.get("dead")) == (2, None)
    assert len(await jobs.dead(pool)) == 1
    bad = await http.post("/dead-letters/replay", data={**data, "job": ["1; DROP"]})
    assert bad.status_code == 422
    assert (await pool.fetchval("SELECT actor FROM audit WHERE action = 'dead_letters.replay'")).startswith("superv")


async def test_long_lists_come_a_page_at_a_time(http, pool, monkeypatch):
    monkeypatch.setattr("tenderline.desk.board.PAGE_SIZE", 2)
    await desk(http, pool)
    for _ in range(3):
        await world.make_debtor(pool)
    for path, prefix in (("/cases", "case"), ("/attempts", "attempt")):
        first = (await http.get(path)).text
        more = re.search(r'href="([^"]+before=[^"]+)">Older', first)
        second = (await http.get(more[1].replace("&amp;", "&"))).text
        ids = [re.findall(rf'<tr id="{prefix}-([^"]+)"', page) for page in (first, second)]
        assert [len(one) for one in ids] == [2, 1]
        assert not set(ids[0]) & set(ids[1])
        assert ">Older" not in second


@pytest.mark.parametrize(
    "path",
    [
        "/cases?state=odd",
        "/cases?before=x",
        "/cases?before=99999999999999999999_x",
        "/attempts?before=x",
        "/attempts?state=%00",
        f"/cases/{UUID(int=5)}",
        f"/cases/{UUID(int=5)}/live",
        f"/stream/cases/{UUID(int=5)}",
        "/cases/nothing",
    ],
)
async def test_an_address_that_leads_nowhere_is_a_404(http, pool, path):
    await desk(http, pool)
    assert (await http.get(path)).status_code == 404


async def test_names_and_words_of_payers_are_never_markup(http, pool):
    await desk(http, pool)
    debtor = await world.make_debtor(pool)
    await pool.execute("UPDATE person SET name = '<script>alert(1)</script>' WHERE id = $1", debtor.person_id)
    async with pool.acquire() as connection, connection.transaction():
        await people.lock(connection, debtor.person_id)
        await cases.hold(connection, debtor.person_id, debtor.case_id, "<b onmouseover=x>")
    for path in ("/", "/cases", f"/cases/{debtor.case_id}", "/attempts"):
        page = (await http.get(path)).text
        assert "<script>alert" not in page
        assert "<b onmouseover" not in page


async def test_long_names_and_words_are_cut_in_lists_and_whole_on_the_page_of_the_case(http, pool):
    await desk(http, pool)
    debtor = await world.make_debtor(pool)
    name, text = "N" * 499 + "z", "T" * 499 + "z"
    await pool.execute("UPDATE person SET name = $2 WHERE id = $1", debtor.person_id, name)
    wrote = MessageReceived(person_id=debtor.person_id, case_id=debtor.case_id, channel="sms", text=text)
    async with pool.acquire() as connection, connection.transaction():
        await events.append(connection, [wrote])
    for path in ("/", "/cases", "/attempts"):
        page = (await http.get(path)).text
        assert "N" * 79 + "…" in page
        assert "N" * 80 not in page
        assert "T" * 160 not in page
    assert "SMS received: " + "T" * 145 + "…" in (await http.get("/")).text
    page = (await http.get(f"/cases/{debtor.case_id}")).text
    assert name in page
    assert text in page
    assert f"<title>{'N' * 79}…" in page


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Ann Ashdown", "Ann Ashdown"),
        (None, "Unknown payer"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("Nguye\u0302\u0303n", "Nguye\u0302\u0303n"),
        ("Z" + "\u0301" * 400 + "algo", "Z" + "\u0301" * 4 + "algo"),
    ],
)
def test_a_name_fits_a_list_without_towers_of_accents(given, shown):
    assert words.short_name(given) == shown


async def test_a_defect_in_a_page_shows_an_id_and_nothing_else(http, pool, monkeypatch):
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("tenderline.web.board.read_board", broken)
    await desk(http, pool)
    page = await http.get("/")
    assert page.status_code == 500
    assert "secret detail" not in page.text
    assert re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7", page.text)
    assert page.headers["content-security-policy"]
