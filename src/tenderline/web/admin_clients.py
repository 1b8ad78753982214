"""API clients: made with a secret that is shown once, given other scopes or another secret, shut out, let in again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.store import access, oauth
from tenderline.store.db import Connection
from tenderline.store.oauth import NAME_LENGTH_MAX, SCOPES
from tenderline.store.users import Permission
from tenderline.web.admin_form import AnyRequest, Form, by, services_of, show
from tenderline.web.sign_in import PERMISSION

PATH: Final = "/admin/clients"
MAY: Final = {PERMISSION: Permission.ADMINISTER}


async def _list(request: AnyRequest, form: Form | None = None) -> Response[str]:
    async with services_of(request).pool.acquire() as connection:
        found = await oauth.list_clients(connection)
    return show(request, "admin_clients.html", form, clients=found, scopes=SCOPES)


def _once(request: AnyRequest, client_id: str, secret: str) -> Response[str]:
    return show(request, "admin_secret.html", client_id=client_id, secret=secret)


def _scopes(form: Form) -> list[str]:
    found = form.ticked("scopes", "Scopes", list(SCOPES))
    if not found:
        form.wrong("scopes", "Scopes: tick at least one; without any the client may do nothing.")
    return found


@get(PATH, include_in_schema=False, opt=MAY)
async def show_clients(request: AnyRequest) -> Response[str]:
    """Every client with its scopes; secrets are not kept, so none is shown."""
    return await _list(request)


@post(PATH, include_in_schema=False, opt=MAY, status_code=200)
async def add(request: AnyRequest) -> Response[str]:
    """A new client; its secret is shown once."""
    form = await Form.posted(request)
    name, scopes = form.text("name", "Name", length_max=NAME_LENGTH_MAX), _scopes(form)
    if not form.is_right:
        return await _list(request, form)
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        client_id, secret = await access.add_client(connection, name=name, scopes=scopes, by=by(request))
    return _once(request, client_id, secret)


async def _change(request: AnyRequest, change: Callable[[Connection], Awaitable[None]]) -> Response[str] | Redirect:
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            await change(connection)
    except (InvalidInputError, NotFoundError) as error:
        form = Form()
        form.failed(error)
        return await _list(request, form)
    return Redirect(path=PATH, status_code=303)


@post(f"{PATH}/{{client_id:str}}/scopes", include_in_schema=False, opt=MAY)
async def set_scopes(request: AnyRequest, client_id: FromPath[str]) -> Response[str] | Redirect:
    """What it may do from now on; its tokens end."""
    form = await Form.posted(request)
    scopes = _scopes(form)
    if not form.is_right:
        refused = Form()
        refused.general = form.problems["scopes"]
        return await _list(request, refused)
    return await _change(request, lambda one: access.set_scopes(one, client_id, scopes, by=by(request)))


@post(f"{PATH}/{{client_id:str}}/secret", include_in_schema=False, opt=MAY, status_code=200)
async def rotate(request: AnyRequest, client_id: FromPath[str]) -> Response[str]:
    """Another secret, shown once; the old one and every token are worth nothing at once."""
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            secret = await access.rotate_secret(connection, client_id, by=by(request))
    except NotFoundError as error:
        form = Form()
        form.failed(error)
        return await _list(request, form)
    return _once(request, client_id, secret)


@post(f"{PATH}/{{client_id:str}}/disable", include_in_schema=False, opt=MAY)
async def disable(request: AnyRequest, client_id: FromPath[str]) -> Response[str] | Redirect:
    """It gets no more tokens; those it holds end at once."""
    return await _change(request, lambda one: access.disable_client(one, client_id, by=by(request)))


@post(f"{PATH}/{{client_id:str}}/enable", include_in_schema=False, opt=MAY)
async def enable(request: AnyRequest, client_id: FromPath[str]) -> Response[str] | Redirect:
    """It may ask for tokens again, with the secret it had."""
    return await _change(request, lambda one: access.enable_client(one, client_id, by=by(request)))


HANDLERS: Final = [show_clients, add, set_scopes, rotate, disable, enable]
