"""Every reaction of the map may run twice, and a reaction that keeps failing is parked and can be replayed."""

from __future__ import annotations

import asyncio

import pytest

from support import services as world_services
from support import world
from support.product import failed_payment
from tenderline.core import events as kinds
from tenderline.core.events import CarrierHoldsOptOut
from tenderline.core.facts import Payer
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.gateways.base import GatewayUnavailableError
from tenderline.gateways.stripe import Stripe
from tenderline.store import events, jobs, refunds
from tenderline.store.jobs import JobRunner
from tenderline.worker import reactions


class KnowsAll(Stripe):
    """Stripe's own reading of webhooks, with answers that need no network."""

    async def read_payer(self, reference):
        return Payer(reference=reference, email="found@example.org")

    async def read_transaction_id(self, reference):
        return "pi_found"


@pytest.fixture
def services(pool):
    from tenderline.config import StripeSettings

    return world_services.make(
        pool,
        gateways=[KnowsAll(StripeSettings())],
        messengers=[world_services.message_class("sms"), world_services.message_class("email")],
        compliance__default_zone="Europe/London",
    )


async def snapshot(pool):
    """What a second run must not change: rows of every table but the log of events."""
    tables = ("person", "contact_point", "consent", "payment", "recovery_case", "attempt", "audit", "refund")
    tables += ("unmatched_money",)
    return {
        table: await pool.fetchval(f"SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM {table} t")
        for table in tables
    }


async def event_of(kind, pool, debtor):  # noqa: C901  # one line for each kind of event
    about = {"person_id": debtor.person_id, "payment_id": debtor.payment_id}
    match kind:
        case kinds.PaymentFailed | kinds.PaymentActionRequired:
            return kind(**about, amount="$1", reason="unknown")
        case kinds.PaymentSucceeded:
            return kind(**about, amount="$1")
        case kinds.PaymentStopped:
            return kind(**about, amount="$1", why="refunded")
        case kinds.PaymentRefunded | kinds.RefundFailed:
            refund_id = uuid7()
            async with pool.acquire() as connection:
                await refunds.intend(
                    connection, id=refund_id, payment_id=debtor.payment_id, gateway="stripe",
                    money=Money(100, "USD"), reason="twice", asked_by="sue",
                )  # fmt: skip
            return kind(**about, amount="$1", refund_id=refund_id)
        case kinds.PayerContactMissing:
            return kind(**about, gateway="stripe", payer_reference="cus_1")
        case kinds.PaymentLookupWanted:
            body = failed_payment("pi_x", email="x@example.org").replace(
                b"payment_intent.payment_failed", b"invoice.paid"
            )
            inbox_id = await pool.fetchval(
                "INSERT INTO inbox (source, event_id, event_type, urgency, body) VALUES ('stripe', 'e', 't', 3, $1)"
                " RETURNING id",
                body,
            )
            return kind(gateway="stripe", reference="in_1", inbox_id=inbox_id)
        case kinds.CarrierHoldsOptOut:
            return kind(person_id=debtor.person_id, channel="sms", address=debtor.address)
        case kinds.PersonOptedOut:
            return kind(person_id=debtor.person_id, channel="sms", text="STOP")
        case kinds.PersonOptedIn | kinds.ReplyUnclear:
            return kind(person_id=debtor.person_id, channel="sms")
        case kinds.ZoneCorrected:
            return kind(person_id=debtor.person_id, zone="America/Denver")
        case kinds.CallDisposed:
            return kind(conversation_id=str(debtor.person_id), code="promise_to_pay")
        case kinds.AddressCorrected:
            return kind(person_id=debtor.person_id)
    raise AssertionError(f"say here what a {kind.__name__} looks like")


@pytest.mark.parametrize("kind", list(reactions.REACTIONS), ids=lambda kind: kind.__name__)
async def test_a_reaction_that_runs_twice_does_its_work_once(pool, services, kind):
    events.subscribe({})
    debtor = await world.make_debtor(pool)
    await pool.execute("""UPDATE payment SET observed = '{"status": "failed"}'""")
    event = await event_of(kind, pool, debtor)
    for reaction in reactions.REACTIONS[kind]:
        await reaction(services, event)
        once = await snapshot(pool)
        await reaction(services, event)
        twice = await snapshot(pool)
        if kind is CarrierHoldsOptOut:  # each word of hers is kept as evidence; what it does, it does once
            once.pop("consent"), twice.pop("consent")
        assert once == twice


async def test_a_reaction_that_keeps_failing_is_parked_with_its_reason_and_replayed(pool, monkeypatch):
    monkeypatch.setattr(jobs, "BACK_OFF_FIRST_S", 0.0)
    monkeypatch.setattr(jobs, "back_off_s", lambda *_, **__: 0.0)
    broken = True
    done = asyncio.Event()

    async def react(payload):
        if broken:
            raise GatewayUnavailableError("the gateway is away")
        assert payload == b"x"
        done.set()

    async with pool.acquire() as connection, connection.transaction():
        await jobs.enqueue(connection, "react", b"x", key="k")
        await jobs.enqueue(connection, "react", b"x", key="k")  # while one waits, another changes nothing
    runner = JobRunner(pool, {"react": react})
    running = asyncio.create_task(runner.run())

    async def parked():
        return await jobs.dead(pool)

    from support.product import until

    (dead,) = await until(parked, "the job to be parked")
    assert "the gateway is away" in dead.why
    assert dead.tries + 1 >= jobs.TRIES_MAX
    broken = False
    await jobs.replay(pool, [dead.id])
    await asyncio.wait_for(done.wait(), 30)
    runner.stop()
    await asyncio.wait_for(running, 30)
    assert await jobs.dead(pool) == []


async def test_a_job_of_a_transaction_that_fails_never_runs(pool):
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await jobs.enqueue(connection, "react", b"x", key="k")
        await transaction.rollback()
    assert await pool.fetchval("SELECT count(*) FROM pgqueuer") == 0
