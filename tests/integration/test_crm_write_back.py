"""What the CRM is told of gifts, refunds, opt-outs and calls: once each, in any order, after any number of failures."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from support import services as made_services
from support.product import until
from support.world import make_debtor, make_person
from tenderline.config import CrmRestSettings
from tenderline.core import events as kinds
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.crm.base import CrmUnavailableError
from tenderline.crm.rest import Rest
from tenderline.store import captures, conversations, events, jobs, people, voice_nodes
from tenderline.store.conversations import Started
from tenderline.store.jobs import JobRunner
from tenderline.worker import reactions
from tenderline_sandbox.crm import PATH, DonorCrm
from tenderline_sandbox.settings import SandboxSettings


@pytest.fixture
async def crm():
    return DonorCrm(SandboxSettings())


@pytest.fixture
async def make(pool, crm):
    events.subscribe({})
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.add_routes(crm.routes())
        server = await stack.enter_async_context(TestServer(app))
        url = f"http://127.0.0.1:{server.port}{PATH}"
        settings = CrmRestSettings(url=url, client_id="tenderline", client_secret="sandbox-crm-secret")

        def made(**flags):
            services = made_services.make(pool, **flags)
            object.__setattr__(services, "crm", Rest(settings, currency="USD", region="US"))
            stack.push_async_callback(services.crm.close)
            return services

        yield made


async def paid_by_telephone(pool):
    """A payment that has arrived, of a session on the telephone."""
    debtor = await make_debtor(pool, attempts_due=0)
    payment = await pool.fetchrow(
        "UPDATE payment SET transaction_status = 'COMPLETED', status = 'succeeded', amount_minor = 2500,"
        " currency = 'USD' WHERE id = $1 RETURNING *",
        debtor.payment_id,
    )
    async with pool.acquire() as connection, connection.transaction():
        session_id = uuid7()
        await captures.open_session(
            connection,
            id=session_id,
            person_id=debtor.person_id,
            conversation_id=uuid7(),
            mode="automated",
            gateway=payment["gateway"],
            money=Money(2500, "USD"),
            campaign="Spring appeal",
            fund="Wells",
            reference="K7-22",
            contact_point_id=None,
        )
        await captures.link(connection, session_id, payment["transaction_id"])
    return debtor


async def test_a_gift_by_telephone_is_told_once_with_its_fund_and_reference(make, pool, crm):
    services, debtor = make(), await paid_by_telephone(pool)
    for _ in range(3):
        event = kinds.PaymentSucceeded(payment_id=debtor.payment_id, amount="$25.00")
        await reactions.tell_crm_of_gift(services, event)
    (told,) = crm.entries.values()
    assert (told["type"], told["amount"], told["currency"]) == ("gift", "25.00", "USD")
    assert (told["reference"], told["fund"], told["campaign"]) == ("K7-22", "Wells", "Spring appeal")
    assert told["phone"] == debtor.address
    assert told["transaction_status"] == "COMPLETED"


@pytest.mark.parametrize("order", ["gift first", "refund first"])
async def test_a_refund_is_told_after_its_gift_in_whatever_order_the_reactions_run(make, pool, crm, order):
    services, debtor = make(), await paid_by_telephone(pool)
    await pool.execute("UPDATE payment SET status = 'refunded'")
    gift = kinds.PaymentSucceeded(payment_id=debtor.payment_id, amount="$25.00")
    refund = kinds.PaymentStopped(payment_id=debtor.payment_id, amount="$25.00", why="refunded")
    steps = [(reactions.tell_crm_of_gift, gift), (reactions.tell_crm_of_refund, refund)]
    for react, event in steps if order == "gift first" else reversed(steps):
        await react(services, event)
    assert [one["type"] for one in crm.entries.values()] == ["gift", "refund"]


async def test_what_was_not_paid_by_telephone_is_told_only_where_that_is_wished(make, pool, crm):
    debtor = await make_debtor(pool, attempts_due=0)
    await pool.execute("UPDATE payment SET transaction_status = 'COMPLETED', status = 'succeeded'")
    event = kinds.PaymentSucceeded(payment_id=debtor.payment_id, amount="$25.00")
    await reactions.tell_crm_of_gift(make(), event)
    assert not crm.entries
    await reactions.tell_crm_of_gift(make(crm__write_gifts="all"), event)
    assert len(crm.entries) == 1
    await reactions.tell_crm_of_gift(make(crm__write_gifts="all", crm__write_back=False), event)


async def test_an_opt_out_is_told_unless_it_was_taken_back_meanwhile(make, pool, crm):
    services, debtor = make(), await make_debtor(pool, attempts_due=0)
    event = kinds.PersonOptedOut(
        person_id=debtor.person_id, channel="sms", text="STOP", address=debtor.address, said_at="2026-11-21T10:00:00Z"
    )
    await reactions.tell_crm_of_opt_out(services, event)
    assert not crm.entries, "she is not silent (any more)"
    await pool.execute("UPDATE person SET opted_out_at = now()")
    for _ in range(2):
        await reactions.tell_crm_of_opt_out(services, event)
    (told,) = crm.entries.values()
    assert (told["type"], told["globalOptOutStatus"], told["phone"]) == ("opt_out", True, debtor.address)


async def test_an_opt_out_is_told_with_the_address_it_came_from_and_all_others(make, pool, crm):
    services = make()
    person_id, _, first = await make_person(pool)
    async with pool.acquire() as connection, connection.transaction():
        await people.add_contact_point(connection, person_id, people.PHONE, "+12025557781")
        await people.add_contact_point(connection, person_id, people.EMAIL, "ann@example.org")
    await pool.execute("UPDATE person SET opted_out_at = now()")
    event = kinds.PersonOptedOut(person_id=person_id, channel="sms", text="STOP", address="+12025557781")
    await reactions.tell_crm_of_opt_out(services, event)
    (told,) = crm.entries.values()
    assert (told["address"], told["phone"], told["email"]) == ("+12025557781", "+12025557781", "ann@example.org")
    assert told["phones"] == ["+12025557781", first]


async def test_an_opt_out_of_somebody_with_an_email_address_only_is_told(make, pool, crm):
    services = make()
    person_id, _, address = await make_person(pool, kind="email")
    await pool.execute("UPDATE person SET opted_out_at = now()")
    event = kinds.PersonOptedOut(person_id=person_id, channel="email", text="unsubscribe", address=address)
    await reactions.tell_crm_of_opt_out(services, event)
    (told,) = crm.entries.values()
    assert (told["type"], told["email"], "phone" in told) == ("opt_out", address, False)


async def test_how_a_call_ended_is_told_with_the_callers_number(make, pool, crm):
    services, call = make(), uuid7()
    async with pool.acquire() as connection, connection.transaction():
        node = uuid7()
        await voice_nodes.register(connection, node, "127.0.0.1:5060", 10)
        started = Started(
            call, node, "inbound", "+12025550161", "+18005550123", None, None, None, None, datetime.now(UTC)
        )
        await conversations.start(connection, started)
    event = kinds.CallDisposed(
        conversation_id=str(call), code="promise_to_pay", note="on Friday", at="2026-11-21T10:00Z"
    )
    for _ in range(2):
        await reactions.tell_crm_of_call(services, event)
    (told,) = crm.entries.values()
    assert (told["code"], told["note"], told["phone"]) == ("promise_to_pay", "on Friday", "+12025550161")


async def test_a_crm_that_is_down_is_told_later_and_for_good_it_is_parked_to_be_seen(make, pool, crm, monkeypatch):
    monkeypatch.setattr(jobs, "back_off_s", lambda *_, **__: 0.0)
    services, debtor = make(), await paid_by_telephone(pool)
    crm.set_mood("down")
    event = kinds.PaymentSucceeded(payment_id=debtor.payment_id, amount="$25.00")
    async with pool.acquire() as connection, connection.transaction():
        await jobs.enqueue(connection, "tell_crm_of_gift", kinds.encode(event), key="k")
    runner = JobRunner(pool, reactions.handlers(services))
    running = asyncio.create_task(runner.run())
    (dead,) = await until(lambda: jobs.dead(pool), "the job to be parked")
    assert "HTTP 503" in dead.why
    assert not crm.entries
    crm.set_mood("good")
    await jobs.replay(pool, [dead.id])

    async def told():
        return crm.entries

    await until(told, "the CRM to be told")
    runner.stop()
    await running
    (entry,) = crm.entries.values()
    assert entry["amount"] == "25.00"


async def test_a_crm_that_hangs_takes_no_more_than_its_share_of_the_worker(make, pool, crm, monkeypatch):
    services, debtor = make(), await paid_by_telephone(pool)
    hanging, let_go = asyncio.Event(), asyncio.Event()

    async def hang(entry):
        hanging.set()
        await let_go.wait()

    monkeypatch.setattr(services.crm, "write", hang)
    event = kinds.PaymentSucceeded(payment_id=debtor.payment_id, amount="$25.00")
    from tenderline.routing import write_back

    busy = [
        asyncio.create_task(reactions.tell_crm_of_gift(services, event))
        for _ in range(write_back.WRITES_AT_ONCE_MAX + 3)
    ]
    refused, waiting = await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
    assert all(isinstance(one.exception(), CrmUnavailableError) for one in refused)
    let_go.set()
    await asyncio.gather(*waiting, return_exceptions=True)
