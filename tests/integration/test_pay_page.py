"""One debt has one live page at the gateway, whoever opens which message, when, and how often; against the bank."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from support import edge, world
from support import services as world_services
from support.bank_town import API_KEY, Town, open_town
from tenderline.app import Services
from tenderline.config import StripeSettings
from tenderline.core.clock import utc_now
from tenderline.gateways.base import GatewayRefusedError, GatewayUnavailableError, PayPage, PayPageState, PayRequest
from tenderline.gateways.stripe import Stripe
from tenderline.notify.delivery import PAY_LINK, link
from tenderline.payments import pay_page
from tenderline.web import payer

PAID = "UPDATE payment SET status = 'succeeded', transaction_status = 'COMPLETED'"


class Watched(Stripe):
    """Stripe's gateway, with what it was asked for, and a hook after the bank did what it was asked."""

    def __init__(self, settings: StripeSettings) -> None:
        super().__init__(settings)
        self.asked: list[PayRequest] = []
        self.after: Any = None

    async def pay_page(self, request: PayRequest) -> PayPage:
        self.asked.append(request)
        made = await super().pay_page(request)
        if self.after is not None:
            await self.after(made)
        return made


@dataclass
class Payer:
    """A payer with some messages, a bank, and the product between them."""

    pool: Any
    town: Town
    gateway: Watched
    services: Services
    http: httpx.AsyncClient
    debtor: world.Debtor

    def link(self, message: int = 0) -> str:
        """The link of one of her messages."""
        return link(self.services, PAY_LINK, self.debtor.attempt_ids[message])

    async def press(self, message: int = 0) -> httpx.Response:
        """Presses the button on the page of a message."""
        return await self.http.post(self.link(message))

    async def page(self, message: int = 0) -> str:
        """Where the button leads to."""
        answer = await self.press(message)
        found = re.search(r'href="(http[^"]+/pay/[^"]+)"', answer.text)
        assert found, (answer.status_code, answer.text)
        return html.unescape(found[1])

    def sessions(self) -> dict[str, str]:
        """Every session of the bank's: its page and how it stands."""
        offers = self.town.bank._checkout._offers.newest()
        return {f"{self.town.url}/pay/{one.session['id']}": one.session["status"] for one in offers}

    async def owes(self, amount_minor: int) -> None:
        """News of the debt: another amount."""
        await self.pool.execute("UPDATE recovery_case SET amount_minor = $1", amount_minor)

    async def stored(self) -> Any:
        return await self.pool.fetchrow("SELECT * FROM pay_page")


@pytest.fixture
async def she(pool: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Payer]:
    monkeypatch.setattr(pay_page, "LOOK_PAUSE_S", 0.02)
    async with AsyncExitStack() as stack:
        town = await stack.enter_async_context(open_town())
        gateway = Watched(StripeSettings(api_key=SecretStr(API_KEY), api_url=town.url, timeout_s=20))
        stack.push_async_callback(gateway.close)
        services = world_services.make(pool, gateways=[gateway], organisation="Hope House")
        http = await stack.enter_async_context(edge.client(services))
        yield Payer(pool, town, gateway, services, http, await world.make_debtor(pool, attempts_due=3))


async def test_two_messages_opened_on_one_day_lead_to_one_page(she: Payer) -> None:
    assert await she.page(0) == await she.page(1)
    assert list(she.sessions().values()) == ["open"]


async def test_two_tabs_across_midnight_lead_to_one_page(she: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await she.page(0)
    monkeypatch.setattr(payer, "utc_now", lambda: utc_now() + timedelta(days=1))
    assert await she.page(0) == await she.page(2) == before
    assert len(she.sessions()) == 1


async def test_presses_at_once_end_at_one_page(she: Payer) -> None:
    she.town.bank.faults().update({"latency_ms": 30})
    pages = await asyncio.gather(*(she.page(number % 3) for number in range(6)))
    assert len(set(pages)) == len(she.sessions()) == 1


async def test_a_press_while_another_is_being_answered_waits_for_its_answer(she: Payer) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def first_is_slow(_: PayPage) -> None:
        asked.set()
        await answered.wait()

    she.gateway.after = first_is_slow
    first = asyncio.create_task(she.page(0))
    await asked.wait()

    async def second_is_told_to_wait(_: PayPage) -> None:
        answered.set()
        raise GatewayUnavailableError("the key is in use")

    she.gateway.after = second_is_told_to_wait
    assert await she.page(1) == await first
    assert len(she.sessions()) == 1


async def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_words(
    she: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(_: str) -> None:
        return None

    monkeypatch.setattr(she.gateway, "_invoice_page", none)  # the only question before: the fault is for what follows
    she.town.bank.faults().update({"drop_after_success_next": 1})
    assert (await she.press(0)).status_code == 503
    assert (await she.stored())["url"] is None
    renamed = world_services.make(
        she.pool, gateways=[she.gateway], organisation="Hope House International", public_url="https://pay.example.org"
    )
    async with edge.client(renamed) as http:
        found = re.search(r'href="(http[^"]+/pay/[^"]+)"', (await http.post(she.link(1))).text)
    assert found
    assert list(she.sessions()) == [found[1]]
    assert len({request.key for request in she.gateway.asked}) == 1
    assert len({(one.description, one.return_url, one.money) for one in she.gateway.asked}) == 1


async def test_a_process_that_dies_between_answer_and_commit_repeats_itself(she: Payer) -> None:
    async def die(_: PayPage) -> None:
        raise asyncio.CancelledError

    she.gateway.after = die
    with pytest.raises(asyncio.CancelledError):
        await pay_page.url_of(she.services, she.debtor.person_id, she.debtor.case_id, pay_page.Offer("x", she.link()))
    she.gateway.after = None
    page = await she.page()
    assert list(she.sessions()) == [page]


async def test_another_amount_ends_the_old_page_before_there_is_a_new_one(she: Payer) -> None:
    old = await she.page()
    await she.owes(1700)
    new = await she.page()
    assert she.sessions() == {old: "expired", new: "open"}
    assert [request.money.minor for request in she.gateway.asked] == [2500, 1700]
    assert await she.page(1) == new


async def test_an_amount_that_changes_while_the_bank_answers_never_leaves_two_pages(she: Payer) -> None:
    async def change(_: PayPage) -> None:
        she.gateway.after = None
        await she.owes(1700)
        await she.page(1)

    she.gateway.after = change
    last = await she.page(0)
    assert [page for page, status in she.sessions().items() if status == "open"] == [last]
    assert (await she.stored())["amount_minor"] == 1700


async def test_a_page_that_was_begun_for_another_amount_is_finished_and_ended_first(she: Payer) -> None:
    async def lose(_: PayPage) -> None:
        raise GatewayUnavailableError("cut off")

    she.gateway.after = lose
    assert (await she.press()).status_code == 503
    she.gateway.after = None
    await she.owes(1700)
    page = await she.page()
    assert sorted(she.sessions().values()) == ["expired", "open"]
    assert she.sessions()[page] == "open"


async def test_while_the_old_page_cannot_be_ended_no_other_is_made(she: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    old = await she.page()
    await she.owes(1700)
    for answer in (PayPageState.OPEN, PayPageState.UNKNOWN, GatewayUnavailableError(), GatewayRefusedError()):

        async def close(reference: str, answer: Any = answer) -> PayPageState:
            if isinstance(answer, Exception):
                raise answer
            return PayPageState(answer)

        monkeypatch.setattr(she.gateway, "close_pay_page", close)
        told = await she.press()
        assert (told.status_code, "Nothing was charged" in told.text) == (503, True)
    assert she.sessions() == {old: "open"}


async def test_a_page_that_ended_is_followed_by_another(she: Payer) -> None:
    old = await she.page()
    await she.town.sdk.v1.checkout.sessions.expire_async(old.rsplit("/", 1)[1])
    pages = await asyncio.gather(*(she.page(number) for number in range(3)))
    assert len(set(pages)) == 1
    assert she.sessions() == {old: "expired", pages[0]: "open"}


async def test_a_page_that_is_unknown_to_the_bank_is_replaced_only_when_its_time_is_surely_over(she: Payer) -> None:
    old = await she.page()
    she.town.bank._checkout.clear()
    await she.pool.execute("UPDATE pay_page SET expires_at = now() - interval '10 minutes'")
    assert (await she.press()).status_code == 503
    await she.pool.execute("UPDATE pay_page SET expires_at = now() - interval '2 hours'")
    assert await she.page() != old


async def test_a_page_that_was_paid_on_is_not_followed_by_another_before_the_news_of_it(she: Payer) -> None:
    page = await she.page()
    await she.town.control("pay", session=page.rsplit("/", 1)[1], card="works")
    await she.pool.execute("UPDATE pay_page SET expires_at = now() - interval '2 days'")
    for amount_minor in (2500, 1700):
        await she.owes(amount_minor)
        told = await she.press(1)
        assert told.status_code == 200
        assert "being confirmed" in told.text
    assert she.sessions() == {page: "complete"}


async def test_a_declined_card_leaves_the_page_open_for_another(she: Payer) -> None:
    page = await she.page()
    await she.town.control("pay", session=page.rsplit("/", 1)[1], card="declined")
    assert await she.page(1) == page


async def test_a_bank_that_does_not_answer_is_no_reason_to_lead_elsewhere(she: Payer) -> None:
    page = await she.page()
    she.town.bank.faults().update({"fail_before_next": 50})
    assert await she.page(1) == page
    await she.pool.execute("UPDATE pay_page SET expires_at = now() - interval '2 minutes'")
    assert (await she.press(1)).status_code == 503


async def test_what_the_bank_refused_is_tried_under_another_number(she: Payer) -> None:
    async def refuse(_: PayPage) -> None:
        raise GatewayRefusedError("no")

    she.gateway.after = refuse
    assert (await she.press()).status_code == 503
    she.gateway.after = None
    page = await she.page()
    assert (await she.stored())["number"] == 2
    assert page == (await she.stored())["url"]


async def test_a_refusal_does_not_take_away_what_another_press_was_given(she: Payer) -> None:
    async def refuse_late(_: PayPage) -> None:
        she.gateway.after = None
        await she.page(1)
        raise GatewayRefusedError("no")

    she.gateway.after = refuse_late
    assert (await she.press(0)).status_code == 503
    assert list(she.sessions()) == [(await she.stored())["url"]] == [await she.page(0)]


async def test_a_page_whose_number_was_given_up_meanwhile_is_ended_and_nobody_is_led_there(she: Payer) -> None:
    async def refuse(_: PayPage) -> None:
        raise GatewayRefusedError("no")

    async def give_up(_: PayPage) -> None:
        she.gateway.after = refuse
        assert (await she.press(1)).status_code == 503
        she.gateway.after = None

    she.gateway.after = give_up
    page = await she.page(0)
    assert sorted(she.sessions().values()) == ["expired", "open"]
    assert she.sessions()[page] == "open"


async def test_the_answer_of_long_ago_to_a_number_that_was_never_kept_is_not_used(she: Payer) -> None:
    async def lose(_: PayPage) -> None:
        raise GatewayUnavailableError("cut off")

    she.gateway.after = lose
    assert (await she.press()).status_code == 503
    (old,) = she.sessions()
    await she.town.sdk.v1.checkout.sessions.expire_async(old.rsplit("/", 1)[1])
    she.gateway.after = None
    original = Stripe.pay_page

    async def long_ago(self: Any, request: PayRequest) -> PayPage:
        made = await original(self, request)
        return made if made.url != old else PayPage(url=old, reference=made.reference, expires_at_unix_s=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stripe, "pay_page", long_ago)
        page = await she.page()
    assert she.sessions() == {old: "expired", page: "open"}


async def test_an_invoice_of_the_banks_own_is_paid_on_its_page_and_ours_is_ended(she: Payer) -> None:
    ours = await she.page()
    invoice = f"{she.town.url}/pay/in_1"
    await she.pool.execute("UPDATE payment SET observed = jsonb_build_object('pay_url', $1::text)", invoice)
    assert await she.page(0) == await she.page(1) == invoice
    assert she.sessions() == {ours: "expired"}


async def test_an_invoice_that_is_known_from_the_beginning_needs_no_page_of_ours(she: Payer) -> None:
    invoice = f"{she.town.url}/pay/in_1"
    await she.pool.execute("UPDATE payment SET observed = jsonb_build_object('pay_url', $1::text)", invoice)
    assert await she.page() == invoice
    assert she.sessions() == {}
    assert await she.stored() is None


async def test_the_bank_sends_her_back_to_a_page_that_says_how_the_debt_stands(she: Payer) -> None:
    page = await she.page()
    async with she.town.http.post(page, data={"card": "works"}, allow_redirects=False) as answer:
        back = answer.headers["Location"]
    waiting = await she.http.get(back)
    assert (waiting.status_code, "being confirmed" in waiting.text, "$25.00" in waiting.text) == (200, True, True)
    assert f'href="/paid/{back.rsplit("/", 1)[1]}"' in waiting.text
    await she.pool.execute(PAID)
    assert "Paid, thank you" in (await she.http.get(back)).text
    assert "Paid, thank you" in (await she.http.get(she.link())).text


async def test_a_link_of_one_kind_opens_no_page_of_another(she: Payer) -> None:
    await she.page()
    back = (await she.stored())["return_url"]
    for path in ("pay", "stop"):
        assert (await she.http.get(back.replace("/paid/", f"/{path}/"))).status_code == 404
    assert (await she.http.get(she.link().replace("/pay/", "/paid/"))).status_code == 404
    assert (await she.http.post(back.replace("/paid/", "/stop/"))).status_code == 404


@pytest.mark.parametrize("status", ["succeeded", "processing", "refunded", "stopped"])
async def test_what_is_settled_while_she_presses_is_not_asked_for(she: Payer, status: str) -> None:
    await she.pool.execute("UPDATE payment SET status = $1", status)
    with pytest.raises(pay_page.NotPayableError):
        await pay_page.url_of(she.services, she.debtor.person_id, she.debtor.case_id, pay_page.Offer("x", she.link()))
    assert (await she.press()).status_code == 303
    assert she.sessions() == {}


async def test_a_case_of_a_gateway_that_was_taken_away_is_unavailable(she: Payer) -> None:
    await she.pool.execute("UPDATE recovery_case SET gateway = 'gone'")
    assert (await she.press()).status_code == 503


async def test_a_debt_that_is_settled_another_way_cannot_be_paid_on_its_open_page(she: Payer) -> None:
    await she.page()
    await she.pool.execute(PAID)
    for _ in range(2):  # a reaction may run twice
        await pay_page.end(she.services, she.debtor.payment_id)
    assert list(she.sessions().values()) == ["expired"]


async def test_a_debt_without_a_page_has_none_to_end(she: Payer) -> None:
    await pay_page.end(she.services, she.debtor.payment_id)
    assert she.sessions() == {}


async def test_a_page_that_was_made_while_its_debt_was_settled_is_ended_at_once(she: Payer) -> None:
    async def settled(_: PayPage) -> None:
        await she.pool.execute(PAID)

    she.gateway.after = settled
    await she.press()
    assert list(she.sessions().values()) == ["expired"]
