"""What is read for every payment and every poll stays quick when there are many: no table is read whole."""

from __future__ import annotations

import json

import pytest

from support import world
from tenderline.core.ids import uuid7
from tenderline.store import captures, unmatched
from tenderline.store.db import query

MANY = 30_000  # at 20,000 it costs the planner the same to read all of a table


@pytest.fixture
async def years(pool):
    """So many payments that were taken, one after the other; of two old ones nobody told the end."""
    person_id, _, _ = await world.make_person(pool)
    await pool.execute(
        """
        INSERT INTO capture_session (id, person_id, conversation_id, mode, gateway, amount_minor, currency, reference,
            state, started_at, updated_at, link_transaction_id)
        SELECT gen_random_uuid(), $1, gen_random_uuid(), 'automated', 'stripe', 2500, 'USD', n::text, 'completed',
            now() - n * interval '1 minute', now() - n * interval '1 minute',
            CASE WHEN n % 10 = 0 THEN 'tel_' || n END
        FROM generate_series(1, $2::int) AS n""",
        person_id,
        MANY,
    )
    await pool.execute("""
        INSERT INTO charge (id, session_id, gateway, transaction_id, token, brand, last_four, state, created_at)
        SELECT gen_random_uuid(), id, 'stripe', 'pi_' || reference, 'pm', 'visa', '4242', 'taken', started_at
        FROM capture_session""")
    await pool.execute("""
        INSERT INTO payment (person_id, id, gateway, transaction_id, status, transaction_status, amount_minor, currency,
            observed)
        SELECT s.person_id, gen_random_uuid(), 'stripe', c.transaction_id, 'succeeded', 'COMPLETED', 2500, 'USD', '{}'
        FROM capture_session s JOIN charge c ON c.session_id = s.id""")
    await pool.execute("UPDATE capture_session SET state = 'charged' WHERE reference = '19001'")
    await pool.execute("UPDATE payment SET transaction_status = 'PENDING' WHERE transaction_id = 'pi_19001'")
    await pool.execute("UPDATE capture_session SET state = 'open' WHERE reference = '19003'")
    await pool.execute("UPDATE charge SET state = 'intended' WHERE transaction_id = 'pi_19003'")
    await pool.execute("DELETE FROM payment WHERE transaction_id = 'pi_19003'")
    await pool.execute("ANALYZE")


def _nodes(node):
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


async def test_no_read_of_payments_reads_a_table_whole(pool, years):
    arguments = {
        ("unmatched", "sources"): ("stripe", "pi_7"),
        ("captures", "of_transaction"): ("stripe", "pi_7"),
        ("captures", "list"): (100,),
        ("captures", "of_call"): (uuid7(), 100),
        ("captures", "in_doubt"): (90.0, 50),
        ("captures", "unsettled"): (180.0, 50),
        ("captures", "forsaken"): (20.0, 86_400.0, 50),
        ("captures", "was_repeated"): (uuid7(), uuid7(), None),
        ("captures", "may_have_paid"): (uuid7(),),
    }
    for (noun, name), values in arguments.items():
        plan = json.loads(await pool.fetchval(f"EXPLAIN (FORMAT JSON) {query(noun, name)}", *values))
        large = ("capture_session", "charge", "payment")
        scans = [node for node in _nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"]
        assert not [node for node in scans if node["Relation Name"] in large], f"{noun}.{name} reads all of a table"
        rows = [node["Plan Rows"] for node in _nodes(plan[0]["Plan"]) if node.get("Relation Name") in large]
        assert max(rows, default=0) < MANY / 10 or name == "list", f"{noun}.{name} reads most of a table"


async def test_those_in_doubt_come_first_then_the_newest_each_once(pool, years):
    async with pool.acquire() as connection:
        found = await captures.listed(connection, 5)
        assert [one.session.reference for one in found] == ["19001", "19003", "1", "2", "3"]
        assert [one.session.reference for one in await captures.listed(connection, 1)] == ["19001"]
        call = found[1].session.conversation_id
        (one,) = await captures.listed(connection, 5, conversation_id=call)
        assert (one.session.reference, one.charge_state, one.payment_id) == ("19003", "intended", None)


async def test_a_transaction_leads_to_its_session_by_its_charge_or_by_its_link(pool, years):
    async with pool.acquire() as connection:
        by_charge = await unmatched.source_of(connection, "stripe", "pi_20")
        by_link = await unmatched.source_of(connection, "stripe", "tel_20")
        assert by_charge is not None
        assert by_link is not None
        assert by_charge.session_id == by_link.session_id
        assert (by_charge.charge_state, by_charge.paid_before) == ("taken", False)
        assert (by_link.charge_state, by_link.paid_before) == (None, True)
        assert await unmatched.source_of(connection, "stripe", "pi_stranger") is None
        assert await unmatched.source_of(connection, "other", "pi_20") is None
