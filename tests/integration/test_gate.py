"""The gate on a real database: what is committed before the claim is obeyed, and nobody is contacted twice."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from support import world
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.people import consent
from tenderline.store import inbox, people


async def test_a_due_attempt_is_leased_with_the_decision_that_let_it_pass(pool):
    debtor = await world.make_debtor(pool)
    claim = await world.claim(pool)
    assert [one.id for one in claim.leased] == debtor.attempt_ids
    row = await world.attempt_state(pool, debtor.attempt_ids[0])
    decision = json.loads(row["decision"])
    assert (row["state"], row["fence"], decision["answer"]) == ("leased", 1, "allow")
    assert "OWN-HOURS" in decision["rules"]
    assert decision["tzdata"]
    assert decision["ruleset"]


async def test_what_is_not_due_is_left_alone(pool):
    await world.make_debtor(pool, due_in_s=3600)
    assert (await world.claim(pool)).looked_at == 0


async def test_two_due_attempts_of_one_person_never_pass_together(pool):
    debtor = await world.make_debtor(pool, attempts_due=3)
    first = await world.claim(pool)
    assert len(first.leased) == 1
    second = await world.claim(pool)
    assert (len(second.leased), second.deferred) == (0, 1)
    states = [(await world.attempt_state(pool, one))["state"] for one in debtor.attempt_ids]
    assert sorted(states) == ["leased", "planned", "planned"]


async def test_an_opt_out_committed_before_the_claim_silences_every_channel(pool):
    debtor = await world.make_debtor(pool)
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(
            connection, debtor.person_id, channel="sms", address=debtor.address, how="reply", evidence="STOP"
        )
    claim = await world.claim(pool)
    assert (len(claim.leased), claim.suppressed) == (0, 1)
    row = await world.attempt_state(pool, debtor.attempt_ids[0])
    assert "OWN-OPT-OUT" in json.loads(row["decision"])["rules"]


async def test_a_stop_that_is_stored_but_not_yet_read_already_silences(pool):
    debtor = await world.make_debtor(pool)
    async with inbox.Inbox(pool) as box:
        await box.receive(
            "twilio",
            Envelope(
                event_id="SM1", event_type="message.received", urgency=Urgency.PERSON_SPOKE, body=b"Body=STOP",
                subject=debtor.address,
            ),
        )  # fmt: skip
    claim = await world.claim(pool)
    assert (len(claim.leased), claim.deferred) == (0, 1)
    assert (await world.attempt_state(pool, debtor.attempt_ids[0]))["why"].startswith("something about it")


async def test_a_payment_that_is_stored_but_not_yet_read_already_silences(pool):
    debtor = await world.make_debtor(pool)
    async with inbox.Inbox(pool) as box:
        await box.receive(
            "stripe",
            Envelope(
                event_id="evt_1", event_type="payment_intent.succeeded", urgency=Urgency.MONEY_ARRIVED, body=b"{}",
                subject=f"stripe:{debtor.transaction_id}",
            ),
        )  # fmt: skip
    assert (await world.claim(pool)).deferred == 1


@pytest.mark.parametrize("status", ["succeeded", "refunded", "disputed", "stopped"])
async def test_a_debt_that_is_settled_or_over_is_not_asked_for(pool, status):
    debtor = await world.make_debtor(pool)
    done = "COMPLETED" if status == "succeeded" else "FAILED"
    await pool.execute(
        "UPDATE payment SET status = $2, transaction_status = $3 WHERE id = $1", debtor.payment_id, status, done
    )
    claim = await world.claim(pool)
    assert (len(claim.leased), claim.suppressed) == (0, 1)


async def test_a_held_case_and_a_person_in_distress_wait(pool):
    held = await world.make_debtor(pool)
    await pool.execute("UPDATE recovery_case SET state = 'held', held_why = 'x' WHERE id = $1", held.case_id)
    distressed = await world.make_debtor(pool)
    until = datetime.now(UTC) + timedelta(hours=3)
    await pool.execute("UPDATE person SET distress_until = $2 WHERE id = $1", distressed.person_id, until)
    claim = await world.claim(pool)
    assert (len(claim.leased), claim.deferred) == (0, 2)
    assert (await world.attempt_state(pool, distressed.attempt_ids[0]))["due_at"] >= until


async def test_at_night_a_contact_waits_for_the_morning_there(pool):
    debtor = await world.make_debtor(pool, zone=world.zone_by_night())
    claim = await world.claim(pool)
    assert (len(claim.leased), claim.deferred) == (0, 1)
    row = await world.attempt_state(pool, debtor.attempt_ids[0])
    assert row["due_at"] > datetime.now(UTC)
    assert json.loads(row["decision"])["until"]


async def test_an_unusable_address_is_not_tried_again(pool):
    debtor = await world.make_debtor(pool)
    async with pool.acquire() as connection:
        await people.mark_unusable(connection, debtor.person_id, debtor.contact_point_id, "no such number")
    assert (await world.claim(pool)).suppressed == 1


async def test_an_attempt_that_is_too_late_never_leaves(pool):
    debtor = await world.make_debtor(pool)
    await pool.execute("UPDATE attempt SET not_after = now() WHERE id = $1", debtor.attempt_ids[0])
    assert (await world.claim(pool)).suppressed == 1


async def test_workers_side_by_side_contact_each_person_once(pool):
    debtors = [await world.make_debtor(pool, attempts_due=2) for _ in range(40)]
    claims = await asyncio.gather(*(world.claim(pool, batch_max=15) for _ in range(8)))
    for _ in range(10):
        claims.append(await world.claim(pool))
    leased = [one for claim in claims for one in claim.leased]
    assert len(leased) == len(debtors)
    assert len({one.person_id for one in leased}) == len(debtors)


async def test_stops_racing_the_claim_are_either_first_and_obeyed_or_second(pool):
    """Opt-outs and claims at the same time: for every person either the opt-out came first, and nothing was leased,
    or the lease did. Never a lease whose decision is younger than the opt-out."""
    debtors = [await world.make_debtor(pool) for _ in range(60)]

    async def stop(debtor):
        async with pool.acquire() as connection, connection.transaction():
            await consent.opt_out(
                connection, debtor.person_id, channel="sms", address=debtor.address, how="reply", evidence="STOP"
            )

    claims, *_ = await asyncio.gather(
        asyncio.gather(*(world.claim(pool, batch_max=10) for _ in range(6))), *(stop(one) for one in debtors)
    )
    leased = {one.id for claim in claims for one in claim.leased}
    assert leased or (await world.claim(pool)).suppressed
    rows = await pool.fetch(
        "SELECT a.id, (a.decision ->> 'at')::timestamptz AS decided, p.opted_out_at FROM attempt a"
        " JOIN person p ON p.id = a.person_id WHERE a.state = 'leased'"
    )
    assert {row["id"] for row in rows} == leased
    assert all(row["decided"] < row["opted_out_at"] for row in rows)


async def test_the_plan_of_the_hot_statements_stays_on_indexes(pool):
    """With many rows and fresh statistics neither the claim nor the facts read a whole table."""
    await world.make_debtor(pool)
    await pool.execute("""
        INSERT INTO person (id, zone)
        SELECT gen_random_uuid(), 'Europe/London' FROM generate_series(1, 20000)""")
    await pool.execute("""
        INSERT INTO contact_point (person_id, id, kind, value)
        SELECT id, gen_random_uuid(), 'email', id::text FROM person ON CONFLICT DO NOTHING""")
    await pool.execute("""
        INSERT INTO person_reference (person_id, source, value) SELECT id, 'stripe', id::text FROM person""")
    await pool.execute("""
        INSERT INTO dnc_entry (value, list, source) SELECT id::text, 'national', 'x' FROM person""")
    await pool.execute("""
        INSERT INTO payment (person_id, id, gateway, transaction_id, status, transaction_status, observed)
        SELECT id, gen_random_uuid(), 'stripe', id::text, 'failed', 'FAILED', '{}' FROM person""")
    await pool.execute("""
        INSERT INTO recovery_case (person_id, id, payment_id, gateway, transaction_id, state, reason, policy)
        SELECT person_id, gen_random_uuid(), id, gateway, transaction_id || 'x', 'open', 'unknown', 'p' FROM payment""")
    await pool.execute("""
        INSERT INTO attempt (person_id, id, case_id, channel, purpose, contact_point_id, template, due_at, not_after)
        SELECT c.person_id, gen_random_uuid(), c.id, 'email', 'first_party_recovery', q.id, 'recovery',
            now() - random() * interval '1 h', now() + interval '1 d'
        FROM recovery_case c JOIN contact_point q ON q.person_id = c.person_id""")
    await pool.execute("""
        INSERT INTO inbox (source, event_id, event_type, urgency, subject, body)
        SELECT 'stripe', n::text, 'x', 2, 'stripe:' || n, '' FROM generate_series(1, 20000) AS n""")
    await pool.execute("ANALYZE")
    from tenderline.store.db import query

    due = await pool.fetch(query("attempts", "due"), 500)
    arguments = {
        "due": (500,),
        "lock_people": ([row["person_id"] for row in due],),
        "facts": (
            list(range(len(due))), [row["person_id"] for row in due], [row["contact_point_id"] for row in due],
            [row["case_id"] for row in due], [row["channel"] for row in due],
        ),
    }  # fmt: skip
    for name, values in arguments.items():
        plan = json.loads(await pool.fetchval(f"EXPLAIN (FORMAT JSON) {query('attempts', name)}", *values))
        scanned = [node.get("Relation Name") for node in _nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"]
        assert not scanned, f"{name} reads all of {scanned}"


def _nodes(node):
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
