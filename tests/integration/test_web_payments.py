"""The page of payments by telephone, and their part on the page of a call."""

from __future__ import annotations

import pytest

from support import edge, services, world
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.store import captures


@pytest.fixture
async def http(pool):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as made:
        await edge.sign_in(made, await edge.make_user(pool, "agent"))
        yield made


async def session(pool, reference, state="open", charge=None, fund="roof <b>"):
    person_id, point_id, _ = await world.make_person(pool)
    made = uuid7()
    async with pool.acquire() as connection, connection.transaction():
        await captures.open_session(
            connection, id=made, person_id=person_id, conversation_id=uuid7(), mode="automated", gateway="stripe",
            money=Money(2500, "USD"), campaign="spring", fund=fund, reference=reference, contact_point_id=point_id,
        )  # fmt: skip
        if charge is not None:
            found = await captures.get(connection, made)
            tried = uuid7()
            await captures.intend(connection, id=tried, session=found, token="pm_1", brand="visa", last_four="4242")
            await captures.prepared(connection, tried, f"pi_{reference}")
            if charge != "intended":
                await captures.answer(connection, tried, charge)
        if state != "open":
            await captures.set_state(connection, made, state)
    return made


async def test_what_is_in_doubt_comes_first_and_is_said_plainly(http, pool):
    await session(pool, "10000001", "charged", "unknown")
    await session(pool, "10000002", "abandoned")
    await session(pool, "10000003", "declined", "declined")
    page = (await http.get("/payments")).text
    assert page.index("10000001") < page.index("10000003") < page.index("10000002")
    assert "in doubt" in page
    assert "nobody knows yet whether it was charged" in page
    assert "$25.00" in page
    assert "visa •••• 4242" in page
    assert "roof &lt;b&gt;" in page
    assert (await http.get("/payments/live")).status_code == 200


async def test_without_any_the_page_says_how_to_begin(http):
    assert "capture.enabled" in (await http.get("/payments")).text


async def test_it_is_closed_to_strangers(pool):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as stranger:
        assert (await stranger.get("/payments")).status_code in (302, 303)
