"""What people write, in any order of reading: the latest word of each address counts, and a refusal of any silences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import services as world_services
from support import world
from tenderline.compliance.ruleset import shipped
from tenderline.messengers.base import Channel, IncomingMessage
from tenderline.notify import confirmation
from tenderline.people import consent, replies
from tenderline.recovery import cases
from tenderline.store import attempts, outcomes
from tenderline.store.outcomes import HandedOver
from tenderline.store.rules import RuleBook

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def minutes(count):
    return NOON + timedelta(minutes=count)


async def write(pool, sender, text, at=NOON):
    async with pool.acquire() as connection, connection.transaction():
        message = IncomingMessage(channel=Channel.SMS, sender=sender, text=text, provider_reference="SM1")
        await replies.on_message(connection, message, at)


async def unsubscribe(pool, debtor, address="p@example.org", at=NOON):
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(
            connection, debtor.person_id, channel="email", address=address, how="unsubscribe link", evidence="x", at=at
        )


async def silent_since(pool, debtor):
    return await pool.fetchval("SELECT opted_out_at FROM person WHERE id = $1", debtor.person_id)


async def test_a_start_by_text_leaves_what_was_said_by_email(pool):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, "STOP", minutes(0))
    await unsubscribe(pool, debtor, at=minutes(1))
    await write(pool, debtor.address, "START", minutes(2))
    assert await silent_since(pool, debtor) == minutes(1)
    assert not (await world.claim(pool)).leased


async def test_a_start_that_is_read_late_does_not_undo_a_later_stop(pool):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, "STOP", minutes(0))
    await write(pool, debtor.address, "STOP", minutes(2))
    await write(pool, debtor.address, "START", minutes(1))
    assert await silent_since(pool, debtor) == minutes(2)


async def test_a_stop_and_a_start_of_one_instant_are_a_stop(pool):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, "STOP")
    await write(pool, debtor.address, "START")
    assert await silent_since(pool, debtor) == NOON


async def test_a_start_lifts_the_stop_of_its_own_number(pool):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, "STOP", minutes(0))
    await write(pool, debtor.address, "START", minutes(1))
    assert await silent_since(pool, debtor) is None
    kinds = [row["kind"] for row in await pool.fetch("SELECT kind FROM event ORDER BY id")]
    assert kinds == ["MessageReceived", "PersonOptedOut", "MessageReceived", "PersonOptedIn"]
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action IN ('opt_out', 'opt_in')") == 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.permutations(
        [("sms", 0, False), ("sms", 1, True), ("sms", 3, False), ("sms", 5, True), ("email", 4, False)]
    )
)
async def test_the_order_of_reading_does_not_matter(pool, said):
    debtor = await world.make_debtor(pool)
    for channel, minute, granted in said:
        if channel == "email":
            await unsubscribe(pool, debtor, at=minutes(minute))
        else:
            await write(pool, debtor.address, "START" if granted else "STOP", minutes(minute))
    assert await silent_since(pool, debtor) == minutes(4)  # the texts ended in START, the e-mail in silence


async def test_an_unclear_reply_holds_the_person_in_the_transaction_that_reads_it(pool):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, "stop by tomorrow?")
    assert not (await world.claim(pool)).leased
    why = await pool.fetchval("SELECT decision->>'why' FROM attempt WHERE id = $1", debtor.attempt_ids[0])
    assert "looking" in why


async def test_an_unclear_reply_between_lease_and_hand_over_stops_the_message(pool):
    debtor = await world.make_debtor(pool)
    (leased,) = (await world.claim(pool)).leased
    await write(pool, debtor.address, "stop by tomorrow?")
    assert await outcomes.hand_over(pool, [(leased, "twilio", HandedOver(to=leased.address, text="x"))]) == set()


async def test_a_case_opened_after_an_unclear_reply_is_held_until_a_person_releases_it(pool):
    services = world_services.make(pool, messengers=[world_services.message_class("sms")])
    practice = cases.practice_of(services)
    debtor = await world.make_debtor(pool, attempts_due=0)
    await pool.execute("DELETE FROM recovery_case")
    await write(pool, debtor.address, "stop by tomorrow?")
    async with pool.acquire() as connection, connection.transaction():
        await cases.on_payment_failed(connection, practice, debtor.payment_id)
        await cases.on_payment_failed(connection, practice, debtor.payment_id)  # repeated news releases nothing
    row = await pool.fetchrow("SELECT id, state, held_by, held_why FROM recovery_case")
    assert (row["state"], row["held_by"]) == ("held", cases.REVIEW)
    async with pool.acquire() as connection, connection.transaction():
        assert await cases.release_by_hand(connection, practice, debtor.person_id, row["id"], by="user:ann")
    assert await pool.fetchval("SELECT review_at FROM person") is None
    assert await pool.fetchval("SELECT count(*) FROM attempt WHERE state = 'planned'") > 0


async def test_hours_must_last_as_long_as_the_lease(pool):
    """A lease at 20:59:59 could send after 21:00: such a contact waits for the morning."""
    debtor = await world.make_debtor(pool)
    zone = await pool.fetchval("SELECT zone FROM person WHERE id = $1", debtor.person_id)
    until_closing = await pool.fetchval(
        "SELECT extract(epoch FROM date_trunc('day', now() AT TIME ZONE $1) + interval '21 hours'"
        " - (now() AT TIME ZONE $1))::float8", zone
    )  # fmt: skip
    claim = await attempts.claim(pool, RuleBook(shipped()), batch_max=10, lease_s=until_closing + 60)
    assert (claim.leased, claim.deferred) == ([], 1)
    due_at = await pool.fetchval("SELECT due_at FROM attempt WHERE id = $1", debtor.attempt_ids[0])
    assert due_at > datetime.now(UTC) + timedelta(seconds=until_closing)


async def test_a_stop_by_text_is_confirmed_once_and_then_there_is_silence(pool):
    services = world_services.make(pool, messengers=[world_services.message_class("sms")])
    debtor = await world.make_debtor(pool, attempts_due=0, zone=world.zone_by_night())
    await write(pool, debtor.address, "STOP", datetime.now(UTC))
    for _ in range(2):  # the reaction may run twice
        async with pool.acquire() as connection, connection.transaction():
            await confirmation.confirm(services, connection, debtor.person_id)
    (leased,) = (await world.claim(pool)).leased
    assert leased.template == "opt_out_confirmation"
    assert leased.case_id is None
    assert len(await outcomes.hand_over(pool, [(leased, "twilio", HandedOver(to=leased.address, text="x"))])) == 1
    await write(pool, debtor.address, "STOP", datetime.now(UTC))
    async with pool.acquire() as connection, connection.transaction():
        assert not await confirmation.confirm(services, connection, debtor.person_id)
    assert not (await world.claim(pool)).leased


async def test_a_stop_that_is_read_too_late_is_not_confirmed(pool):
    services = world_services.make(pool, messengers=[world_services.message_class("sms")])
    debtor = await world.make_debtor(pool, attempts_due=0)
    await write(pool, debtor.address, "STOP", datetime.now(UTC) - timedelta(minutes=6))
    async with pool.acquire() as connection, connection.transaction():
        await confirmation.confirm(services, connection, debtor.person_id)
    assert not (await world.claim(pool)).leased
    row = await pool.fetchrow("SELECT state, decision FROM attempt")
    assert row["state"] == "suppressed"
    assert "OWN-CONFIRM-OPT-OUT" in row["decision"]


async def test_a_start_before_the_confirmation_left_takes_it_back(pool):
    services = world_services.make(pool, messengers=[world_services.message_class("sms")])
    debtor = await world.make_debtor(pool, attempts_due=0)
    await write(pool, debtor.address, "STOP", datetime.now(UTC))
    async with pool.acquire() as connection, connection.transaction():
        await confirmation.confirm(services, connection, debtor.person_id)
    (leased,) = (await world.claim(pool)).leased
    await write(pool, debtor.address, "START", datetime.now(UTC))
    assert not await outcomes.hand_over(pool, [(leased, "twilio", HandedOver(to=leased.address, text="x"))])
