"""Asks another system while somebody is on the telephone: signed like every webhook, and answered at once or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog

from tenderline.app import Services
from tenderline.core.ids import uuid7
from tenderline.core.sealed import unseal
from tenderline.core.standard_webhooks import headers
from tenderline.outgoing.sender import Sender
from tenderline.store import webhook_endpoints
from tenderline.store.webhook_endpoints import KEY_PURPOSE

log: structlog.stdlib.BoundLogger = structlog.get_logger()

ANSWER_BYTES_MAX: Final = 16_384

Plain = str | int | bool | None


class Asker:
    """Of one process."""

    def __init__(self, services: Services, sender: Sender | None = None) -> None:
        self._pool, self._key = services.pool, services.key_for(KEY_PURPOSE)
        self._sender = sender or Sender(services.settings.webhooks)

    async def ask(self, name: str, question: Mapping[str, Any], *, timeout_s: float) -> dict[str, Plain] | None:
        """The values of the JSON object it answers with, those that are text, whole numbers, true, false or null; None
        when there is no such endpoint or no such answer. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            async with self._pool.acquire() as connection:
                found = await webhook_endpoints.named(connection, name)
            if found is None:
                log.warning("nobody_asked", endpoint=name, why="there is no endpoint of this name, or it is disabled")
                return None
            sealed = [found.secret] if found.old_secret is None else [found.secret, found.old_secret]
            keys = [unseal(self._key, secret, of=found.id.bytes) for secret in sealed]
            body = msgspec.json.encode(question)
            signed = headers(uuid7(), int(time.time()), body, keys)
            answer = await self._sender.post(found.url, signed, body, read_bytes_max=ANSWER_BYTES_MAX)
        if not answer.ok:
            log.warning("no_answer", endpoint=name, status=answer.status, why=answer.why)
            return None
        try:
            said = msgspec.json.decode(answer.body or b"{}", type=dict[str, Any])
        except msgspec.DecodeError:
            log.warning("no_answer", endpoint=name, status=answer.status, why="it is no JSON object")
            return None
        return {key: value for key, value in said.items() if value is None or isinstance(value, str | int)}

    async def close(self) -> None:
        """Closes the connections."""
        await self._sender.close()
