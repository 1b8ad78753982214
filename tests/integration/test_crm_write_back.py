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
from tenderline.routing import write_back
from tenderline.store import captures, conversations, dispositions, events, jobs, people, refunds, voice_nodes
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


async def test_a_gift_is_booked_when_its_money_came_by_the_days_of_the_organisation(make, pool, crm):
    services, debtor = make(crm__zone="America/New_York"), await paid_by_telephone(pool)
    at = int(datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp())
    await pool.execute("UPDATE payment SET observed = $1", f'{{"succeeded_at_unix_s": {at}}}')
    await reactions.tell_crm_of_gift(services, kinds.PaymentSucceeded(payment_id=debtor.payment_id, amount="$25.00"))
    (told,) = crm.entries.values()
    assert told["occurred_at"] == "2025-12-31T20:00:00-05:00"


def steps_of(debtor, why="refunded"):
    """What is told of a gift that did not stay one."""
    gift = kinds.PaymentSucceeded(payment_id=debtor.payment_id, amount="$25.00")
    over = kinds.PaymentStopped(payment_id=debtor.payment_id, amount="$25.00", why=why)
    return [(reactions.tell_crm_of_gift, gift), (reactions.tell_crm_of_refund, over)]


@pytest.mark.parametrize(("why", "told"), [("refunded", "refund"), ("disputed", "dispute")])
async def test_a_gift_that_did_not_stay_one_is_told_after_it(make, pool, crm, why, told):
    services, debtor = make(), await paid_by_telephone(pool)
    first, last = steps_of(debtor, why)
    await first[0](services, first[1])
    await pool.execute("UPDATE payment SET status = $1", why)
    for react, event in (last, first, last):
        await react(services, event)
    assert [one["type"] for one in crm.entries.values()] == ["gift", told]


@pytest.mark.parametrize("order", ["gift first", "refund first"])
async def test_what_was_refunded_before_it_was_told_is_never_told_as_completed(make, pool, crm, order):
    services, debtor = make(), await paid_by_telephone(pool)
    await pool.execute("UPDATE payment SET status = 'refunded'")
    steps = steps_of(debtor)
    for react, event in steps if order == "gift first" else reversed(steps):
        await react(services, event)
    assert [one["transaction_status"] for one in crm.entries.values()] == ["REFUNDED"]


async def test_a_refund_while_the_crm_is_slow_to_take_the_gift_arrives_after_it(make, pool, crm, monkeypatch):
    services, debtor = make(), await paid_by_telephone(pool)
    (tell_gift, gift), (tell_refund, refund) = steps_of(debtor)
    written, slow, let_go, write = [], asyncio.Event(), asyncio.Event(), services.crm.write

    async def write_slowly(entry):
        if not slow.is_set():
            slow.set()
            await let_go.wait()
        written.append((entry.standing, entry.is_there))
        return await write(entry)

    monkeypatch.setattr(services.crm, "write", write_slowly)
    first = asyncio.create_task(tell_gift(services, gift))
    await slow.wait()
    await pool.execute("UPDATE payment SET status = 'refunded'")
    with pytest.raises(CrmUnavailableError):
        await tell_refund(services, refund)  # the job comes back later
    let_go.set()
    await first
    await tell_refund(services, refund)
    await tell_gift(services, gift)
    assert written == [("completed", False), ("refunded", True)], "it stays with whom it is"


async def test_each_part_that_goes_back_is_told_and_the_last_makes_it_a_refund(make, pool, crm):
    services, debtor = make(), await paid_by_telephone(pool)
    (tell_gift, gift), _ = steps_of(debtor)
    await tell_gift(services, gift)
    for minor, by in ((600, "sue"), (1900, None)):
        refund_id = uuid7()
        async with pool.acquire() as connection, connection.transaction():
            await refunds.seen(
                connection, id=refund_id, payment_id=debtor.payment_id, gateway="stripe", reference=f"re_{minor}",
                money=Money(minor, "USD"), state="succeeded",
            )  # fmt: skip
        await pool.execute("UPDATE refund SET asked_by = $2 WHERE id = $1", refund_id, by)
        event = kinds.PaymentRefunded(payment_id=debtor.payment_id, amount="$", refund_id=refund_id)
        for _ in range(2):
            await reactions.tell_crm_of_refund(services, event)
    told = [(one["type"], one.get("amount_refunded")) for one in crm.entries.values()]
    assert told == [("gift", None), ("partial_refund", "6.00"), ("refund", None)]


async def test_a_part_that_went_back_and_did_not_arrive_is_a_gift_again(make, pool, crm):
    services, debtor = make(), await paid_by_telephone(pool)
    (tell_gift, gift), _ = steps_of(debtor)
    refund_id = uuid7()
    about = {"payment_id": debtor.payment_id, "amount": "$6.00", "refund_id": refund_id}
    async with pool.acquire() as connection:
        await refunds.seen(
            connection, id=refund_id, payment_id=debtor.payment_id, gateway="stripe", reference="re_1",
            money=Money(600, "USD"), state="failed",
        )  # fmt: skip
    await tell_gift(services, gift)
    assert [one["type"] for one in crm.entries.values()] == ["gift"], "of what was never told nothing is taken back"
    for state, event in (("succeeded", kinds.PaymentRefunded(**about)), ("failed", kinds.RefundFailed(**about))):
        await pool.execute("UPDATE refund SET state = $1", state)
        for _ in range(2):
            await reactions.tell_crm_of_refund(services, event)
    told = [(one["type"], one.get("amount_refunded")) for one in crm.entries.values()]
    assert told == [("gift", None), ("partial_refund", "6.00"), ("partial_refund", "0.00")]


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


async def test_an_end_that_was_replaced_is_not_told_any_more_whichever_job_comes_last(make, pool, crm):
    services, call, agent_id = make(), uuid7(), uuid7()
    async with pool.acquire() as connection, connection.transaction():
        node = uuid7()
        await voice_nodes.register(connection, node, "127.0.0.1:5060", 10)
        started = Started(
            call, node, "inbound", "+12025550161", "+18005550123", None, None, None, None, datetime.now(UTC)
        )
        await conversations.start(connection, started)
        await connection.execute("INSERT INTO agent (id, name) VALUES ($1, 'maria')", agent_id)
        choice = dispositions.Disposition(code="promise_to_pay", title="Promise")
        await dispositions.choose(
            connection, call, agent_id, choice, by="maria", note=f"my card is {'4242' * 4}", due_at=None,
            next_words="", done=dispositions.Done(),
        )  # fmt: skip
    about = {"conversation_id": str(call), "agent_id": agent_id}
    first = kinds.CallDisposed(**about, code="promise_to_pay", at="2026-11-21T10:00Z")
    second = kinds.CallDisposed(**about, code="wrong_number", at="2026-11-21T10:01Z")
    await reactions.tell_crm_of_call(services, first)
    await pool.execute("UPDATE conversation_disposition SET code = 'wrong_number', at = clock_timestamp()")
    for event in (second, first):
        await reactions.tell_crm_of_call(services, event)
    told = [(one["code"], one["disposition_id"]) for one in crm.entries.values()]
    assert [code for code, _ in told] == ["promise_to_pay", "wrong_number"]
    assert len({key for _, key in told}) == 1
    assert "4242" * 4 not in str(crm.entries)


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


@pytest.mark.parametrize("what", ["a gift", "an opt-out"])
async def test_a_crm_that_never_answers_is_told_later_whatever_it_is_told(make, pool, crm, monkeypatch, what):
    services, debtor = make(), await paid_by_telephone(pool)
    await pool.execute("UPDATE person SET opted_out_at = now()")

    async def hang(entry):
        await asyncio.Event().wait()

    monkeypatch.setattr(services.crm, "write", hang)
    monkeypatch.setattr(write_back, "WRITE_TIMEOUT_S", 0.01)
    out = kinds.PersonOptedOut(person_id=debtor.person_id, channel="sms", text="STOP", address=debtor.address)
    paid = kinds.PaymentSucceeded(payment_id=debtor.payment_id, amount="$25.00")
    tell, event = {
        "a gift": (reactions.tell_crm_of_gift, paid),
        "an opt-out": (reactions.tell_crm_of_opt_out, out),
    }[what]
    with pytest.raises(CrmUnavailableError, match="took longer"):
        await asyncio.wait_for(tell(services, event), 5)


async def test_a_crm_that_hangs_takes_no_more_than_its_share_of_the_worker(make, pool, crm, monkeypatch):
    services, hanging, let_go = make(), asyncio.Event(), asyncio.Event()

    async def hang(entry):
        hanging.set()
        await let_go.wait()
        return True

    monkeypatch.setattr(services.crm, "write", hang)
    people_there = [await make_person(pool) for _ in range(write_back.WRITES_AT_ONCE_MAX + 3)]
    await pool.execute("UPDATE person SET opted_out_at = now()")
    events_there = [kinds.PersonOptedOut(person_id=one[0], channel="sms", text="STOP") for one in people_there]
    busy = [asyncio.create_task(reactions.tell_crm_of_opt_out(services, one)) for one in events_there]
    refused, waiting = await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
    assert all(isinstance(one.exception(), CrmUnavailableError) for one in refused)
    let_go.set()
    await asyncio.gather(*waiting, return_exceptions=True)
