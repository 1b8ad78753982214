"""News that comes between the lease and the hand-over still silences; and two readings of one number are one person."""

import asyncio
from datetime import timedelta

import pytest

from support import services as world_services
from support import world
from tenderline.compliance import ruleset
from tenderline.compliance.facts import Purpose
from tenderline.core.clock import utc_now
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.messengers.base import Channel, IncomingMessage
from tenderline.people import consent, replies
from tenderline.store import attempts, inbox, outcomes, people
from tenderline.store.attempts import Planned
from tenderline.store.outcomes import HandedOver
from tenderline.store.rules import RuleBook
from tenderline.worker.read import find_payer


async def hand_over(pool, leased):
    return await outcomes.hand_over(pool, [(one, "twilio", HandedOver(to=one.address, text="x")) for one in leased])


async def stop(pool, debtor):
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(
            connection, debtor.person_id, channel="sms", address=debtor.address, how="reply", evidence="STOP"
        )


async def pay(pool, debtor):
    await pool.execute(
        "UPDATE payment SET status = 'succeeded', transaction_status = 'COMPLETED' WHERE id = $1", debtor.payment_id
    )


async def hold(pool, debtor):
    await pool.execute("UPDATE recovery_case SET state = 'held', held_why = 'x' WHERE id = $1", debtor.case_id)


async def distress(pool, debtor):
    sql = "UPDATE person SET distress_until = now() + interval '1 day' WHERE id = $1"
    await pool.execute(sql, debtor.person_id)


async def news(pool, debtor):
    async with inbox.Inbox(pool) as box:
        envelope = Envelope(
            event_id="e", event_type="t", urgency=Urgency.PERSON_SPOKE, body=b"", subject=debtor.address
        )
        await box.receive("twilio", envelope)


@pytest.mark.parametrize("happens", [stop, pay, hold, distress, news], ids=lambda one: one.__name__)
async def test_what_is_committed_after_the_lease_and_before_the_hand_over_stops_the_message(pool, happens):
    debtor = await world.make_debtor(pool)
    claim = await world.claim(pool)
    assert len(claim.leased) == 1
    await happens(pool, debtor)
    assert await hand_over(pool, claim.leased) == set()


async def test_nothing_in_between_lets_it_leave(pool):
    await world.make_debtor(pool)
    claim = await world.claim(pool)
    assert await hand_over(pool, claim.leased) == {claim.leased[0].id}


async def test_a_stop_read_while_its_number_becomes_known_lands_on_its_owner(pool):
    services = world_services.make(pool)
    from tenderline.core.facts import Payer

    for number in range(10):
        phone = f"+1202555{3000 + number}"

        async def becomes_known(phone=phone):
            async with pool.acquire() as connection, connection.transaction():
                await find_payer(services, connection, "stripe")(Payer(phone=phone), None)

        async def says_stop(phone=phone):
            async with pool.acquire() as connection, connection.transaction():
                message = IncomingMessage(channel=Channel.SMS, sender=phone, text="STOP", provider_reference="SM")
                await replies.on_message(connection, message, utc_now())

        await asyncio.gather(becomes_known(), says_stop())
        async with pool.acquire() as connection:
            found = await people.find_by_address(connection, people.PHONE, phone)
            assert found is not None
            assert (await people.get(connection, found[0])).opted_out_at is not None


async def test_an_outcome_that_the_sweep_overtook_still_settles_its_own_doubt(pool):
    await world.make_debtor(pool)
    (leased,) = (await world.claim(pool)).leased
    await hand_over(pool, [leased])
    await pool.execute("UPDATE attempt SET lease_until = now() - interval '1 s'")
    assert await outcomes.expire_leases(pool, askable=frozenset()) == 1
    async with pool.acquire() as connection, connection.transaction():
        assert await outcomes.record_accepted(connection, leased, "smtp", "<id>", receipt_poll_after_s=60)
    assert (await world.attempt_state(pool, leased.id))["state"] == "accepted"


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.OPT_OUT_CONFIRMATION])
async def test_of_a_call_by_hand_to_who_is_in_distress_gate_and_hand_over_say_the_same(pool, purpose):
    person, point, number = await world.make_person(pool)

    async def leased():
        due_at = utc_now()
        wanted = Planned(
            person_id=person, case_id=None, channel="voice_live", purpose=purpose, contact_point_id=point,
            template="spring", due_at=due_at, not_after=due_at + timedelta(days=3),
        )  # fmt: skip
        async with pool.acquire() as connection, connection.transaction():
            (made,) = await attempts.add(connection, [wanted])
        claim = await attempts.claim(
            pool, RuleBook(ruleset.shipped()), batch_max=1, lease_s=60, of=attempts.this_call(person, made)
        )
        return claim.leased

    before = await leased()
    assert [one.address for one in before] == [number]
    await pool.execute("UPDATE person SET distress_until = '9999-12-31' WHERE id = $1", person)
    may_go = await hand_over(pool, before)
    await pool.execute("DELETE FROM attempt")
    assert bool(may_go) == bool(await leased()) == (purpose is Purpose.SERVICING)
