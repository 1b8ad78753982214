"""An agent's browser takes a real call: chromium with a microphone of its own, a SIP telephone, and tones measured at
both ends.

A missing browser is a failure, never a skip: on Debian and Ubuntu `apt-get install chromium` brings it.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.async_api import Page, expect

from call.conftest import NUMBER, nothing_left
from support import browser_sound, edge, reached, screens, services, tones
from support.browser_sound import CALLER_HZ, MEASURE_S, SILENT_DB, hears_silence, hears_the_agent
from support.telephones import heard_next
from tenderline.voice.browser.phone import BrowserPhone
from tenderline.voice.node import VoiceNode
from tenderline.voice.trial_phone import TrialPhone

OFFERED = {
    "ready": ["Turn it off"],
    "ringing": ["Accept", "Decline"],
    "talking": ["Mute", "Hang up"],
    "elsewhere": ["Use it in this tab"],
}
STATE = "#phone[data-state={}]"


@dataclass
class Desk:
    """An agent's browser, signed in, and the node behind it."""

    node: VoiceNode
    page: Page
    watched: screens.Watched
    pool: Any
    email: str

    async def turn_on(self) -> None:
        """The page asks for the microphone and connects."""
        await self.watched.go("/phone")
        await self.page.get_by_role("button", name="Turn it on").click()
        await self.is_("ready")
        await reached.by_browser(self.pool, self.email)

    async def is_(self, state: str) -> None:
        """Waits until the page shows this state, and looks that it offers what can be done now and nothing else."""
        await expect(self.page.locator(STATE.format(state))).to_be_visible()
        if state in OFFERED:
            shown = await self.page.locator("#phone .act button:visible").all_inner_texts()
            assert [re.split(r"\s+Alt", one)[0] for one in shown] == OFFERED[state], state


@pytest.fixture
async def desk(make_node, pool, tmp_path):
    async with at_a_desk(await make_node(voice__browser_grace_s="20"), pool, tmp_path) as made:
        yield made


@asynccontextmanager
async def at_a_desk(node, pool, tmp_path, role="agent"):
    """A browser of somebody who is signed in; what she says is a tone."""
    port = edge.free_port()
    made = services.make(pool, public_url=f"http://127.0.0.1:{port}", data_dir=str(tmp_path))
    email = await edge.make_user(pool, role)
    async with (
        edge.server(made, port=port) as (base, _),
        screens.launched(*browser_sound.microphone(tmp_path / "microphone.wav")) as browser,
    ):
        context = await browser.new_context(viewport={"width": 1100, "height": 800})
        await context.add_init_script(screens.NOTE_VIOLATIONS)
        watched = screens.Watched(await context.new_page(), base)
        watched.look()
        watched.page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
        await watched.go("/sign-in")
        await watched.page.fill("#email", email)
        await watched.page.fill("#password", edge.PASSWORD)
        await watched.page.click("button[type=submit]")
        await watched.page.wait_for_url(f"{base}/")
        yield Desk(node, watched.page, watched, pool, email)


@asynccontextmanager
async def calling(desk: Desk):
    """A caller in the queue, whose call the agent has taken."""
    async with nothing_left(desk.node), TrialPhone() as caller:
        assert await caller.dial(NUMBER, ("127.0.0.1", desk.node.endpoint.port)) == 200
        await caller.press("1")
        await desk.is_("ringing")
        await expect(desk.page.locator("#phone-words")).to_contain_text("+12025550100")
        await desk.page.keyboard.press("Alt+a")
        await desk.is_("talking")
        yield caller
        caller.hang_up()
    await desk.is_("ready")


async def agent_hears(desk: Desk, caller: TrialPhone) -> None:
    """The caller's tone is played by the browser."""
    await browser_sound.agent_hears(desk.page, caller, CALLER_HZ)


async def brings_sound(phone: BrowserPhone) -> None:
    """Waits until packets of sound come by the present way, be they silent."""
    packets = phone.party.leg.reception.packets
    async with asyncio.timeout(20):
        while phone.party.leg.reception.packets < packets + 25:
            await asyncio.sleep(0.05)


async def test_a_caller_and_an_agent_in_a_browser_hear_each_other(desk):
    await desk.turn_on()
    async with calling(desk) as caller:
        await hears_the_agent(caller)
        await agent_hears(desk, caller)
        await screens.require_readable(desk.watched, "my telephone, on a call")
        await desk.page.get_by_role("button", name="Mute").click()
        await hears_silence(caller)
        await desk.page.get_by_role("button", name="Muted").click()
        await hears_the_agent(caller)
    await desk.watched.require_clean()
    actions = await desk.pool.fetch("SELECT action FROM audit WHERE action LIKE 'phone.%' ORDER BY number")
    assert [row["action"] for row in actions] == ["phone.opened", "phone.accept"]


async def test_a_reload_in_mid_call_loses_the_caller_for_a_moment_and_no_longer(desk):
    await desk.turn_on()
    async with calling(desk) as caller:
        await hears_the_agent(caller)
        await desk.page.reload()
        await desk.is_("talking")
        await hears_the_agent(caller)
        await agent_hears(desk, caller)
        assert not caller.party.is_gone


async def test_a_line_that_breaks_is_made_anew_by_the_page_and_the_call_goes_on(desk):
    await desk.turn_on()
    async with calling(desk) as caller:
        await hears_the_agent(caller)
        phone = desk.node.browsers.phones[0]
        before = phone.session_id
        phone.drop_path()
        async with asyncio.timeout(20):
            while phone.session_id == before or not phone.is_reachable:
                await asyncio.sleep(0.1)
        await hears_the_agent(caller)
        await desk.is_("talking")


async def test_whoever_is_muted_stays_so_when_the_network_blinks_and_when_the_page_is_loaded_anew(desk):
    await desk.turn_on()
    async with calling(desk) as caller:
        await hears_the_agent(caller)
        await desk.page.get_by_role("button", name="Mute").click()
        phone = desk.node.browsers.phones[0]
        for blink in (phone.drop_path, desk.page.reload):
            before, done = phone.session_id, blink()
            if done is not None:
                await done
            async with asyncio.timeout(20):
                while phone.session_id == before or not phone.is_reachable:
                    await asyncio.sleep(0.1)
            await brings_sound(phone)
            assert tones.loudness(await heard_next(caller, MEASURE_S)) < 0.003
            await expect(desk.page.get_by_role("button", name="Muted")).to_be_visible()
        await desk.page.get_by_role("button", name="Muted").click()
        await hears_the_agent(caller)
        await desk.page.get_by_role("button", name="Mute").click()
    async with calling(desk) as caller:
        await hears_the_agent(caller)


async def test_what_the_server_refuses_is_said_on_the_panel_and_a_sign_in_that_ended_too(desk):
    await desk.turn_on()
    async with TrialPhone() as caller:
        assert await caller.dial(NUMBER, ("127.0.0.1", desk.node.endpoint.port)) == 200
        await caller.press("1")
        await desk.is_("ringing")
        accept = desk.page.get_by_role("button", name="Accept")
        await desk.page.route("**/accept", lambda route: route.continue_(url=f"{route.request.url}-or-not"))
        await accept.click()
        await expect(desk.page.locator("#phone-problem")).to_contain_text("A call is accepted (accept)")
        await desk.page.unroute("**/accept")
        await desk.page.context.clear_cookies()
        await accept.click()
        await desk.page.wait_for_url(re.compile(r"/sign-in\?ended"))
        caller.hang_up()


async def test_an_agent_who_does_not_come_back_lets_the_caller_go_on_after_the_grace(desk):
    await desk.turn_on()
    async with nothing_left(desk.node), TrialPhone() as caller:
        assert await caller.dial(NUMBER, ("127.0.0.1", desk.node.endpoint.port)) == 200
        await caller.press("1")
        await desk.is_("ringing")
        await desk.page.get_by_role("button", name="Accept").click()
        await hears_the_agent(caller)
        await desk.page.goto("about:blank")
        await caller.hear(await desk.node.prompts.prepare(_said("That was it.")), within_s=30)
        await caller.is_hung_up(within_s=20)


async def test_nothing_of_a_caller_whose_leg_is_masked_reaches_the_browser(desk):
    await desk.turn_on()
    async with calling(desk) as caller:
        leg = desk.node.browsers.phones[0].party.leg.peer
        await agent_hears(desk, caller)
        leg.mask(True)
        heard = await browser_sound.agent_hears_nothing(desk.page, caller, CALLER_HZ)
        assert heard.loud_db < SILENT_DB
        assert heard.level < 0.01
        leg.mask(False)
        await agent_hears(desk, caller)


async def test_a_call_that_is_declined_goes_to_nobody_else_and_the_agent_is_ready_again(desk):
    await desk.turn_on()
    async with nothing_left(desk.node), TrialPhone() as caller:
        assert await caller.dial(NUMBER, ("127.0.0.1", desk.node.endpoint.port)) == 200
        await caller.press("1")
        await desk.is_("ringing")
        await desk.page.emulate_media(color_scheme="dark")
        await screens.require_readable(desk.watched, "my telephone, ringing")
        await desk.page.keyboard.press("Alt+d")
        await desk.is_("ready")
        caller.hang_up()


async def test_a_second_tab_waits_and_takes_the_telephone_over_when_it_is_asked_to(desk):
    await desk.turn_on()
    second = await desk.page.context.new_page()
    await second.goto(f"{desk.watched.base}/phone")
    await expect(second.locator(STATE.format("elsewhere"))).to_be_visible()
    await second.get_by_role("button", name="Use it in this tab").click()
    await expect(second.locator(STATE.format("ready"))).to_be_visible()
    await desk.is_("elsewhere")
    assert len(desk.node.browsers.phones) == 1


async def test_the_page_is_readable_in_light_and_dark_and_large(desk):
    for scheme in ("light", "dark"):
        await desk.page.emulate_media(color_scheme=scheme)
        await desk.watched.go("/phone")
        await screens.require_readable(desk.watched, f"my telephone ({scheme})")
        assert not await desk.page.evaluate(screens.SMALL)
    await desk.turn_on()
    await screens.require_readable(desk.watched, "my telephone, on")
    assert not await desk.page.evaluate(screens.SMALL)
    assert re.search("Ready for calls", await desk.page.inner_text("#phone"))
    await desk.watched.require_clean()


def _said(text: str):
    from tenderline.flows.spoken import said

    return said("en", (text,))
