"""The whole story of a donor who calls, with an agent and a supervisor at their browsers: real SIP, real audio, a real
bank and a real CRM on loopback. Keys only, once somebody is signed in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from call.conftest import is_heard
from support import browser_sound, edge, world
from support.bank_town import until
from support.browser_sound import CALLER_HZ, hears_the_agent
from support.gift_town import Giver
from support.quick_voice import quick_voice
from support.screens import Watched, picture, require_readable
from support.story_town import ELEANOR, HANNAH, LEGACY, LINE, RUTH, StoryTown, open_story_town
from support.telephone_money import GOOD
from tenderline.compliance.facts import Purpose
from tenderline.store import callbacks, people, plans
from tenderline.store.attempts import Planned
from tenderline.voice.trial_phone import TrialPhone

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIVE = "#live-state[data-state=live]"


@pytest.fixture(autouse=True, scope="module")
def spoken_quickly() -> Iterator[None]:
    with quick_voice():
        yield


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def town(server_url: str, tmp_path_factory: Any) -> AsyncIterator[StoryTown]:
    async with open_story_town(server_url, tmp_path_factory.mktemp("story")) as made:
        yield made


async def look(watched: Watched, name: str, schemes: Sequence[Any] = ("light", "dark")) -> None:
    """This state can be read by everybody, in light and dark, at 1024 px and at 200 %; pictures are kept. (In one of
    the two while somebody waits for an answer: it takes seconds.)"""
    page = watched.page
    await page.evaluate("scrollTo(0, 0)")  # what stays in sight while one scrolls covers nothing on a picture
    for scheme in schemes:
        await page.emulate_media(color_scheme=scheme)
        await require_readable(watched, f"{name} ({scheme})")
        await picture(page, f"story-{name}-{scheme}")
    await page.emulate_media(color_scheme="light")


async def press_on(page: Page, selector: str) -> None:
    """Presses a button by the keyboard."""
    await page.locator(selector).focus()
    await page.keyboard.press("Enter")


@asynccontextmanager
async def at_desk(town: StoryTown) -> AsyncIterator[Watched]:
    """Anna's browser, its telephone on."""
    async with town.signed_in("anna@example.org", "/desk") as watched:
        await expect(watched.page.locator(LIVE)).to_be_visible()
        await press_on(watched.page, "#phone-on")
        await expect(watched.page.locator("#phone[data-state=ready]")).to_be_visible()
        yield watched


@asynccontextmanager
async def on_floor(town: StoryTown, *, is_ready: bool = False) -> AsyncIterator[Watched]:
    """Carol's browser. `is_ready`: she has said that she takes calls."""
    async with town.signed_in("carol@example.org", "/desk") as watched:
        if is_ready:
            await press_on(watched.page, "#say-available button")
            await expect(watched.page.locator("#desk-status")).to_contain_text("Ready")
        await watched.go("/floor")
        await expect(watched.page.locator(LIVE)).to_be_visible()
        yield watched


@asynccontextmanager
async def registered(town: StoryTown, phone: TrialPhone, name: str) -> AsyncIterator[None]:
    """This telephone can be rung."""
    assert await phone.register(town.at, name, "secret")
    yield


@asynccontextmanager
async def specialist_is_busy(town: StoryTown) -> AsyncIterator[None]:
    """Maria, the only one who knows legacy gifts, talks with ruth: whose segment led her there."""
    async with (
        TrialPhone(on_call=None) as maria,
        registered(town, maria, "maria"),
        Giver(town, RUTH) as ruth,  # type: ignore[arg-type]
    ):
        await ruth.calls(LINE)
        await maria.pick_up(within_s=20)
        yield
        ruth.hang_up()
        await maria.is_hung_up(within_s=10)


async def test_a_donor_reaches_an_agent_and_gives(town: StoryTown) -> None:
    async with (
        on_floor(town) as floor,
        at_desk(town) as desk,
        specialist_is_busy(town),
        Giver(town, ELEANOR) as eleanor,  # type: ignore[arg-type]
    ):
        await press_on(desk.page, "#say-away button")
        await waits_for_a_specialist(town, floor, eleanor)
        await is_answered_by_anybody(town, desk, eleanor)
        await crm_answers_late(town, desk)
        await they_hear_each_other(desk, eleanor)
        await card_is_taken(town, desk, floor, eleanor)
        await she_gets_the_caller_back(desk, eleanor)
        await end_is_chosen(town, desk, eleanor)
        await floor_has_seen_it(town, floor)
        for watched in (desk, floor):
            await watched.require_clean()


async def waits_for_a_specialist(town: StoryTown, floor: Watched, eleanor: Giver) -> None:
    """The greeting is heard while the CRM thinks, and her segment leads her to a queue where whoever knows what
    she wants is busy."""
    await eleanor.calls(LINE)
    await eleanor.hears("Thank you for calling Riverside.")
    await until(lambda: ELEANOR in town.crm.held, "the CRM to be asked")
    assert town.crm.answered == 0, "the CRM has not said a word"
    page = floor.page
    row = page.locator("#floor-callers tbody tr")
    await expect(row).to_contain_text(ELEANOR)
    for words in ("legacy gifts", "High Value Donor"):
        await expect(row).to_contain_text(words)
    await expect(page.locator(f"#queue-{LEGACY} td").first).to_contain_text("1")
    await expect(row).to_contain_text("Priority")
    await expect(page.locator("#floor-agents tr", has_text="maria")).to_contain_text("On a call")
    await look(floor, "floor-waiting", ["light"])


async def is_answered_by_anybody(town: StoryTown, desk: Watched, eleanor: Giver) -> None:
    """Anna, who serves the general queue, says that she is ready, and it rings in her browser."""
    page = desk.page
    await press_on(page, "#say-available button")
    await expect(page.locator("#phone[data-state=ringing]")).to_be_visible()
    await expect(page.locator("#priority")).to_have_text("★ Priority")
    await expect(page.locator("#caller")).to_contain_text("High Value Donor")
    await expect(page.locator("#caller")).to_contain_text("Waited")
    await expect(page.locator("#caller-name")).not_to_have_text("Eleanor Whitfield")
    await look(desk, "desk-ringing", ["dark"])
    await page.keyboard.press("Alt+a")
    await expect(page.locator("#phone[data-state=talking]")).to_be_visible()
    await expect(page.locator("#call-state")).to_have_text("You talk.")
    assert town.crm.answered == 0


async def they_hear_each_other(desk: Watched, eleanor: Giver) -> None:
    """A tone of one is measured at the other, both ways."""
    await hears_the_agent(eleanor)
    await browser_sound.agent_hears(desk.page, eleanor, CALLER_HZ)


async def crm_answers_late(town: StoryTown, desk: Watched) -> None:
    """What the CRM says at last shows by itself."""
    town.crm.let_go.set()
    await expect(desk.page.locator("#caller-name")).to_have_text("Eleanor Whitfield")
    for words in ("Platinum", "$12,500.00", "Prefers to be called in the morning"):
        await expect(desk.page.locator("#caller")).to_contain_text(words)
    await look(desk, "desk-talking")


async def card_is_taken(town: StoryTown, desk: Watched, floor: Watched, eleanor: Giver) -> None:
    """She starts it from the desk, sees how far the caller is and no digit, and the bank's webhook settles it."""
    page = desk.page
    await page.locator("#secure-start input[value=leave]").focus()
    await page.keyboard.press("ArrowDown")
    await page.locator("#secure-amount").focus()
    await page.keyboard.type("25.00")
    await page.keyboard.press("Enter")
    await eleanor.hears("You pay")
    await expect(page.locator("#call-state")).to_contain_text("The caller keys a card in.")
    await eleanor.press("1")
    await eleanor.asked("ask_number")
    await eleanor.press(GOOD[:7])
    await expect(page.locator("#secure .dots")).to_have_text("•" * 7)
    await expect(page.locator("#secure")).to_contain_text("Visa")
    await expect(floor.page.locator("#floor-secure")).to_contain_text(ELEANOR)
    await expect(floor.page.locator("#floor-agents tr", has_text="Anna")).to_contain_text("On a call")
    for count, (watched, name) in enumerate(((desk, "desk-card"), (floor, "floor-card")), start=7):
        assert GOOD[:4] not in await watched.page.content()
        await look(watched, name)
        await eleanor.press(GOOD[count])  # who keys nothing for too long is asked anew
    await eleanor.press(f"{GOOD[9:]}#")
    await eleanor.keys_rest(code_twice=False)
    await eleanor.hears("Thank you.")


async def she_gets_the_caller_back(desk: Watched, eleanor: Giver) -> None:
    """With the result, and with audio."""
    page = desk.page
    await expect(page.locator("#secure")).to_contain_text("The money has arrived. Visa •••• 4242.")
    await expect(page.locator("#call-state")).to_have_text("You talk.")
    await hears_the_agent(eleanor)
    await look(desk, "desk-paid")


async def end_is_chosen(town: StoryTown, desk: Watched, eleanor: Giver) -> None:
    """By a key, with what follows told before, and kept as it was told."""
    page = desk.page
    await page.keyboard.press("Alt+1")
    await expect(page.locator("#code-settled")).to_be_focused()
    follows = await page.inner_text("#follows-settled")
    assert follows
    await page.keyboard.press("Alt+Enter")
    await expect(page.locator("#chosen")).to_contain_text(follows)
    eleanor.hang_up()
    await expect(page.locator("#desk-status")).to_contain_text("After the call")
    await look(desk, "desk-after")
    await page.keyboard.press("Alt+Enter")
    await expect(page.locator("#desk-status")).to_contain_text("Ready")


async def floor_has_seen_it(town: StoryTown, floor: Watched) -> None:
    """The card is off the floor, and the day's figures have the call."""
    await expect(floor.page.locator("#no-cards")).to_be_visible()
    await expect(floor.page.locator("#no-callers")).to_be_visible()
    overflowed = floor.page.locator(f"#queue-{LEGACY} a[href*='what=overflowed']").first
    await expect(overflowed).to_contain_text("1")
    await look(floor, "floor-after")
    row = await town.pool.fetchrow("SELECT * FROM waiting WHERE caller = $1", ELEANOR)
    assert (row["queue"], row["tier"], row["skills"], row["overflowed"], row["outcome"]) == (
        LEGACY, "High_Value_Donor", [LEGACY], True, "talked",
    )  # fmt: skip
    kept = await town.pool.fetchrow("SELECT * FROM payment WHERE amount_minor = 2500")
    assert (kept["transaction_status"], kept["status"]) == ("COMPLETED", "succeeded")
    await until(lambda: any("25.00" in str(one) for one in town.crm.entries.values()), "the gift in the CRM")


async def test_a_word_of_distress_puts_a_supervisor_on_it(town: StoryTown) -> None:
    town.crm.let_go.set()
    person_id, phone_id, _ = await world.make_person(town.pool, address=HANNAH)
    async with town.pool.acquire() as connection, connection.transaction():
        await people.add_contact_point(connection, person_id, people.EMAIL, "hannah@example.org")
        email_id = (await people.find_by_address(connection, people.EMAIL, "hannah@example.org"))[1]  # type: ignore[index]
    ways = [("sms", phone_id), ("voice_artificial", phone_id), ("email", email_id)]
    assert not any(await refused(town, person_id, ways)), "before it every channel is open"
    async with (
        TrialPhone(on_call=None) as carol,
        registered(town, carol, "carol"),
        on_floor(town, is_ready=True) as floor,
        at_desk(town) as desk,
        Giver(town, HANNAH) as hannah,  # type: ignore[arg-type]
    ):
        call_id = await is_served_by_tier(town, desk, hannah)
        await a_word_is_typed(desk)
        await server_refuses_a_payment(town, desk, call_id)
        alert_id = await supervisor_sees_and_takes_it(floor)
        await transcript_says_so_too(town, call_id, alert_id)
        await caller_is_with_the_supervisor(desk, carol, hannah)
        hannah.hang_up()
        await carol.is_hung_up(within_s=10)
        assert all("distress" in why for why in await refused(town, person_id, ways))
        await callback_is_near(town, floor, call_id)
        for watched in (desk, floor):
            await watched.require_clean()


async def refused(town: StoryTown, person_id: UUID, ways: Sequence[tuple[str, UUID]]) -> list[str]:
    """By which rules an automatic contact is refused on each channel."""
    found: list[str] = []
    for channel, point_id in ways:
        now = datetime.now(UTC)
        wanted = Planned(
            person_id=person_id, case_id=None, channel=channel, purpose=Purpose.SERVICING, contact_point_id=point_id,
            template="receipt", due_at=now, not_after=now + timedelta(days=7),
        )  # fmt: skip
        async with town.pool.acquire() as connection, connection.transaction():
            answer = await plans.ask(connection, town.services.book, town.services.defaults, wanted)
        found.append(answer.why or "")
    return found


async def is_served_by_tier(town: StoryTown, desk: Watched, hannah: Giver) -> UUID:
    """The CRM answers in time: who is new is anybody's, and is known when it rings."""
    page = desk.page
    await hannah.calls(LINE)
    await expect(page.locator("#phone[data-state=ringing]")).to_be_visible()
    await expect(page.locator("#caller-name")).to_have_text("Hannah Lindqvist")
    await expect(page.locator("#caller")).to_contain_text("New")
    await expect(page.locator("#priority")).to_have_count(0)
    await page.keyboard.press("Alt+a")
    await expect(page.locator("#call-state")).to_have_text("You talk.")
    await expect(page.locator("#secure-start")).to_be_visible()
    found: UUID = await town.pool.fetchval("SELECT conversation_id FROM waiting WHERE caller = $1", HANNAH)
    return found


async def a_word_is_typed(desk: Watched) -> None:
    """In the note, as agents do; the form of payments is gone at once."""
    page = desk.page
    await page.keyboard.press("Alt+1")
    await page.locator("#ending-note").focus()
    await page.keyboard.type("was threatened by her nephew")
    await page.keyboard.press("Alt+Enter")
    await expect(page.locator("#distress")).to_contain_text("Payment is off for this call")
    await expect(page.locator("#distress")).to_contain_text("typed by the agent")
    await expect(page.locator("#secure-start")).to_have_count(0)
    await look(desk, "desk-distress")


async def server_refuses_a_payment(town: StoryTown, desk: Watched, call_id: UUID) -> None:
    """Whatever a page offers."""
    token = await desk.page.locator("meta[name=csrf-token]").get_attribute("content")
    form = {"csrf_token": token or "", "mode": "leave", "amount": "25.00", "back": "desk"}
    headers = {"Accept": "text/html", "Origin": town.base, "Sec-Fetch-Site": "same-origin"}
    answer = await desk.page.context.request.post(f"{town.base}/calls/{call_id}/secure", form=form, headers=headers)
    assert answer.status == 409
    assert "distress" in await answer.text()
    assert await town.pool.fetchval("SELECT count(*) FROM secure_session WHERE conversation_id = $1", call_id) == 0


async def supervisor_sees_and_takes_it(floor: Watched) -> str:
    """It is first on the floor, in the title too, and is taken by the keyboard."""
    page = floor.page
    alert = page.locator("#floor-alerts li.distress")
    await expect(alert).to_contain_text("threatened")
    await expect(page).to_have_title(re.compile(r"^\(\d\) Floor"))
    await look(floor, "floor-distress")
    await alert.get_by_role("button", name="Take").focus()
    await page.keyboard.press("Enter")
    await expect(alert).to_contain_text("taken by carol@example.org")
    found = await alert.get_attribute("id")
    assert found is not None
    return found.removeprefix("alert-")


async def transcript_says_so_too(town: StoryTown, call_id: UUID, alert_id: str) -> None:
    """A recogniser hears it as well: it is the same alert."""
    said = {"participant": "caller", "text": "he says I am forced to pay", "at": datetime.now(UTC).isoformat()}
    async with httpx.AsyncClient(base_url=town.base) as http:
        header = await edge.token(http, town.pool, "oauth:api:callcenter")
        answer = await http.post(
            f"/api/v2/conversations/{call_id}/transcript", json={"utterances": [said]}, headers=header
        )
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"distress": True, "alertId": alert_id}


async def caller_is_with_the_supervisor(desk: Watched, carol: TrialPhone, hannah: Giver) -> None:
    """Her telephone has rung meanwhile; when she takes it, the agent is out of the call."""
    await carol.pick_up(within_s=20)
    await is_heard(carol, hannah)
    await expect(desk.page.locator("#phone[data-state=ready]")).to_be_visible()


async def callback_is_near(town: StoryTown, floor: Watched, call_id: UUID) -> None:
    """Within a day, on the page of callbacks; the hold stands on its own page."""
    async with town.pool.acquire() as connection:
        (callback,) = [one for one in await callbacks.waiting(connection) if one.conversation_id == call_id]
    assert callback.kind == "distress"
    assert callback.not_after is not None
    assert callback.due_at <= callback.not_after <= datetime.now(UTC) + timedelta(hours=24)
    await floor.go("/callbacks")
    await expect(floor.page.locator(f"#callback-{callback.id}")).to_be_visible()
    await look(floor, "callbacks")
    await floor.go("/distress")
    await expect(floor.page.locator("main")).to_contain_text("threatened")
    await look(floor, "held")
