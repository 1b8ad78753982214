"""A payer's own page in a real browser: on a small telephone, in both schemes, by hand and without any script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from support import edge, postgres, screens, services, world
from support.screens import NOTE_VIOLATIONS, SMALL, Watched, require_readable
from tenderline.core.ids import uuid7
from tenderline.notify.delivery import OWN_PAGE_LINK, PAY_LINK, STOP_LINK, link
from tenderline.store import db, people

pytestmark = pytest.mark.asyncio(loop_scope="module")

TELEPHONE = {"width": 360, "height": 740}
STATES = ("delivered", "accepted", "failed", "suppressed", "in_doubt")
MINE = """
INSERT INTO attempt (person_id, id, channel, purpose, contact_point_id, template, due_at, not_after, state, why,
    contacted_at, provider_ref, decision)
SELECT $1, $2::uuid, $3, 'first_party_recovery', $4, 'recovery', $5, $5, $6, $7, $5, $2::uuid::text, decision
FROM attempt
WHERE decision IS NOT NULL LIMIT 1
"""


@dataclass
class Town:
    """The running application, a browser, and somebody who was written to in every way."""

    base: str
    pool: Any
    running: Any
    browser: Browser

    @asynccontextmanager
    async def telephone(self, *, scheme: str = "light", script: bool = True) -> AsyncIterator[Watched]:
        """A small telephone that belongs to nobody yet."""
        context = await self.browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport=TELEPHONE,  # type: ignore[arg-type]
            java_script_enabled=script,
            device_scale_factor=2,
        )
        await context.add_init_script(NOTE_VIOLATIONS)
        watched = Watched(await context.new_page(), self.base)
        watched.look()
        try:
            yield watched
        finally:
            await context.close()

    async def payer(self) -> world.Debtor:
        """Somebody with a history by text and e-mail, and one more contact planned."""
        debtor = await world.make_debtor(self.pool, attempts_due=2)
        await world.claim(self.pool)
        await world.claim(self.pool)
        email = f"{uuid7().hex}@a-rather-long-name-of-a-host.example.org"
        async with self.pool.acquire() as connection, connection.transaction():
            await people.add_contact_point(connection, debtor.person_id, people.EMAIL, email)
            found = await people.find_by_address(connection, people.EMAIL, email)
        assert found
        for number, state in enumerate(STATES, 1):
            at = datetime.now(UTC) - timedelta(days=number)
            why = "the payer left it out" if state == "suppressed" else None
            await self.pool.execute(MINE, debtor.person_id, uuid7(), "email", found[1], at, state, why)
        return debtor

    def path(self, debtor: world.Debtor) -> str:
        """Where her page is."""
        return urlsplit(link(self.running, OWN_PAGE_LINK, debtor.person_id, debtor.contact_point_id)).path


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def town(server_url: str) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(screens.launched())
        url = await stack.enter_async_context(postgres.fresh_database(server_url, db.migrate))
        pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        port = edge.free_port()
        running = services.make(
            pool,
            messengers=[services.message_class("sms")],
            organisation="Hope House",
            public_url=f"http://127.0.0.1:{port}",
        )
        base, _ = await stack.enter_async_context(edge.server(running, port=port))
        yield Town(base, pool, running, browser)


async def require_good(watched: Watched, where: str) -> None:
    await require_readable(watched, where, widths=(360, 320, 1024))
    small = await watched.page.evaluate(SMALL)
    assert not small, (where, small)
    await watched.require_clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everybody_can_read_and_press_every_state_of_the_page(town: Town, scheme: str) -> None:
    debtor = await town.payer()
    async with town.telephone(scheme=scheme) as watched:
        page = watched.page
        await watched.go(town.path(debtor))
        for summary in await page.locator("summary").all():
            await summary.click()
        await require_good(watched, f"everything open ({scheme})")
        for name, said in (
            ("14 days", "Until your pause ends"),
            ("Turn off text messages", "We do not use this way any more"),
            ("End the pause now", "Your pause has ended"),
            ("Stop everything", "We ask you for nothing more"),
        ):
            await page.get_by_role("button", name=name).click()
            await expect(page.locator("[role=status]")).to_contain_text(said)
            await require_good(watched, f"{name} ({scheme})")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_somebody_of_whom_nothing_is_known_and_a_link_that_is_none_are_readable(town: Town, scheme: str) -> None:
    debtor = await world.make_debtor(town.pool, channel="email")
    await town.pool.execute("DELETE FROM attempt WHERE person_id = $1", debtor.person_id)
    await town.pool.execute("UPDATE person SET zone = NULL, place_version = '' WHERE id = $1", debtor.person_id)
    attempt_id = (await town.payer()).attempt_ids[0]
    pay, stop = (urlsplit(link(town.running, purpose, attempt_id)).path for purpose in (PAY_LINK, STOP_LINK))
    async with town.telephone(scheme=scheme) as watched:
        await watched.go(town.path(debtor))
        await expect(watched.page.locator("#where")).to_contain_text("We do not know what time it is")
        for path in (town.path(debtor), pay, stop):
            await watched.go(path)
            await require_good(watched, f"{path} ({scheme})")


async def test_the_page_works_without_any_script(town: Town) -> None:
    debtor = await town.payer()
    async with town.telephone(script=False) as watched:
        page = watched.page
        await watched.go(town.path(debtor))
        await page.get_by_role("button", name="Leave this one out").click()
        await expect(page.locator("[role=status]")).to_contain_text("will not be sent")
        await page.locator("#where summary").click()
        await page.select_option("#zone", "America/Denver")
        await page.get_by_role("button", name="Go by this time zone").click()
        await expect(page.locator("#where")).to_contain_text("Denver, because you told us")
        await page.locator("#where summary").click()
        await page.select_option("#country", "US")
        await page.fill("#region", "Nowhere")
        await page.get_by_role("button", name="Go by this address").click()
        await expect(page.locator("[role=alert]")).to_contain_text("We do not know this state")
        await page.get_by_role("button", name="7 days").click()
        await expect(page.locator("#next")).to_contain_text("You have a pause")


async def test_the_link_on_the_pay_page_opens_it(town: Town) -> None:
    debtor = await town.payer()
    async with town.telephone() as watched:
        await watched.go(urlsplit(link(town.running, PAY_LINK, debtor.attempt_ids[0])).path)
        await watched.page.get_by_role("link", name="What we send you and why").click()
        await expect(watched.page.locator("h1")).to_have_text("What we send you")
        await watched.require_clean()
