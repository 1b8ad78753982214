"""What a carrier or a slow worker tells late, early or twice; and locks taken in one order by everybody."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from support import services as world_services
from support import world
from support.locks import waits_for
from tenderline.core.facts import FactKind, Payer, PaymentFact
from tenderline.core.reasons import FailureReason
from tenderline.gateways.stripe import Stripe
from tenderline.gateways.stripe_webhooks import envelope_of
from tenderline.messengers.base import LeaseLost, Receipt, ReceiptState
from tenderline.notify import delivery
from tenderline.payments import settle
from tenderline.store import inbox, outcomes
from tenderline.store.db import query
from tenderline.store.gate import contacts_of
from tenderline.store.outcomes import HandedOver
from tenderline.worker import reactions, read
from tenderline.worker.read import find_payer


@pytest.fixture
def services(pool):
    texts = world_services.message_class("sms")
    gateway = world_services.KnowsNobody()
    return world_services.make(pool, gateways=[gateway], messengers=[texts], compliance__default_zone="Europe/London")


async def handed_over(pool, channel="sms", provider="twilio"):
    debtor = await world.make_debtor(pool, channel=channel)
    (leased,) = (await world.claim(pool)).leased
    message = HandedOver(to=leased.address, text="x")
    assert await outcomes.hand_over(pool, [(leased, provider, message)]) == {leased.id}
    return debtor, leased


async def receipt(services, leased, state, provider_ref="SM1"):
    async with services.pool.acquire() as connection, connection.transaction():
        told = Receipt(reference=leased.id, provider_reference=provider_ref, state=state)
        await delivery.on_receipt(services, connection, "twilio", told)


async def counted(pool, debtor):
    """The contacts that count against a cap."""
    async with pool.acquire() as connection:
        since = datetime.now(UTC) - timedelta(days=1)
        return (await contacts_of(connection, [debtor.person_id], since)).get(debtor.person_id, ())


async def accepted(services, leased):
    async with services.pool.acquire() as connection, connection.transaction():
        return await outcomes.record_accepted(connection, leased, "twilio", "SM1", receipt_poll_after_s=60)


async def contacts(pool, debtor):
    return await pool.fetchval("SELECT attempt_count FROM recovery_case WHERE id = $1", debtor.case_id)


@pytest.mark.parametrize("state", [ReceiptState.ACCEPTED, ReceiptState.DELIVERED])
async def test_a_receipt_that_overtakes_the_answer_counts_the_contact_once(pool, services, state):
    debtor, leased = await handed_over(pool)
    await receipt(services, leased, state)
    assert not await accepted(services, leased)  # the receipt was first
    await receipt(services, leased, state)
    assert await contacts(pool, debtor) == 1
    row = await world.attempt_state(pool, leased.id)
    assert row["state"] == state.value
    assert (row["check_at"] is None) == (state is ReceiptState.DELIVERED)


async def test_a_receipt_after_the_answer_does_not_count_it_again(pool, services):
    debtor, leased = await handed_over(pool)
    assert await world.attempt_state(pool, leased.id)
    await receipt(services, leased, ReceiptState.DELIVERED)
    assert await contacts(pool, debtor) == 1


async def lost(services, leased):
    """The carrier knew nothing of it, so it was thought not to have left."""
    async with services.pool.acquire() as connection, connection.transaction():
        assert await outcomes.record_unknown(connection, leased, "no answer", can_be_asked=True)
    (doubtful,) = await outcomes.to_check(services.pool, again_after_s=1)
    async with services.pool.acquire() as connection, connection.transaction():
        assert await outcomes.record_not_sent(connection, doubtful, "not known", again_after_s=0, tries_max=5)


async def test_a_late_receipt_of_what_was_thought_lost_counts_against_the_cap(pool, services):
    debtor, leased = await handed_over(pool)
    await lost(services, leased)
    assert not await counted(pool, debtor)
    await receipt(services, leased, ReceiptState.DELIVERED)
    assert await counted(pool, debtor)
    assert await contacts(pool, debtor) == 1
    assert not (await world.claim(pool)).leased


async def test_a_late_receipt_of_what_was_taken_back_since_is_believed(pool, services):
    debtor, leased = await handed_over(pool)
    await lost(services, leased)
    await pool.execute("UPDATE attempt SET state = 'suppressed', why = 'it is paid' WHERE id = $1", leased.id)
    await receipt(services, leased, ReceiptState.DELIVERED)
    assert (await world.attempt_state(pool, leased.id))["state"] == "delivered"
    assert await contacts(pool, debtor) == 1


@pytest.mark.parametrize("swept", [False, True], ids=["in time", "after the sweep"])
async def test_what_surely_did_not_leave_is_planned_again_though_nobody_can_be_asked(pool, services, swept):
    debtor, leased = await handed_over(pool, channel="email", provider="smtp")
    if swept:
        await pool.execute("UPDATE attempt SET lease_until = now() - interval '1 s'")
        assert await outcomes.expire_leases(pool, askable=frozenset()) == 1
        assert (await world.attempt_state(pool, leased.id))["state"] == "in_doubt"
    await delivery._record(services, leased, LeaseLost())
    assert (await world.attempt_state(pool, leased.id))["state"] == "planned"
    assert not await counted(pool, debtor)


async def test_a_worker_of_an_older_lease_cannot_take_back_a_newer_doubt(pool, services):
    _, leased = await handed_over(pool)
    await lost(services, leased)
    (newer,) = (await world.claim(pool)).leased
    assert await outcomes.hand_over(pool, [(newer, "twilio", HandedOver(to=newer.address, text="x"))])
    async with pool.acquire() as connection, connection.transaction():
        assert await outcomes.record_unknown(connection, newer, "no answer", can_be_asked=False)
    await delivery._record(services, leased, LeaseLost())
    assert (await world.attempt_state(pool, leased.id))["state"] == "in_doubt"


# --- a payment that only its gateway can name ------------------------------------------------------------------------


def paid_invoice(customer):
    told = {"id": "in_77", "object": "invoice", "customer": customer, "amount_due": 2500, "currency": "usd"}
    event = {"id": "evt_p", "object": "event", "type": "invoice.paid", "created": 2000, "data": {"object": told}}
    return envelope_of(json.dumps(event).encode())


class KnowsTheInvoice(Stripe):
    async def read_transaction_id(self, reference):
        return self.transactions.get(reference)


async def test_nothing_leaves_while_the_gateway_is_asked_whose_payment_an_invoice_was(pool, services):
    debtor = await world.make_debtor(pool)
    await pool.execute("INSERT INTO person_reference VALUES ($1, 'stripe', 'cus_1')", debtor.person_id)
    gateway = KnowsTheInvoice(services.settings.stripe)
    gateway.transactions = {"in_77": debtor.transaction_id}
    services = world_services.make(pool, gateways=[gateway], messengers=[world_services.message_class("sms")])
    async with inbox.Inbox(pool) as box:
        await box.receive("stripe", paid_invoice("cus_1"))
    for state in ("unread", "waiting"):
        assert await pool.fetchval("SELECT state FROM inbox") == state
        await pool.execute("UPDATE attempt SET due_at = now() - interval '1 s'")
        assert (await world.claim(pool)).leased == []
        if state == "unread":
            assert await read.read_some(services) == 1
    (data,) = await pool.fetchrow("SELECT data::text FROM event WHERE kind = 'PaymentLookupWanted'")
    from tenderline.core.events import decode

    for _ in range(2):
        await reactions.look_payment_up(services, decode(data))
    assert await pool.fetchval("SELECT state FROM inbox") == "read"
    assert await pool.fetchval("SELECT transaction_status FROM payment") == "COMPLETED"
    await pool.execute("UPDATE attempt SET due_at = now() - interval '1 s'")
    assert (await world.claim(pool)).suppressed == 1


async def test_what_waits_too_long_for_its_gateway_is_shown_and_still_holds(pool, services):
    debtor = await world.make_debtor(pool)
    await pool.execute("INSERT INTO person_reference VALUES ($1, 'stripe', 'cus_1')", debtor.person_id)
    async with inbox.Inbox(pool) as box:
        await box.receive("stripe", paid_invoice("cus_1"))
    await pool.execute("UPDATE inbox SET state = 'waiting'")
    assert await inbox.give_up_waiting(pool, after_s=60) == []
    await pool.execute("UPDATE inbox SET received_at = now() - interval '2 minutes'")
    assert len(await inbox.give_up_waiting(pool, after_s=60)) == 1
    async with pool.acquire() as connection:
        (dead,) = await inbox.dead(connection)
    assert "discarded" in dead.why
    assert (await world.claim(pool)).leased == []


# --- locks in one order ----------------------------------------------------------------------------------------------


def failed(transaction_id, payer):
    return PaymentFact(
        kind=FactKind.FAILED, transaction_id=transaction_id, occurred_at_unix_s=1000, event_id=f"e{transaction_id}",
        payer=payer, amount_minor=2500, currency="usd", reason=FailureReason.INSUFFICIENT_FUNDS,
    )  # fmt: skip


async def test_two_payments_of_somebody_who_becomes_known_are_settled_side_by_side(pool, services):
    """Each webhook names her address: both adopt what was hers, and neither may wait for the other in a circle."""

    async def told(fact):
        async with pool.acquire() as connection, connection.transaction():
            await settle.apply(connection, "stripe", fact, find_payer(services, connection, "stripe"))

    for turn in range(8):
        known = Payer(email=f"known{turn}@example.org")
        await told(failed(f"pi_{turn}_0", known))
        for number in (1, 2):
            await told(failed(f"pi_{turn}_{number}", Payer(reference=f"cus_{turn}")))
        news = [failed(f"pi_{turn}_{number}", Payer(reference=f"cus_{turn}", email=known.email)) for number in (1, 2)]
        await asyncio.gather(*(told(fact) for fact in news))
        owners = await pool.fetchval(
            "SELECT count(DISTINCT person_id) FROM payment WHERE transaction_id LIKE $1", f"pi_{turn}_%"
        )
        assert owners == 1


async def test_settling_a_payment_locks_its_person_before_the_payment(pool, services):
    """The gate holds people and reads payments; whoever held a payment while waiting for its person could stop it."""
    debtor = await world.make_debtor(pool)
    async with pool.acquire() as gate:
        async with gate.transaction():
            await gate.fetch(query("attempts", "lock_people"), [debtor.person_id])

            async def told():
                async with pool.acquire() as connection, connection.transaction():
                    fact = PaymentFact(
                        kind=FactKind.SUCCEEDED, transaction_id=debtor.transaction_id, occurred_at_unix_s=2000,
                        event_id="e",
                    )  # fmt: skip
                    await settle.apply(connection, "stripe", fact, find_payer(services, connection, "stripe"))

            telling = asyncio.create_task(told())
            await waits_for(pool, gate)
            await gate.execute("UPDATE payment SET updated_at = now() WHERE id = $1", debtor.payment_id)
        await telling
    assert await pool.fetchval("SELECT status FROM payment") == "succeeded"
