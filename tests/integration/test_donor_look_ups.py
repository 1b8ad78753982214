"""Look-ups beside the call: the budget, what comes late, what goes wrong, and what we know ourselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from support import services as made_services
from support.world import make_debtor
from tenderline.config import CrmRestSettings
from tenderline.core.donor import Donor, Given
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.crm.base import Failure
from tenderline.crm.rest import Rest
from tenderline.desk import donors as desk_donors
from tenderline.routing.lookup import LookUps
from tenderline.store import donors, people, refunds
from tenderline_sandbox.crm import PATH, DonorCrm
from tenderline_sandbox.settings import SandboxSettings

KNOWN, STRANGER, LINE = "+12025550161", "+12025550199", "+18005550123"


class Town:
    """A CRM whose answer to look-ups can be held back until a test lets it go."""

    def __init__(self) -> None:
        self.crm = DonorCrm(SandboxSettings())
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def start(self, stack: AsyncExitStack) -> str:
        @web.middleware
        async def hold(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.path.endswith("/lookup"):
                await self.let_go.wait()
            return await handler(request)

        app = web.Application(middlewares=[hold])
        app.add_routes(self.crm.routes())
        server = await stack.enter_async_context(TestServer(app))
        return f"http://127.0.0.1:{server.port}{PATH}"


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def begin(stack: AsyncExitStack, pool: Any, **flags: Any) -> tuple[Town, LookUps]:
    town = Town()
    url = await town.start(stack)
    services = made_services.make(pool, **{"crm__kind": "none", **flags})
    settings = CrmRestSettings(url=url, client_id="tenderline", client_secret="sandbox-crm-secret")
    crm = Rest(settings, currency="USD", region="US")
    object.__setattr__(services, "crm", crm)
    stack.push_async_callback(crm.close)
    look_ups = LookUps(services)
    stack.push_async_callback(look_ups.close)
    return town, look_ups


async def row_until(pool: Any, conversation_id: Any, *states: str) -> donors.Snapshot:
    async with asyncio.timeout(20):
        while True:
            async with pool.acquire() as connection:
                found = await donors.get(connection, conversation_id)
            if found is not None and found.state in states:
                return found
            await asyncio.sleep(0.02)


async def test_a_donor_is_known_with_her_segment_and_the_screen_shows_it(stack, pool):
    _, look_ups = await begin(stack, pool)
    call = uuid7()
    known = await look_ups.known(call, KNOWN, LINE, timeout_s=10)
    assert known.donor is not None
    assert known.donor.lifetime_value == Money(1_250_000, "USD")
    assert known.segmented.name == "High_Value_Donor"
    row = await row_until(pool, call, "found")
    assert (row.crm, row.segment, row.is_late) == ("rest", "High_Value_Donor", False)
    assert row.donor == known.donor
    assert row.took_ms is not None


async def test_a_late_answer_leaves_the_call_alone_and_still_reaches_the_screen(stack, pool):
    town, look_ups = await begin(stack, pool, crm__budget_s=0.2)
    town.let_go.clear()
    call = uuid7()
    known = await look_ups.known(call, KNOWN, LINE, timeout_s=10)
    assert known.donor is None
    assert known.failed is not None
    assert known.segmented.name == "Acquisition_New"
    row = await row_until(pool, call, "late")
    assert row.reason == "timed_out"
    town.let_go.set()
    row = await row_until(pool, call, "found")
    assert row.is_late
    assert row.donor is not None
    assert row.segment == "High_Value_Donor"
    again = await look_ups.known(call, KNOWN, LINE, timeout_s=10)
    assert again.donor is not None, "a later step of the flow knows it too"
    counted = {one["name"]: one["value"] for one in await pool.fetch("SELECT name, value FROM counter")}
    assert counted["donor_lookup_failure"] == 1
    assert counted["donor_lookup_failure.timed_out"] == 1


async def test_an_answer_that_never_comes_is_given_up(stack, pool):
    town, look_ups = await begin(stack, pool, crm__budget_s=0.1, crm__late_wait_s=0.3)
    town.let_go.clear()
    call = uuid7()
    await look_ups.known(call, KNOWN, LINE, timeout_s=10)
    assert (await row_until(pool, call, "failed")).is_late
    town.let_go.set()


@pytest.mark.parametrize("mood", ["html", "huge", "wrong_types", "another", "cut", "down"])
async def test_a_crm_that_misbehaves_makes_an_unknown_donor_with_a_reason(stack, pool, mood):
    town, look_ups = await begin(stack, pool)
    town.crm.set_mood(mood)
    call = uuid7()
    known = await look_ups.known(call, KNOWN, LINE, timeout_s=10)
    assert not known.is_known
    assert known.failed is not None
    row = await row_until(pool, call, "failed")
    assert row.detail
    async with pool.acquire() as connection:
        health = await donors.health(connection, within_s=60)
        assert health.failed == 1
        assert await donors.reasons(connection, within_s=60) == {row.reason: 1}


async def test_a_crm_that_keeps_failing_is_left_alone_and_our_own_database_answers(stack, pool):
    town, look_ups = await begin(stack, pool, crm__failures_max=3)
    debtor = await make_debtor(pool, attempts_due=0)
    town.crm.set_mood("down")
    for _ in range(3):
        await look_ups.known(uuid7(), KNOWN, LINE, timeout_s=10)
    asked = len(town.crm.asked)
    call = uuid7()
    known = await look_ups.known(call, debtor.address, LINE, timeout_s=10)
    assert known.own is not None
    assert known.own.balance is not None
    assert (await row_until(pool, call, "skipped")).reason == "skipped"
    assert len(town.crm.asked) == asked


async def test_what_the_crm_does_not_tell_is_filled_in_from_our_own(stack, pool):
    _, look_ups = await begin(stack, pool)
    async with pool.acquire() as connection, connection.transaction():
        person_id, _ = await people.of_number(connection, "+12025550164")
        await people.learn(connection, person_id, name="H. L.", locale="sv-SE")
        await people.add_contact_point(connection, person_id, people.EMAIL, "hannah@example.org")
    known = await look_ups.known(uuid7(), "+12025550164", LINE, timeout_s=10)
    assert known.donor is not None
    assert known.donor.name == "Hannah Lindqvist"
    assert known.donor.email == "hannah@example.org"
    assert known.own is not None
    assert known.own.id == person_id


async def test_an_anonymous_caller_is_looked_up_nowhere_and_a_line_may_ask_by_its_own_number(stack, pool):
    town, look_ups = await begin(stack, pool)
    known = await look_ups.known(uuid7(), None, LINE, timeout_s=10)
    assert not known.is_known
    assert town.crm.asked == []
    look_ups.begin(call := uuid7(), None, LINE, "DNIS")
    await look_ups.known(call, None, LINE, timeout_s=10)
    assert town.crm.asked == [{"identifier_type": "DNIS", "identifier_value": LINE}]
    look_ups.begin(call := uuid7(), KNOWN, LINE, "none")
    await look_ups.known(call, KNOWN, LINE, timeout_s=10)
    assert len(town.crm.asked) == 1


async def test_two_calls_of_one_donor_are_two_look_ups_and_a_second_step_asks_nobody(stack, pool):
    town, look_ups = await begin(stack, pool)
    first, second = uuid7(), uuid7()
    found = await asyncio.gather(
        *(look_ups.known(call, KNOWN, LINE, timeout_s=10) for call in (first, second, first, second))
    )
    assert {one.segmented.name for one in found} == {"High_Value_Donor"}
    assert len(town.crm.asked) == 2


async def test_a_step_with_less_patience_than_the_budget_gets_what_is_known_by_then(stack, pool):
    town, look_ups = await begin(stack, pool, crm__budget_s=5)
    town.let_go.clear()
    debtor = await make_debtor(pool, attempts_due=0)
    call = uuid7()
    look_ups.begin(call, debtor.address, LINE, "ANI")
    async with pool.acquire() as connection:
        assert await donors.own(connection, debtor.address, zone="UTC") is not None
    known = await look_ups.known(call, debtor.address, LINE, timeout_s=3)
    assert known.own is not None
    assert known.failed is not None
    town.let_go.set()


async def test_our_own_figures_leave_out_what_went_back_and_count_by_the_day_the_money_came(pool):
    debtor = await make_debtor(pool, attempts_due=0)
    # 01:00 of the new year in UTC, 20:00 of the old one in New York.
    at = int(datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp())
    await pool.execute(
        "UPDATE payment SET status = 'succeeded', transaction_status = 'COMPLETED', observed = $1",
        f'{{"succeeded_at_unix_s": {at}}}',
    )
    async with pool.acquire() as connection, connection.transaction():
        await refunds.seen(
            connection, id=uuid7(), payment_id=debtor.payment_id, gateway="stripe", reference="re_1",
            money=Money(600, "USD"), state="succeeded",
        )  # fmt: skip
        own = await donors.own(connection, debtor.address, zone="America/New_York")
        by_utc = await donors.own(connection, debtor.address, zone="UTC")
    assert (own.total_minor, own.last_minor, own.largest_minor, own.gifts) == (1900, 1900, 1900, 1)
    assert (own.last_on, by_utc.last_on) == (date(2025, 12, 31), date(2026, 1, 1))
    await pool.execute("UPDATE refund SET amount_minor = 2500")
    async with pool.acquire() as connection:
        own = await donors.own(connection, debtor.address, zone="UTC")
    assert (own.gifts, own.last_on, own.total_minor) == (None, None, None)


async def test_a_defect_of_a_look_up_ends_it_and_the_screen_says_that_it_failed(stack, pool, monkeypatch):
    _, look_ups = await begin(stack, pool)

    async def break_down(number, *, by):
        raise RuntimeError("a defect")

    monkeypatch.setattr(look_ups._crm, "find", break_down)
    call = uuid7()
    assert not (await look_ups.known(call, KNOWN, LINE, timeout_s=10)).is_known
    assert (await row_until(pool, call, "failed")).crm == "rest"


async def test_while_nobody_can_say_by_what_a_line_asks_nothing_is_asked(stack, pool, monkeypatch):
    town, look_ups = await begin(stack, pool)

    async def away(connection, called):
        raise ConnectionResetError

    monkeypatch.setattr(donors, "look_up_by", away)
    known = await look_ups.known(uuid7(), KNOWN, LINE, timeout_s=10)
    assert known.failed is not None
    assert known.failed.reason is Failure.SKIPPED
    assert town.crm.asked == []


@pytest.mark.parametrize(
    ("zone", "said"), [("UTC", "yesterday (2026-11-19)"), ("America/Los_Angeles", "today (2026-11-19)")]
)
def test_the_days_since_a_gift_are_counted_where_gifts_are_booked(zone, said):
    donor = Donor(crm_id="7", last_gift=Given(date(2026, 11, 19), None))
    now = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
    row = donors.Snapshot(
        conversation_id=uuid7(), caller=KNOWN, state="found", asked_at=now, answered_at=now, donor=donor
    )  # fmt: skip
    shown = desk_donors.view(row, now.astimezone(ZoneInfo(zone)))
    assert [one.text for one in shown.facts if one.name == "Last gift"] == [said]


@pytest.mark.parametrize(
    ("state", "said"), [("asking", "The look-up failed"), ("late", "Unknown donor: the look-up failed")]
)
async def test_nobody_is_looked_up_for_ever_on_a_screen(state, said):
    asked_at = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    row = donors.Snapshot(
        conversation_id=uuid7(), caller=KNOWN, state=state, asked_at=asked_at, answered_at=None
    )  # fmt: skip
    assert desk_donors.view(row, asked_at + timedelta(seconds=60)).state == state
    ended = desk_donors.view(row, asked_at + timedelta(seconds=121))
    assert (ended.state, ended.said) == ("failed", said)
