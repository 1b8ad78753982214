"""The payer's own page: where she says she is, who cannot open it, and the ways that lead to it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from support import edge, services, world
from tenderline.core import links
from tenderline.core.ids import uuid7
from tenderline.messengers.base import Channel
from tenderline.notify import delivery
from tenderline.notify.delivery import OWN_PAGE_LINK, PAY_LINK, STOP_LINK, link
from tenderline.store import outcomes
from tenderline.store.outcomes import HandedOver
from tenderline.web import own_page, payer

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


# --- where she is -----------------------------------------------------------------------------------------------------


async def test_her_own_zone_decides_at_the_next_claim_and_the_old_one_is_kept(http, pool, running):
    debtor = await world.make_debtor(pool)
    before = (await person(pool, debtor))["zone"]
    night = world.zone_by_night()
    hers = visit(http, running, debtor)
    for _ in range(2):
        await hers.press("zone", zone=night)
    assert (await world.claim(pool)).deferred == 1
    assert "OWN-HOURS" in await rules_of(pool, debtor.attempt_ids[0])
    assert await audited(pool) == [("own_page.zone", {"before": before, "after": night, "how": "own page"})]
    assert await count(pool, "ZoneCorrected") == 1
    assert "because you told us" in await hers.look()


async def test_her_own_address_decides_at_the_next_claim_and_the_old_one_is_kept(http, pool, running):
    debtor = await world.make_debtor(pool)
    await pool.execute('UPDATE person SET zone = NULL, address = \'{"country": "US", "region": "NY"}\'')
    hers = visit(http, running, debtor)
    for _ in range(2):
        await hers.press("address", country="US", region="Hawaii", postal_code="96813")
    row = await person(pool, debtor)
    assert "Pacific/Honolulu" in row["place_zones"]
    ((action, data),) = await audited(pool)
    assert action == "own_page.address"
    assert data["before"] == {"country": "US", "region": "NY"}
    assert (data["after"]["region"], data["after"]["own_word"]) == ("Hawaii", True)
    assert await count(pool, "AddressCorrected") == 1
    page = await hers.look()
    assert "96813" not in page
    assert "Hawaii<" not in page


@pytest.mark.parametrize(
    ("what", "fields", "said"),
    [
        ("zone", {"zone": "Mars/Olympus"}, "Choose your time zone"),
        ("zone", {"zone": "../../etc/passwd"}, "Choose your time zone"),
        ("zone", {}, "Choose your time zone"),
        ("address", {"country": "XX"}, "Choose your country"),
        ("address", {"country": "US"}, "there are several time zones"),
        ("address", {"country": "US", "region": "Bavaria"}, "do not know this state"),
        ("address", {"country": "US", "postal_code": "00000"}, "do not know this postal code"),
        ("address", {"country": "DE", "postal_code": "<script>"}, "letters, digits and spaces"),
        ("address", {"country": "DE", "region": "4242 4242 " + "4242 4242"}, "only the name"),
        ("address", {"country": "DE", "postal_code": "42424242" + "42424242"}, "letters, digits and spaces"),
        ("pause", {"days": "3650"}, "Choose how many days"),
        ("channel", {"channel": "fax", "turn": "off"}, "Press the button"),
        ("channel", {"channel": "sms", "turn": "maybe"}, "Press the button"),
        ("leave-out", {"contact": "x' OR 1=1"}, "Press the button"),
    ],
)
async def test_what_cannot_be_right_is_refused_with_what_to_do_and_changes_nothing(
    http, pool, running, what, fields, said
):
    debtor = await world.make_debtor(pool)
    before = await person(pool, debtor)
    answer = await visit(http, running, debtor).press(what, status=400, **fields)
    assert said in answer.text
    assert "Nothing was changed." in answer.text
    assert await person(pool, debtor) == before
    assert await audited(pool) == []


async def test_a_case_that_waited_for_her_zone_goes_on_when_she_tells_it(http, pool, running):
    debtor = await world.make_debtor(pool)
    await pool.execute("DELETE FROM attempt")
    await pool.execute(
        "UPDATE recovery_case SET state = 'held', held_by = 'system', held_why = 'the payer''s time zone is not known'"
    )
    await visit(http, running, debtor).press("zone", zone="America/Chicago")
    await services.Reactor(running, times=2).settle()
    assert await pool.fetchval("SELECT state FROM recovery_case") == "open"
    assert await pool.fetchval("SELECT count(*) FROM attempt WHERE state = 'planned'") > 0


# --- who cannot open it -----------------------------------------------------------------------------------------------


async def test_no_other_link_opens_a_page_and_this_one_opens_no_other(http, pool, running):
    debtor = await world.make_debtor(pool)
    attempt_id = debtor.attempt_ids[0]
    own = link(running, OWN_PAGE_LINK, debtor.person_id, debtor.contact_point_id)
    token = own.rpartition("/")[2]
    tokens = [link(running, purpose, attempt_id).rpartition("/")[2] for purpose in (PAY_LINK, STOP_LINK)]
    tokens += [
        token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"),
        token[:-1],
        token + "A",
        "x",
        "%00",
        "a" * 5000,
    ]
    for hostile in tokens:
        assert (await http.get(f"/me/{hostile}")).status_code in (404, 429), hostile
        for what in ("pause", "resume", "leave-out", "channel", "stop", "zone", "address"):
            assert (await http.post(f"/me/{hostile}/{what}")).status_code in (404, 429), (hostile, what)
    assert (await http.get(f"/pay/{token}")).status_code in (404, 429)
    assert (await http.post(f"/stop/{token}")).status_code in (404, 429)
    assert (await person(pool, debtor))["opted_out_at"] is None


async def test_a_link_to_an_address_that_is_not_this_persons_is_not_ours(http, pool, running):
    hers, theirs = await world.make_debtor(pool), await world.make_debtor(pool)
    crossed = link(running, OWN_PAGE_LINK, hers.person_id, theirs.contact_point_id)
    assert (await http.get(crossed)).status_code == 404
    gone = link(running, OWN_PAGE_LINK, hers.person_id, uuid7())
    assert (await http.get(gone)).status_code == 404


async def test_a_link_that_has_ended_says_so_and_does_nothing(http, pool, running):
    debtor = await world.make_debtor(pool)
    payload = debtor.person_id.bytes + debtor.contact_point_id.bytes
    token = links.sign(running.key_for(OWN_PAGE_LINK), OWN_PAGE_LINK, payload, 1)
    assert (await http.get(f"/me/{token}")).status_code == 404
    assert (await http.post(f"/me/{token}/stop")).status_code == 404


async def test_a_link_works_as_long_as_a_stop_link(running):
    def ends(url):
        raw = links.base64.urlsafe_b64decode(url.rpartition("/")[2] + "==")
        return int.from_bytes(raw[:4], "big")

    own = link(running, OWN_PAGE_LINK, uuid7(), uuid7())
    assert abs(ends(own) - ends(link(running, STOP_LINK, uuid7()))) < 60
    assert len(own.rpartition("/")[2]) == 70


async def test_a_post_without_a_form_of_hers_changes_nothing(http, pool, running):
    hers, theirs = await world.make_debtor(pool), await world.make_debtor(pool)
    page = visit(http, running, hers)
    payload = hers.person_id.bytes + hers.contact_point_id.bytes
    old = links.sign(running.key_for(own_page.FORM_LINK), own_page.FORM_LINK, payload, 1)
    foreign = await visit(http, running, theirs).form_token()
    for token in ("", "x", old, foreign, page.url.rpartition("/")[2]):
        answer = await page.press("stop", status=403, form_token=token)
        assert "Nothing was changed" in answer.text
    for site in ("cross-site", "same-site", "none"):
        await page.press("stop", status=403, headers={"Sec-Fetch-Site": site})
    await page.press("stop", status=403, headers={"Origin": "https://evil.example"})
    assert (await person(pool, hers))["opted_out_at"] is None
    await page.press("stop", headers={"Sec-Fetch-Site": "same-origin", "Origin": "null"})
    assert (await person(pool, hers))["opted_out_at"] is not None


async def test_a_page_that_is_opened_without_end_is_told_to_wait_and_others_are_not(http, pool, running, monkeypatch):
    monkeypatch.setattr(own_page, "VIEWS_PER_LINK_MAX", 3)
    hers, theirs = await world.make_debtor(pool), await world.make_debtor(pool)
    url = visit(http, running, hers).url
    assert [(await http.get(url)).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert (await http.get(visit(http, running, theirs).url)).status_code == 200


async def test_whoever_tries_pages_that_are_not_ours_has_to_wait_and_nobody_else(http, pool, running, monkeypatch):
    monkeypatch.setattr(payer, "INVALID_LINKS_PER_ADDRESS_MAX", 2)
    debtor = await world.make_debtor(pool)
    tried = ["/me/x", "/pay/x", "/me/y"]
    assert [(await http.get(path)).status_code for path in tried] == [404, 404, 429]
    assert (await http.post("/me/z/stop")).status_code == 429
    await visit(http, running, debtor).press("stop")  # the same address: an office, a mail provider's machine
    assert (await person(pool, debtor))["opted_out_at"] is not None


# --- the ways to it ---------------------------------------------------------------------------------------------------


async def test_the_pay_page_and_the_stop_page_lead_to_the_page_of_whoever_was_written_to(http, pool, running):
    debtor = await world.make_debtor(pool)
    for url in (link(running, PAY_LINK, debtor.attempt_ids[0]), link(running, STOP_LINK, debtor.attempt_ids[0])):
        found = re.search(r'href="([^"]+/me/[^"]+)"', (await http.get(url)).text)
        assert found
        assert "+1 202 •••" in (await http.get(found[1])).text or "Nothing." in (await http.get(found[1])).text
    stopped = await http.post(link(running, STOP_LINK, debtor.attempt_ids[0]))
    assert "/me/" in stopped.text


async def test_every_email_carries_the_link_at_its_foot(pool, running):
    debtor = await world.make_debtor(pool, channel="email")
    (leased,) = (await world.claim(pool)).leased
    writing = services.make(pool, messengers=[services.message_class("email")], public_url="https://pay.example.org")
    written = delivery.write(writing, leased)
    assert not isinstance(written, str)
    assert written.messenger.channel is Channel.EMAIL
    for form in (written.message.text, written.message.html):
        found = re.search(r"https://pay\.example\.org/me/([\w-]+)", form)
        assert found
        payload = links.verify(writing.key_for(OWN_PAGE_LINK), OWN_PAGE_LINK, found[1], datetime.now(UTC).timestamp())
        assert payload == debtor.person_id.bytes + debtor.contact_point_id.bytes
        assert form.index("/me/") > form.index("/stop/")
