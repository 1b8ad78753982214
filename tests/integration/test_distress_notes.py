"""What an agent types at her desk is read for words of distress before anything else is done with it; no card stays."""

# ruff: noqa: F811  # a fixture that is imported is named again by whoever takes it
from __future__ import annotations

import pytest

from integration.test_web_desk import agent, end, http, live, orders, post  # noqa: F401  # fixtures
from support import desk_call, edge, services
from tenderline.store import alerts, holds

WORDS = "was threatened by her nephew"
VISA, AMEX = "4242" * 4, "3782822" + "46310005"
LIKE_A_CARD = "49151" + "01234008"
"""A German mobile number without its plus."""


async def found(pool):
    """(the reasons of open alerts, how many people are held)."""
    async with pool.acquire() as connection:
        opened = [one for one in await alerts.open_ones(connection) if one.kind == "distress"]
        return [(one.detail["source"], one.detail["by"]) for one in opened], len(await holds.held(connection))


async def test_a_note_with_a_word_of_distress_tells_the_supervisors_and_is_kept(http, pool, live):
    answer = await end(http, live, "settled", note=WORDS)
    assert answer.status_code == 303
    assert await found(pool) == ([("agent_words", live.email)], 1)
    assert await pool.fetchval("SELECT note FROM conversation_disposition") == WORDS


async def test_a_note_is_read_even_if_the_choice_it_stands_with_is_refused(http, pool, live):
    answer = await end(http, live, "no_such_end", note=WORDS)
    assert answer.status_code == 422
    assert await found(pool) == ([("agent_words", live.email)], 1)


@pytest.mark.usefixtures("orders")
async def test_why_a_supervisor_is_called_is_read_too(http, pool, live):
    await post(http, "/desk/order", call=str(live.call), kind="escalate", reason=WORDS)
    assert (await found(pool))[0] == [("agent_words", live.email)]


async def test_a_note_on_a_call_of_somebody_else_does_nothing(pool, live):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as other:
        email, _ = await desk_call.make_agent(pool, name="Bob")
        await edge.sign_in(other, email)
        answer = await end(other, live, "settled", note=WORDS)
    assert answer.status_code == 409
    assert await found(pool) == ([], 0)


async def test_a_harmless_note_is_only_a_note(http, pool, live):
    assert (await end(http, live, "settled", note="asks for a letter")).status_code == 303
    assert await found(pool) == ([], 0)


async def test_in_distress_the_desk_shows_nothing_of_payments(http, pool, live):
    assert "Secure payment</h2>" in (await http.get("/desk")).text
    await end(http, live, "settled", note=WORDS)
    assert "Secure payment</h2>" not in (await http.get("/desk")).text


@pytest.mark.parametrize("more", [f"and read out {VISA}", "\u202e"], ids=["a card", "unprintable"])
async def test_a_note_is_read_before_it_is_refused_for_what_stands_beside_the_word(http, pool, live, more):
    answer = await end(http, live, "settled", note=f"{WORDS} {more}")
    assert answer.status_code == 422
    assert await found(pool) == ([("agent_words", live.email)], 1)
    assert await pool.fetchval("SELECT count(*) FROM conversation_disposition") == 0


async def test_a_note_is_read_though_the_instant_beside_it_is_none(http, pool, live):
    answer = await end(http, live, "call_back", note=WORDS, when="soon")
    assert answer.status_code == 422
    assert await found(pool) == ([("agent_words", live.email)], 1)


@pytest.mark.parametrize("more", [f"and read out {VISA}", "x" * 100], ids=["a card", "too long"])
async def test_why_a_supervisor_is_called_is_read_before_it_is_refused(http, pool, live, more):
    answer = await post(http, "/desk/order", call=str(live.call), kind="escalate", reason=f"{WORDS} {more}")
    assert answer.status_code == 422
    assert await found(pool) == ([("agent_words", live.email)], 1)
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'call_escalate'") == 0


@pytest.mark.usefixtures("orders")
async def test_a_telephone_number_that_looks_like_a_card_is_one_and_a_card_is_none(http, pool, live):
    for number, is_card in ((LIKE_A_CARD, False), (VISA, True), (AMEX, True)):
        answer = await post(http, "/desk/order", call=str(live.call), kind="transfer", number=number)
        assert ("holds a card number" in answer.text) is is_card, number
    for fields in ({"kind": "transfer", "to": f"queue:{VISA}"}, {"kind": "escalate", "reason": VISA}):
        answer = await post(http, "/desk/order", call=str(live.call), **fields)
        assert (answer.status_code, "holds a card number" in answer.text) == (422, True)
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 0
    assert VISA not in str(await pool.fetch("SELECT data FROM audit"))
