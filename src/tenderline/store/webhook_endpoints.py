"""Who is told what happened here: addresses of other systems, each with the secret that signs what it is sent.

Secrets lie here sealed (`core/sealed.py`); one is shown once, when it is made. Every change is audited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.events import WebhookEndpointDisabled
from tenderline.core.ids import uuid7
from tenderline.core.outgoing import NAMES
from tenderline.core.sealed import seal
from tenderline.core.standard_webhooks import key_of, new_secret
from tenderline.store import audit, events
from tenderline.store.db import Connection, query

KEY_PURPOSE: Final = "outgoing webhook secrets"
ENDPOINTS_MAX: Final = 50
COUNTED_MAX: Final = 1_000
OLD_SECRET_HOURS: Final = 24
WHY_LENGTH_MAX: Final = 300


class NoEndpointError(NotFoundError):
    """There is no such endpoint; `tenderline webhooks list` shows them."""

    code = "webhook_endpoint_not_found"


class EndpointStateError(InvalidInputError):
    """The endpoint is disabled already, or is told already."""

    code = "webhook_endpoint_state"
    status = 409


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who is told. Of what failed and what waits, up to `COUNTED_MAX` are counted."""

    id: UUID
    url: str
    events: tuple[str, ...]
    name: str | None
    disabled_at: datetime | None
    disabled_why: str | None
    failing_since: datetime | None
    failures: int
    created_at: datetime
    paused_until: datetime | None
    old_secret_until: datetime | None
    failed: int
    waiting: int


async def list_all(connection: Connection, endpoint_id: UUID | None = None) -> list[Endpoint]:
    """All, the oldest first, or one."""
    rows = await connection.fetch(query("webhook_endpoints", "list"), endpoint_id, COUNTED_MAX)
    return [Endpoint(**{**row, "events": tuple(row["events"])}) for row in rows]


async def get(connection: Connection, endpoint_id: UUID) -> Endpoint:
    """Raises `NoEndpointError`."""
    found = await list_all(connection, endpoint_id)
    if not found:
        raise NoEndpointError()
    return found[0]


async def _audit(connection: Connection, action: str, endpoint_id: UUID, data: dict[str, Any], *, by: str) -> None:
    await audit.append(
        connection, actor=by, action=f"webhooks.{action}", subject=f"webhook_endpoint:{endpoint_id}", data=data
    )


def host_of(url: str) -> str:
    """What of an address may stand in logs and lists of events: its path may hold a token."""
    return urlsplit(url).netloc


async def add(
    connection: Connection, url: str, names: Sequence[str], key: bytes, *, by: str, asked_as: str | None = None
) -> tuple[UUID, str]:
    """(id, secret) of a new endpoint; the caller had `url` checked. No names: it is told of everything. With `asked_as`
    it is told of nothing and asked by flows, under that name."""
    wanted = [] if asked_as else list(dict.fromkeys(names)) or list(NAMES)
    if unknown := [name for name in wanted if name not in NAMES]:
        raise InvalidInputError(f"There is no event {unknown[0][:64]!r}; there are {', '.join(NAMES)}.")
    if await connection.fetchval(query("webhook_endpoints", "count")) >= ENDPOINTS_MAX:
        raise InvalidInputError(f"There are {ENDPOINTS_MAX} endpoints already; remove one that is not needed.")
    endpoint_id, secret = uuid7(), new_secret()
    sealed = seal(key, key_of(secret), of=endpoint_id.bytes)
    if asked_as is not None and await named(connection, asked_as) is not None:
        raise EndpointStateError(f"There is an endpoint {asked_as!r} already; remove it first.")
    await connection.execute(query("webhook_endpoints", "add"), endpoint_id, url, wanted, sealed, asked_as)
    data = {"events": wanted, "host": host_of(url), "name": asked_as}
    await _audit(connection, "add", endpoint_id, data, by=by)
    return endpoint_id, secret


@dataclass(frozen=True, slots=True)
class Asked:
    """An endpoint that flows ask."""

    id: UUID
    url: str
    secret: bytes
    old_secret: bytes | None


async def named(connection: Connection, name: str) -> Asked | None:
    """The endpoint of this name; None when there is none, or it is disabled."""
    row = await connection.fetchrow(query("webhook_endpoints", "named"), name)
    return Asked(**row) if row else None


async def rotate_secret(connection: Connection, endpoint_id: UUID, key: bytes, *, by: str) -> str:
    """A new secret; the one before signs beside it for `OLD_SECRET_HOURS`, so that a receiver can change over."""
    secret = new_secret()
    sealed = seal(key, key_of(secret), of=endpoint_id.bytes)
    changed = await connection.fetchval(
        query("webhook_endpoints", "change_secret"), endpoint_id, sealed, OLD_SECRET_HOURS
    )
    if changed is None:
        raise NoEndpointError()
    await _audit(connection, "rotate_secret", endpoint_id, {}, by=by)
    return secret


async def disable(connection: Connection, endpoint_id: UUID, *, why: str, by: str) -> None:
    """Tells an endpoint nothing more; what was waiting for it has failed, and can be replayed."""
    reason = why[:WHY_LENGTH_MAX]
    url = await connection.fetchval(query("webhook_endpoints", "disable"), endpoint_id, reason)
    if url is None:
        await get(connection, endpoint_id)
        raise EndpointStateError("The endpoint is disabled already.")
    told = f"the endpoint is disabled: {reason}"[:WHY_LENGTH_MAX]
    await connection.execute(query("outgoing", "give_up_waiting_of"), endpoint_id, told)
    await events.append(connection, [WebhookEndpointDisabled(host=host_of(url), why=reason)])
    await _audit(connection, "disable", endpoint_id, {"why": reason}, by=by)


async def enable(connection: Connection, endpoint_id: UUID, *, by: str) -> None:
    """Tells it again from now on; a replay tells it of what it missed."""
    if await connection.fetchval(query("webhook_endpoints", "enable"), endpoint_id) is None:
        await get(connection, endpoint_id)
        raise EndpointStateError("The endpoint is told already.")
    await _audit(connection, "enable", endpoint_id, {}, by=by)


async def remove(connection: Connection, endpoint_id: UUID, *, by: str) -> None:
    """Forgets an endpoint, with everything it was sent."""
    url = await connection.fetchval(query("webhook_endpoints", "remove"), endpoint_id)
    if url is None:
        raise NoEndpointError()
    await _audit(connection, "remove", endpoint_id, {"host": host_of(url)}, by=by)
