"""Charging what was keyed in on the telephone, at a Stripe that declines, drops answers and says things late."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from pydantic import SecretStr

from support import bank_town, services, world
from support.telephone_money import DECLINED, GOOD, begin, charge, hear, token
from tenderline.config import StripeSettings
from tenderline.core.events import PaymentActionRequired, PaymentFailed, PaymentSucceeded
from tenderline.core.ids import uuid7
from tenderline.gateways.stripe import Stripe
from tenderline.notify import delivery
from tenderline.payments import pay_page, telephone
from tenderline.store import captures
from tenderline.worker import reactions


@pytest.fixture
async def town():
    async with bank_town.open_town() as opened:
        yield opened


@pytest.fixture
async def made(pool, town):
    gateway = Stripe(StripeSettings(api_key=SecretStr(bank_town.API_KEY), api_url=town.url, timeout_s=20))
    one = services.make(pool, gateways=[gateway], messengers=[services.message_class("sms")], organisation="Hope House")
    yield one
    await gateway.close()


async def tries(pool, session):
    async with pool.acquire() as connection:
        return await captures.charges_of(connection, session.id)


async def doubtful(pool):
    async with pool.acquire() as connection:
        return await captures.in_doubt(connection, older_than_s=-1, limit=10)


async def after_preparing(made, town, monkeypatch, fault):
    """The fault strikes the charge itself, not its preparation."""
    gateway = made.gateways["stripe"]
    prepare = gateway.prepare_charge

    async def then_fail(request):
        found = await prepare(request)
        setattr(town.bank.faults(), fault, 1)
        return found

    monkeypatch.setattr(gateway, "prepare_charge", then_fail)


async def test_money_has_arrived_when_the_gateway_says_so_and_not_before(made, pool, town):
    session = await begin(made, pool)
    assert (await charge(made, session, await token(town))).result == "taken"
    assert await telephone.settlement(made, session.id) == "PENDING"
    await hear(made, pool, town, "payment_intent.succeeded")
    assert await telephone.settlement(made, session.id) == "COMPLETED"
    payment = await pool.fetchrow("SELECT * FROM payment")
    assert (payment["person_id"], payment["amount_minor"]) == (session.person_id, 2500)
    assert await pool.fetchval("SELECT count(*) FROM person") == 1, "the payer is whoever called"
    for _ in range(2):  # a reaction may run twice
        await reactions.thank_caller(made, PaymentSucceeded(payment_id=payment["id"], amount="$25.00"))
    (receipt,) = await pool.fetch("SELECT * FROM attempt")
    assert (receipt["template"], receipt["channel"], receipt["why"]) == ("receipt", "sms", None)
    assert await pool.fetchval("SELECT state FROM capture_session") == "completed"
    (leased,) = (await world.claim(pool)).leased
    written = delivery.write(made, leased)
    assert not isinstance(written, str)
    assert (
        written.message.text
        == f"Hope House: thank you, we have received $25.00. Your reference is {session.reference}."
    )


async def test_after_a_decline_another_card_may_be_tried_and_only_one_is_charged(made, pool, town):
    session = await begin(made, pool)
    first = await charge(made, session, await token(town, DECLINED))
    assert first.result == "declined"
    await hear(made, pool, town, "payment_intent.payment_failed")
    payment_id = await pool.fetchval("SELECT id FROM payment")
    await reactions.open_case(made, PaymentFailed(payment_id=payment_id, amount="$25.00", reason="do_not_honor"))
    assert await pool.fetchval("SELECT count(*) FROM recovery_case") == 0, "nobody is asked for a gift"
    assert (await charge(made, session, await token(town))).result == "taken"
    assert (await charge(made, session, await token(town))).result == "unknown", "one was taken already"
    assert [one.state for one in await tries(pool, session)] == ["declined", "taken"]
    assert await pool.fetchval("SELECT declines FROM capture_session") == 1


async def test_two_at_once_charge_once(made, pool, town):
    session = await begin(made, pool)
    cards = [await token(town) for _ in range(4)]
    results = await asyncio.gather(*(charge(made, session, card) for card in cards))
    assert sorted(one.result for one in results) == ["taken", "unknown", "unknown", "unknown"]


@pytest.mark.parametrize("fault", ["drop_after_success_next", "fail_after_success_next"])
async def test_an_answer_that_never_came_is_asked_for_and_nothing_is_charged_twice(
    made, pool, town, monkeypatch, fault
):
    await after_preparing(made, town, monkeypatch, fault)
    session = await begin(made, pool)
    assert (await charge(made, session, await token(town))).result == "unknown"
    assert (await charge(made, session, await token(town))).result == "unknown", "no second try while it is not known"
    (one,) = await doubtful(pool)
    found = await telephone.reconcile(made, one)
    assert found is not None
    assert found.result == "taken"
    assert await telephone.settlement(made, session.id) == "COMPLETED", "the gateway was asked, and said so"


async def test_a_charge_that_never_arrived_is_taken_back_before_another_is_tried(made, pool, town, monkeypatch):
    await after_preparing(made, town, monkeypatch, "fail_before_next")
    session = await begin(made, pool)
    assert (await charge(made, session, await token(town))).result == "unknown"
    (one,) = await doubtful(pool)
    found = await telephone.reconcile(made, one)
    assert found is not None
    assert found.result == "failed"
    monkeypatch.undo()
    again = await charge(made, session, await token(town))
    assert again.result == "taken"


async def test_what_cannot_be_prepared_charges_nothing(made, pool, town):
    session = await begin(made, pool)
    card = await token(town)
    for fault in ("fail_before_next", "drop_after_success_next"):
        setattr(town.bank.faults(), fault, 1)
        assert (await charge(made, session, card)).result == "failed"
    assert (await charge(made, session, "pm_unknown")).result == "failed"
    assert await doubtful(pool) == []
    assert (await charge(made, session, await token(town))).result == "taken"


async def test_a_try_that_was_cut_off_before_the_gateway_knew_it_took_nothing(made, pool, town):
    session = await begin(made, pool)
    async with pool.acquire() as connection:
        await captures.intend(connection, id=uuid7(), session=session, token="pm_1", brand="visa", last_four="4242")
    (one,) = await doubtful(pool)
    found = await telephone.reconcile(made, one)
    assert found is not None
    assert found.result == "failed"
    assert (await charge(made, session, await token(town))).result == "taken"


async def test_no_card_number_lies_in_the_database(made, pool, town):
    session = await begin(made, pool)
    await charge(made, session, await token(town))
    await hear(made, pool, town, "payment_intent.succeeded")
    for table in ("charge", "capture_session", "payment", "event"):
        rows = await pool.fetch(f"SELECT t::text AS text FROM {table} t")
        assert not any(GOOD in row["text"] for row in rows)


class Killed(BaseException):
    """The process is gone: nothing after this line runs."""


STEPS = ("before_prepare", "after_prepare", "before_charge", "after_charge", "before_answer")


def killed_at(monkeypatch, made, step):
    """Dies at a step of one charge."""
    gateway = made.gateways["stripe"]
    prepare, charged, answered = gateway.prepare_charge, gateway.charge, telephone._answered

    async def dying_prepare(request):
        if step == "before_prepare":
            raise Killed
        found = await prepare(request)
        if step == "after_prepare":
            raise Killed
        return found

    async def dying_charge(request):
        if step == "before_charge":
            raise Killed
        found = await charged(request)
        if step == "after_charge":
            raise Killed
        return found

    async def dying_answer(*told):
        if step == "before_answer":
            raise Killed
        return await answered(*told)

    monkeypatch.setattr(gateway, "prepare_charge", dying_prepare)
    monkeypatch.setattr(gateway, "charge", dying_charge)
    monkeypatch.setattr(telephone, "_answered", dying_answer)


@pytest.mark.parametrize("card", ["good", "declined"])
@pytest.mark.parametrize("step", STEPS)
async def test_whatever_is_killed_when_a_session_is_charged_once_at_most(made, pool, town, monkeypatch, step, card):
    session = await begin(made, pool)
    first = await token(town, GOOD if card == "good" else DECLINED)
    with monkeypatch.context() as dying:
        killed_at(dying, made, step)
        with pytest.raises(Killed):
            await charge(made, session, first)
    again = await charge(made, session, await token(town))
    assert again.result == "unknown", "nothing more is tried before it is known what became of the first"
    for one in await doubtful(pool):
        await telephone.reconcile(made, one)
    assert await doubtful(pool) == [], "the gateway's word settles every doubt"
    last = await charge(made, session, await token(town))
    taken = [one for one in await tries(pool, session) if one.state == "taken"]
    assert len(taken) == 1
    intents = (await town.sdk.v1.payment_intents.list_async({"limit": 100})).data
    assert [one.status for one in intents].count("succeeded") == 1, "the payer is charged once"
    was_charged = step in ("after_charge", "before_answer") and card == "good"
    assert last.result == ("unknown" if was_charged else "taken")


async def hang_up(made, session):
    await telephone.leave(made, session.id, "abandoned", "hung_up", hung_up=True)


async def test_who_hangs_up_before_paying_gets_one_link_with_her_amount(made, pool, town):
    session = await begin(made, pool, minor=7700)
    for _ in range(2):
        await hang_up(made, session)
    payment = await pool.fetchrow("SELECT * FROM payment")
    assert (payment["transaction_id"], payment["amount_minor"]) == (f"tel_{session.reference}", 7700)
    for _ in range(2):
        told = PaymentActionRequired(payment_id=payment["id"], amount="$77.00", reason="unknown")
        await reactions.open_case(made, told)
    (attempt,) = await pool.fetch("SELECT * FROM attempt")
    assert (attempt["template"], attempt["purpose"], attempt["why"]) == ("call_link", "servicing", None)
    assert attempt["due_at"] <= attempt["created_at"] + timedelta(seconds=5)
    (leased,) = (await world.claim(pool)).leased
    written = delivery.write(made, leased)
    assert not isinstance(written, str)
    assert "our call ended before your $77.00 was paid" in written.message.text
    assert "/pay/" in written.message.text
    case = await pool.fetchrow("SELECT * FROM recovery_case")
    offer = pay_page.Offer("a gift", "https://example.org/thanks")
    url = await pay_page.url_of(made, session.person_id, case["id"], offer)
    await town.control("pay", session=url.rsplit("/", 1)[-1])
    await hear(made, pool, town, "checkout.session.completed")
    assert await pool.fetchval("SELECT transaction_status FROM payment") == "COMPLETED"
    done = PaymentSucceeded(payment_id=payment["id"], amount="$77.00")
    await reactions.close_case(made, done)
    await reactions.thank_caller(made, done)
    assert await pool.fetchval("SELECT state FROM capture_session") == "completed"
    assert await pool.fetchval("SELECT count(*) FROM attempt WHERE template = 'receipt'") == 1


async def test_who_hangs_up_after_paying_gets_no_link(made, pool, town):
    session = await begin(made, pool)
    assert (await charge(made, session, await token(town))).result == "taken"
    await hang_up(made, session)
    assert await pool.fetchval("SELECT link_transaction_id FROM capture_session") is None
    assert await pool.fetchval("SELECT count(*) FROM payment WHERE transaction_id LIKE 'tel%'") == 0


async def test_who_leaves_with_a_call_that_goes_on_gets_no_link(made, pool, town):
    session = await begin(made, pool)
    await telephone.leave(made, session.id, "abandoned", "abandoned", hung_up=False)
    assert await pool.fetchval("SELECT count(*) FROM payment") == 0
