"""Requests that may be repeated without doing anything twice: the first answer is kept, and given again."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from tenderline.core.errors import TenderlineError
from tenderline.store.db import Connection, query

KEPT_S: Final = 86_400.0
"""How long a key of the client's is known."""
ALIKE_S: Final = 60.0
"""Without a key, the same request is taken for a repetition for so long."""

A = TypeVar("A", bound=msgspec.Struct)


class KeyReusedError(TenderlineError):
    """This idempotency key came with another request before; take a new key for a new request."""

    code = "idempotency_key_reused"
    status = 422


async def once(
    connection: Connection,
    *,
    client: str,
    route: str,
    key: str | None,
    body: bytes,
    kind: type[A],
    do: Callable[[], Awaitable[A]],
) -> A:
    """The answer of `do`, or the one it gave before, in the caller's transaction. Raises `KeyReusedError`."""
    name, digest = _name(key, body)
    await connection.execute(query("answered_requests", "lock"), client, route, name)
    valid_s = ALIKE_S if key is None else KEPT_S
    row = await connection.fetchrow(query("answered_requests", "get"), client, route, name, valid_s)
    if row is not None:
        if row["digest"] != digest:
            raise KeyReusedError()
        return msgspec.json.decode(row["answer"], type=kind)
    answer = await do()
    kept = msgspec.json.encode(answer).decode()
    await connection.execute(query("answered_requests", "put"), client, route, name, digest, kept)
    return answer


async def forget(connection: Connection, *, client: str, route: str, key: str | None, body: bytes) -> None:
    """What was answered came to nothing after all: the same request is a new one."""
    await connection.execute(query("answered_requests", "forget"), client, route, _name(key, body)[0])


def _name(key: str | None, body: bytes) -> tuple[str, bytes]:
    digest = hashlib.sha256(body).digest()
    return (f"key:{key}" if key is not None else f"body:{digest.hex()}"), digest


async def sweep(connection: Connection) -> None:
    """Forgets what is not asked for any more."""
    await connection.execute(query("answered_requests", "sweep"), KEPT_S)
