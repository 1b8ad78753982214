"""The screens of distress and of callbacks: everybody can read and reach them, in light and in dark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from support import edge, postgres, screens, services, world
from support.live_calls import make_call
from support.screens import NOTE_VIOLATIONS, SMALL, Watched, picture, require_readable
from tenderline.campaigns import callbacks
from tenderline.campaigns.callbacks import Wish
from tenderline.store import db

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with screens.launched() as made:
        yield made


async def fill(made: Any) -> Any:
    """A call that lasts, and callbacks ahead and over."""
    at = world.ahead(1, 14, "America/New_York")
    for number in ("+12025550181", "+12025550182"):
        async with made.pool.acquire() as connection, connection.transaction():
            wish = Wish(number=number, at=at, zone="America/New_York", note="asks about the gala")
            kept = await callbacks.schedule(made, connection, wish, by="anna@example.org")
    async with made.pool.acquire() as connection, connection.transaction():
        await callbacks.close(connection, kept.id, is_done=True, by="anna@example.org")
    return await make_call(made.pool, "+12025550180")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_supervisor_reads_and_reaches_all_of_it(server_url: str, browser: Browser, scheme: str) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgres.fresh_database(server_url, db.migrate))
        pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        email, port = await edge.make_user(pool), edge.free_port()
        made = services.make(pool, public_url=f"http://127.0.0.1:{port}")
        base, _ = await stack.enter_async_context(edge.server(made, port=port))
        call = await fill(made)
        context = await browser.new_context(color_scheme=scheme, viewport={"width": 1440, "height": 900})  # type: ignore[arg-type]
        stack.push_async_callback(context.close)
        await context.add_init_script(NOTE_VIOLATIONS)
        watched = Watched(await context.new_page(), base)
        watched.look()
        page = watched.page
        await watched.go("/sign-in")
        await page.fill("#email", email)
        await page.fill("#password", edge.PASSWORD)
        await page.click("button[type=submit]")
        await page.wait_for_url(f"{base}/")
        await watched.go(f"/calls/{call}")
        await page.get_by_text("The caller is in distress").click()
        await require_readable(watched, f"the button ({scheme})")
        await picture(watched.page, f"distress-button-{scheme}")
        await page.fill("#distress-reason", "says her nephew makes her pay")
        await page.get_by_role("button", name="Tell a supervisor, stop payment").click()
        await expect(page.locator("#distress")).to_contain_text("Payment is off for this call")
        await expect(page.locator("#secure-start")).to_have_count(0)
        for path in (f"/calls/{call}", "/callbacks", "/distress"):
            await watched.go(path)
            await require_readable(watched, f"{path} ({scheme})")
            small = [one for _, one in await page.evaluate(SMALL) if not one.startswith("<a ")]
            assert not small, (path, small)
            await picture(watched.page, f"distress-{path.split('/')[1]}-{scheme}")
        await page.get_by_label("Why contacts may go on").fill("spoke with her and her daughter")
        await page.get_by_role("button", name="Lift the hold").click()
        await expect(page.locator("main")).to_contain_text("Nobody is held")
        await require_readable(watched, f"nobody held ({scheme})")
        await watched.require_clean()
