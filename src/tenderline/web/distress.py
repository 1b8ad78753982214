"""Distress on the screens: the button on a call, who is held, and the supervisor who lifts it."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.people import distress
from tenderline.store import holds
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import MASKS_CARDS, PERMISSION, field, session_of, shell

PATH: Final = "/distress"

AnyRequest = Request[Any, Any, Any]


@post(
    "/calls/{call_id:uuid}/distress",
    include_in_schema=False,
    opt={PERMISSION: Permission.TAKE_PAYMENT, MASKS_CARDS: True},
)
async def report(request: AnyRequest, call_id: FromPath[UUID]) -> Redirect:
    """Somebody on the call says so; the reason is what was heard."""
    services = services_of(request)
    reason = field(await request.form(), "reason", length_max=distress.REASON_LENGTH_MAX)
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        await distress.report(services, connection, call_id, source="button", reason=reason, by=by)
    return Redirect(path=f"/calls/{call_id}", status_code=303)


@get(PATH, include_in_schema=False)
async def show_held(request: AnyRequest) -> Response[str]:
    """Everybody who is held, the longest first."""
    async with services_of(request).pool.acquire() as connection:
        found = await holds.held(connection)
    may_lift = session_of(request).user.may(Permission.SUPERVISE)
    return page("distress.html", found=found, may_lift=may_lift, **shell(request))


@post(f"{PATH}/{{person_id:uuid}}/lift", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def lift(request: AnyRequest, person_id: FromPath[UUID]) -> Redirect:
    """Contacts may go on, for this reason."""
    services = services_of(request)
    reason = field(await request.form(), "reason", length_max=distress.REASON_LENGTH_MAX)
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        await distress.lift(connection, person_id, by=by, reason=reason)
    return Redirect(path=PATH, status_code=303)
