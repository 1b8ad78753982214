"""What other systems were told, as people look at it: who is told, how far each message got, when it is tried next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from tenderline.core.standard_webhooks import message_name
from tenderline.store import outgoing, webhook_endpoints
from tenderline.store.db import Connection
from tenderline.store.outgoing import Delivery
from tenderline.store.webhook_endpoints import Endpoint

PAGE_SIZE: Final = 50
STATES: Final = ("waiting", "delivered", "failed")


@dataclass(frozen=True, slots=True)
class ReceiverView:
    """Somebody who is told. The address is without its query, which may hold a token."""

    id: UUID
    address: str
    events: tuple[str, ...]
    state: str
    """`told`, `failing`, `paused` or `disabled`."""
    waiting: int
    failed: int
    created_at: datetime
    failing_since: datetime | None
    paused_until: datetime | None
    disabled_at: datetime | None
    disabled_why: str | None


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message to one of them."""

    id: UUID
    endpoint_id: UUID
    webhook_id: str
    event: str
    address: str
    state: str
    tries: int
    last_status: int | None
    why: str | None
    created_at: datetime
    last_try_at: datetime | None
    next_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class ToldView:
    """The screen. `next_before` leads to older messages."""

    receivers: list[ReceiverView]
    messages: list[MessageView]
    next_before: tuple[datetime, UUID] | None


def shown(url: str) -> str:
    """An address for lists: without its query."""
    return f"{url.partition('?')[0]}?…" if urlsplit(url).query else url


async def read_told(
    connection: Connection, *, state: str | None = None, before: tuple[datetime, UUID] | None = None
) -> ToldView:
    """Every receiver, and a page of messages, newest first."""
    messages, next_before = await read_messages(connection, state=state, before=before)
    return ToldView(await read_receivers(connection), messages, next_before)


async def read_receivers(connection: Connection) -> list[ReceiverView]:
    """Everybody who is told, the oldest first."""
    return [receiver(one) for one in await webhook_endpoints.list_all(connection)]


async def read_messages(
    connection: Connection,
    *,
    state: str | None = None,
    endpoint_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = PAGE_SIZE,
) -> tuple[list[MessageView], tuple[datetime, UUID] | None]:
    """(messages, newest first; what leads to older ones)."""
    found = await outgoing.page(connection, state=state, endpoint_id=endpoint_id, before=before, limit=limit)
    more = (found[-1].created_at, found[-1].id) if len(found) == limit else None
    return [_message(one) for one in found], more


def receiver(one: Endpoint) -> ReceiverView:
    """One receiver."""
    failing = "failing" if one.failing_since else "told"
    return ReceiverView(
        id=one.id,
        address=shown(one.url),
        events=one.events,
        state="disabled" if one.disabled_at else "paused" if one.paused_until else failing,
        waiting=one.waiting,
        failed=one.failed,
        created_at=one.created_at,
        failing_since=one.failing_since,
        paused_until=one.paused_until,
        disabled_at=one.disabled_at,
        disabled_why=one.disabled_why,
    )


def _message(one: Delivery) -> MessageView:
    return MessageView(
        id=one.id,
        endpoint_id=one.endpoint_id,
        webhook_id=message_name(one.message_id),
        event=one.kind,
        address=shown(one.url),
        state=one.state,
        tries=one.tries,
        last_status=one.last_status,
        why=one.why,
        created_at=one.created_at,
        last_try_at=one.last_try_at,
        next_try_at=one.next_try_at,
    )
