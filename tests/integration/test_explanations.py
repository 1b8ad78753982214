"""Any decision, past or imagined, is explained: the rules, their source, the facts as of then, and what is not kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from support import services as world_services
from support import world
from tenderline.compliance.facts import Purpose
from tenderline.core.errors import NotFoundError
from tenderline.desk import questions, why
from tenderline.people import consent
from tenderline.store import explanations, inbox, people, rules
from tenderline.store.explanations import NoAddressError, Question

LEASE_S = 60.0


@pytest.fixture
def services(pool):
    return world_services.make(pool)


async def ask(services, **question):
    made = questions.of(**{"channel": "sms", "purpose": "first_party_recovery", "at": None, **question})
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        return await why.ask(connection, services.book, services.defaults, made)


async def of_attempt(services, attempt_id):
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        return await why.of_attempt(connection, services.book, services.defaults, attempt_id, lease_s=LEASE_S)


def fact(found, label):
    return next(one.text for one in found.facts if one.label == label)


async def stop(pool, debtor, at):
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(
            connection, debtor.person_id, channel="sms", address=debtor.address, how="reply", evidence="STOP", at=at
        )


async def start(pool, debtor, at):
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_in(
            connection, debtor.person_id, channel="sms", address=debtor.address, evidence="START", at=at
        )


async def test_what_may_leave_now_names_every_rule_that_was_asked_with_its_source(services, pool):
    debtor = await world.make_debtor(pool)
    found = await ask(services, person_id=debtor.person_id, case_id=debtor.case_id)
    assert (found.answer, found.reason, found.only_now) == ("allow", None, ())
    assert {one.id for one in found.verdicts} >= {"OWN-HOURS", "OWN-OPT-OUT", "US-SMS-PEC"}
    assert all(one.source and one.confidence for one in found.verdicts)
    assert debtor.address not in str(found)
    assert "PEC by SMS" in fact(found, "Agreements")


async def test_the_answer_agrees_with_what_the_gate_does(services, pool):
    debtor = await world.make_debtor(pool, zone=world.zone_by_night())
    before = await ask(services, person_id=debtor.person_id, case_id=debtor.case_id)
    assert (await world.claim(pool)).deferred == 1
    row = await world.attempt_state(pool, debtor.attempt_ids[0])
    assert before.answer == "defer"
    assert before.until == row["due_at"]
    assert before.reason == "outside_jurisdiction_hours"


async def test_the_past_is_explained_by_the_words_that_had_been_said_by_then(services, pool):
    debtor = await world.make_debtor(pool)
    now = datetime.now(UTC)
    await stop(pool, debtor, now - timedelta(days=2))
    await start(pool, debtor, now - timedelta(days=1))

    async def opted_out(days):
        found = await ask(services, person_id=debtor.person_id, at=now - timedelta(days=days))
        return "opted_out" if "OWN-OPT-OUT" in {one.id for one in found.said_no} else "not"

    assert [await opted_out(days) for days in (3, 1.5, 0.5)] == ["not", "opted_out", "not"]
    row = await pool.fetchrow("SELECT opted_out_at FROM person WHERE id = $1", debtor.person_id)
    assert row["opted_out_at"] is None


async def test_an_agreement_counts_from_its_instant_until_it_ends_or_is_taken_back(services, pool):
    debtor = await world.make_debtor(pool)
    now = datetime.now(UTC)
    await pool.execute("UPDATE consent SET at = $1, expires_at = $2", now - timedelta(days=3), now - timedelta(days=1))

    async def agreed(days):
        found = await ask(services, person_id=debtor.person_id, at=now - timedelta(days=days))
        return fact(found, "Agreements").startswith("PEC")

    assert [await agreed(days) for days in (4, 2, 0.5)] == [False, True, False]


async def test_a_refusal_ends_the_agreement_from_its_instant_on_also_in_an_explanation(services, pool):
    debtor = await world.make_debtor(pool)
    now = datetime.now(UTC)
    await pool.execute("UPDATE consent SET at = $1", now - timedelta(days=3))
    await stop(pool, debtor, now - timedelta(days=2))
    before = await ask(services, person_id=debtor.person_id, at=now - timedelta(days=2, minutes=1))
    after = await ask(services, person_id=debtor.person_id, at=now - timedelta(days=2))
    assert "PEC by SMS" in fact(before, "Agreements")
    assert "PEC by SMS" not in fact(after, "Agreements"), "it was by this channel that she took it back"


async def test_only_contacts_before_the_instant_are_counted(services, pool):
    debtor = await world.make_debtor(pool)
    await world.claim(pool)
    at = await pool.fetchval("SELECT contacted_at FROM attempt")
    before = await ask(services, person_id=debtor.person_id, at=at)
    after = await ask(services, person_id=debtor.person_id)
    assert fact(before, "Contacts before") == "none that a cap looks at"
    assert fact(after, "Contacts before").startswith("1: SMS")
    assert (after.answer, after.reason) == ("defer", "contact_cap_reached")
    assert after.until == at + timedelta(hours=24)


async def test_a_rule_counts_as_it_was_on_that_day(services, pool):
    debtor = await world.make_debtor(pool)
    async with pool.acquire() as connection, connection.transaction():
        await rules.turn_off(connection, services.book, "OWN-SETTLED", by="a test", why="to see it")
    await pool.execute("UPDATE rule_change SET at = now() - interval '1 day'")
    now = datetime.now(UTC)

    async def asked(days):
        found = await ask(services, person_id=debtor.person_id, at=now - timedelta(days=days))
        return "OWN-SETTLED" in {one.id for one in found.verdicts}, "+" in found.ruleset

    assert await asked(2) == (True, False)
    assert await asked(0.5) == (False, True)


async def test_a_payment_is_known_from_its_instant_on(services, pool):
    from tenderline.core.events import PaymentSucceeded
    from tenderline.store import events

    debtor = await world.make_debtor(pool)
    async with pool.acquire() as connection, connection.transaction():
        paid = PaymentSucceeded(person_id=debtor.person_id, payment_id=debtor.payment_id, amount="$25.00")
        await events.append(connection, [paid])
        await connection.execute("UPDATE payment SET status = 'succeeded', transaction_status = 'COMPLETED'")
    await pool.execute("UPDATE event SET at = now() - interval '1 day'")
    now = datetime.now(UTC)
    answers = [
        (await ask(services, person_id=debtor.person_id, case_id=debtor.case_id, at=now - timedelta(days=days))).reason
        for days in (2, 0.5)
    ]
    assert answers[0] != "already_paid"
    assert answers[1] == "already_paid"


async def test_of_the_past_it_says_what_is_known_only_as_it_stands_now(services, pool):
    debtor = await world.make_debtor(pool)
    found = await ask(services, person_id=debtor.person_id, at=datetime.now(UTC) - timedelta(days=1))
    assert set(found.only_now) >= {explanations.PLACE, explanations.HOLDS}


async def test_an_address_of_nobody_is_asked_about_by_what_it_tells_itself(services, pool):
    found = await ask(services, address="+12125550123")
    assert not found.is_known
    assert "US-NY" in fact(found, "Regions")
    assert found.answer == "deny", "nobody behind it has agreed to be texted"
    assert found.reason == "consent_missing"
    live = await ask(services, address="+12125550123", channel="voice_live")
    assert live.reason in (None, "outside_jurisdiction_hours")


async def test_a_stored_stop_of_an_unknown_number_already_counts(services, pool):
    from tenderline.core.webhooks import Envelope, Urgency

    async with inbox.Inbox(pool) as box:
        await box.receive(
            "twilio",
            Envelope(
                event_id="SM1", event_type="message.received", urgency=Urgency.PERSON_SPOKE, body=b"Body=STOP",
                subject="+12125550123",
            ),
        )  # fmt: skip
    found = await ask(services, address="+12125550123", channel="voice_live")
    assert "OWN-UNREAD" in {one.id for one in found.said_no}


async def test_a_do_not_contact_entry_of_an_unknown_number_counts_while_it_stands(services, pool):
    await pool.execute(
        "INSERT INTO dnc_entry (value, list, source, expires_at) VALUES ('+12125550123', 'internal', 'x', $1)",
        datetime.now(UTC) + timedelta(days=1),
    )
    assert (await ask(services, address="+12125550123", channel="voice_live")).reason == "on_do_not_contact_list"
    later = datetime.now(UTC) + timedelta(days=2)
    assert "OWN-DNC" not in {one.id for one in (await ask(services, address="+12125550123", at=later)).said_no}


async def test_who_or_what_is_not_there_is_said(services, pool):
    debtor = await world.make_debtor(pool)
    other = await world.make_debtor(pool)
    with pytest.raises(NotFoundError, match="no person"):
        await ask(services, person_id=debtor.case_id)
    with pytest.raises(NotFoundError, match="no case"):
        await ask(services, person_id=debtor.person_id, case_id=other.case_id)
    with pytest.raises(NotFoundError, match="Nobody"):
        await ask(services, address="+12125550123", case_id=debtor.case_id)
    with pytest.raises(NoAddressError):
        await ask(services, person_id=debtor.person_id, channel="email")


async def test_a_decision_that_was_made_is_explained_with_what_was_kept(services, pool):
    debtor = await world.make_debtor(pool)
    await world.claim(pool)
    found = await of_attempt(services, debtor.attempt_ids[0])
    assert found is not None
    assert (found.kept.answer, found.again.answer, found.differs, found.same_rules) == ("allow", "allow", False, True)
    assert found.again.only_now == (explanations.LISTS,)
    assert [one.kind for one in found.timeline] == ["AttemptAllowed"]
    assert {one.id for one in found.again.verdicts} == {one.id for one in found.kept.rules}


async def test_what_held_a_contact_then_is_told_also_when_it_is_over_now(services, pool):
    debtor = await world.make_debtor(pool)
    await pool.execute("UPDATE recovery_case SET state = 'held', held_why = 'x'")
    await world.claim(pool)
    await pool.execute("UPDATE recovery_case SET state = 'open', held_why = NULL")
    found = await of_attempt(services, debtor.attempt_ids[0])
    assert found.again.answer == "defer"
    assert [one.id for one in found.again.said_no] == ["OWN-HELD"]
    assert not found.differs


async def test_a_stop_after_a_contact_does_not_change_why_it_was_allowed(services, pool):
    debtor = await world.make_debtor(pool)
    await world.claim(pool)
    await stop(pool, debtor, None)
    await pool.execute("UPDATE payment SET transaction_status = 'COMPLETED'")
    async with pool.acquire() as connection, connection.transaction():
        await people.mark_unusable(connection, debtor.person_id, debtor.contact_point_id, "gone")
    found = await of_attempt(services, debtor.attempt_ids[0])
    assert (found.again.answer, found.differs) == ("allow", False)


async def test_a_contact_put_off_for_the_end_of_its_lease_is_explained_by_that_end(services, pool, monkeypatch):
    debtor = await world.make_debtor(pool, zone="UTC")
    await world.claim(pool, lease_s=60)
    at = datetime(2026, 11, 20, 20, 59, 30, tzinfo=UTC)
    until = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
    await pool.execute(
        """UPDATE attempt SET state = 'planned', decision = jsonb_build_object(
            'answer', 'defer', 'rules', '["OWN-HOURS"]'::jsonb, 'at', $1::text, 'until', $2::text, 'why', 'late',
            'ruleset', $3::text, 'tzdata', 'x', 'zones', '["UTC"]'::jsonb)""",
        at.isoformat(), until.isoformat(), services.book.current.version,
    )  # fmt: skip
    found = await of_attempt(services, debtor.attempt_ids[0])
    assert found.at_end == at + timedelta(seconds=LEASE_S)
    assert (found.again.answer, found.again.until, found.differs) == ("defer", until, False)


async def test_an_attempt_that_was_not_asked_yet_is_asked_for_the_instant_it_is_due(services, pool):
    debtor = await world.make_debtor(pool, due_in_s=3600)
    found = await of_attempt(services, debtor.attempt_ids[0])
    assert found.kept is None
    assert found.again is not None
    assert await of_attempt(services, debtor.case_id) is None


async def test_a_question_reads_the_same_rows_as_the_claim_for_the_present(services, pool):
    """What is derived as of now from the append-only words is what stands beside the person."""
    debtor = await world.make_debtor(pool)
    await stop(pool, debtor, datetime.now(UTC) - timedelta(days=1))
    question = Question(
        channel="sms", purpose=Purpose.FIRST_PARTY_RECOVERY, at=datetime.now(UTC), person_id=debtor.person_id
    )
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        target = await explanations.find_target(connection, question)
        told = await explanations.facts(connection, services.book, services.defaults, question, target)
    row = await pool.fetchrow("SELECT opted_out_at, opted_out_channels FROM person WHERE id = $1", debtor.person_id)
    assert told.person.opted_out_at == row["opted_out_at"] == told.refusals[0].at
    assert told.person.opted_out_channels == frozenset(row["opted_out_channels"])
