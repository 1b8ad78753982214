"""Somebody who is told by webhook, and people who say STOP: what tests of outgoing webhooks begin with."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from support import services, world
from tenderline.people import consent
from tenderline.store import outgoing, webhook_endpoints
from tenderline.store.webhook_endpoints import KEY_PURPOSE

BOTH = ["contact.opted_out", "contact.opted_in"]


async def endpoint(made: Any, url: str, events: list[str] | None = None) -> tuple[UUID, str]:
    """(id, secret) of an endpoint, whatever its address."""
    async with made.pool.acquire() as connection, connection.transaction():
        return await webhook_endpoints.add(connection, url, events or BOTH, made.key_for(KEY_PURPOSE), by="test")


async def tell(pool: Any, person_id: UUID) -> int:
    """As the reaction does."""
    async with pool.acquire() as connection, connection.transaction():
        return await outgoing.tell(connection, person_id)


async def stop(pool: Any) -> tuple[UUID, str]:
    """(person, address) of somebody who said STOP just now, and of whom everybody is to be told."""
    person_id, _, address = await world.make_person(pool)
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(
            connection, person_id, channel="sms", address=address, how="reply", evidence="STOP it, Ann"
        )
    await tell(pool, person_id)
    return person_id, address


async def come_due(pool: Any) -> None:
    """Lets every pause be over, and every lease."""
    await pool.execute("UPDATE webhook_endpoint SET paused_until = NULL")
    await pool.execute("""
        UPDATE outgoing_webhook SET next_try_at = now(), leased_until = NULL WHERE state = 'waiting'""")


async def newest(pool: Any) -> Any:
    """The last message's row."""
    return await pool.fetchrow("SELECT * FROM outgoing_webhook ORDER BY created_at DESC, id DESC LIMIT 1")


async def fill(pool: Any) -> None:
    """For screens: endpoints in every state, and messages in every state, with long words."""
    made = services.make(pool)
    paths = ("well", "failing?token=x", "paused", "over-" + "z" * 120)
    ids = [(await endpoint(made, f"https://crm.example.org/{path}"))[0] for path in paths]
    await stop(pool)
    await pool.execute("UPDATE webhook_endpoint SET failing_since = now(), failures = 9 WHERE id = $1", ids[1])
    await pool.execute(
        "UPDATE webhook_endpoint SET failing_since = now(), paused_until = now() + interval '1 day' WHERE id = $1",
        ids[2],
    )
    await pool.execute(
        "UPDATE outgoing_webhook SET state = 'delivered', last_status = 200 WHERE endpoint_id = $1", ids[0]
    )
    async with pool.acquire() as connection, connection.transaction():
        await webhook_endpoints.disable(connection, ids[3], why="it answered 410 Gone " + "w" * 120, by="test")
