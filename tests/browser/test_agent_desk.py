"""The agent's desk in a real browser: by keyboard alone, while news arrives, in light and dark, large and small."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from support import desk_call, edge, postgres, screens, services
from support.desk_call import DeskCall
from support.screens import NOTE_VIOLATIONS, SMALL, Watched, require_readable
from tenderline.core.ids import uuid7
from tenderline.store import db, events, secure_sessions
from tenderline.voice.commands import Commands
from tenderline.voice.orders import Orders

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIVE = "#live-state[data-state=live]"
HIDE = """() => {
  Object.defineProperty(document, "hidden", {value: true, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@dataclass
class Town:
    """The running application, a browser, and its rows."""

    base: str
    pool: Any
    browser: Browser
    agents: int = 0

    @asynccontextmanager
    async def at_desk(self, *, scheme: Any = "light", width: int = 1440) -> AsyncIterator[tuple[Watched, str, Any]]:
        """(a page with the desk, e-mail address, agent) of a new agent."""
        self.agents += 1
        email, agent = await desk_call.make_agent(self.pool, name=f"Anna{self.agents}")
        context = await self.browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        await context.add_init_script(NOTE_VIOLATIONS)
        watched = Watched(await context.new_page(), self.base)
        watched.look()
        try:
            await watched.go("/sign-in?next=/desk")
            await watched.page.fill("#email", email)
            await watched.page.fill("#password", edge.PASSWORD)
            await watched.page.click("button[type=submit]")
            await watched.page.wait_for_url(f"{self.base}/desk")
            await expect(watched.page.locator(LIVE)).to_be_visible()
            yield watched, email, agent
        finally:
            await context.close()

    async def hint(self) -> None:
        """What a node does with each commit of a call's timeline."""
        await events.hint(self.pool)

    @asynccontextmanager
    async def node_of(self, live: DeskCall) -> AsyncIterator[Orders]:
        """The node takes orders of this call."""
        made = Orders()
        commands = Commands(self.pool, lambda: live.node, lambda call: made if call == live.call else None)
        commands.start()
        try:
            yield made
        finally:
            await commands.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def town(server_url: str) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(screens.launched())
        url = await stack.enter_async_context(postgres.fresh_database(server_url, db.migrate))
        pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        port = edge.free_port()
        made = services.make(pool, public_url=f"http://127.0.0.1:{port}")
        base, _ = await stack.enter_async_context(edge.server(made, port=port))
        yield Town(base, pool, browser)


async def pay(town: Town, live: DeskCall) -> None:
    """A card is being keyed in."""
    session = uuid7()
    async with town.pool.acquire() as connection:
        await secure_sessions.begin(
            connection, id=session, conversation_id=live.call, participant_id=live.caller,
            source_participant_id=live.participant, mode="attended", flow="secure_payment", disconnect=False,
            user_data={}, asked_by=live.email,
        )  # fmt: skip
        so_far = secure_sessions.Progress(field="number", count=11, brand="visa", said="ask_number")
        await secure_sessions.progress(connection, session, so_far)
    await town.hint()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everybody_can_read_the_desk_in_every_state(town: Town, scheme: str) -> None:
    async with town.at_desk(scheme=scheme) as (watched, email, agent):
        page = watched.page
        await require_readable(watched, f"idle ({scheme})")
        live = await desk_call.ring(town.pool, email, agent, talking=False)
        await expect(page.locator("#desk-status")).to_contain_text("Ringing")
        await require_readable(watched, f"ringing ({scheme})")
        await desk_call.answer(town.pool, live)
        await desk_call.know(town.pool, live)
        await town.hint()
        await expect(page.locator("#caller-name")).to_have_text("Maud Lindqvist")
        await expect(page.locator("#desk-recording")).to_have_text("Recording")
        for one in ("#transfer summary", "#escalate summary"):
            await page.click(one)
        await require_readable(watched, f"on a call ({scheme})")
        await pay(town, live)
        await expect(page.locator("#desk-recording")).to_have_text("Secure: the recording is silent")
        await require_readable(watched, f"a card is keyed in ({scheme})")
        await desk_call.hang_up(town.pool, live)
        await expect(page.locator("#desk-status")).to_contain_text("After the call")
        await require_readable(watched, f"after the call ({scheme})")
        small = [one for height, one in await page.evaluate(SMALL) if "data-key" not in one]
        assert not small
        heights = await page.eval_on_selector_all(".ending", "all => all.map((one) => one.offsetHeight)")
        assert min(heights) >= 44, "a whole row is the target of its button"
        await watched.require_clean()


async def test_a_call_is_ended_by_the_keyboard_alone(town: Town) -> None:
    async with town.at_desk() as (watched, email, agent):
        page = watched.page
        live = await desk_call.ring(town.pool, email, agent)
        await expect(page.locator("#endings")).to_be_visible()
        await page.keyboard.press("Alt+4")
        await expect(page.locator("#code-no_answer")).to_be_focused()
        await expect(page.locator("#follows-no_answer")).to_contain_text("10:00 local time")
        await page.keyboard.press("Alt+1")
        await expect(page.locator("#code-settled")).to_be_checked()
        await page.keyboard.press("Alt+Enter")
        await expect(page.locator("#chosen")).to_contain_text("Settled")
        await expect(page.locator("#code-settled")).to_be_focused()  # what had the focus keeps it
        assert [url for url in watched.asked if url.endswith("/ending")] == [f"{town.base}/desk/ending"], (
            "a key that chooses asks nothing"
        )
        await desk_call.hang_up(town.pool, live)
        await expect(page.locator("#desk-status")).to_contain_text("After the call")
        await page.keyboard.press("Alt+2")
        await page.keyboard.press("Alt+Enter")
        await expect(page.locator("#desk-status")).to_contain_text("Ready")
        await expect(page.locator("#desk-title")).to_be_focused()  # what had it is gone: on where the state is told
        kept = await town.pool.fetchval("SELECT code FROM conversation_disposition WHERE agent_id = $1", agent)
        assert kept == "promise_to_pay"
        for _ in range(100):
            await page.keyboard.press("Tab")
            if "Away" in (await page.evaluate("document.activeElement.textContent")):
                break
        await page.keyboard.press("Enter")
        await expect(page.locator("#desk-status")).to_contain_text("Away")
        await watched.require_clean()


async def test_news_takes_neither_the_focus_nor_what_is_being_typed(town: Town) -> None:
    async with town.at_desk() as (watched, email, agent):
        page = watched.page
        live = await desk_call.ring(town.pool, email, agent)
        await expect(page.locator("#caller-name")).to_have_text("Unknown donor")
        await page.click("#transfer summary")
        await page.fill("#transfer-number", "+1 202")
        await page.check("#code-wrong_number")
        await page.fill("#ending-note", "She asks for")
        await desk_call.know(town.pool, live)
        await town.hint()
        await expect(page.locator("#caller-name")).to_have_text("Maud Lindqvist")
        await expect(page.locator("#ending-note")).to_be_focused()
        await page.keyboard.type(" a letter")
        assert await page.input_value("#ending-note") == "She asks for a letter"
        assert await page.input_value("#transfer-number") == "+1 202"
        assert await page.is_checked("#code-wrong_number")
        assert await page.evaluate("document.getElementById('transfer').open")
        await watched.require_clean()


async def test_a_desk_behind_another_tab_goes_on_and_a_second_one_says_where_the_first_is(town: Town) -> None:
    async with town.at_desk() as (watched, email, agent):
        page = watched.page
        await page.evaluate(HIDE)
        live = await desk_call.ring(town.pool, email, agent)
        await expect(page.locator("#caller")).to_be_visible()
        await expect(page.locator(LIVE)).to_be_visible()
        second = await page.context.new_page()
        await second.goto(f"{town.base}/desk")
        await expect(second.locator("#desk-elsewhere")).to_be_visible()
        await expect(second.locator("#caller")).to_be_visible()
        await desk_call.know(town.pool, live)
        await town.hint()
        for desk in (second, page):
            await expect(desk.locator("#caller-name")).to_have_text("Maud Lindqvist")
        await expect(page.locator("#desk-elsewhere")).to_be_hidden()
        await watched.require_clean()


async def test_an_order_leaves_the_page_as_it_is_and_a_refusal_is_said_in_words(town: Town) -> None:
    async with town.at_desk() as (watched, email, agent):
        page = watched.page
        live = await desk_call.ring(town.pool, email, agent)
        await page.evaluate("window.isTheSame = true")
        async with town.node_of(live) as orders:
            await page.click("#order-hold button")
            await expect(page.locator("#toast")).not_to_be_empty()
            assert not re.search("went wrong", await page.inner_text("#toast"))
            orders.open()
            await page.click("#order-hold button")
            async with asyncio.timeout(20):
                order = await orders.next()
            async with town.pool.acquire() as connection:
                await connection.execute(
                    "INSERT INTO segment (conversation_id, ordinal, kind, started_at) VALUES ($1, 2, 'hold', now())",
                    live.call,
                )
            order.answered.set_result({"held": True})
            await expect(page.locator("#order-hold button")).to_have_text("Take the caller back")
            await expect(page.locator("#call-state")).to_have_text("The caller hears music.")
            await expect(page.locator("#order-hold button")).to_be_focused()
        assert await page.evaluate("window.isTheSame")
        await expect(page.locator("#toast")).to_be_empty()
        watched.wrong = [one for one in watched.wrong if "409" not in one]  # the browser notes the refusal
        await watched.require_clean()


async def test_twice_pressed_is_once_asked_though_the_desk_is_drawn_anew_meanwhile(town: Town) -> None:
    async with town.at_desk() as (watched, email, agent):
        page = watched.page
        live = await desk_call.ring(town.pool, email, agent)
        async with town.node_of(live) as orders:
            orders.open()
            await page.click("#order-hold button")
            async with asyncio.timeout(20):
                order = await orders.next()
            await desk_call.know(town.pool, live)
            await town.hint()
            await expect(page.locator("#caller-name")).to_have_text("Maud Lindqvist")
            await page.click("#order-hold button")
            async with town.pool.acquire() as connection:
                await connection.execute(
                    "INSERT INTO segment (conversation_id, ordinal, kind, started_at) VALUES ($1, 2, 'hold', now())",
                    live.call,
                )
            order.answered.set_result({"held": True})
            await expect(page.locator("#order-hold button")).to_have_text("Take the caller back")
        assert await town.pool.fetchval("SELECT count(*) FROM live_command WHERE conversation_id = $1", live.call) == 1


async def test_an_answer_that_is_lost_is_not_said_to_have_changed_nothing(town: Town) -> None:
    async with town.at_desk() as (watched, _, _):
        page = watched.page
        await page.route("**/desk/state", lambda route: route.abort())
        await page.click("#say-available button")
        await expect(page.locator("#toast")).to_contain_text("It is not known whether it was done")
        await page.unroute("**/desk/state")
        await page.click("#say-available button")
        await expect(page.locator("#desk-status")).to_contain_text("Ready")
        await expect(page.locator("#toast")).to_be_empty()
