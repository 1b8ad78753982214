"""Who may get in, changed and written down in one step: users of the screens, and programs of the API."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from tenderline.core.errors import InvalidInputError
from tenderline.store import audit, oauth, users
from tenderline.store.db import Connection

PASSWORD_GROUPS: Final = 5
PASSWORD_GROUP_LENGTH: Final = 4
PASSWORD_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # noqa: S105  # what passwords are made of
"""None that is taken for another when it is read out."""


class OwnAccountError(InvalidInputError):
    """This is your own account, and you would shut yourself out; ask another administrator."""

    code = "user.own_account"
    status = 409


def new_password() -> str:
    """A password to be shown once, easy to type and to read out: about 99 bits."""
    groups = (
        "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_GROUP_LENGTH)) for _ in range(PASSWORD_GROUPS)
    )
    return "-".join(groups)


async def _record_user(connection: Connection, action: str, user_id: UUID, by: str, **data: Any) -> None:
    await audit.append(connection, actor=by, action=action, subject=f"user:{user_id}", data=data)


async def add_user(
    connection: Connection, *, email: str, name: str, password: str, role: str, by: str, once: bool = False
) -> UUID:
    """A new user; `once`: she has to choose another password at her first sign-in. Raises as `users.create_user`."""
    user_id = await users.create_user(connection, email=email, name=name, password=password, role=role, once=once)
    await _record_user(connection, "user.create", user_id, by, role=role)
    return user_id


async def set_role(connection: Connection, email: str, role: str, *, by: str) -> None:
    """Another role; her sign-ins end. Raises `LastAdminError`."""
    await _record_user(connection, "user.set_role", await users.set_role(connection, email, role), by, role=role)


async def set_password(connection: Connection, email: str, password: str, *, by: str, once: bool = False) -> None:
    """A new password; her sign-ins end. `once`: she has to choose another one when she signs in."""
    user_id = await users.set_password(connection, email, password, once=once)
    await _record_user(connection, "user.set_password", user_id, by)


async def disable_user(connection: Connection, email: str, *, by: str) -> None:
    """She is signed out, and let in no more. Raises `OwnAccountError`, `LastAdminError`."""
    if email.casefold() == by.casefold():
        raise OwnAccountError()
    await _record_user(connection, "user.disable", await users.disable_user(connection, email), by)


async def enable_user(connection: Connection, email: str, *, by: str) -> None:
    """She may sign in again, with the password she had."""
    await _record_user(connection, "user.enable", await users.enable_user(connection, email), by)


async def _record_client(connection: Connection, action: str, client_id: str, by: str, **data: Any) -> None:
    await audit.append(connection, actor=by, action=action, subject=f"client:{client_id}", data=data)


async def add_client(connection: Connection, *, name: str, scopes: Sequence[str], by: str) -> tuple[str, str]:
    """(id, secret) of a new client; the secret is shown once."""
    client_id, secret = await oauth.create_client(connection, name=name, scopes=scopes)
    await _record_client(connection, "client.create", client_id, by, scopes=list(scopes))
    return client_id, secret


async def rotate_secret(connection: Connection, client_id: str, *, by: str) -> str:
    """A new secret, shown once; the old one and every token are worth nothing at once."""
    secret = await oauth.rotate_secret(connection, client_id)
    await _record_client(connection, "client.rotate_secret", client_id, by)
    return secret


async def disable_client(connection: Connection, client_id: str, *, by: str) -> None:
    """It gets no more tokens; those it holds end at once."""
    await oauth.disable_client(connection, client_id)
    await _record_client(connection, "client.disable", client_id, by)


async def enable_client(connection: Connection, client_id: str, *, by: str) -> None:
    """It may ask for tokens again, with the secret it had."""
    await oauth.enable_client(connection, client_id)
    await _record_client(connection, "client.enable", client_id, by)


async def set_scopes(connection: Connection, client_id: str, scopes: Sequence[str], *, by: str) -> None:
    """What it may do from now on; the tokens it holds end at once."""
    await oauth.set_scopes(connection, client_id, scopes)
    await _record_client(connection, "client.set_scopes", client_id, by, scopes=list(scopes))
