"""Users of the screens over the API, what their roles may do, the settings, and the audit log.

Whoever holds a token must not become an administrator by it: those are made, changed and shut out by people only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter

from tenderline import config_shown
from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import ForbiddenError, InvalidInputError
from tenderline.desk import role_words
from tenderline.store import access, administration, users
from tenderline.store.administration import Wanted
from tenderline.store.db import Connection
from tenderline.store.users import ListedUser, Role

ALL: Final = "integration:all"
SECURITY: Final = [{"oauth2": [ALL]}]
ROWS_MAX: Final = 200

Words = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Mailbox = Annotated[str, msgspec.Meta(min_length=3, max_length=254, pattern=r"^[^\x00-\x1f\x7f]+$")]
RoleName = Literal["viewer", "agent", "supervisor", "compliance", "engineer"]


class AdministratorError(ForbiddenError):
    """Administrators are changed by administrators only: on the page Users, or with `tenderline user`."""

    code = "user.administrator"


class NothingToChangeError(InvalidInputError):
    """Name at least one of role, disabled and resetPassword."""

    code = "invalid_request"
    status = 400


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class NewUser(_Json, frozen=True, forbid_unknown_fields=True):
    """Somebody who shall sign in to the screens."""

    email: Mailbox
    name: Words
    role: RoleName = "agent"


class UserChange(_Json, frozen=True, forbid_unknown_fields=True):
    """What shall be otherwise. `resetPassword`: a new one is made, and in the answer."""

    role: RoleName | None = None
    disabled: bool | None = None
    reset_password: bool = False


class UserEntity(_Json, frozen=True):
    """Somebody who may sign in, or could."""

    id: UUID
    email: str
    name: str
    role: str
    disabled_at: datetime | None
    created_at: datetime


class UserWithPassword(UserEntity, frozen=True):
    """`password` is in the one answer that made it, good for one sign-in; else null."""

    password: str | None


class UserList(_Json, frozen=True):
    """Everybody, by address."""

    entities: list[UserEntity]


class RoleEntity(_Json, frozen=True):
    """A role, and what it may do."""

    name: str
    about: str
    permissions: list[str]


class RoleList(_Json, frozen=True):
    """Every role."""

    entities: list[RoleEntity]


class SettingEntity(_Json, frozen=True):
    """A setting as the process that answers read it. Of a secret the value is `set` or `not set`."""

    key: str
    value: str
    is_secret: bool
    kind: str
    source: str
    about: str


class SettingList(_Json, frozen=True):
    """Every setting."""

    entities: list[SettingEntity]


class AuditEntity(_Json, frozen=True):
    """Somebody did something."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    data: dict[str, Any]


class AuditList(_Json, frozen=True):
    """Newest first; `nextBefore` asks for older ones, and is null when there are none."""

    entities: list[AuditEntity]
    next_before: int | None


def _by(request: Request[Any, Any, Any]) -> str:
    return f"client:{grant_of(request).client_id}"


def _user(one: ListedUser, kind: type[msgspec.Struct] = UserEntity, **more: Any) -> Any:
    values = {name: getattr(one, name) for name in UserEntity.__struct_fields__}
    return kind(**{**values, "role": one.role.value, **more})


@get(
    "/api/v2/users",
    opt={SCOPE: ALL},
    operation_id="getUsers",
    summary="Everybody who may sign in to the screens",
    security=SECURITY,
    responses=documented(401, 403, 429),
)
async def list_users(request: Request[Any, Any, Any]) -> UserList:
    """Those who are shut out, too."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return UserList(entities=[_user(one) for one in await users.list_users(connection)])


@post(
    "/api/v2/users",
    opt={SCOPE: ALL},
    operation_id="postUsers",
    summary="Make a user",
    security=SECURITY,
    responses=documented(400, 401, 403, 409, 413, 422, 429),
)
async def add_user(request: Request[Any, Any, Any], data: JSONBody[NewUser]) -> UserWithPassword:
    """The password is in this answer only; whoever signs in with it has to choose another one. Audited."""
    services: Services = request.app.state.services
    password = access.new_password()
    async with services.pool.acquire() as connection, connection.transaction():
        user_id = await access.add_user(
            connection,
            email=data.email,
            name=data.name,
            password=password,
            role=data.role,
            by=_by(request),
            once=True,
        )
        made: UserWithPassword = _user(await users.get(connection, user_id), UserWithPassword, password=password)
    return made


@patch(
    "/api/v2/users/{user_id:uuid}",
    opt={SCOPE: ALL},
    operation_id="patchUser",
    summary="Change a user's role, shut her out, let her in, or give her a new password",
    security=SECURITY,
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
)
async def change_user(
    request: Request[Any, Any, Any], user_id: FromPath[UUID], data: JSONBody[UserChange]
) -> UserWithPassword:
    """Her sign-ins end at once. What is so already stays so. Audited."""
    if data.role is None and data.disabled is None and not data.reset_password:
        raise NothingToChangeError()
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        found = await users.get(connection, user_id)
        if found.role is Role.ADMIN:
            raise AdministratorError()
        password = await _apply(connection, found, data, _by(request))
        changed: UserWithPassword = _user(await users.get(connection, user_id), UserWithPassword, password=password)
    return changed


async def _apply(connection: Connection, found: ListedUser, data: UserChange, by: str) -> str | None:
    if data.role is not None and data.role != found.role.value:
        await access.set_role(connection, found.email, data.role, by=by)
    if data.disabled is True and found.disabled_at is None:
        await access.disable_user(connection, found.email, by=by)
    if data.disabled is False and found.disabled_at is not None:
        await access.enable_user(connection, found.email, by=by)
    if not data.reset_password:
        return None
    password = access.new_password()
    await access.set_password(connection, found.email, password, by=by, once=True)
    return password


@get(
    "/api/v2/users/roles",
    opt={SCOPE: ALL},
    operation_id="getUserRoles",
    summary="What each role may do",
    security=SECURITY,
    responses=documented(401, 403, 429),
)
async def list_roles(request: Request[Any, Any, Any]) -> RoleList:
    """The same everywhere: it is part of the product."""
    del request
    rows = role_words.table()
    return RoleList(
        entities=[
            RoleEntity(name=role, about=about, permissions=sorted(row.permission for row in rows if role in row.roles))
            for role, about in role_words.ROLES.items()
        ]
    )


@get(
    "/api/v2/settings",
    opt={SCOPE: ALL},
    operation_id="getSettings",
    summary="Every setting, its value, and where it comes from",
    security=SECURITY,
    responses=documented(401, 403, 429),
)
async def list_settings(request: Request[Any, Any, Any]) -> SettingList:
    """Read only: they are changed in the file or the environment, and read at the start. Secrets are never told."""
    services: Services = request.app.state.services
    names = SettingEntity.__struct_fields__
    rows = [row for section in config_shown.sections(services.settings) for row in section.settings]
    return SettingList(entities=[SettingEntity(**{name: getattr(row, name) for name in names}) for row in rows])


@get(
    "/api/v2/audit",
    opt={SCOPE: ALL},
    operation_id="getAudit",
    summary="Who did what, newest first",
    security=SECURITY,
    responses=documented(400, 401, 403, 422, 429),
)
async def list_audit(
    request: Request[Any, Any, Any],
    actor: Annotated[str | None, QueryParameter(max_length=254, pattern=r"^[^\x00]*$")] = None,
    action: Annotated[str | None, QueryParameter(max_length=254, pattern=r"^[^\x00]*$")] = None,
    subject: Annotated[str | None, QueryParameter(max_length=254, pattern=r"^[^\x00]*$")] = None,
    before: Annotated[int | None, QueryParameter(ge=1, le=2**62)] = None,
    page_size: Annotated[int, QueryParameter(name="pageSize", ge=1, le=ROWS_MAX)] = 50,
) -> AuditList:
    """An actor or a subject is found by how it begins."""
    services: Services = request.app.state.services
    wanted = Wanted(before=before, actor=actor or None, action=action or None, subject=subject or None)
    async with services.pool.acquire() as connection:
        rows = await administration.audit_rows(connection, wanted, page_size + 1)
    has_more = len(rows) > page_size
    names = AuditEntity.__struct_fields__
    shown = [AuditEntity(**{name: getattr(row, name) for name in names}) for row in rows[:page_size]]
    return AuditList(entities=shown, next_before=shown[-1].number if has_more else None)


HANDLERS: Final = [list_users, add_user, change_user, list_roles, list_settings, list_audit]
