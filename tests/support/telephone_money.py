"""A session on the telephone, a card's token and a charge at the simulated bank, for tests about money."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from support import bank_town, world
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.payments import telephone
from tenderline.store.inbox import Unread
from tenderline.worker import read

GOOD, DECLINED = "4242" * 4, "4" + "0" * 14 + "2"


async def token(town: Any, number: str = GOOD) -> str:
    """What the bank calls the card."""
    form = {
        "type": "card",
        "card[number]": number,
        "card[exp_month]": "12",
        "card[exp_year]": "2030",
        "card[cvc]": "123",
    }
    headers = {"Authorization": f"Bearer {bank_town.API_KEY}"}
    async with town.http.post(f"{town.url}/v1/payment_methods", data=form, headers=headers) as answer:
        told = await answer.json()
        assert answer.status == 200, told
        return str(told["id"])


async def begin(made: Any, pool: Any, minor: int = 2500, *, conversation_id: UUID | None = None) -> Any:
    """Somebody wants to pay, on a call that is in the books if it is named."""
    person_id, point_id, _ = await world.make_person(pool)
    async with pool.acquire() as connection, connection.transaction():
        return await telephone.begin(
            made,
            connection,
            person_id=person_id,
            contact_point_id=point_id,
            conversation_id=conversation_id or uuid7(),
            mode="automated",
            money=Money(minor, "USD"),
            campaign="spring",
            fund="roof",
        )


async def charge(made: Any, session: Any, card: str) -> telephone.Charged:
    """One try."""
    return await telephone.charge(made, session.id, token=card, brand="visa", last_four="4242")


async def take_in(made: Any, pool: Any, source: str, body: bytes) -> None:
    """One stored webhook is read, as the worker would."""
    async with pool.acquire() as connection, connection.transaction():
        unread = Unread(id=1, source=source, event_id="e", event_type="t", body=body, received_at=None, tries=0)
        assert await read.handle_webhook(made, connection, unread)


async def hear(made: Any, pool: Any, town: Any, kind: str, *, least: int = 1) -> None:
    """The bank's webhooks of this kind are read, once there are so many."""
    await bank_town.until(lambda: len(town.product.of(kind)) >= least, kind)
    for hook in town.product.of(kind):
        await take_in(made, pool, "stripe", hook.body)


async def paid(made: Any, pool: Any, town: Any, minor: int = 2500) -> Any:
    """The payment (its row) of a charge whose money has arrived."""
    session = await begin(made, pool, minor)
    assert (await charge(made, session, await token(town))).result == "taken"
    await hear(made, pool, town, "payment_intent.succeeded")
    row = await pool.fetchrow("SELECT * FROM payment WHERE person_id = $1", session.person_id)
    assert row["transaction_status"] == "COMPLETED"
    return row
