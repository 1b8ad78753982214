"""What the screens of agents and supervisors offer and say: nothing that does nothing or contradicts itself."""

# ruff: noqa: F811  # a fixture that is imported is named again by whoever takes it
from __future__ import annotations

import pytest

from integration.test_web_desk import agent, http, live  # noqa: F401  # fixtures
from support import desk_call, edge, lines_up, services
from tenderline.core.ids import uuid7
from tenderline.store import secure_sessions


@pytest.mark.parametrize("is_asked_for", [True, False])
async def test_only_what_is_asked_for_can_be_asked_for_again(pool, agent, live, is_asked_for):
    made = services.make(pool, capture__postal_code=str(is_asked_for).lower())
    async with pool.acquire() as connection:
        await secure_sessions.begin(
            connection, id=uuid7(), conversation_id=live.call, participant_id=live.caller,
            source_participant_id=live.participant, mode="attended", flow="secure_payment", disconnect=False,
            user_data={}, asked_by=live.email,
        )  # fmt: skip
    async with edge.client(made, headers={"Accept": "text/html"}) as browser:
        await edge.sign_in(browser, agent[0])
        for path in ("/desk", f"/calls/{live.call}"):
            text = (await browser.get(path)).text
            assert "Ask for the security code again" in text
            assert ("Ask for the postal code again" in text) == is_asked_for, path


async def test_whom_we_know_ourselves_is_not_called_unknown(http, pool, live):
    await desk_call.know(pool, live, state="late")
    text = (await http.get("/desk")).text
    assert "Unknown donor" not in text
    assert "No answer in time; it may still come; what follows is from our own database" in text


async def test_the_floor_names_queues_and_skills_as_people_do(pool):
    await edge.make_user(pool, email="sue@example.org")
    async with pool.acquire() as connection:
        node = await lines_up.make_node(connection)
        await lines_up.make_queue(connection, "legacy_gifts")
        await lines_up.make_agent(connection, "anna", ["legacy_gifts"], node=node, skills={"planned_gifts": 4})
        await lines_up.enter(connection, "legacy_gifts", node, skills=("planned_gifts",))
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as browser:
        await edge.sign_in(browser, "sue@example.org")
        text = (await browser.get("/floor")).text
    assert text.count("<td>legacy gifts</td>") == 2, "in line, and whom she serves"
    assert "<td>planned gifts</td>" in text
