"""A message's way to its receiver: a try, what it means, and when the next one is.

Sending and recording cannot be one step. Who is killed in between leaves a lease that ends, and the message is sent
again under the same webhook-id; nothing is ever lost. In which order messages arrive is not promised.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final
from uuid import UUID

import structlog

from tenderline.app import Services
from tenderline.core.errors import TenderlineError
from tenderline.core.sealed import unseal
from tenderline.core.standard_webhooks import headers
from tenderline.outgoing.sender import Answer, Sender
from tenderline.store import outgoing, webhook_endpoints
from tenderline.store.db import Connection
from tenderline.store.outgoing import Due
from tenderline.store.webhook_endpoints import KEY_PURPOSE, EndpointStateError

log = structlog.get_logger(__name__)

PAUSES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before each further try: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h (as Standard Webhooks suggests)."""
JITTER_SHARE: Final = 0.2
LEASE_MARGIN_S: Final = 5.0
AT_ONCE_MAX: Final = 40
BY: Final = "system"


def pause_s(tries: int, retry_after_s: float = 0.0) -> float | None:
    """Seconds before the next try after so many, a little spread; None when there is none any more."""
    if tries > len(PAUSES_S):
        return None
    spread = PAUSES_S[tries - 1] * random.uniform(1.0, 1.0 + JITTER_SHARE)  # noqa: S311  # spreading load is no secret
    return max(spread, retry_after_s)


class Deliveries:
    """Makes the tries of one process."""

    def __init__(self, services: Services, sender: Sender | None = None) -> None:
        self._services = services
        self._key = services.key_for(KEY_PURPOSE)
        self._sender = sender or Sender(services.settings.webhooks)
        self._lease_s = services.settings.webhooks.timeout_s + LEASE_MARGIN_S
        self._under_way: set[asyncio.Task[Answer]] = set()

    async def send_due(self) -> int:
        """Begins what is due and does not wait for it: an endpoint that hangs keeps no other waiting.

        Returns how many were begun.
        """
        room = AT_ONCE_MAX - len(self._under_way)
        if room < outgoing.UNDER_WAY_MAX:
            return 0
        leased = await outgoing.lease(self._services.pool, lease_s=self._lease_s, room=room)
        for due in leased:
            task = asyncio.create_task(self.make(due))
            self._under_way.add(task)
            task.add_done_callback(self._ended)
        return len(leased)

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease ends by itself, and the message is tried again.
            log.warning("webhook not recorded", error=type(error).__name__, detail=str(error)[:300])

    async def finish(self) -> None:
        """Waits for what was begun."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def test(self, endpoint_id: UUID) -> tuple[Due, Answer]:
        """Sends a message that tells nothing, once."""
        due = await outgoing.plan_test(self._services.pool, endpoint_id, lease_s=self._lease_s)
        return due, await self.make(due, once=True)

    async def make(self, due: Due, *, once: bool = False) -> Answer:
        """One try of what was leased, recorded with the time of the next. `once`: there is no next."""
        answer = await self._send(due)  # no connection is held meanwhile: it may take a while
        await self._record(due, answer, once=once)
        return answer

    async def _send(self, due: Due) -> Answer:
        try:
            sealed = [due.secret] if due.old_secret is None else [due.secret, due.old_secret]
            keys = [unseal(self._key, secret, of=due.endpoint_id.bytes) for secret in sealed]
            body = due.body.encode()
            return await self._sender.post(due.url, headers(due.message_id, int(time.time()), body, keys), body)
        except TenderlineError as error:  # of the settings: tried again like the rest, and shown
            return Answer(False, why=error.detail)

    async def _record(self, due: Due, answer: Answer, *, once: bool) -> None:
        state, next_in_s = "delivered", None
        if not answer.ok:
            next_in_s = None if once or answer.is_gone else pause_s(due.try_number, answer.retry_after_s)
            state = "failed" if next_in_s is None else "waiting"
            log.warning(
                "webhook not delivered",
                delivery=str(due.id),
                endpoint=str(due.endpoint_id),
                kind=due.kind,
                status=answer.status,
                why=answer.why,
                tries=due.tries,
            )
        why = f"{answer.why}: {answer.excerpt}" if answer.excerpt else answer.why
        async with self._services.pool.acquire() as connection, connection.transaction():
            is_ours = await outgoing.record(
                connection, due, state=state, status=answer.status, why=why, next_in_s=next_in_s
            )
            if is_ours and not once:
                await _note(connection, due, answer)

    async def close(self) -> None:
        """Waits for what is under way, and closes the connections."""
        await self.finish()
        await self._sender.close()


async def _note(connection: Connection, due: Due, answer: Answer) -> None:
    """What a try says of its endpoint."""
    if answer.ok:
        await outgoing.note_success(connection, due.endpoint_id)
        return
    is_hopeless = await outgoing.note_failure(connection, due.endpoint_id, retry_after_s=answer.retry_after_s)
    why = "it answered 410 Gone" if answer.is_gone else f"it has failed for {outgoing.HOPELESS_DAYS} days"
    if answer.is_gone or is_hopeless:
        try:
            await webhook_endpoints.disable(connection, due.endpoint_id, why=why, by=BY)
        except EndpointStateError:
            return  # somebody was quicker
        log.error("webhook endpoint disabled", endpoint=str(due.endpoint_id), why=why)
