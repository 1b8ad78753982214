"""The worker's questions about money: asked in turn, so that what never ends keeps nothing else waiting."""

from __future__ import annotations

import asyncpg
import pytest
from pydantic import SecretStr

from support import bank_town, live_calls, services
from support.telephone_money import begin, charge, token
from tenderline.config import StripeSettings
from tenderline.gateways.base import GatewayUnavailableError
from tenderline.gateways.stripe import Stripe
from tenderline.payments import telephone
from tenderline.worker import money


@pytest.fixture
async def town():
    async with bank_town.open_town() as opened:
        yield opened


@pytest.fixture
async def made(pool, town, monkeypatch):
    monkeypatch.setattr(money, "RECONCILED_MAX", 1)
    gateway = Stripe(StripeSettings(api_key=SecretStr(bank_town.API_KEY), api_url=town.url, timeout_s=20))
    yield services.make(pool, gateways=[gateway], organisation="Hope House")
    await gateway.close()


async def ask(made):
    await money.ask_gateways(made, doubt_after_s=-1, unsettled_after_s=-1)


async def never_answered(made, pool, town, monkeypatch):
    """A session whose charge was taken, and answered by nobody."""
    session, card = await begin(made, pool), await token(town)
    charged = made.gateways["stripe"].charge

    async def lost(request):
        await charged(request)
        raise GatewayUnavailableError

    with monkeypatch.context() as losing:
        losing.setattr(made.gateways["stripe"], "charge", lost)
        assert (await charge(made, session, card)).result == "unknown"
    return session


async def states(pool, *sessions):
    """How the try of each stands."""
    return [await pool.fetchval("SELECT state FROM charge WHERE session_id = $1", one.id) for one in sessions]


async def test_who_has_no_answer_does_not_stop_those_behind_from_being_asked_for(made, pool, town, monkeypatch):
    first, second = [await never_answered(made, pool, town, monkeypatch) for _ in range(2)]
    town.bank.faults().fail_before_next = 1
    await ask(made)
    assert await states(pool, first, second) == ["unknown", "unknown"]
    await ask(made)
    assert await states(pool, first, second) == ["unknown", "taken"]
    await ask(made)
    assert await states(pool, first, second) == ["taken", "taken"]


async def test_money_that_never_settles_does_not_stop_what_is_behind_it(made, pool, town):
    first, second = [await begin(made, pool) for _ in range(2)]
    for one in (first, second):
        assert (await charge(made, one, await token(town))).result == "taken"
    await ask(made)
    assert [await telephone.settlement(made, one.id) for one in (first, second)] == ["COMPLETED", "PENDING"]
    assert await pool.fetchval("SELECT state FROM capture_session WHERE id = $1", first.id) == "charged"
    await ask(made)
    assert await telephone.settlement(made, second.id) == "COMPLETED"


async def test_a_row_that_always_fails_stops_nobody_else_in_its_turn(made, pool, town, monkeypatch):
    monkeypatch.setattr(money, "RECONCILED_MAX", 10)
    first, second = [await never_answered(made, pool, town, monkeypatch) for _ in range(2)]
    cursed = await pool.fetchval("SELECT transaction_id FROM charge WHERE session_id = $1", first.id)
    gateway = made.gateways["stripe"]
    read = gateway.read_charge

    async def unreadable(transaction_id):
        if transaction_id == cursed:
            raise asyncpg.DataError("cursed")
        return await read(transaction_id)

    monkeypatch.setattr(gateway, "read_charge", unreadable)
    for _ in range(2):
        await ask(made)
    assert await states(pool, first, second) == ["unknown", "taken"]


async def test_who_is_given_up_gets_her_link_whatever_the_gateway_does(made, pool, town, monkeypatch):
    call = await live_calls.make_call(pool, "+12025550199")
    sessions = [await begin(made, pool, conversation_id=call) for _ in range(2)]
    await pool.execute("UPDATE conversation SET ended_at = now() - interval '1 hour'")
    town.bank.faults().fail_before_next = 100
    leave = telephone.leave

    async def cursed(services, session_id, *told, **more):
        if session_id == sessions[0].id:
            raise asyncpg.DataError("cursed")
        await leave(services, session_id, *told, **more)

    monkeypatch.setattr(telephone, "leave", cursed)
    await money.look_after(made)
    links = [row[0] for row in await pool.fetch("SELECT transaction_id FROM payment")]
    assert links == [f"tel_{sessions[1].reference}"]
    assert town.bank.faults().fail_before_next == 100, "no gateway was asked"


async def test_a_payment_that_cannot_be_given_up_keeps_no_other_from_its_link(made, pool, town, monkeypatch):
    monkeypatch.setattr(telephone, "FORSAKEN_MAX", 1)
    sessions = []
    for number in ("+12025550198", "+12025550199"):
        call = await live_calls.make_call(pool, number)
        sessions.append(await begin(made, pool, conversation_id=call))
    await pool.execute("UPDATE conversation SET ended_at = now() - interval '1 hour'")
    apply = telephone.settle.apply

    async def cursed(connection, gateway, fact, *more):
        if fact.transaction_id == f"tel_{sessions[0].reference}":
            raise asyncpg.DataError("cursed")
        return await apply(connection, gateway, fact, *more)

    monkeypatch.setattr(telephone.settle, "apply", cursed)
    assert [await telephone.give_up_forsaken(made) for _ in range(2)] == [0, 1]
    assert await pool.fetchval("SELECT transaction_id FROM payment") == f"tel_{sessions[1].reference}"
