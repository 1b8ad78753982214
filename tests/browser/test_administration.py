"""The administration in a real browser: readable by everybody, narrow and dark, and set by the keyboard alone.

A missing browser is a failure, never a skip: on Debian and Ubuntu `apt-get install chromium` brings it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from support import edge, postgres, screens, services
from support.screens import NOTE_VIOLATIONS, Watched, picture, require_readable
from tenderline.core.queue_rings import Ring
from tenderline.store import access, agents, db, queues
from tenderline.store.queues import Queue

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = "<b>" + "x" * 70 + "</b>"
PATHS = ["/admin", "/admin/queues", "/admin/queues/major_gifts", "/admin/queues/new", "/admin/skills", "/admin/agents",
         "/admin/agents/new", "/admin/dispositions", "/admin/dispositions/call_back", "/admin/scripts",
         "/admin/scripts/new", "/admin/users", "/admin/roles", "/admin/clients", "/admin/settings", "/admin/audit",
         "/password", "USER"]  # fmt: skip


@dataclass
class Office:
    """The running application, a browser, and an administrator."""

    base: str
    pool: Any
    browser: Browser

    @asynccontextmanager
    async def signed_in(self, *, scheme: str = "light", width: int = 1440) -> AsyncIterator[Watched]:
        """A browser profile of the administrator's."""
        context = await self.browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
        await context.add_init_script(NOTE_VIOLATIONS)
        try:
            watched = Watched(await context.new_page(), self.base)
            await watched.go("/sign-in")
            await watched.page.fill("#email", "admin@example.org")
            await watched.page.fill("#password", edge.PASSWORD)
            await watched.page.click("button[type=submit]")
            await watched.page.wait_for_url(f"{self.base}/")
            watched.look()
            yield watched
        finally:
            await context.close()


async def fill(pool: Any) -> None:
    """A queue with rings, agents, and names that are long and mean harm."""
    async with pool.acquire() as connection:
        for name, title in (("spanish", "Spanish"), ("legacies", LONG)):
            await queues.put_skill(connection, name, title, by="test")
        await queues.ensure(connection, ["general", "supervisor"], by="test")
        rings = (
            Ring(proficiency_min=3),
            Ring(after_s=30, proficiency_min=2, queues_joined=("general",)),
            Ring(after_s=90, skills_dropped=("legacies", "spanish"), queues_joined=("supervisor",)),
        )
        queue = Queue(name="major_gifts", title=LONG, rings=rings, tiers={"Platinum": 5}, callback_after_s=60)
        await queues.put(connection, queue, by="test")
        for name in ("Ann", LONG):
            await agents.make(connection, name=name, of_queues=["general"], skills={"spanish": 4}, by="test")
        async with connection.transaction():
            await access.add_user(
                connection, email="long@example.org", name=LONG, password=edge.PASSWORD, role="viewer", by="test"
            )
            await access.add_client(connection, name=LONG, scopes=["outbound:read", "integration:all"], by="test")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def office(server_url: str) -> AsyncIterator[Office]:
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(screens.launched())
        url = await stack.enter_async_context(postgres.fresh_database(server_url, db.migrate))
        pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        await edge.make_user(pool, role="admin")
        await fill(pool)
        port = edge.free_port()
        made = services.make(pool, public_url=f"http://127.0.0.1:{port}")
        base, _ = await stack.enter_async_context(edge.server(made, port=port))
        yield Office(base, pool, browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_readable_quiet_and_fits_a_narrow_window(office: Office, scheme: str) -> None:
    user_id = await office.pool.fetchval("SELECT id FROM app_user WHERE role = 'viewer'")
    async with office.signed_in(scheme=scheme, width=1280) as watched:
        for path in PATHS:
            path = path.replace("USER", f"/admin/users/{user_id}")  # known only now
            await watched.go(path)
            await require_readable(watched, f"{path} ({scheme})", widths=(1024, 512, 360))
            await watched.require_clean()
            await picture(watched.page, f"{scheme}{path.replace('/', '_')}")


async def test_a_queue_is_made_by_the_keyboard_and_what_is_wrong_stands_beside_its_field(office: Office) -> None:
    async with office.signed_in(width=1024) as watched:
        page = watched.page
        await watched.go("/admin/queues/new")
        await page.focus("#f-name")
        await page.keyboard.type("donors")
        await page.keyboard.press("Tab")
        await page.keyboard.type("Donors")
        await page.focus("#f-ring-1-after")
        await page.keyboard.type("soon")
        await page.keyboard.press("Enter")
        wrong = page.locator("#f-ring-1-after")
        await expect(wrong).to_have_attribute("aria-invalid", "true")
        await expect(page.locator("#wrong-ring-1-after")).to_contain_text("not “soon”")
        await expect(page.locator(".notice[role=alert]")).to_contain_text("Nothing was changed")
        await expect(page.locator("#f-title")).to_have_value("Donors")
        await require_readable(watched, "refused queue")
        await picture(watched.page, "refused_queue")
        await wrong.fill("30")
        await page.get_by_role("group", name="Ring 2").get_by_label("general").focus()
        await page.keyboard.press("Space")
        await page.get_by_role("button", name="Draw what is typed").press("Enter")
        await expect(page.locator("svg.reach")).to_be_visible()
        await expect(page.locator(".steps li").nth(1)).to_contain_text("also the agents of general")
        await picture(watched.page, "drawn_queue")
        await page.get_by_role("button", name="Add the queue").press("Enter")
        await page.wait_for_url("**/admin/queues#queue-donors")
        assert await office.pool.fetchval("SELECT count(*) FROM queue WHERE name = 'donors'") == 1


async def test_a_new_user_signs_in_once_and_chooses_her_own_password(office: Office) -> None:
    async with office.signed_in() as watched:
        page = watched.page
        await watched.go("/admin/users")
        await page.fill("#f-email", "new@example.org")
        await page.fill("#f-name", "New")
        await page.get_by_role("button", name="Add the user").press("Enter")
        given = await page.inner_text("#password")
        await require_readable(watched, "password")
        await picture(watched.page, "password_once")
        await watched.require_clean()
    context = await office.browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{office.base}/sign-in")
        await page.fill("#email", "new@example.org")
        await page.fill("#password", given)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/password")
        await page.fill("#f-current", given)
        await page.fill("#f-chosen", edge.PASSWORD)
        await page.fill("#f-again", edge.PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/sign-in?changed")
        await expect(page.locator("[role=status]")).to_contain_text("Your password is changed")
    finally:
        await context.close()
