"""Programs that use the API: clients with their scopes, and the opaque tokens they hold for a while."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.store import credentials
from tenderline.store.db import Connection, query

NAME_LENGTH_MAX = 100
LISTED_MAX = 1000
_CLIENT_ID = re.compile(r"[a-z0-9-]{1,64}")

SCOPES: Final[dict[str, str]] = {
    "outbound:read": "Read recovery cases, their attempts and their timelines.",
    "outbound:write": "Replay dead letters; create and change outbound contacts; plan calls.",
    "payments:read": "Read payments' refunds and money that is not matched.",
    "payments:write": "Give money back.",
    "integration:all": "Configure integrations, lines, queues and users; read settings and the audit log.",
    "notification_service:read": "Read how far notifications got.",
    "notification_service:write": "Send notifications.",
    "contactcenter:read": "Read whether somebody may be contacted; queues, agents and conversations.",
    "oauth:externalData": "Look up donors in external systems.",
    "oauth:api:callcenter": "Control calls; post what was said on them; report distress.",
    "distress:lift": "Lift the hold of somebody who was in distress, when a supervisor says so.",
}
"""Named as the integrations that were written against such systems ask for them."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client as its authentication needs it."""

    id: str
    secret_hash: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class ListedClient:
    """A client as administrators see the list."""

    id: str
    name: str
    scopes: tuple[str, ...]
    disabled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for."""

    client_id: str
    scopes: frozenset[str]


def _require_known(scopes: Iterable[str]) -> list[str]:
    wanted = sorted(set(scopes))
    if not wanted:
        raise InvalidInputError(f"A client needs at least one scope of: {', '.join(SCOPES)}.")
    for scope in wanted:
        if scope not in SCOPES:
            raise InvalidInputError(f"Unknown scope {scope!r}; known are {', '.join(SCOPES)}.")
    return wanted


async def create_client(connection: Connection, name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """(id, secret) of a new client. The secret is shown once: only its hash is kept."""
    name = name.strip()
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidInputError(f"The name needs 1 to {NAME_LENGTH_MAX} printable characters.")
    wanted = _require_known(scopes)
    client_id, secret = f"client-{secrets.token_hex(8)}", credentials.new_token()
    hashed = await credentials.hash_secret(secret)
    await connection.execute(query("oauth", "create_client"), client_id, name, hashed, wanted)
    return client_id, secret


async def find_client(connection: Connection, client_id: str) -> Client | None:
    """The client of an id, unless it was disabled."""
    if not _CLIENT_ID.fullmatch(client_id):
        return None
    row = await connection.fetchrow(query("oauth", "find_client"), client_id)
    return Client(row["id"], row["secret_hash"], frozenset(row["scopes"])) if row else None


async def list_clients(connection: Connection) -> list[ListedClient]:
    """Every client, oldest first."""
    rows = await connection.fetch(query("oauth", "listed"), LISTED_MAX)
    return [ListedClient(**{**row, "scopes": tuple(row["scopes"])}) for row in rows]


async def disable_client(connection: Connection, client_id: str) -> None:
    """The client gets no more tokens, and those it holds are worth nothing from now on."""
    await _change(connection, "disable_client", client_id, that_is="in use")


async def enable_client(connection: Connection, client_id: str) -> None:
    """The client may ask for tokens again, with the secret it had."""
    await _change(connection, "enable_client", client_id, that_is="disabled")


async def rotate_secret(connection: Connection, client_id: str) -> str:
    """A new secret, shown once; the old one, and every token, is worth nothing from now on."""
    secret = credentials.new_token()
    hashed = await credentials.hash_secret(secret)
    await _change(connection, "set_secret", client_id, hashed, that_is="in use")
    return secret


async def set_scopes(connection: Connection, client_id: str, scopes: Iterable[str]) -> None:
    """What the client may do from now on; the tokens it holds are worth nothing any more."""
    await _change(connection, "set_scopes", client_id, _require_known(scopes), that_is="in use")


async def _change(connection: Connection, name: str, client_id: str, *values: str | list[str], that_is: str) -> None:
    known = _CLIENT_ID.fullmatch(client_id)
    if not known or await connection.fetchval(query("oauth", name), client_id, *values) is None:
        raise NotFoundError(f"There is no client {client_id!r} that is {that_is}; see `tenderline client list`.")
    await revoke_tokens(connection, client_id)


async def revoke_tokens(connection: Connection, client_id: str) -> None:
    """The tokens it holds are worth nothing from now on; it may ask for new ones."""
    await connection.execute(query("oauth", "revoke_tokens"), client_id)


async def issue_token(connection: Connection, client: Client, scopes: Iterable[str], *, valid_s: int) -> str | None:
    """A new token. Old ones that ran out are swept away on the way.

    None when the client was disabled, or its secret changed, while the one it gave was being checked.
    """
    token = credentials.new_token()
    await connection.execute(query("oauth", "sweep_tokens"))
    issued = await connection.fetchval(
        query("oauth", "issue_token"),
        credentials.token_hash(token),
        client.id,
        sorted(scopes),
        float(valid_s),
        client.secret_hash,
    )
    return None if issued is None else token


async def find_token(connection: Connection, token: str) -> Grant | None:
    """What a token stands for; None when it ran out or never was."""
    row = await connection.fetchrow(query("oauth", "find_token"), credentials.token_hash(token))
    return Grant(row["client_id"], frozenset(row["scopes"])) if row else None
