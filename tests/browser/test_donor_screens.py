"""Segments and the donor of a call, in a real browser: readable in light and dark, tried and changed by keyboard."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from support import edge, screens, services
from support.screens import NOTE_VIOLATIONS, Watched, picture, require_readable
from tenderline.core.donor import Donor, Given
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.store import conversations, donors, voice_nodes
from tenderline_sandbox.crm import PATH, DonorCrm
from tenderline_sandbox.settings import SandboxSettings

NUMBER = "+12025550161"


async def a_call_of_a_donor(pool):
    call, node, now = uuid7(), uuid7(), datetime.now(UTC)
    donor = Donor(
        crm_id="D-1001", name="Eleanor Whitfield", phone=NUMBER, tier="Platinum", language="en",
        lifetime_value=Money(1_250_000, "USD"), last_gift=Given(now.date(), Money(250_000, "USD")), gift_count=2,
        gifts_last_year=1, preferred_agent="maria", notes=("Prefers to be called in the morning",),
    )  # fmt: skip
    told = donors.Told(
        conversation_id=call, caller=NUMBER, crm="rest", state="found", is_late=True, took_ms=5_100, donor=donor,
        segment="High_Value_Donor", segment_why="lifetime > high_value || gifts_last_year >= repeat_gifts",
    )  # fmt: skip
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, node, "192.0.2.1:5060", 150)
        started = conversations.Started(call, node, "inbound", NUMBER, "+18005550123", None, None, None, None, now)
        await conversations.start(connection, started)
        await conversations.segment(connection, call, 1, "ivr", "", now)
        await donors.tell(connection, told)
    return call


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_donor_is_seen_on_the_call_and_rules_are_tried_and_put_in_force(pool, scheme):
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.add_routes(DonorCrm(SandboxSettings()).routes())
        town = await stack.enter_async_context(TestServer(app))
        port = edge.free_port()
        made = services.make(
            pool,
            public_url=f"http://127.0.0.1:{port}",
            crm__kind="rest",
            crm_rest__url=f"http://127.0.0.1:{town.port}{PATH}",
            crm_rest__client_id="tenderline",
            crm_rest__client_secret="sandbox-crm-secret",
        )
        stack.push_async_callback(made.crm.close)
        base, _ = await stack.enter_async_context(edge.server(made, port=port))
        call, email = await a_call_of_a_donor(pool), await edge.make_user(pool, role="admin")
        browser = await stack.enter_async_context(screens.launched())
        context = await browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 1000})
        await context.add_init_script(NOTE_VIOLATIONS)
        watched = Watched(await context.new_page(), base)
        watched.look()
        page = watched.page
        await watched.go("/sign-in")
        await page.fill("#email", email)
        await page.fill("#password", edge.PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{base}/")
        await watched.go(f"/calls/{call}")
        await expect(page.locator("#donor")).to_contain_text("Eleanor Whitfield")
        await expect(page.locator("#donor")).to_contain_text("the answer came late")
        await require_readable(watched, f"call of a donor ({scheme})")
        await picture(page, f"call-donor-{scheme}")
        await watched.go("/segments")
        await require_readable(watched, f"segments ({scheme})")
        await page.fill("#try-number", NUMBER)
        await page.focus("button[formaction='/segments/try']")
        await page.keyboard.press("Enter")
        await expect(page.locator("#trial h1")).to_contain_text("High Value Donor")
        await require_readable(watched, f"trial ({scheme})")
        await picture(page, f"segments-{scheme}")
        text = await page.input_value("#segments-text")
        await page.fill("#segments-text", text.replace('"5000"', '"50000"'))
        await page.click("text=Put in force")
        await expect(page.locator("main")).to_contain_text("Version 1.")
        await watched.require_clean()
