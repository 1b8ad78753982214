"""The people who work with the screens: who they are, what their role lets them do, and how long a sign-in lasts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from tenderline.core import mailbox
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.ids import uuid7
from tenderline.store import credentials
from tenderline.store.db import Connection, query

PASSWORD_LENGTH_MIN = 12
NAME_LENGTH_MAX = 100
LISTED_MAX = 1000


class Role(StrEnum):
    """What somebody is here for."""

    VIEWER = "viewer"
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    COMPLIANCE = "compliance"
    ENGINEER = "engineer"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a screen may let somebody do."""

    VIEW = "view"
    HOLD = "hold"
    """Hold a case and let it go on."""
    REPLAY = "replay"
    """Put failed jobs and unreadable webhooks back to be tried again."""
    DISCARD = "discard"
    """Give up a webhook that cannot be read: it may have been an opt-out."""
    REVIEW = "review"
    """Say of what a payer wrote that it was read: contacts go on, or stop for good."""
    RULES = "rules"
    """Change what the gate asks."""
    LISTS = "lists"
    """Read do-not-contact lists in."""
    SILENCE = "silence"
    """Keep a person's word that she wants no more contact: whoever hears it may, and must."""
    TELEPHONE = "telephone"
    """Take calls in the browser."""
    LINES = "lines"
    """Change which number leads to which flow."""
    LISTEN = "listen"
    """Listen to recordings."""
    LISTEN_SENSITIVE = "listen_sensitive"
    """Listen to those that lie apart, too."""
    WEBHOOKS = "webhooks"
    """Say who is told by webhook, and send what was missed again."""
    TAKE_PAYMENT = "take_payment"
    """Start a payment on a call, and stop it."""
    SCANS = "scans"
    """Read what searches for card data found."""
    DESK = "desk"
    """Take calls at the agent's desk."""
    MONEY = "money"
    """Give money back, and settle money that nobody can explain."""
    SUPERVISE = "supervise"
    """Take alerts, lift holds, and work the supervisor's board."""
    ADMINISTER = "administer"
    """Change who may get in, queues, skills and agents; read settings and the audit log."""


_LOOK = frozenset({Permission.VIEW})
_ACT = _LOOK | {Permission.SILENCE, Permission.HOLD, Permission.REPLAY, Permission.DISCARD, Permission.REVIEW}
PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    Role.VIEWER: _LOOK,
    Role.AGENT: _LOOK | {Permission.SILENCE, Permission.TAKE_PAYMENT, Permission.TELEPHONE, Permission.DESK},
    Role.COMPLIANCE: _LOOK
    | {
        Permission.SILENCE,
        Permission.REVIEW,
        Permission.RULES,
        Permission.LISTS,
        Permission.LISTEN,
        Permission.LISTEN_SENSITIVE,
        Permission.SCANS,
    },
    Role.SUPERVISOR: _ACT
    | {
        Permission.LISTEN,
        Permission.TAKE_PAYMENT,
        Permission.MONEY,
        Permission.TELEPHONE,
        Permission.SUPERVISE,
        Permission.DESK,
    },
    Role.ENGINEER: _ACT | {Permission.LINES, Permission.WEBHOOKS, Permission.SCANS},
    Role.ADMIN: frozenset(Permission),
}


class WeakPasswordError(InvalidInputError):
    """The password is too easy; take 12 characters or more, such as four random words, and not the e-mail address."""

    code = "weak_password"


class UserExistsError(InvalidInputError):
    """There is a user with this e-mail address already; list the users, or set a new password for this one."""

    code = "user_exists"
    status = 409


class LastAdminError(InvalidInputError):
    """This is the last administrator who can sign in; make another one first, then try again."""

    code = "last_admin"
    status = 409


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in."""

    id: UUID
    email: str
    name: str
    role: Role
    must_choose_password: bool = False
    """She signed in with a password that somebody gave her, and gets no further with it."""

    def may(self, permission: Permission) -> bool:
        """Whether her role allows it."""
        return permission in PERMISSIONS[self.role]


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user as administrators see the list."""

    id: UUID
    email: str
    name: str
    role: Role
    disabled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that is still good."""

    user: User
    csrf_token: str


def _require_good_password(email: str, password: str) -> None:
    length = len(password)
    if length < PASSWORD_LENGTH_MIN or password.casefold() == email or len(set(password)) < 4:
        raise WeakPasswordError()
    if length > credentials.SECRET_LENGTH_MAX:
        raise WeakPasswordError(f"The password is longer than {credentials.SECRET_LENGTH_MAX} characters.")


def _role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise InvalidInputError(f"Unknown role {role!r}; known are {', '.join(Role)}.") from None


async def create_user(
    connection: Connection, email: str, name: str, password: str, role: str, *, once: bool = False
) -> UUID:
    """A new user; raises `WeakPasswordError`, `UserExistsError` or `InvalidInputError` naming what is wrong."""
    email, name = mailbox.normalise(email), name.strip()
    if not name or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidInputError(f"The name needs 1 to {NAME_LENGTH_MAX} printable characters.")
    _require_good_password(email, password)
    hashed = await credentials.hash_secret(password)
    created: UUID | None = await connection.fetchval(
        query("users", "create"), uuid7(), email, name, hashed, _role(role).value, once
    )
    if created is None:
        raise UserExistsError()
    return created


async def set_password(connection: Connection, email: str, password: str, *, once: bool = False) -> UUID:
    """A new password; every sign-in with the old one ends. Returns her id, as all that change a user do. `once`: she
    has to choose another one when she signs in."""
    email = mailbox.normalise(email)
    _require_good_password(email, password)
    hashed = await credentials.hash_secret(password)
    user_id = await connection.fetchval(query("users", "set_password"), email, hashed, once)
    return await _end_sessions(connection, user_id, f"There is no user {email}")


async def set_role(connection: Connection, email: str, role: str) -> UUID:
    """Another role; she has to sign in again. Raises `LastAdminError`."""
    email, wanted = mailbox.normalise(email), _role(role)
    if wanted is not Role.ADMIN:
        await _require_another_admin(connection, email)
    user_id = await connection.fetchval(query("users", "set_role"), email, wanted.value)
    return await _end_sessions(connection, user_id, f"There is no user {email}")


async def disable_user(connection: Connection, email: str) -> UUID:
    """Signs her out everywhere, and lets her in no more. Raises `LastAdminError`."""
    email = mailbox.normalise(email)
    await _require_another_admin(connection, email)
    user_id = await connection.fetchval(query("users", "disable"), email)
    return await _end_sessions(connection, user_id, f"There is no user {email} who can sign in")


async def enable_user(connection: Connection, email: str) -> UUID:
    """Lets her sign in again, with the password she had."""
    email = mailbox.normalise(email)
    user_id = await connection.fetchval(query("users", "enable"), email)
    return await _end_sessions(connection, user_id, f"There is no user {email} who is disabled")


async def _require_another_admin(connection: Connection, email: str) -> None:
    """Nobody could let anybody in any more. Holds every administrator's row, so two cannot take each other away."""
    admins = {row["email"] for row in await connection.fetch(query("users", "lock_admins"))}
    if admins == {email}:
        raise LastAdminError()


async def _end_sessions(connection: Connection, user_id: UUID | None, otherwise: str) -> UUID:
    if user_id is None:
        raise NotFoundError(f"{otherwise}; `tenderline user list` shows everybody.")
    await connection.execute(query("users", "close_sessions_of"), user_id)
    return user_id


async def list_users(connection: Connection) -> list[ListedUser]:
    """Everybody, by address."""
    rows = await connection.fetch(query("users", "listed"), LISTED_MAX)
    return [ListedUser(**{**row, "role": Role(row["role"])}) for row in rows]


async def get(connection: Connection, user_id: UUID) -> ListedUser:
    """One of them. Raises `NotFoundError`."""
    row = await connection.fetchrow(query("users", "one"), user_id)
    if row is None:
        raise NotFoundError("There is no such user; list the users to find her.")
    return ListedUser(**{**row, "role": Role(row["role"])})


async def find_login(connection: Connection, email: str) -> tuple[User, str] | None:
    """The user of an address and the hash of her password; None when nobody of that address may sign in."""
    try:
        email = mailbox.normalise(email)
    except InvalidInputError:
        return None
    row = await connection.fetchrow(query("users", "by_email"), email)
    if row is None:
        return None
    return User(row["id"], row["email"], row["name"], Role(row["role"])), row["password_hash"]


async def renew_hash(connection: Connection, user_id: UUID, old_hash: str, password: str) -> str:
    """Hashes a password, known to be right, with today's parameters; returns the hash that counts for it now."""
    fresh = await credentials.hash_secret(password)
    renewed = await connection.fetchval(query("users", "rehash"), user_id, old_hash, fresh)
    return old_hash if renewed is None else fresh


async def open_session(
    connection: Connection, user_id: UUID, password_hash: str, *, valid_h: int
) -> tuple[str, str] | None:
    """(session token, CSRF token) of a new sign-in. Old ones that ran out are swept away on the way.

    None when she was disabled, or her password changed, while the one she gave was being checked.
    """
    token, csrf_token = credentials.new_token(), credentials.new_token()
    await connection.execute(query("users", "sweep_sessions"))
    opened = await connection.fetchval(
        query("users", "open_session"), credentials.token_hash(token), user_id, csrf_token, valid_h, password_hash
    )
    return None if opened is None else (token, csrf_token)


async def find_session(connection: Connection, token: str, *, idle_min: int, touch: bool) -> Session | None:
    """The sign-in behind a token. `touch` says that its user did something; a screen updating itself is not that."""
    row = await connection.fetchrow(query("users", "find_session"), credentials.token_hash(token), idle_min, touch)
    if row is None:
        return None
    user = User(row["id"], row["email"], row["name"], Role(row["role"]), row["must_choose_password"])
    return Session(user, row["csrf_token"])


async def close_session(connection: Connection, token: str) -> None:
    """Signs out."""
    await connection.execute(query("users", "close_session"), credentials.token_hash(token))
