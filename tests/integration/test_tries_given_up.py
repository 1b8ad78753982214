"""Tries that others gave up, and tries that took nothing after all: charged once at most, and her link comes once."""

# ruff: noqa: F811  # a fixture that is imported is named again by whoever takes it
from __future__ import annotations

import asyncio

import pytest

from integration.test_telephone_payments import doubtful, made, town, tries  # noqa: F401  # two are fixtures
from support import live_calls
from support.locks import waits_for
from support.telephone_money import DECLINED, GOOD, begin, charge, hear, paid, token
from tenderline.core.events import PaymentSucceeded
from tenderline.desk import payments as shown_payments
from tenderline.gateways.base import GatewayUnavailableError
from tenderline.payments import telephone
from tenderline.store import holds, people
from tenderline.voice.backstage import DatabaseBackstage
from tenderline.worker import reactions


async def hang_up(made, session):
    await telephone.leave(made, session.id, "abandoned", "hung_up", hung_up=True)


async def taken_at_bank(town):
    intents = (await town.sdk.v1.payment_intents.list_async({"limit": 100})).data
    return [one.status for one in intents].count("succeeded")


async def test_a_payment_that_others_gave_up_is_not_charged_by_whoever_wakes_up(made, pool, town):
    session = await begin(made, pool)
    card = await token(town)
    await hang_up(made, session)
    assert (await charge(made, session, card)).result == "failed"
    assert (await tries(pool, session), await taken_at_bank(town)) == ([], 0), "she has got a link: that is enough"


@pytest.mark.parametrize("state", ["abandoned", "cancelled", "declined", "failed"])
async def test_a_payment_that_was_left_is_not_charged_any_more(made, pool, town, state):
    session = await begin(made, pool)
    await telephone.leave(made, session.id, state, state, hung_up=False)
    assert (await charge(made, session, await token(town))).result == "failed"
    assert await taken_at_bank(town) == 0


@pytest.mark.parametrize("call", ["prepare_charge", "charge"])
async def test_who_is_given_up_while_her_card_is_charged_gets_no_link(made, pool, town, monkeypatch, call):
    session = await begin(made, pool)
    original = getattr(made.gateways["stripe"], call)

    async def meanwhile(request):
        await hang_up(made, session)
        return await original(request)

    monkeypatch.setattr(made.gateways["stripe"], call, meanwhile)
    assert (await charge(made, session, await token(town))).result == "taken"
    row = await pool.fetchrow("SELECT state, link_transaction_id FROM capture_session")
    assert tuple(row) == ("charged", None)


async def test_a_try_that_was_written_off_while_its_maker_stood_still_is_not_made(made, pool, town, monkeypatch):
    session = await begin(made, pool)
    gateway = made.gateways["stripe"]
    prepare = gateway.prepare_charge

    async def slowly(request):
        found = await prepare(request)
        (one,) = await doubtful(pool)
        assert (await telephone.reconcile(made, one)).result == "failed"
        return found

    with monkeypatch.context() as slow:
        slow.setattr(gateway, "prepare_charge", slowly)
        assert (await charge(made, session, await token(town))).result == "failed"
    assert [one.state for one in await tries(pool, session)] == ["refused"]
    assert await taken_at_bank(town) == 0
    assert (await charge(made, session, await token(town))).result == "taken", "written off, it can be tried again"


async def test_a_try_that_goes_on_after_it_was_looked_at_is_not_written_off(made, pool, town, monkeypatch):
    session = await begin(made, pool)
    gateway = made.gateways["stripe"]
    prepare, charged = gateway.prepare_charge, gateway.charge
    looked_at = []

    async def look(request):
        looked_at.extend(await doubtful(pool))
        return await prepare(request)

    async def write_off(request):
        assert await telephone.reconcile(made, looked_at[0]) is None, "its transaction has become known since"
        return await charged(request)

    monkeypatch.setattr(gateway, "prepare_charge", look)
    monkeypatch.setattr(gateway, "charge", write_off)
    assert (await charge(made, session, await token(town))).result == "taken"
    assert [one.state for one in await tries(pool, session)] == ["taken"]


async def no_answer(made, pool, town, monkeypatch, number, *, arrives=True, conversation_id=None):
    """(session, its try) whose charge was answered by nobody; it took nothing."""
    session = await begin(made, pool, conversation_id=conversation_id)
    card, gateway = await token(town, number), made.gateways["stripe"]
    charged = gateway.charge

    async def lost(request):
        if arrives:
            await charged(request)
        raise GatewayUnavailableError

    with monkeypatch.context() as losing:
        losing.setattr(gateway, "charge", lost)
        assert (await charge(made, session, card)).result == "unknown"
    (one,) = await doubtful(pool)
    return session, one


async def doubts_shown(pool):
    async with pool.acquire() as connection:
        return [one.in_doubt for one in await shown_payments.read(connection)]


async def the_call_ends(pool, conversation_id):
    await pool.execute("UPDATE conversation SET ended_at = now() - interval '1 hour' WHERE id = $1", conversation_id)


@pytest.mark.parametrize(("number", "arrives", "result"), [(DECLINED, True, "declined"), (GOOD, False, "failed")])
async def test_a_try_that_took_nothing_after_all_is_in_doubt_no_more_and_its_payer_gets_a_link(
    made, pool, town, monkeypatch, number, arrives, result
):
    call = await live_calls.make_call(pool, "+12025550199")
    session, one = await no_answer(made, pool, town, monkeypatch, number, arrives=arrives, conversation_id=call)
    assert await doubts_shown(pool) == [True]
    assert (await telephone.reconcile(made, one)).result == result
    assert await doubts_shown(pool) == [False]
    assert await telephone.give_up_forsaken(made) == 0, "she is on the line still, and may try another card"
    await the_call_ends(pool, call)
    for given_up in (1, 0):
        assert await telephone.give_up_forsaken(made) == given_up
    payment = await pool.fetchrow("SELECT * FROM payment WHERE transaction_id = $1", f"tel_{session.reference}")
    assert payment["status"] == "action_required"
    assert await pool.fetchval("SELECT state FROM capture_session") == "abandoned"


async def test_after_a_try_that_took_nothing_another_card_is_charged_and_no_link_follows(made, pool, town, monkeypatch):
    call = await live_calls.make_call(pool, "+12025550199")
    session, one = await no_answer(made, pool, town, monkeypatch, DECLINED, conversation_id=call)
    await telephone.reconcile(made, one)
    assert (await charge(made, session, await token(town))).result == "taken"
    await telephone._answered(made, session, one.id, "refused", "told late, by whoever stood still")
    assert await pool.fetchval("SELECT state FROM capture_session") == "charged", "the other try took money"
    await the_call_ends(pool, call)
    assert await telephone.give_up_forsaken(made) == 0
    assert await pool.fetchval("SELECT declines FROM capture_session") == 1


async def test_who_paid_in_the_same_call_after_all_gets_no_link_for_the_try_before(made, pool, town, monkeypatch):
    call = await live_calls.make_call(pool, "+12025550199")
    first, one = await no_answer(made, pool, town, monkeypatch, DECLINED, conversation_id=call)
    second = await begin(made, pool, conversation_id=call)
    assert (await charge(made, second, await token(town))).result == "taken"
    await telephone.reconcile(made, one)
    await the_call_ends(pool, call)
    assert await telephone.give_up_forsaken(made) == 1
    row = await pool.fetchrow("SELECT state, link_transaction_id FROM capture_session WHERE id = $1", first.id)
    assert tuple(row) == ("abandoned", None)


async def test_who_heard_on_the_line_that_nothing_was_charged_gets_no_link(made, pool, town, monkeypatch):
    call = await live_calls.make_call(pool, "+12025550199")
    session, one = await no_answer(made, pool, town, monkeypatch, DECLINED, conversation_id=call)
    await hear(made, pool, town, "payment_intent.payment_failed")
    backstage = DatabaseBackstage(made)
    assert await backstage.settlement(str(session.id), timeout_s=5) == "FAILED"
    await backstage.close()
    assert await doubts_shown(pool) == [False]
    assert await doubtful(pool) == []
    await telephone.reconcile(made, one)
    await the_call_ends(pool, call)
    assert await telephone.give_up_forsaken(made) == 0
    row = await pool.fetchrow("SELECT state, link_transaction_id, declines FROM capture_session")
    assert tuple(row) == ("declined", None, 1)
    assert await pool.fetchval("SELECT count(*) FROM payment WHERE transaction_id LIKE 'tel%'") == 0
    assert (await charge(made, session, await token(town))).result == "failed", "another card is another payment"


async def test_a_failure_that_cannot_be_looked_up_or_written_down_is_not_told_until_it_can(
    made, pool, town, monkeypatch
):
    monkeypatch.setattr("tenderline.voice.backstage.WRITE_TIMEOUT_S", 0.3)
    call = await live_calls.make_call(pool, "+12025550199")
    session, _ = await no_answer(made, pool, town, monkeypatch, DECLINED, conversation_id=call)
    await hear(made, pool, town, "payment_intent.payment_failed")
    backstage = DatabaseBackstage(made)
    await pool.execute("ALTER TABLE charge RENAME TO elsewhere")
    assert await backstage.settlement(str(session.id), timeout_s=0.6) == "PENDING"
    await pool.execute("ALTER TABLE elsewhere RENAME TO charge")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM capture_session WHERE id = $1 FOR UPDATE", session.id)
        assert await backstage.settlement(str(session.id), timeout_s=5) == "PENDING"
    for _ in range(2):  # again, as when the answer to the commit was lost
        assert await backstage.settlement(str(session.id), timeout_s=5) == "FAILED"
        assert await pool.fetchval("SELECT state FROM capture_session") == "declined"
    await backstage.close()


@pytest.mark.parametrize(("number", "arrives"), [(DECLINED, True), (GOOD, False)])
async def test_who_waits_while_others_find_that_nothing_was_charged_is_told_so_and_gets_no_link(
    made, pool, town, monkeypatch, number, arrives
):
    call = await live_calls.make_call(pool, "+12025550199")
    session, one = await no_answer(made, pool, town, monkeypatch, number, arrives=arrives, conversation_id=call)
    await telephone.reconcile(made, one)
    assert await pool.fetchval("SELECT state FROM capture_session") == "open"
    backstage = DatabaseBackstage(made)
    assert await backstage.settlement(str(session.id), timeout_s=5) == "FAILED"
    await backstage.close()
    await the_call_ends(pool, call)
    assert await telephone.give_up_forsaken(made) == 0
    row = await pool.fetchrow("SELECT state, link_transaction_id FROM capture_session")
    assert tuple(row) == ("declined", None)


async def test_money_that_arrived_after_all_is_not_called_a_failure(made, pool, town, monkeypatch):
    session = await begin(made, pool)
    assert (await charge(made, session, await token(town))).result == "taken"
    heard, settlement = telephone.heard_of_failure, telephone.settlement

    async def arrived(*about):
        await hear(made, pool, town, "payment_intent.succeeded")
        return await heard(*about)

    async def of_old(*_):
        monkeypatch.setattr(telephone, "settlement", settlement)
        return "FAILED"

    backstage = DatabaseBackstage(made)
    monkeypatch.setattr(telephone, "heard_of_failure", arrived)
    monkeypatch.setattr(telephone, "settlement", of_old)
    assert await backstage.settlement(str(session.id), timeout_s=20) == "COMPLETED"
    await backstage.close()


async def test_of_two_payments_of_a_call_that_came_to_nothing_one_is_left_with_a_link(made, pool, town, monkeypatch):
    call = await live_calls.make_call(pool, "+12025550199")
    _, one = await no_answer(made, pool, town, monkeypatch, DECLINED, conversation_id=call)
    second = await begin(made, pool, conversation_id=call)
    await the_call_ends(pool, call)
    assert await telephone.give_up_forsaken(made) == 1
    await telephone.reconcile(made, one)
    assert await telephone.give_up_forsaken(made) == 1
    links = await pool.fetch("SELECT id FROM capture_session WHERE link_transaction_id IS NOT NULL")
    assert [row["id"] for row in links] == [second.id], "two links would ask twice for one gift"


async def test_while_a_later_payment_of_the_call_may_be_taken_no_link_follows_the_one_before(
    made, pool, town, monkeypatch
):
    call = await live_calls.make_call(pool, "+12025550199")
    first, one = await no_answer(made, pool, town, monkeypatch, DECLINED, conversation_id=call)
    second, gateway = await begin(made, pool, conversation_id=call), made.gateways["stripe"]
    charged = gateway.charge

    async def meanwhile(request):
        await telephone.reconcile(made, one)
        await the_call_ends(pool, call)
        assert await telephone.give_up_forsaken(made) == 1
        return await charged(request)

    monkeypatch.setattr(gateway, "charge", meanwhile)
    assert (await charge(made, second, await token(town))).result == "taken"
    row = await pool.fetchrow("SELECT state, link_transaction_id FROM capture_session WHERE id = $1", first.id)
    assert tuple(row) == ("abandoned", None)


@pytest.mark.parametrize("act", ["hang_up", "begin"])
async def test_a_payment_and_the_callers_distress_lock_her_before_her_call(made, pool, act):
    call = await live_calls.make_call(pool, "+12025550199")
    session = await begin(made, pool, conversation_id=call)

    async def begin_another():
        async with pool.acquire() as connection, connection.transaction():
            await telephone.begin(
                made, connection, person_id=session.person_id, contact_point_id=None, conversation_id=call,
                mode="automated", money=session.money, campaign=None, fund=None,
            )  # fmt: skip

    async with pool.acquire() as reporter:
        async with reporter.transaction():
            await people.lock(reporter, session.person_id)
            payment = asyncio.create_task(hang_up(made, session) if act == "hang_up" else begin_another())
            await waits_for(pool, reporter)
            await reporter.execute("SET LOCAL lock_timeout = '20s'")
            assert await holds.turn_payment_off(reporter, call, session.person_id, "distress")
        if act == "begin":
            with pytest.raises(holds.PaymentOffError):
                await payment
        else:
            await payment
    assert await pool.fetchval("SELECT count(*) FROM payment") == 0, "no link follows her"


async def test_a_receipt_locks_her_before_her_payment_too(made, pool, town):
    payment = await paid(made, pool, town)
    async with pool.acquire() as other:
        async with other.transaction():
            await people.lock(other, payment["person_id"])
            thanks = asyncio.create_task(
                reactions.thank_caller(made, PaymentSucceeded(payment_id=payment["id"], amount="$25.00"))
            )
            await waits_for(pool, other)
            assert await other.fetchval("SELECT state FROM capture_session FOR UPDATE NOWAIT") == "charged"
        await thanks
    assert await pool.fetchval("SELECT state FROM capture_session") == "completed"
