"""Giving money back: once, no more than is left, and done when the gateway's news says so."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from support import bank_town, edge, services, world
from support.telephone_money import begin, charge, hear, paid, token
from tenderline.config import StripeSettings
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.events import PaymentRefunded
from tenderline.core.facts import RefundFact, RefundState
from tenderline.core.ids import uuid7
from tenderline.core.money import InvalidMoneyError
from tenderline.gateways.stripe import Stripe
from tenderline.notify import delivery
from tenderline.payments import refunds
from tenderline.payments.refunds import NotRefundableError, RefundKeyReusedError, TooMuchError
from tenderline.store import refunds as rows
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


async def ask(pool, payment, minor=None, *, refund_id=None, reason="gave twice"):
    async with pool.acquire() as connection, connection.transaction():
        return await refunds.intend(
            connection,
            refund_id=refund_id or uuid7(),
            payment_id=payment["id"],
            amount_minor=minor,
            reason=reason,
            by="sue@example.org",
        )


async def give(made, pool, payment, minor=None):
    one = await ask(pool, payment, minor)
    return await refunds.carry_out(made, one.id)


async def state(pool, one):
    async with pool.acquire() as connection:
        return (await rows.get(connection, one.id)).state


async def given_back(town, payment):
    """What the bank itself says: (how often, how much)."""
    listed = await town.sdk.v1.refunds.list_async({"payment_intent": payment["transaction_id"], "limit": 100})
    return len(listed.data), sum(one.amount for one in listed.data)


async def test_money_has_gone_back_when_the_gateway_says_so_and_not_before(made, pool, town):
    payment = await paid(made, pool, town)
    one = await give(made, pool, payment)
    assert one.state == "taken"
    assert await pool.fetchval("SELECT status FROM payment") == "succeeded"
    await hear(made, pool, town, "refund.created")
    assert await state(pool, one) == "succeeded"
    await hear(made, pool, town, "charge.refunded")
    row = await pool.fetchrow("SELECT * FROM payment")
    assert (row["status"], row["transaction_status"]) == ("refunded", "COMPLETED")
    assert await given_back(town, payment) == (1, 2500)
    asked = await pool.fetchrow("SELECT * FROM audit WHERE action = 'refund.asked'")
    assert (asked["actor"], json.loads(asked["data"])["reason"]) == ("sue@example.org", "gave twice")


async def test_parts_are_given_back_until_nothing_is_left(made, pool, town):
    payment = await paid(made, pool, town)
    assert (await give(made, pool, payment, 1000)).state == "taken"
    await hear(made, pool, town, "charge.refunded")
    assert await pool.fetchval("SELECT status FROM payment") == "succeeded", "a part is not the whole"
    with pytest.raises(TooMuchError, match=r"\$20.00 is more than the \$15.00 that is left of \$25.00"):
        await ask(pool, payment, 2000)
    assert (await give(made, pool, payment)).amount_minor == 1500, "the rest"
    await hear(made, pool, town, "charge.refunded", least=2)
    assert await pool.fetchval("SELECT status FROM payment") == "refunded"
    with pytest.raises(NotRefundableError):
        await ask(pool, payment, 1)
    assert await given_back(town, payment) == (2, 2500)


async def test_what_did_not_arrive_or_is_disputed_or_unknown_is_not_given_back(made, pool, town):
    session = await begin(made, pool)
    await charge(made, session, await token(town))
    pending = await pool.fetchrow("SELECT * FROM payment")
    with pytest.raises(NotRefundableError, match="has not arrived"):
        await ask(pool, pending)
    await pool.execute("UPDATE payment SET transaction_status = 'COMPLETED', status = 'disputed'")
    with pytest.raises(NotRefundableError, match="disputes"):
        await ask(pool, pending)
    with pytest.raises(NotFoundError):
        await ask(pool, {"id": uuid7()})
    await pool.execute("UPDATE payment SET status = 'succeeded'")
    with pytest.raises(InvalidMoneyError):
        await ask(pool, pending, 0)
    with pytest.raises(InvalidInputError, match="card number"):
        await ask(pool, pending, reason="her card " + "4242" * 4)
    assert await pool.fetchval("SELECT count(*) FROM refund") == 0


async def test_the_same_refund_asked_for_twice_or_at_once_goes_back_once(made, pool, town):
    payment = await paid(made, pool, town)
    mine = uuid7()
    for _ in range(3):
        await ask(pool, payment, 700, refund_id=mine)
    await asyncio.gather(*(refunds.carry_out(made, mine) for _ in range(4)))
    assert await given_back(town, payment) == (1, 700)
    with pytest.raises(RefundKeyReusedError):
        await ask(pool, payment, 800, refund_id=mine)


async def test_two_supervisors_at_once_cannot_give_back_more_than_there_is(made, pool, town):
    payment = await paid(made, pool, town)
    asked = await asyncio.gather(*(ask(pool, payment, 2000) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, TooMuchError) for one in asked) == 4


@pytest.mark.parametrize("fault", ["drop_after_success_next", "fail_after_success_next", "fail_before_next"])
async def test_an_answer_that_never_came_is_read_and_nothing_goes_back_twice(made, pool, town, monkeypatch, fault):
    payment = await paid(made, pool, town)
    one = await ask(pool, payment, 900)
    create = made.gateways["stripe"]._paid_by

    async def then_fail(transaction_id):
        found = await create(transaction_id)
        setattr(town.bank.faults(), fault, 1)
        return found

    with monkeypatch.context() as failing:
        failing.setattr(made.gateways["stripe"], "_paid_by", then_fail)
        assert (await refunds.carry_out(made, one.id)).state == "unknown"
    await refunds.reconcile(made, await _row(pool, one.id))
    # What never arrived is asked for once more, under the same key.
    assert await state(pool, one) == ("taken" if fault == "fail_before_next" else "succeeded")
    assert await given_back(town, payment) == (1, 900)


async def _row(pool, refund_id):
    async with pool.acquire() as connection:
        return await rows.get(connection, refund_id)


async def test_what_surely_never_arrived_is_refused_once_its_key_is_forgotten(made, pool, town, monkeypatch):
    payment = await paid(made, pool, town)
    one = await ask(pool, payment)
    await pool.execute("UPDATE refund SET created_at = now() - interval '21 hours'")
    await refunds.reconcile(made, await _row(pool, one.id))
    assert await state(pool, one) == "refused"
    assert await given_back(town, payment) == (0, 0)
    assert (await ask(pool, payment)).amount_minor == 2500, "it may be asked for anew"


class Killed(BaseException):
    """The process is gone: nothing after this line runs."""


STEPS = ("before_asking", "before_gateway", "after_gateway", "before_answer")


def killed_at(monkeypatch, made, step):
    gateway = made.gateways["stripe"]
    asked, answered = gateway.refund, refunds._answered

    async def dying_refund(request):
        if step == "before_gateway":
            raise Killed
        found = await asked(request)
        if step == "after_gateway":
            raise Killed
        return found

    async def dying_answer(*told):
        if step == "before_answer":
            raise Killed
        return await answered(*told)

    monkeypatch.setattr(gateway, "refund", dying_refund)
    monkeypatch.setattr(refunds, "_answered", dying_answer)


@pytest.mark.parametrize("news", ["heard", "lost", "first"])
@pytest.mark.parametrize("step", STEPS)
async def test_whatever_is_killed_when_money_goes_back_once(made, pool, town, monkeypatch, step, news):
    payment = await paid(made, pool, town)
    one = await ask(pool, payment, 1100)
    if step != "before_asking":
        with monkeypatch.context() as dying:
            killed_at(dying, made, step)
            with pytest.raises(Killed):
                await refunds.carry_out(made, one.id)
    reached = step in ("after_gateway", "before_answer")
    if news == "first" and reached:  # the webhook comes before anybody asks again
        await hear(made, pool, town, "refund.created")
    for _ in range(3):
        async with pool.acquire() as connection:
            waiting = await rows.still_open(connection, older_than_s=-1, limit=10)
        for each in waiting:
            await refunds.reconcile(made, each)
    if news != "lost":
        await hear(made, pool, town, "refund.created")
    assert await state(pool, one) == "succeeded"
    assert await given_back(town, payment) == (1, 1100)
    assert await pool.fetchval("SELECT count(*) FROM event WHERE kind = 'PaymentRefunded'") == 1
    assert await pool.fetchval("SELECT count(*) FROM unmatched_money") == 0, "it is ours"


def fact(payment, one, said, minor=None):
    return RefundFact(
        reference="re_1",
        transaction_id=payment["transaction_id"],
        state=said,
        amount_minor=minor or one.amount_minor,
        currency="USD",
        key=str(one.id),
    )


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(order=st.permutations([*RefundState, RefundState.TAKEN, RefundState.SUCCEEDED]), length=st.integers(1, 5))
async def test_news_in_any_order_and_number_ends_in_the_furthest_state(pool, order, length):
    debtor = await world.make_debtor(pool)
    await pool.execute(
        "UPDATE payment SET status = 'succeeded', transaction_status = 'COMPLETED' WHERE id = $1", debtor.payment_id
    )
    payment = await pool.fetchrow("SELECT * FROM payment WHERE id = $1", debtor.payment_id)
    one = await ask(pool, payment, 300)
    told = order[:length]
    for said in told:
        async with pool.acquire() as connection, connection.transaction():
            news = fact(payment, one, said)
            await refunds.hear(connection, "stripe", RefundFact(**{**_fields(news), "reference": f"re_{one.id}"}))
    ranks = [*RefundState]
    assert await state(pool, one) == max(told, key=ranks.index).value


def _fields(news):
    return {name: getattr(news, name) for name in news.__struct_fields__}


async def test_a_refund_that_the_bank_did_not_take_can_be_given_again(made, pool, town):
    payment = await paid(made, pool, town)
    one = await give(made, pool, payment)
    await hear(made, pool, town, "refund.created")
    reference = (await _row(pool, one.id)).reference
    await town.control("refund", refund=reference, status="failed", why="lost_or_stolen_card")
    await hear(made, pool, town, "refund.failed")
    after = await _row(pool, one.id)
    assert (after.state, after.why) == ("failed", "lost_or_stolen_card")
    assert await pool.fetchval("SELECT count(*) FROM event WHERE kind = 'RefundFailed'") == 1, "the CRM is told"
    assert (await ask(pool, payment)).amount_minor == 2500


@pytest.mark.parametrize("was_asked", [True, False])
async def test_while_its_gateway_is_not_configured_nobody_knows_whether_it_took_a_refund(
    made, pool, town, monkeypatch, was_asked
):
    payment = await paid(made, pool, town)
    one = await ask(pool, payment)
    with monkeypatch.context() as dying:
        killed_at(dying, made, "after_gateway" if was_asked else "before_gateway")
        with pytest.raises(Killed):
            await refunds.carry_out(made, one.id)
    for _ in range(2):
        known = await refunds.carry_out(services.make(pool), one.id)
        assert (known.state, known.why) == ("unknown", "the gateway stripe is not configured")
    await refunds.reconcile(made, known)
    assert await state(pool, one) == ("succeeded" if was_asked else "taken")
    assert await given_back(town, payment) == (1, 2500)


async def test_money_that_somebody_gave_back_at_the_gateway_itself_counts_and_is_asked_about(made, pool, town):
    payment = await paid(made, pool, town)
    await town.sdk.v1.refunds.create_async({"payment_intent": payment["transaction_id"], "amount": 600})
    for _ in range(2):
        await hear(made, pool, town, "refund.created")
    refund_id = await pool.fetchval("SELECT id FROM refund")
    event = PaymentRefunded(payment_id=payment["id"], refund_id=refund_id, amount="$6.00")
    await reactions.tell_of_refund(made, event)
    assert await pool.fetchval("SELECT count(*) FROM attempt") == 0, "who gave it back there tells her"
    (row,) = await pool.fetch("SELECT * FROM unmatched_money")
    assert (row["kind"], row["amount_minor"], row["payment_id"]) == ("refund_not_asked", 600, payment["id"])
    with pytest.raises(TooMuchError, match=r"\$19.00 that is left"):
        await ask(pool, payment, 2000)
    assert await pool.fetchval("SELECT count(*) FROM event WHERE kind = 'PaymentRefunded'") == 1, "the CRM is told"


async def test_another_sum_than_was_asked_for_is_asked_about(pool):
    debtor = await world.make_debtor(pool)
    await pool.execute("UPDATE payment SET status = 'succeeded', transaction_status = 'COMPLETED'")
    payment = await pool.fetchrow("SELECT * FROM payment WHERE id = $1", debtor.payment_id)
    one = await ask(pool, payment, 300)
    async with pool.acquire() as connection, connection.transaction():
        await refunds.hear(connection, "stripe", fact(payment, one, RefundState.SUCCEEDED, minor=301))
    (row,) = await pool.fetch("SELECT * FROM unmatched_money")
    assert (row["kind"], row["amount_minor"], row["expected_minor"]) == ("refund_other_amount", 301, 300)


async def test_a_debt_that_was_paid_on_our_page_is_given_back_from_what_paid_it(made, pool, town):
    debtor = await world.make_debtor(pool)
    session = await town.session(
        metadata={"tenderline_transaction": debtor.transaction_id},
        payment_intent_data={"metadata": {"tenderline_transaction": debtor.transaction_id}},
    )
    await town.control("pay", session=session.id)
    await hear(made, pool, town, "checkout.session.completed")
    payment = await pool.fetchrow("SELECT * FROM payment WHERE id = $1", debtor.payment_id)
    assert payment["transaction_status"] == "COMPLETED"
    one = await give(made, pool, payment, 500)
    assert one.state == "taken", one.why
    await hear(made, pool, town, "refund.created")
    assert await state(pool, one) == "succeeded"


async def test_the_payer_is_told_once_through_the_gate_and_not_against_her_word(made, pool, town):
    payment = await paid(made, pool, town)
    one = await give(made, pool, payment, 1000)
    await hear(made, pool, town, "refund.created")
    told = PaymentRefunded(person_id=payment["person_id"], payment_id=payment["id"], refund_id=one.id, amount="$10.00")
    for _ in range(2):  # a reaction may run twice
        await reactions.tell_of_refund(made, told)
    (attempt,) = await pool.fetch("SELECT * FROM attempt")
    assert (attempt["template"], attempt["purpose"]) == ("refund_receipt", "servicing")
    await pool.execute("UPDATE attempt SET due_at = now() - interval '1 second' WHERE state = 'planned'")
    leased = (await world.claim(pool)).leased
    if leased:  # by night it waits
        written = delivery.write(made, leased[0])
        assert not isinstance(written, str)
        assert "Hope House: we have given $10.00 back to you" in written.message.text
        assert "Your reference is" in written.message.text


async def test_who_opted_out_is_not_told(made, pool, town):
    payment = await paid(made, pool, town)
    one = await give(made, pool, payment, 1000)
    await hear(made, pool, town, "refund.created")
    await pool.execute("UPDATE person SET opted_out_at = now()")
    told = PaymentRefunded(person_id=payment["person_id"], payment_id=payment["id"], refund_id=one.id, amount="$10.00")
    await reactions.tell_of_refund(made, told)
    assert await pool.fetchval("SELECT count(*) FROM attempt WHERE state <> 'suppressed'") == 0


# --- on the screen and over the API ----------------------------------------------------------------------------------


@pytest.fixture
async def screen(pool, made):
    async with edge.client(made, headers={"Accept": "text/html"}) as opened:
        yield opened


async def test_a_supervisor_gives_back_on_the_page_of_the_payment_and_a_second_click_does_nothing(
    made, pool, town, screen
):
    payment = await paid(made, pool, town)
    await edge.sign_in(screen, await edge.make_user(pool))
    page = (await screen.get(f"/payments/{payment['id']}")).text
    assert "Up to $25.00" in page
    mine = page.partition('name="refund" value="')[2].partition('"')[0]
    data = {"csrf_token": edge.csrf_of(page), "refund": mine, "amount": "12.50", "reason": "gave <twice>"}
    for _ in range(2):
        answer = await screen.post(f"/payments/{payment['id']}/refund", data=data)
        assert answer.status_code == 303
    assert await given_back(town, payment) == (1, 1250)
    page = (await screen.get(f"/payments/{payment['id']}")).text
    assert "gave &lt;twice&gt;" in page
    assert "it has not told that the money has gone back" in page
    await hear(made, pool, town, "refund.created")
    assert "the money has gone back" in (await screen.get(f"/payments/{payment['id']}/live")).text
    for listing in ("/payments", "/payments/live"):
        assert "$12.50 given back" in (await screen.get(listing)).text


@pytest.mark.parametrize(
    ("amount", "said"),
    [("99", "is left"), ("0", "1 cent"), ("1,5", "digits and a point"), ("1.234", "digits and a point")],
)
async def test_what_cannot_be_given_back_is_refused_with_the_reason(made, pool, town, screen, amount, said):
    payment = await paid(made, pool, town)
    await edge.sign_in(screen, await edge.make_user(pool))
    page = (await screen.get(f"/payments/{payment['id']}")).text
    data = {"csrf_token": edge.csrf_of(page), "refund": str(uuid7()), "amount": amount, "reason": "x"}
    answer = await screen.post(f"/payments/{payment['id']}/refund", data=data)
    assert answer.status_code == 422
    assert said in answer.text


@pytest.mark.parametrize("role", ["viewer", "agent", "compliance", "engineer"])
async def test_who_may_not_give_back_sees_no_form_and_is_refused(made, pool, town, screen, role):
    payment = await paid(made, pool, town)
    await edge.sign_in(screen, await edge.make_user(pool, role))
    page = (await screen.get(f"/payments/{payment['id']}")).text
    assert "needs the role supervisor" in page
    assert "/refund" not in page
    csrf = edge.csrf_of((await screen.get("/")).text)
    data = {"csrf_token": csrf, "refund": str(uuid7()), "amount": "1", "reason": "x"}
    assert (await screen.post(f"/payments/{payment['id']}/refund", data=data)).status_code == 403
    assert await pool.fetchval("SELECT count(*) FROM refund") == 0


async def test_the_api_gives_back_once_for_one_key_and_says_how_it_stands(made, pool, town):
    payment = await paid(made, pool, town)
    path = f"/api/v2/payments/{payment['id']}/refunds"
    async with edge.client(made) as http:
        may = await edge.token(http, pool, "payments:write", "payments:read")
        head = {**may, "Idempotency-Key": "k1"}
        body = {"reason": "gave twice", "amountMinor": 800}
        first = (await http.post(path, json=body, headers=head)).json()
        assert (first["state"], first["amountMinor"]) == ("taken", 800)
        await hear(made, pool, town, "refund.created")
        second = (await http.post(path, json=body, headers=head)).json()
        assert (second["id"], second["state"]) == (first["id"], "succeeded")
        assert (await http.post(path, json={**body, "amountMinor": 1}, headers=head)).status_code == 422
        too_much = await http.post(path, json={"reason": "x", "amountMinor": 9999}, headers=may)
        assert (too_much.status_code, too_much.json()["code"]) == (422, "refund.too_much")
        other = await http.post(path, json={"reason": "x", "currency": "EUR"}, headers=may)
        assert other.status_code == 422
        listed = (await http.get(path, headers=may)).json()["entities"]
        assert [one["id"] for one in listed] == [first["id"]]
        look = await edge.token(http, pool, "payments:read")
        assert (await http.post(path, json=body, headers=look)).status_code == 403
        assert (await http.post(f"/api/v2/payments/{uuid7()}/refunds", json=body, headers=may)).status_code == 404
    assert await given_back(town, payment) == (1, 800)
