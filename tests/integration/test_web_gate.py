"""The rule book, why a contact was made, what if: what the pages say, and how a rule is changed and by whom."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from typing import Any

import httpx
import pytest

from support import edge, services, world
from tenderline.compliance import ruleset
from tenderline.people import consent
from tenderline.web import rules

NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    made = services.make(pool, messengers=[services.message_class("sms")])
    async with edge.client(made, headers={"Accept": "text/html"}) as client:
        yield client


async def signed_in(http: httpx.AsyncClient, pool: Any, role: str = "compliance") -> str:
    """The CSRF token of somebody of a role."""
    await edge.sign_in(http, await edge.make_user(pool, role))
    return edge.csrf_of((await http.get("/")).text)


def text_of(answer: httpx.Response) -> str:
    """What a page says, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def hidden(answer: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text, re.S)
    assert found, name
    return html.unescape(found[1])


def written(answer: httpx.Response) -> str:
    found = re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", answer.text, re.S)
    assert found
    return html.unescape(found[1])


async def test_the_book_shows_every_rule_with_source_confidence_and_dates(http, pool):
    await signed_in(http, pool, "viewer")
    page = await http.get("/rules")
    for rule in ruleset.shipped().rules:
        assert f'href="/rules/{rule.id}"' in page.text
    said = text_of(page)
    assert "Fla. Stat. 501.616(6)" in said
    assert "▲ low confidence" in said
    assert "Add a rule" not in said


async def test_the_book_of_a_place_shows_its_hours_as_a_picture_and_in_words(http, pool):
    await signed_in(http, pool)
    page = await http.get("/rules?region=US-RI&purpose=telemarketing&channel=sms&kind=hours")
    assert "Mon-Fri 09:00 to 18:00, Sat 10:00 to 17:00, Sun closed" in text_of(page)
    (picture,) = re.findall(r'<svg class="week".*?</svg>', page.text, re.S)
    assert 'role="img"' in picture
    assert picture.count('class="open"') == 6
    assert "US-TX" not in re.sub(r"<option.*?</option>", "", page.text)


@pytest.mark.parametrize("query", ["region=XX", "channel=fax", "purpose=fun", "kind=odd", "region=%00"])
async def test_a_filter_of_words_that_no_rule_knows_says_so(http, pool, query):
    await signed_in(http, pool)
    answer = await http.get(f"/rules?{query}")
    assert answer.status_code == 422
    assert "There is no" in answer.text


async def test_a_rule_is_changed_after_a_second_look_and_stands_in_the_log(http, pool):
    token = await signed_in(http, pool)
    form = await http.get("/rules/OWN-HOURS/change")
    text = written(form).replace("21:00:00", "20:00:00")
    data = {"csrf_token": token, "text": text, "why": "stricter evenings"}
    look = await http.post("/rules/OWN-HOURS/change", data=data)
    assert "Put this in force?" in look.text
    assert "closes = 20:00:00" in look.text
    assert await pool.fetchval("SELECT count(*) FROM rule_change") == 0
    confirmed = {name: hidden(look, name) for name in ("csrf_token", "text", "why", "seen", "confirmed")}
    done = await http.post("/rules/OWN-HOURS/change", data=confirmed)
    assert (done.status_code, done.headers["location"]) == (303, "/rules/OWN-HOURS")
    said = text_of(await http.get("/rules/OWN-HOURS"))
    assert "Mon-Sun 08:00 to 20:00" in said
    assert "Changed by compliance@example.org: stricter evenings" in said
    row = await pool.fetchrow("SELECT actor, action, subject FROM audit ORDER BY number DESC LIMIT 1")
    assert tuple(row) == ("compliance@example.org", "rule.set", "rule:OWN-HOURS")
    assert "compliance@example.org" in text_of(await http.get("/rules?kind=hours"))


async def test_a_rule_is_turned_off_shown_as_such_and_brought_back(http, pool):
    token = await signed_in(http, pool, "admin")
    confirm = await http.get("/rules/OWN-CAP-24H/off")
    assert "The law that it rests on binds you all the same" in confirm.text
    data = {"csrf_token": token, "why": "a test", "seen": hidden(confirm, "seen")}
    assert (await http.post("/rules/OWN-CAP-24H/off", data=data)).status_code == 303
    assert "turned off" in text_of(await http.get("/rules/OWN-CAP-24H"))
    assert "Turned off here" in text_of(await http.get("/rules"))
    debtor = await world.make_debtor(pool)
    await world.claim(pool)
    asked = text_of(await http.get(f"/people/{debtor.person_id}/ask?channel=sms"))
    assert "OWN-CAP-24H" not in asked
    back = await http.get("/rules/OWN-CAP-24H/as-shipped")
    data = {"csrf_token": token, "why": "enough", "seen": hidden(back, "seen")}
    assert (await http.post("/rules/OWN-CAP-24H/as-shipped", data=data)).status_code == 303
    assert "OWN-CAP-24H" in text_of(await http.get(f"/people/{debtor.person_id}/ask?channel=sms"))
    actions = [row["action"] for row in await pool.fetch("SELECT action FROM audit ORDER BY number")]
    assert actions[-2:] == ["rule.off", "rule.as_shipped"]


async def test_a_rule_of_ones_own_is_added_and_can_be_removed_again(http, pool):
    token = await signed_in(http, pool)
    data = {"csrf_token": token, "text": rules.NEW_RULE, "why": "the board decided"}
    look = await http.post("/rules/new", data=data)
    confirmed = {name: hidden(look, name) for name in ("csrf_token", "text", "why", "seen", "confirmed")}
    assert (await http.post("/rules/new", data=confirmed)).headers["location"] == "/rules/HOUSE-SUNDAYS"
    again = await http.post("/rules/new", data=data)
    assert again.status_code == 422
    assert "There is a rule HOUSE-SUNDAYS already" in again.text
    remove = await http.get("/rules/HOUSE-SUNDAYS/as-shipped")
    assert "Remove HOUSE-SUNDAYS?" in text_of(remove)
    data = {"csrf_token": token, "why": "enough", "seen": hidden(remove, "seen")}
    await http.post("/rules/HOUSE-SUNDAYS/as-shipped", data=data)
    assert "HOUSE-SUNDAYS" not in (await http.get("/rules")).text
    assert "Taken back by" in text_of(await http.get("/rules/HOUSE-SUNDAYS"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("21:00:00", "08:00:00"), "line 1: rule 'OWN-HOURS' can never open"),
        (("confidence", "confidense"), "confidense"),
        (("OWN-HOURS", "OWN-OURS"), "It must stay the rule OWN-HOURS"),
        (("id =", "id id ="), "line 2: not valid TOML"),
        (("[[rule]]", "[[rules]]"), "unknown table"),
    ],
)
async def test_a_mistake_in_a_rule_is_named_with_its_line_and_nothing_is_lost(http, pool, change, said):
    token = await signed_in(http, pool)
    text = written(await http.get("/rules/OWN-HOURS/change")).replace(*change)
    data = {"csrf_token": token, "text": text, "why": "a test", "confirmed": "yes", "seen": "0"}
    answer = await http.post("/rules/OWN-HOURS/change", data=data)
    assert answer.status_code == 422
    assert said in text_of(answer)
    assert written(answer).strip() == text.strip()
    assert await pool.fetchval("SELECT count(*) FROM rule_change") == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"why": ""},
        {"why": "x" * 201},
        {"why": "a\x00b"},
        {"text": ""},
        {"text": "# nothing"},
        {"text": "x" * 40_000},
    ],
)
async def test_a_change_without_reason_or_rule_is_refused(http, pool, fields):
    token = await signed_in(http, pool)
    data = {"csrf_token": token, "text": rules.NEW_RULE, "why": "a test", "confirmed": "yes", **fields}
    assert (await http.post("/rules/new", data=data)).status_code == 422
    assert await pool.fetchval("SELECT count(*) FROM rule_change") == 0


async def test_who_looked_before_somebody_else_changed_it_looks_again(http, pool):
    token = await signed_in(http, pool)
    data = {"csrf_token": token, "why": "a test", "seen": "0"}
    assert (await http.post("/rules/OWN-CAP-24H/off", data=data)).status_code == 303
    for path in ("off", "as-shipped"):
        assert (await http.post(f"/rules/OWN-CAP-24H/{path}", data=data)).status_code == 409
    text = written(await http.get("/rules/OWN-CAP-24H/change"))
    late = await http.post("/rules/OWN-CAP-24H/change", data={**data, "text": text, "confirmed": "yes"})
    assert late.status_code == 409
    assert await pool.fetchval("SELECT count(*) FROM rule_change") == 1


@pytest.mark.parametrize("role", ["viewer", "agent", "supervisor", "engineer"])
async def test_only_compliance_and_administrators_change_rules(http, pool, role):
    token = await signed_in(http, pool, role)
    assert "needs the role compliance or admin" in (await http.get("/rules/OWN-HOURS")).text
    data = {"csrf_token": token, "why": "a test", "seen": "0", "text": rules.NEW_RULE, "confirmed": "yes"}
    for path in ("OWN-HOURS/change", "OWN-HOURS/off", "OWN-HOURS/as-shipped", "new"):
        assert (await http.get(f"/rules/{path}")).status_code == 403, path
        assert (await http.post(f"/rules/{path}", data=data)).status_code == 403, path
    assert await pool.fetchval("SELECT count(*) FROM rule_change") == 0


async def test_a_change_needs_the_token_of_the_session(http, pool):
    await signed_in(http, pool)
    data = {"csrf_token": "forged", "why": "a test", "seen": "0", "text": rules.NEW_RULE, "confirmed": "yes"}
    for path in ("OWN-HOURS/change", "OWN-HOURS/off", "OWN-HOURS/as-shipped", "new"):
        assert (await http.post(f"/rules/{path}", data=data)).status_code == 403, path


@pytest.mark.parametrize(
    "path",
    [
        "/rules/NO-SUCH-RULE",
        "/rules/NO-SUCH-RULE/off",
        "/rules/own-hours",
        "/rules/%00",
        f"/attempts/{NOBODY}/why",
        f"/people/{NOBODY}/ask",
        "/attempts/x/why",
        "/people/x/ask",
    ],
)
async def test_what_is_not_there_is_a_404(http, pool, path):
    await signed_in(http, pool)
    assert (await http.get(path)).status_code == 404


async def test_what_an_operator_writes_into_a_rule_is_never_markup(http, pool):
    token = await signed_in(http, pool)
    text = rules.NEW_RULE.replace("house rule", "<script>alert(1)</script>")
    data = {"csrf_token": token, "text": text, "why": "<b>why</b>", "confirmed": "yes", "seen": "0"}
    assert (await http.post("/rules/new", data=data)).status_code == 303
    for path in ("/rules", "/rules/HOUSE-SUNDAYS", "/rules/HOUSE-SUNDAYS/change", "/rules/HOUSE-SUNDAYS/off"):
        page = (await http.get(path)).text
        assert "<script>alert" not in page
        assert "<b>why" not in page


async def test_the_why_of_a_contact_leads_from_its_case_to_every_rule_with_its_statute(http, pool):
    await signed_in(http, pool, "viewer")
    debtor = await world.make_debtor(pool, zone="America/New_York")
    await pool.execute("UPDATE person SET place_version = ''")
    await world.claim(pool)
    path = f"/attempts/{debtor.attempt_ids[0]}/why"
    assert f'href="{path}"' in (await http.get(f"/cases/{debtor.case_id}")).text
    page = await http.get(path)
    said = text_of(page)
    assert "in America/New_York" in said
    assert "47 CFR 64.1200(c)(1)" in said
    assert re.search(r"rules [0-9a-f]{10}, time zones 20", said)
    assert "PEC by SMS" in said
    assert "2025550" not in said.replace(" ", "")
    assert "What happened" in said


async def test_the_why_of_an_old_contact_is_that_of_then(http, pool):
    await signed_in(http, pool)
    debtor = await world.make_debtor(pool)
    await world.claim(pool)
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(
            connection, debtor.person_id, channel="sms", address=debtor.address, how="reply", evidence="STOP"
        )
    said = text_of(await http.get(f"/attempts/{debtor.attempt_ids[0]}/why"))
    assert "Allowed: every rule agrees" in said
    assert "Asked again, the answer is another one" not in said


async def test_a_contact_that_was_not_asked_about_yet_says_what_the_gate_would_say(http, pool):
    await signed_in(http, pool)
    debtor = await world.make_debtor(pool, due_in_s=7200)
    said = text_of(await http.get(f"/attempts/{debtor.attempt_ids[0]}/why"))
    assert "The gate has not been asked yet" in said


async def test_any_contact_can_be_imagined_by_the_clock_of_the_person(http, pool):
    await signed_in(http, pool, "viewer")
    debtor = await world.make_debtor(pool, zone="America/New_York")
    path = f"/people/{debtor.person_id}/ask"
    assert f'href="{path}?case={debtor.case_id}"' in (await http.get(f"/cases/{debtor.case_id}")).text
    params = {"case": str(debtor.case_id), "channel": "sms", "purpose": "first_party_recovery"}
    night, morning = world.ahead(2, 21, "America/New_York"), world.ahead(3, 8, "America/New_York").astimezone(UTC)
    late = await http.get(path, params={**params, "at": f"{night:%Y-%m-%dT%H:%M}", "clock": "America/New_York"})
    assert f"Put off until {morning:%-d %b %Y %H:%M:%S} UTC: outside 08:00 to 21:00" in text_of(late)
    before = f"{night - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}"
    early = await http.get(path, params={**params, "at": before, "clock": "America/New_York"})
    assert "Allowed: every rule agrees" in text_of(early)
    past = await http.get(path, params={**params, "at": "2026-01-05T12:00", "clock": "UTC"})
    assert "known only as they stand now" in text_of(past)
    assert await pool.fetchval("SELECT count(*) FROM attempt") == 1


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("channel=email", 422, "no address"),
        ("channel=fax", 422, "no address"),
        ("channel=sms&purpose=fun", 422, "no purpose"),
        ("channel=sms&at=tomorrow", 422, "no date and time"),
        ("channel=sms&at=2026-01-05T12:00&clock=Mars/Olympus", 422, "by which clock"),
        ("channel=sms&at=0001-01-01T00:00&clock=UTC", 422, "from 2000 to 2100"),
        ("channel=sms&case=x", 404, "no case"),
        (f"channel=sms&case={NOBODY}", 404, "no case"),
    ],
)
async def test_a_question_that_cannot_be_asked_says_why(http, pool, query, status, said):
    await signed_in(http, pool)
    debtor = await world.make_debtor(pool)
    answer = await http.get(f"/people/{debtor.person_id}/ask?{query}")
    assert answer.status_code == status
    assert said in text_of(answer)


async def test_somebody_without_an_address_can_be_looked_at_all_the_same(http, pool):
    await signed_in(http, pool)
    debtor = await world.make_debtor(pool)
    await pool.execute("DELETE FROM attempt")
    await pool.execute("DELETE FROM contact_point")
    assert "No address is known" in text_of(await http.get(f"/people/{debtor.person_id}/ask"))
