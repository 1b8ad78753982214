"""A supervisor listens in with her browser: what she hears is measured in it, and of a card it is silence."""

# ruff: noqa: F811  # a fixture that is imported is named again by whoever takes it
from __future__ import annotations

from call.conftest import becomes, nothing_left, talk_to_each_other
from call.test_agent_started import ask as ask_payment
from call.test_agent_started import ended, start
from call.test_browser_agent import at_a_desk
from call.test_donation import GOOD, hears, hears_prompt, node, spoken_once, town  # noqa: F401  # fixtures
from call.test_orders import all_is_let_go, ask, connected, phones
from support import tones
from support.browser_sound import (
    AGENT_HZ,
    CALLER_HZ,
    MEASURE_S,
    SILENT_DB,
    agent_hears,
    agent_hears_nothing,
    hears_the_agent,
)
from support.telephones import heard_next
from tenderline.voice.trial_phone import TrialPhone

OTHER_HZ = 1_000


async def test_a_supervisor_s_browser_hears_both_is_heard_by_nobody_and_hears_nothing_of_a_card(
    node, pool, town, tmp_path
):
    async with nothing_left(node), TrialPhone() as phone, phones(node, None) as (anna,):
        call_id = await connected(node, pool, phone, anna, "anna")
        async with at_a_desk(node, pool, tmp_path, "supervisor") as desk:
            await desk.turn_on()
            hers = "SELECT a.id FROM agent a JOIN app_user u ON u.id = a.user_id WHERE u.role = 'supervisor'"
            await becomes(pool, f"SELECT count(*) FROM ({hers}) one", wanted=1)
            supervisor = str(await pool.fetchval(hers))
            await ask(pool, call_id, "monitor", agent_id=supervisor, mode="listen")
            await desk.is_("ringing")
            await desk.page.keyboard.press("Alt+a")
            await desk.is_("talking")
            for speaker, tone_hz in ((phone, CALLER_HZ), (anna, OTHER_HZ)):
                await agent_hears(desk.page, speaker, tone_hz)
            for listener in (phone, anna):
                assert tones.share_of(await heard_next(listener, MEASURE_S), AGENT_HZ) < 0.05
            await ask(pool, call_id, "monitor", agent_id=supervisor, mode="whisper")
            await hears_the_agent(anna)  # so she does say something
            assert tones.share_of(await heard_next(phone, MEASURE_S), AGENT_HZ) < 0.05
            await ask(pool, call_id, "monitor", agent_id=supervisor, mode="listen")

            session = await start(node, pool, call_id, mode="attended", amount="25.00")
            await hears(phone, node, "You pay")
            await phone.press("1")
            await hears_prompt(phone, node, "ask_number")
            heard = await agent_hears_nothing(desk.page, anna, OTHER_HZ, phone.press(GOOD[:6]))
            assert heard.loud_db < SILENT_DB
            heard = await agent_hears_nothing(desk.page, phone, CALLER_HZ)
            assert heard.loud_db < SILENT_DB
            await ask_payment(pool, session, "secure_cancel")
            assert (await ended(pool, session)).state == "FAILED"

            await talk_to_each_other(phone, anna)
            await agent_hears(desk.page, phone, CALLER_HZ)
            await desk.page.keyboard.press("Alt+h")
            await desk.is_("ready")
            await talk_to_each_other(phone, anna)
            phone.hang_up()
            await all_is_let_go(pool)
