"""What steps may ask of the rest of the system, each within a time-out: `flows.call.Backstage`, on the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from tenderline.app import Services
from tenderline.core.money import Money
from tenderline.flows.call import Call, Value
from tenderline.people import by_phone
from tenderline.store import callers, lines

log: structlog.stdlib.BoundLogger = structlog.get_logger()

WRITE_TIMEOUT_S = 5.0


class DatabaseBackstage:
    """For all calls of a node."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def now(self) -> datetime:
        """The instant, in UTC."""
        return datetime.now(UTC)

    async def look_up(self, caller: str | None, *, timeout_s: float) -> Mapping[str, Value] | None:
        """What is known by the number. Raises `TimeoutError`."""
        if caller is None:
            return None
        async with asyncio.timeout(timeout_s), self._services.pool.acquire() as connection:
            known = await callers.known(connection, caller)
        if known is None:
            return None
        balance = None
        if known.amount_minor is not None and known.currency is not None:
            balance = Money(known.amount_minor, known.currency)
        return {"person_id": str(known.id), "name": known.name, "locale": known.locale, "balance": balance}

    async def call_back(self, call: Call, *, number: str | None, due_at: datetime | None) -> bool:
        """Notes a callback; False without a number."""
        wanted = number or call.caller
        if wanted is None:
            return False
        async with asyncio.timeout(WRITE_TIMEOUT_S), self._services.pool.acquire() as connection:
            await lines.add_callback(
                connection, conversation_id=None, number=wanted, due_at=due_at or datetime.now(UTC)
            )
        return True

    async def message(self, call: Call, *, template: str, values: Mapping[str, Value]) -> bool:
        """Messages from a flow come with the notifications; until then every one is refused."""
        del call, values
        log.warning("message_refused", template=template, why="messages from a flow are not there yet")
        return False

    async def post(
        self, call: Call, *, endpoint: str, values: Mapping[str, Value], timeout_s: float
    ) -> Mapping[str, Value] | None:
        """Posting from a flow comes with the outgoing webhooks; until then there is no answer."""
        del call, values, timeout_s
        log.warning("post_refused", endpoint=endpoint, why="posting from a flow is not there yet")
        return None

    async def opt_out(self, call: Call) -> bool:
        """Silence on every channel, from the commit on; False without a number."""
        if call.caller is None:
            return False
        evidence = f"the key was pressed in conversation {call.conversation_id}"
        async with (
            asyncio.timeout(WRITE_TIMEOUT_S),
            self._services.pool.acquire() as connection,
            connection.transaction(),
        ):
            await by_phone.opt_out(connection, call.caller, evidence=evidence)
        return True
