"""Rows about money for screens: a paid payment with refunds of every state, and money that nobody can explain."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from support import world
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.store import captures, refunds, unmatched

_LONG = "z" * 90


async def fill(pool: Any) -> UUID:
    """The id of the payment."""
    debtor = await world.make_debtor(pool)
    await pool.execute(
        "UPDATE payment SET status = 'succeeded', transaction_status = 'COMPLETED' WHERE id = $1", debtor.payment_id
    )
    session_id = uuid7()
    async with pool.acquire() as connection, connection.transaction():
        await captures.open_session(
            connection, id=session_id, person_id=debtor.person_id, conversation_id=uuid7(), mode="automated",
            gateway="stripe", money=Money(2500, "USD"), campaign="spring", fund="roof", reference="12345678",
            contact_point_id=debtor.contact_point_id,
        )  # fmt: skip
        session = await captures.get(connection, session_id)
        tried = uuid7()
        await captures.intend(connection, id=tried, session=session, token="pm", brand="visa", last_four="4242")
        await captures.prepared(connection, tried, debtor.transaction_id)
        await captures.answer(connection, tried, "taken")
        await captures.set_state(connection, session_id, "charged")
        for state in get_args(refunds.State):
            made = uuid7()
            await refunds.intend(
                connection, id=made, payment_id=debtor.payment_id, gateway="stripe", money=Money(100, "USD"),
                reason=f"she gave twice {_LONG}", asked_by="sue@example.org",
            )  # fmt: skip
            await refunds.set_state(connection, made, state, why=f"refused {_LONG}" if state == "refused" else None)
        for kind in get_args(unmatched.Kind):
            await unmatched.add(
                connection, kind, "stripe", kind, transaction_id=f"pi_{_LONG}", payment_id=debtor.payment_id,
                session_id=session_id, money=(2600, "USD"), expected=(2500, "USD"),
            )  # fmt: skip
        settled = await connection.fetchval("SELECT id FROM unmatched_money WHERE kind = 'paid_twice'")
        await unmatched.settle(connection, settled, by="sue@example.org", note=f"a note {_LONG}")
    return debtor.payment_id
