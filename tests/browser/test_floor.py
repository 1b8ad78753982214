"""The floor in a real browser: readable in light and dark, by keyboard, live, with times that run and stay in place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from browser.test_screens import HIDE, LIVE, Desk
from support import edge, floor_life, postgres, screens, services
from support.screens import SMALL, picture, require_readable
from tenderline.store import agents, alerts, db, events, presence
from tenderline.web import stream

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with screens.launched() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def desk(server_url: str, browser: Browser) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgres.fresh_database(server_url, db.migrate))
        pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        email = await edge.make_user(pool)
        port = edge.free_port()
        made = services.make(pool, public_url=f"http://127.0.0.1:{port}")
        base, app = await stack.enter_async_context(edge.server(made, port=port))
        yield Desk(base, pool, browser, app, email)


async def fill(desk: Desk) -> dict[str, Any]:
    async with desk.pool.acquire() as connection:
        return await floor_life.busy(connection)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_floor_and_what_its_numbers_open_are_readable(desk: Desk, scheme: str) -> None:
    async with desk.signed_in(scheme=scheme) as watched:
        await watched.go("/floor")
        await require_readable(watched, f"empty floor ({scheme})")
        ids = await fill(desk)
        paths = [
            "/floor",
            "/floor/callers?queue=general&period=lately&what=level",
            "/floor/callers?what=waiting",
            "/floor/agents?doing=busy",
            "/floor/callbacks?which=overdue",
            "/floor/look-ups?what=asked",
            f"/floor/agents/{ids['anna']}",
            f"/floor/alerts/{ids['alert']}",
            f"/floor?call={ids['call']}&mode=whisper",
        ]
        for path in paths:
            await watched.go(path)
            await require_readable(watched, f"{path} ({scheme})")
            assert not (small := await watched.page.evaluate(SMALL)), (path, small)
            await picture(watched.page, f"{path.partition('?')[0].strip('/').replace('/', '_')}-{scheme}")
        await watched.go("/floor")
        await watched.page.get_by_role("link", name="bob", exact=True).click()
        await expect(watched.page.locator("#panel #agent-assign")).to_be_visible()
        await require_readable(watched, f"panel ({scheme})")
        await watched.require_clean()


async def test_the_bar_over_each_page_is_one_row_on_a_small_screen_of_a_desk(desk: Desk) -> None:
    async with desk.signed_in() as watched:
        await watched.page.set_viewport_size({"width": 1280, "height": 800})
        for path in ("/floor", "/desk", "/do-not-contact"):
            await watched.go(path)
            bar = await watched.page.evaluate("document.querySelector('header.bar').getBoundingClientRect().height")
            assert bar < 70, (path, bar)


RUNNING = """() => {
  const one = document.querySelector("#floor-callers time[data-run]");
  const before = one.getBoundingClientRect(), words = one.textContent;
  return new Promise((done) => {
    const look = () => {
      if (one.textContent === words) { requestAnimationFrame(look); return; }
      const after = one.getBoundingClientRect();
      done({jumped: before.left !== after.left || before.width !== after.width, words, now: one.textContent});
    };
    look();
  });
}"""


async def test_times_run_on_without_asking_and_nothing_jumps(desk: Desk) -> None:
    await fill(desk)
    async with desk.signed_in() as watched:
        await watched.go("/floor")
        await watched.page.wait_for_selector(LIVE)
        asked = len(watched.asked)
        ran = await watched.page.evaluate(RUNNING)
        assert ran["now"] != ran["words"]
        assert ":" in ran["now"]
        assert not ran["jumped"]
        assert len(watched.asked) == asked, watched.asked[asked:]


async def test_an_agent_is_moved_by_keyboard_alone(desk: Desk) -> None:
    ids = await fill(desk)
    async with desk.signed_in() as watched:
        page = watched.page
        await watched.go("/floor")
        await page.wait_for_selector(LIVE)
        link = page.get_by_role("link", name="bob", exact=True)
        await link.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#panel")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#panel")).to_be_hidden()
        await expect(link).to_be_focused()
        await page.keyboard.press("Enter")
        box = page.get_by_role("checkbox", name="general")
        await expect(box).to_be_checked()
        await box.focus()
        await page.keyboard.press("Space")
        await page.get_by_label("legacy_gifts").select_option("5")
        await page.get_by_role("button", name="Keep queues and skills").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(f"#agent-{ids['bob']}")).to_contain_text("legacy gifts 5")
        await watched.require_clean()
    async with desk.pool.acquire() as connection:
        found = await agents.get(connection, ids["bob"])
    assert (found.queues, found.skills) == (["specialists"], {"legacy_gifts": 5})


async def test_what_happens_shows_by_the_stream_and_keeps_the_focus(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(stream, "TICK_S", 3600.0)
    ids = await fill(desk)
    async with desk.signed_in() as watched:
        page = watched.page
        await watched.go("/floor")
        await page.wait_for_selector(LIVE)
        link = page.get_by_role("link", name="bob", exact=True)
        await link.focus()
        async with desk.pool.acquire() as connection:
            await presence.say(connection, ids["bob"], "available", reason=None, by="test")
            raised = await alerts.raise_one(connection, "escalation", ids["self"], None, {"reason": "she asks"})
        await events.hint(desk.pool)
        await expect(page.locator(f"#alert-{raised}")).to_contain_text("she asks")
        await expect(page.locator(f"#agent-{ids['bob']}")).to_contain_text("Available")
        await expect(link).to_be_focused()
        await expect(page).to_have_title("(3) Floor · Tenderline")
        await page.locator(f"#alert-{raised}").get_by_role("button", name="Take").click()
        await expect(page.locator(f"#alert-{raised}")).to_contain_text(f"taken by {desk.email}")
        await page.locator(f"#alert-{raised}").get_by_role("link", name="Close").click()
        await page.get_by_label("What was done").fill("talked to her")
        await page.get_by_role("button", name="Close the alert").click()
        await expect(page.locator(f"#alert-{raised}")).to_have_count(0)
        await expect(page).to_have_title("(2) Floor · Tenderline")
        await watched.require_clean()


async def test_a_hidden_floor_still_hears_of_an_alert(desk: Desk) -> None:
    await fill(desk)
    async with desk.signed_in() as watched:
        page = watched.page
        await watched.go("/floor")
        await page.wait_for_selector(LIVE)
        await page.evaluate(HIDE, True)
        await expect(page.locator("#stream")).to_have_count(0)
        async with desk.pool.acquire() as connection:
            await alerts.raise_one(connection, "distress", None, None, {"reason": "scam"})
        await expect(page).to_have_title("(3) Floor · Tenderline")
        await watched.require_clean()
