"""Users of the screens: made with a password that is shown once, given another role, shut out, let in again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.desk import role_words
from tenderline.store import access, agents, users
from tenderline.store.db import Connection
from tenderline.store.users import NAME_LENGTH_MAX, ListedUser, Permission, Role
from tenderline.web.admin_form import AnyRequest, Form, by, services_of, show
from tenderline.web.sign_in import PERMISSION

PATH: Final = "/admin/users"
MAY: Final = {PERMISSION: Permission.ADMINISTER}
ROLES: Final = tuple(role.value for role in Role)
EMAIL_LENGTH_MAX: Final = 254


async def _list(request: AnyRequest, form: Form | None = None) -> Response[str]:
    async with services_of(request).pool.acquire() as connection:
        found = await users.list_users(connection)
    return show(request, "admin_users.html", form, users=found, roles=role_words.ROLES)


async def _one(request: AnyRequest, found: ListedUser, form: Form | None = None) -> Response[str]:
    async with services_of(request).pool.acquire() as connection:
        agent = await agents.of_user(connection, found.id)
    own = found.email == by(request)
    return show(request, "admin_user.html", form, found=found, roles=role_words.ROLES, is_own=own, agent=agent)


def _once(request: AnyRequest, email: str, name: str, password: str) -> Response[str]:
    """The only page that ever shows it: it is the answer to the post, so no link and no reload leads here."""
    return show(request, "admin_password.html", email=email, whose=name, password=password)


@get(PATH, include_in_schema=False, opt=MAY)
async def show_users(request: AnyRequest) -> Response[str]:
    """Everybody who can sign in, or could; and the form for somebody new."""
    return await _list(request)


@post(PATH, include_in_schema=False, opt=MAY, status_code=200)
async def add(request: AnyRequest) -> Response[str]:
    """Somebody new; her password is shown once."""
    form = await Form.posted(request)
    email = form.text("email", "E-mail", length_max=EMAIL_LENGTH_MAX)
    name = form.text("name", "Name", length_max=NAME_LENGTH_MAX)
    role = form.choice("role", "Role", ROLES)
    if form.is_right:
        password = access.new_password()
        try:
            async with services_of(request).pool.acquire() as connection, connection.transaction():
                await access.add_user(
                    connection, email=email, name=name, password=password, role=role, by=by(request), once=True
                )
            return _once(request, email, name, password)
        except InvalidInputError as error:
            form.wrong("email", f"E-mail: {error.detail}")
    return await _list(request, form)


async def _get(request: AnyRequest, user_id: UUID) -> ListedUser:
    async with services_of(request).pool.acquire() as connection:
        return await users.get(connection, user_id)


@get(f"{PATH}/{{user_id:uuid}}", include_in_schema=False, opt=MAY)
async def show_user(request: AnyRequest, user_id: FromPath[UUID]) -> Response[str]:
    """One, with what may be done."""
    return await _one(request, await _get(request, user_id))


async def _change(
    request: AnyRequest, found: ListedUser, change: Callable[[Connection], Awaitable[None]]
) -> Response[str] | None:
    """Changes her; the page with the reason when that is refused."""
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            await change(connection)
    except (InvalidInputError, NotFoundError) as error:
        form = Form()
        form.failed(error)
        return await _one(request, found, form)
    return None


def _back(user_id: UUID) -> Redirect:
    return Redirect(path=f"{PATH}#user-{user_id}", status_code=303)


@post(f"{PATH}/{{user_id:uuid}}/role", include_in_schema=False, opt=MAY)
async def set_role(request: AnyRequest, user_id: FromPath[UUID]) -> Response[str] | Redirect:
    """Another role; her sign-ins end."""
    found, form = await _get(request, user_id), await Form.posted(request)
    role = form.choice("role", "Role", ROLES)
    if not form.is_right:
        return await _one(request, found, form)
    refused = await _change(request, found, lambda one: access.set_role(one, found.email, role, by=by(request)))
    return refused or _back(user_id)


@post(f"{PATH}/{{user_id:uuid}}/disable", include_in_schema=False, opt=MAY)
async def disable(request: AnyRequest, user_id: FromPath[UUID]) -> Response[str] | Redirect:
    """Signed out everywhere, and let in no more."""
    found = await _get(request, user_id)
    refused = await _change(request, found, lambda one: access.disable_user(one, found.email, by=by(request)))
    return refused or _back(user_id)


@post(f"{PATH}/{{user_id:uuid}}/enable", include_in_schema=False, opt=MAY)
async def enable(request: AnyRequest, user_id: FromPath[UUID]) -> Response[str] | Redirect:
    """Let in again, with the password she had."""
    found = await _get(request, user_id)
    refused = await _change(request, found, lambda one: access.enable_user(one, found.email, by=by(request)))
    return refused or _back(user_id)


@post(f"{PATH}/{{user_id:uuid}}/password", include_in_schema=False, opt=MAY, status_code=200)
async def reset_password(request: AnyRequest, user_id: FromPath[UUID]) -> Response[str]:
    """A new password, shown once; her sign-ins end."""
    found, password = await _get(request, user_id), access.new_password()
    refused = await _change(
        request, found, lambda one: access.set_password(one, found.email, password, by=by(request), once=True)
    )
    return refused or _once(request, found.email, found.name, password)


HANDLERS: Final = [show_users, add, show_user, set_role, disable, enable, reset_password]
