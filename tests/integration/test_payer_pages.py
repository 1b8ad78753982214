"""What a payer's links do when they are opened often, by many, or by nobody they were sent to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from support import edge, services, world
from tenderline.core.ids import uuid7
from tenderline.notify.delivery import PAY_LINK, STOP_LINK, link
from tenderline.web import payer

OPENED = "SELECT count(*) FROM event WHERE kind = 'PaymentLinkOpened'"
SILENT = "SELECT opted_out_at IS NOT NULL FROM person"


@pytest.fixture
def running(pool: Any) -> Any:
    return services.make(pool, organisation="Hope House")


@pytest.fixture
async def http(running: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(running) as made:
        yield made


def foreign(running: Any, purpose: str) -> str:
    """A link that was tampered with: another letter at its end."""
    url = link(running, purpose, uuid7())
    return url[:-4] + ("AAAA" if url[-4:] != "AAAA" else "BBBB")


async def test_opening_a_link_is_told_once_an_hour_for_each_message(http, pool, running):
    debtor = await world.make_debtor(pool, attempts_due=2)
    first, second = (link(running, PAY_LINK, attempt_id) for attempt_id in debtor.attempt_ids)
    answers = await asyncio.gather(*(http.get(first) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert await pool.fetchval(OPENED) == 1
    await http.get(second)
    assert await pool.fetchval(OPENED) == 2
    await pool.execute("UPDATE rate_window SET window_start = window_start - interval '1 hour'")
    await http.get(first)
    assert await pool.fetchval(OPENED) == 3
    told = await pool.fetch("SELECT attempt_id FROM event WHERE kind = 'PaymentLinkOpened'")
    assert {row["attempt_id"] for row in told} == set(debtor.attempt_ids)


async def test_a_link_that_is_opened_without_end_is_told_to_wait_and_others_are_not(http, pool, running, monkeypatch):
    monkeypatch.setattr(payer, "VIEWS_PER_LINK_MAX", 3)
    debtor = await world.make_debtor(pool, attempts_due=2)
    first, second = (link(running, PAY_LINK, attempt_id) for attempt_id in debtor.attempt_ids)
    statuses = [(await http.get(first)).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    busy = await http.get(first)
    assert "Please wait a minute" in busy.text
    assert "Hope House" in busy.text
    assert 0 < int(busy.headers["retry-after"]) <= 60
    assert "default-src 'self'" in busy.headers["content-security-policy"]
    assert (await http.get(second)).status_code == 200


async def test_the_button_cannot_be_pressed_without_end(http, pool, running, monkeypatch):
    monkeypatch.setattr(payer, "PAYS_PER_LINK_MAX", 2)
    debtor = await world.make_debtor(pool)
    url = link(running, PAY_LINK, debtor.attempt_ids[0])
    statuses = [(await http.post(url)).status_code for _ in range(3)]
    assert statuses == [503, 503, 429]
    assert (await http.get(url)).status_code == 200


async def test_whoever_tries_links_that_are_not_ours_has_to_wait_and_nobody_else(http, pool, running, monkeypatch):
    monkeypatch.setattr(payer, "INVALID_LINKS_PER_ADDRESS_MAX", 3)
    debtor = await world.make_debtor(pool, channel="email")
    tried = [foreign(running, PAY_LINK), f"{edge.ORIGIN}/pay/x", f"{edge.ORIGIN}/paid/x", foreign(running, STOP_LINK)]
    assert [(await http.get(url)).status_code for url in tried] == [404, 404, 404, 429]
    assert (await http.post(foreign(running, STOP_LINK))).status_code == 429
    # The same address: a proxy, an office, a mail provider's machine.
    pay, silence = (link(running, purpose, debtor.attempt_ids[0]) for purpose in (PAY_LINK, STOP_LINK))
    assert (await http.get(pay)).status_code == 200
    assert (await http.get(silence)).status_code == 200
    assert (await http.post(silence)).status_code == 200
    assert await pool.fetchval(SILENT)


async def test_many_people_behind_one_address_are_all_silenced(http, pool, running, monkeypatch):
    for limit in ("VIEWS_PER_LINK_MAX", "INVALID_LINKS_PER_ADDRESS_MAX", "KEPT_STOPS_PER_LINK_MAX"):
        monkeypatch.setattr(payer, limit, 1)
    debtors = [await world.make_debtor(pool, channel="email") for _ in range(8)]
    answers = [await http.post(link(running, STOP_LINK, one.attempt_ids[0])) for one in debtors]
    assert {answer.status_code for answer in answers} == {200}
    assert await pool.fetchval("SELECT count(*) FROM person WHERE opted_out_at IS NULL") == 0


async def test_a_stop_that_is_repeated_without_end_is_granted_and_not_written_down_without_end(
    http, pool, running, monkeypatch
):
    monkeypatch.setattr(payer, "KEPT_STOPS_PER_LINK_MAX", 3)
    debtor = await world.make_debtor(pool, channel="email")
    url = link(running, STOP_LINK, debtor.attempt_ids[0])
    for _ in range(6):
        answer = await http.post(url)
        assert (answer.status_code, "Messages are stopped" in answer.text) == (200, True)
    assert await pool.fetchval("SELECT count(*) FROM consent") == 3


async def test_a_stop_counts_however_often_it_was_taken_back_before(http, pool, running, monkeypatch):
    monkeypatch.setattr(payer, "KEPT_STOPS_PER_LINK_MAX", 1)
    debtor = await world.make_debtor(pool, channel="email")
    for _ in range(3):
        await pool.execute("DELETE FROM consent")
        await pool.execute("UPDATE person SET opted_out_at = NULL, opted_out_by = NULL")
        assert (await http.post(link(running, STOP_LINK, debtor.attempt_ids[0]))).status_code == 200
        assert await pool.fetchval(SILENT)


async def test_a_link_of_an_attempt_that_is_not_there_is_not_ours(http, running):
    gone = UUID("00000000-0000-7000-8000-000000000000")
    for purpose in (PAY_LINK, payer.PAID_LINK):
        assert "This link does not work" in (await http.get(link(running, purpose, gone))).text
    assert "This link does not work" in (await http.post(link(running, STOP_LINK, gone))).text


async def test_what_is_shown_names_nobody(http, pool, running):
    debtor = await world.make_debtor(pool, channel="email")
    page = (await http.get(link(running, PAY_LINK, debtor.attempt_ids[0]))).text
    assert debtor.address not in page
    assert not re.search(r"Payer \d|insufficient|declined", page)
