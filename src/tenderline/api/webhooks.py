"""Webhooks of gateways and carriers, on a bare ASGI route: it takes billing-day spikes, so nothing is in its way.

Raw bytes, verified, in the inbox and committed: then 2xx, and not before. What cannot be trusted is refused with a
reason and counted, and never stored.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec
import structlog

from tenderline.app import Services
from tenderline.core.errors import (
    BodyTooLargeError,
    CardDataRefusedError,
    MalformedWebhookError,
    NotFoundError,
    TenderlineError,
)
from tenderline.core.loops import goes_on
from tenderline.core.pan import holds_card_number
from tenderline.core.webhooks import Envelope
from tenderline.store import counters, db
from tenderline.store.inbox import BODY_BYTES_MAX, EVENT_ID_LENGTH_MAX, Inbox

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PREFIX: Final = "/webhooks/"
BODY_TIMEOUT_S: Final = 10.0
RETRY_AFTER_S: Final = b"5"
COUNT_FLUSH_S: Final = 2.0
_TEXT_FIELDS: Final = ("event_id", "event_type", "subject")


class SlowBodyError(TenderlineError):
    """The body did not arrive in time; post the webhook again."""

    code = "webhook.slow"
    status = 408


class WrongMethodError(TenderlineError):
    """Webhooks are posted; use POST."""

    code = "method_not_allowed"
    status = 405


class _Gone(Exception):  # not an error: the sender hung up, and there is nobody to answer
    pass


class Webhooks:
    """The ASGI application behind `/webhooks/{source}`, and the inbox it fills."""

    def __init__(self, services: Services, inbox: Inbox) -> None:
        self._services = services
        self._inbox = inbox
        self._counted: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source = scope["path"].removeprefix(PREFIX)
        try:
            if scope["method"] != "POST":
                raise WrongMethodError()
            headers = {name.decode("latin-1"): value for name, value in scope["headers"]}  # lower case, says ASGI
            envelope = self._verify(source, scope, headers, await _body(headers, receive))
            fresh = await self._inbox.receive(source, envelope)
        except TenderlineError as error:
            self._counted[f"webhook.{source[:32] if error.status != 404 else 'unknown'}.{error.code}"] += 1
            await _answer(send, error.status, _problem(error))
            return
        except _Gone:
            return
        self._counted[f"webhook.{source}.{'stored' if fresh else 'repeated'}"] += 1
        await _answer(send, 200, b"{}")

    def _verify(self, source: str, scope: Scope, headers: dict[str, bytes], body: bytes) -> Envelope:
        if (gateway := self._services.gateways.get(source)) is not None:
            envelope = gateway.verify(headers, body, time.time())
            stored = envelope.body
        elif (provider := self._services.inbound.get(source)) is not None:
            query = scope["query_string"].decode("latin-1")
            url = f"{self._services.settings.public_url}{scope['path']}" + (f"?{query}" if query else "")
            envelope = provider.verify(url, headers, body)
            stored = unquote_plus(envelope.body.decode("utf-8", "replace")).encode()
        else:
            raise NotFoundError(f"No source {source[:32]!r} is configured for webhooks.")
        if holds_card_number(stored):
            raise CardDataRefusedError()
        _require_storable(envelope)
        return envelope

    async def flush_counts_forever(self) -> None:
        """Writes what was counted into the database, now and then: an attack must not become a write each."""
        while goes_on():
            await asyncio.sleep(COUNT_FLUSH_S)
            counted, self._counted = self._counted, Counter()
            if counted:
                try:
                    await counters.add(self._services.pool, counted)
                except db.AWAY as error:
                    log.warning("counts_wait", why=type(error).__name__)
                    self._counted += counted


def _require_storable(envelope: Envelope) -> None:
    """What PostgreSQL cannot hold as text must not reach it: no sender could ever get it acknowledged."""
    values: Iterable[str | None] = (getattr(envelope, name) for name in _TEXT_FIELDS)
    for value in values:
        if value is not None and ("\x00" in value or len(value) > EVENT_ID_LENGTH_MAX or not value.isprintable()):
            raise MalformedWebhookError("The webhook's id or type is longer than 255 characters or not printable.")


async def _body(headers: dict[str, bytes], receive: Receive) -> bytes:
    declared = headers.get("content-length", b"0")
    if not declared.isdigit() or int(declared[:20]) > BODY_BYTES_MAX:
        raise BodyTooLargeError(f"A webhook may have {BODY_BYTES_MAX // 1024} KB at most.")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise BodyTooLargeError(f"A webhook may have {BODY_BYTES_MAX // 1024} KB at most.")
                chunks.append(chunk)
                if not message.get("more_body"):
                    return b"".join(chunks)
    except TimeoutError:
        raise SlowBodyError() from None


def _problem(error: TenderlineError) -> bytes:
    return msgspec.json.encode(
        {"type": "about:blank", "status": error.status, "code": error.code, "detail": error.detail}
    )


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json" if status < 400 else b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 503:
        headers.append((b"retry-after", RETRY_AFTER_S))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
