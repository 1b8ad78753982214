"""The screens in a real browser: what is live, what the four traps do, and that everybody can read and reach it.

A missing browser is a failure, never a skip: on Debian and Ubuntu `apt-get install chromium` brings it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from litestar import Litestar, Response, get, post
from litestar.datastructures import State
from playwright.async_api import Browser, BrowserContext, expect

from support import edge, money_rows, postgres, screens, services, told, world
from support.bank_town import until
from support.screens import NOTE_VIOLATIONS, SMALL, Watched, require_readable
from tenderline.core.clock import utc_now
from tenderline.core.events import CaseHeld, CaseOpened, MessageReceived, PaymentFailed
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.messengers.base import Channel, IncomingMessage
from tenderline.people import replies
from tenderline.store import db, events, jobs
from tenderline.store.inbox import Inbox
from tenderline.web import stream
from tenderline.web.pages import SecurityHeaders, lead_to

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIVE = "#live-state[data-state=live]"
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@dataclass
class Desk:
    """The running application, a browser, and its rows."""

    base: str
    pool: Any
    browser: Browser
    app: Any
    email: str

    @asynccontextmanager
    async def visitor(self, *, scheme: str = "light", width: int = 1440) -> AsyncIterator[Watched]:
        """A browser profile of its own, not signed in."""
        context = await self.browser.new_context(
            color_scheme=scheme,
            viewport={"width": width, "height": 900},  # type: ignore[arg-type]
        )
        await context.add_init_script(NOTE_VIOLATIONS)
        try:
            yield await self.tab(context)
        finally:
            await context.close()

    async def tab(self, context: BrowserContext) -> Watched:
        """A new tab of a profile."""
        watched = Watched(await context.new_page(), self.base)
        watched.look()
        return watched

    @asynccontextmanager
    async def signed_in(self, **options: Any) -> AsyncIterator[Watched]:
        """A browser profile signed in as a supervisor, on the board."""
        async with self.visitor(**options) as watched:
            await watched.go("/sign-in")
            await watched.page.fill("#email", self.email)
            await watched.page.fill("#password", edge.PASSWORD)
            await watched.page.click("button[type=submit]")
            await watched.page.wait_for_url(f"{self.base}/")
            yield watched

    async def tell(self, *told: Any) -> None:
        """Something happens elsewhere in the system."""
        async with self.pool.acquire() as connection, connection.transaction():
            await events.append(connection, told)
        await events.hint(self.pool)


@asynccontextmanager
async def desk_on(server_url: str, browser: Browser, *, with_rows: bool) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgres.fresh_database(server_url, db.migrate))
        pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        email = await edge.make_user(pool)
        if with_rows:
            await fill(pool)
        port = edge.free_port()
        made = services.make(pool, messengers=[services.message_class("sms")], public_url=f"http://127.0.0.1:{port}")
        base, app = await stack.enter_async_context(edge.server(made, port=port))
        yield Desk(base, pool, browser, app, email)


async def fill(pool: Any) -> None:
    """Something of every kind: allowed, held, dead, of a card-like number and of a long word."""
    for zone in (world.zone_by_day(), world.zone_by_night(), world.zone_by_day()):
        debtor = await world.make_debtor(pool, zone=zone)
        about = {"person_id": debtor.person_id, "payment_id": debtor.payment_id, "case_id": debtor.case_id}
        failed = PaymentFailed(
            person_id=debtor.person_id, payment_id=debtor.payment_id, amount="$25.00", reason="do_not_honor"
        )
        text = "my card is 4242424242424242 " + "x" * 90
        wrote = MessageReceived(person_id=debtor.person_id, channel="sms", text=text)
        opened = CaseOpened(**about, amount="$25.00", reason="do_not_honor")
        async with pool.acquire() as connection, connection.transaction():
            await events.append(connection, [failed, opened, wrote])
    await world.claim(pool)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE recovery_case SET state = 'held', held_why = 'two people', held_by = 'system' WHERE id = $1",
            debtor.case_id,
        )
        await jobs.enqueue(connection, "open_case", b"{}", key="one")
    await pool.execute("UPDATE pgqueuer SET status = 'failed'")
    async with pool.acquire() as connection, connection.transaction():
        unclear = IncomingMessage(
            channel=Channel.SMS, sender=debtor.address, text="stop by tomorrow? " + "y" * 90, provider_reference="SM1"
        )
        await replies.on_message(connection, unclear, utc_now())
    async with Inbox(pool) as receiving:
        for number in range(2):
            envelope = Envelope(event_id=f"evt_{number}", event_type="a.b", urgency=Urgency.OTHER, body=b"{}")
            await receiving.receive("stripe", envelope)
    await told.fill(pool)
    await money_rows.fill(pool)
    await pool.execute(
        "UPDATE inbox SET state = 'dead', error = 'KeyError: ' || repeat('y', 200) WHERE event_id = 'evt_0'"
    )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with screens.launched() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def desk(server_url: str, browser: Browser) -> AsyncIterator[Desk]:
    async with desk_on(server_url, browser, with_rows=True) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def empty_desk(server_url: str, browser: Browser) -> AsyncIterator[Desk]:
    async with desk_on(server_url, browser, with_rows=False) as made:
        yield made


async def discard_path(desk: Desk) -> str:
    """Where somebody confirms that a webhook is given up."""
    return f"/dead-letters/webhooks/{await desk.pool.fetchval('SELECT id FROM inbox WHERE state = $1', 'dead')}/discard"


RHODE_ISLAND = "/rules?region=US-RI&purpose=telemarketing&channel=sms&kind=hours"
PATHS = ["/", "/cases", "/cases?state=held", "/attempts", "/attempts?state=failed", "/inbox", "/dead-letters", "CASE",
         "/review", "/outgoing", "/calls", "/payments", "/payments/unmatched", "/lines", "/segments", "/flows/welcome",
         RHODE_ISLAND]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_screen_is_readable_quiet_and_asks_nobody_else(desk: Desk, scheme: str) -> None:
    case_ids = [row["id"] for row in await desk.pool.fetch("SELECT id FROM recovery_case")]
    async with desk.signed_in(scheme=scheme) as watched:
        paths = [one for one in PATHS if one != "CASE"] + [f"/cases/{case_id}" for case_id in case_ids]
        paid = await desk.pool.fetchval("SELECT payment_id FROM refund LIMIT 1")
        for path in [*paths, f"/payments/{paid}", await discard_path(desk)]:
            await watched.go(path)
            await require_readable(watched, f"{path} ({scheme})")
            await watched.require_clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_empty_screens_and_the_sign_in_are_readable_too(empty_desk: Desk, scheme: str) -> None:
    async with empty_desk.visitor(scheme=scheme) as watched:
        for path in ("/sign-in", "/sign-in?ended"):
            await watched.go(path)
            await require_readable(watched, f"{path} ({scheme})")
        await watched.page.fill("#email", empty_desk.email)
        await watched.page.fill("#password", "not the password")
        await watched.require_clean()
        await watched.page.click("button[type=submit]")
        await expect(watched.page.locator("[role=alert]")).to_contain_text("not right")
        await require_readable(watched, "refused sign-in")
    async with empty_desk.signed_in(scheme=scheme) as watched:
        for path in [one for one in PATHS if one != "CASE"]:
            await watched.go(path)
            await require_readable(watched, f"empty {path} ({scheme})")
        await watched.require_clean()
        await watched.page.goto(f"{empty_desk.base}/cases/00000000-0000-7000-8000-000000000000")
        await require_readable(watched, "error page")


async def gate_paths(desk: Desk) -> list[str]:
    """The pages that explain the gate: each kind of answer, and each step of changing a rule."""
    rows = await desk.pool.fetch("SELECT id, person_id, case_id FROM attempt")
    paths = [f"/attempts/{row['id']}/why" for row in rows]
    for query in ("", "&channel=sms&at=2026-01-05T20:55&clock=UTC", "&channel=sms", "&channel=fax"):
        paths.append(f"/people/{rows[0]['person_id']}/ask?case={rows[0]['case_id']}{query}")
    steps = ("", "/change", "/off", "/as-shipped")
    return [*paths, "/rules", "/rules/new", *(f"/rules/OWN-HOURS{step}" for step in steps), "/rules/OWN-CAP-24H"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_gates_answers_and_rules_are_readable_and_a_change_takes_two_looks(desk: Desk, scheme: str) -> None:
    email = await edge.make_user(desk.pool, "compliance", f"{scheme}@example.org")
    async with replace(desk, email=email).signed_in(scheme=scheme) as watched:
        page = watched.page
        await watched.go("/rules/OWN-CAP-24H/change")
        written = await page.input_value("#rule-text")
        await page.fill("#rule-text", written.replace("count = 1", "count = one"))
        await page.fill("#rule-why", "a test")
        await page.get_by_role("button", name="Look at the change").click()
        await expect(page.locator(".notice[role=alert]")).to_contain_text("not valid TOML")
        await require_readable(watched, f"a mistake ({scheme})")
        await page.fill("#rule-text", written.replace("count = 1", "count = 2"))
        await page.get_by_role("button", name="Look at the change").click()
        await expect(page.locator(".goes")).to_contain_text("count = 1")
        await require_readable(watched, f"a change ({scheme})")
        await page.get_by_role("button", name="Put it in force").click()
        await expect(page.locator("#rule-history")).to_contain_text(f"Changed by {email}: a test")
        watched.wrong.clear()  # the browser notes the 422 of the mistake
        for path in await gate_paths(desk):
            await watched.go(path)
            await require_readable(watched, f"{path} ({scheme})")
            assert not (small := await page.evaluate(SMALL)), (path, small)
        watched.wrong = [one for one in watched.wrong if "422" not in one]  # that of the channel that there is not
        await watched.require_clean()
        await watched.go("/rules/OWN-CAP-24H/as-shipped")
        await page.fill("#confirm-why", "enough")
        await page.get_by_role("button", name="Bring it back").click()
        await expect(page.locator("#rule-history")).to_contain_text("Taken back by")


async def test_what_happens_shows_on_the_board_by_the_stream_alone(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(stream, "TICK_S", 3600.0)
    async with desk.signed_in() as watched:
        await watched.page.wait_for_selector(LIVE)
        debtor = await world.make_debtor(desk.pool)
        opened = CaseOpened(person_id=debtor.person_id, case_id=debtor.case_id, amount="$77.00", reason="unknown")
        await desk.tell(opened)
        await expect(watched.page.locator("#board-events")).to_contain_text("Case opened: $77.00")
        await expect(watched.page.locator(f"#case-{debtor.case_id}")).to_be_visible()
        assert not [url for url in watched.asked if url.endswith("/board/live")]
        await watched.require_clean()


async def test_a_case_page_is_live_and_keeps_what_is_being_typed(desk: Desk) -> None:
    debtor = await world.make_debtor(desk.pool)
    await world.claim(desk.pool)
    async with desk.signed_in() as watched:
        page = watched.page
        await watched.go(f"/cases/{debtor.case_id}")
        await page.wait_for_selector(LIVE)
        await page.locator(f"#said-{debtor.attempt_ids[0]} summary").click()
        await page.locator("#hold-why").press_sequentially("she called")
        await desk.tell(CaseHeld(person_id=debtor.person_id, case_id=debtor.case_id, why="a test says so"))
        await expect(page.locator("#case-timeline")).to_contain_text("a test says so")
        await expect(page.locator("#hold-why")).to_be_focused()
        await expect(page.locator("#hold-why")).to_have_value("she called")
        await expect(page.locator(f"#said-{debtor.attempt_ids[0]}")).to_have_attribute("open", "")
        await page.get_by_role("button", name="Hold").click()
        await expect(page.locator("#case-state-words")).to_contain_text("she called")
        await page.get_by_role("button", name="Release").click()
        await expect(page.locator("#case-state-words")).to_contain_text("Being recovered")
        await watched.require_clean()


async def test_many_tabs_share_one_stream_and_all_stay_up_to_date(desk: Desk) -> None:
    async with desk.signed_in() as first:
        await first.page.wait_for_selector(LIVE)
        tabs = [await desk.tab(first.page.context) for _ in range(7)]
        for tab in tabs:
            await tab.go("/")
        hub = stream.hub_of(desk.app.state, desk.app.state.services)
        await until(lambda: hub.screens == 1, "one stream for all")
        debtor = await world.make_debtor(desk.pool)
        await desk.tell(CaseHeld(person_id=debtor.person_id, case_id=debtor.case_id, why="all tabs see this"))
        for tab in (first, *tabs):
            await expect(tab.page.locator("#board-events")).to_contain_text("all tabs see this")
        assert hub.screens == 1
        await first.page.close()
        waiting = tabs[0].page.locator("#live-state")
        await expect(waiting).to_have_attribute("data-state", "live")
        await until(lambda: hub.screens == 1, "the first one's stream to be gone")
        for tab in tabs:
            await tab.require_clean()


async def test_a_hidden_tab_lets_its_stream_go_and_catches_up_when_it_is_seen_again(desk: Desk) -> None:
    async with desk.signed_in() as watched:
        page = watched.page
        await page.wait_for_selector(LIVE)
        hub = stream.hub_of(desk.app.state, desk.app.state.services)
        await page.evaluate(HIDE, True)
        await expect(page.locator("#stream")).to_have_count(0)
        await until(lambda: hub.screens == 0, "the stream to be gone")
        debtor = await world.make_debtor(desk.pool)
        async with desk.signed_in() as elsewhere:
            await elsewhere.page.wait_for_selector(LIVE)
            await desk.tell(CaseHeld(person_id=debtor.person_id, case_id=debtor.case_id, why="while nobody looked"))
            await expect(elsewhere.page.locator("#board-events")).to_contain_text("while nobody looked")
        await expect(page.locator("#board-events")).not_to_contain_text("while nobody looked")
        await page.evaluate(HIDE, False)
        await expect(page.locator("#board-events")).to_contain_text("while nobody looked")
        await page.wait_for_selector(LIVE)
        await until(lambda: hub.screens == 1, "one stream again")
        await watched.require_clean()


async def test_an_error_is_told_in_one_place_and_never_swapped_in(desk: Desk) -> None:
    async with desk.signed_in() as watched:
        page = watched.page
        await page.route("**/stream/board", lambda route: route.fulfill(status=500, body="<p>broken</p>"))
        await page.route("**/board/live", lambda route: route.fulfill(status=500, body="<p>broken</p>"))
        await page.reload()
        await expect(page.locator("#toast")).to_contain_text("answered 500")
        await expect(page.locator("#live-state")).to_have_attribute("data-state", "lost")
        await expect(page.locator("#tiles")).to_be_visible()
        await expect(page.locator("body")).not_to_contain_text("broken")
        await page.unroute("**/board/live")
        await expect(page.locator("#live-state")).to_have_attribute("data-state", "poll")
        await expect(page.locator("#toast")).to_be_empty()


async def test_a_screen_whose_sign_in_ended_goes_to_the_form_and_says_why(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(stream, "SESSION_CHECK_S", 0.0)
    async with desk.signed_in() as watched:
        await watched.page.wait_for_selector(LIVE)
        await desk.pool.execute("DELETE FROM session")
        await events.hint(desk.pool)
        await watched.page.wait_for_url("**/sign-in?ended**")
        await expect(watched.page.locator("[role=status]")).to_contain_text("Your sign-in ended")
        await watched.require_clean()


async def test_a_screen_is_live_again_after_the_server_was_away(server_url: str, browser: Browser) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgres.fresh_database(server_url, db.migrate))
        pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        email, port = await edge.make_user(pool), edge.free_port()
        made = services.make(pool)
        async with AsyncExitStack() as first:
            base, app = await first.enter_async_context(edge.server(made, port=port))
            desk = Desk(base, pool, browser, app, email)
            watched = await stack.enter_async_context(desk.signed_in())
            await watched.page.wait_for_selector(LIVE)
        await expect(watched.page.locator("#live-state")).to_have_attribute("data-state", "lost")
        debtor = await world.make_debtor(pool)
        await desk.tell(CaseHeld(person_id=debtor.person_id, case_id=debtor.case_id, why="while it was away"))
        await stack.enter_async_context(edge.server(made, port=port))
        await expect(watched.page.locator("#live")).to_contain_text("while it was away")
        await watched.page.wait_for_selector(LIVE)
        await expect(watched.page.locator("#toast")).to_be_empty()


async def test_targets_are_large_enough_to_hit(desk: Desk) -> None:
    case_id = await desk.pool.fetchval("SELECT id FROM recovery_case LIMIT 1")
    async with desk.signed_in() as watched:
        for path in ("/", "/cases", "/dead-letters", "/review", f"/cases/{case_id}", await discard_path(desk)):
            await watched.go(path)
            small = await watched.page.evaluate(SMALL)
            assert not small, (path, small)


# In a list no element may paint over its neighbours, whatever somebody calls herself.
SPILLS = """() => [...document.querySelectorAll(".row-link, .row-name, .events a, .events strong, .case-head h1")]
  .filter((e) => e.scrollWidth > e.clientWidth || getComputedStyle(e).overflowY !== "clip")
  .map((e) => e.outerHTML.slice(0, 120))"""
TOO_WIDE = """() => [...document.querySelectorAll(".rows")]
  .filter((e) => e.getBoundingClientRect().width > Math.max(e.parentElement.clientWidth, 800) + 1)
  .map((e) => e.getBoundingClientRect().width)"""


@pytest.mark.parametrize("width", [1280, 390])
async def test_no_name_and_no_reply_moves_or_covers_what_stands_beside_it(desk: Desk, width: int) -> None:
    names = ("W" * 500, "Z" + "\u0301\u0323" * 200 + "algo", "\u202eesrever \u05d0\u05d1", "two words " * 50)
    async with desk.pool.acquire() as connection, connection.transaction():
        for name in names:
            debtor = await world.make_debtor(desk.pool, zone=world.zone_by_day())
            await connection.execute("UPDATE person SET name = $2 WHERE id = $1", debtor.person_id, name)
            about = {"person_id": debtor.person_id, "case_id": debtor.case_id}
            await events.append(connection, [MessageReceived(**about, channel="sms", text=name)])
            why = "UPDATE recovery_case SET state = 'held', held_why = $2, held_by = 'system' WHERE id = $1"
            await connection.execute(why, debtor.case_id, name[:200])
    async with desk.signed_in(width=width) as watched:
        for path in ("/", "/cases", "/attempts", f"/cases/{debtor.case_id}"):
            await watched.go(path)
            assert await watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert not await watched.page.evaluate(SPILLS), path
            assert not await watched.page.evaluate(TOO_WIDE), path


async def test_a_posted_form_can_lead_to_another_site_under_the_strict_policy(desk: Desk) -> None:
    @get("/", media_type="text/html")
    async def form() -> str:
        return '<form method="post"><button>Pay</button></form>'

    @post("/", status_code=200)
    async def go() -> Response[str]:
        return lead_to(f"{desk.base}/sign-in")

    app = Litestar([form, go], middleware=[SecurityHeaders()], state=State({"services": desk.app.state.services}))
    async with edge.serving(app, port=edge.free_port()) as base, desk.visitor() as watched:
        await watched.page.goto(base)
        await watched.page.click("button")
        await watched.page.wait_for_url(f"{desk.base}/sign-in")
