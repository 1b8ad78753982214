"""One case: what is owed, every contact with the gate's decision on it, everything that happened, hold and release."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from tenderline.core.clock import utc_now
from tenderline.core.errors import NotFoundError, TenderlineError
from tenderline.desk.case import read_case
from tenderline.recovery import cases as recovery
from tenderline.store import cases, events
from tenderline.store.db import Connection
from tenderline.store.users import Permission
from tenderline.web import silence, stream
from tenderline.web.pages import HTML, page, render, services_of
from tenderline.web.sign_in import BACKGROUND, PERMISSION, SESSION_COOKIE, field, live_session, session_of, shell

HOLD_WHY_LENGTH_MAX: Final = 200
PAUSE_S: Final = 1.0
"""A case page looks at most once a second: every event of every case wakes it."""


class NothingToDoError(TenderlineError):
    """The case is not in a state in which this can be done any more; look at it again."""

    code = "case.not_in_state"
    status = 409


async def _draw(request: Request[Any, Any, Any], case_id: UUID) -> tuple[str, str]:
    """(title, the live part) of a case's page. It holds the CSRF token of whoever looks."""
    services = services_of(request)
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        rules = await services.book.refresh(connection)
        view = await read_case(connection, rules, case_id, services.defaults)
    if view is None:
        raise NotFoundError("There is no case of this id; the list of cases leads to those there are.")
    session = session_of(request)
    live = render(
        "case_live.html",
        view=view,
        local_now=view.local_time(utc_now()),
        may_hold=session.user.may(Permission.HOLD),
        csrf_token=session.csrf_token,
        why_max=HOLD_WHY_LENGTH_MAX,
        may_silence=session.user.may(Permission.SILENCE),
        ways=silence.CHANNELS,
        said_max=silence.SAID_LENGTH_MAX,
    )
    return f"{view.heading}, {view.amount}", live


@get("/cases/{case_id:uuid}", include_in_schema=False)
async def show_case(request: Request[Any, Any, Any], case_id: FromPath[UUID]) -> Response[str]:
    """The whole page."""
    title, live = await _draw(request, case_id)
    return page("case.html", title=title, live=live, case_id=case_id, **shell(request))


@get("/cases/{case_id:uuid}/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_case(request: Request[Any, Any, Any], case_id: FromPath[UUID]) -> Response[str]:
    """The live part alone, for tabs that hold no stream."""
    return Response((await _draw(request, case_id))[1], media_type=HTML)


@get("/stream/cases/{case_id:uuid}", include_in_schema=False, opt={BACKGROUND: True})
async def stream_case(request: Request[Any, Any, Any], case_id: FromPath[UUID]) -> Stream:
    """The live part as a stream."""
    services = services_of(request)
    token = request.cookies.get(SESSION_COOKIE, "")

    async def look() -> str:
        return (await _draw(request, case_id))[1]

    async def is_signed_in() -> bool:
        return await live_session(services, token, touch=False) is not None

    await look()  # an unknown case is a 404 now, not a stream that breaks
    return stream.respond(request, look, is_signed_in, pause_s=PAUSE_S)


async def _person_of(connection: Connection, case_id: UUID) -> UUID:
    case = await cases.get(connection, case_id)
    if case is None:
        raise NotFoundError("There is no case of this id; the list of cases leads to those there are.")
    return case.person_id


@post("/cases/{case_id:uuid}/hold", include_in_schema=False, opt={PERMISSION: Permission.HOLD})
async def hold(request: Request[Any, Any, Any], case_id: FromPath[UUID]) -> Redirect:
    """Nothing is sent for the case until a person releases it."""
    services = services_of(request)
    why = field(await request.form(), "why", length_max=HOLD_WHY_LENGTH_MAX)
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        person_id = await _person_of(connection, case_id)
        if not await recovery.hold_by_hand(connection, person_id, case_id, by=by, why=why):
            raise NothingToDoError()
    await events.hint(services.pool)
    return Redirect(path=f"/cases/{case_id}", status_code=303)


@post("/cases/{case_id:uuid}/release", include_in_schema=False, opt={PERMISSION: Permission.HOLD})
async def release(request: Request[Any, Any, Any], case_id: FromPath[UUID]) -> Redirect:
    """The case goes on; its contacts are planned when they were not."""
    services = services_of(request)
    practice = recovery.practice_of(services)
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        person_id = await _person_of(connection, case_id)
        if not await recovery.release_by_hand(connection, practice, person_id, case_id, by=by):
            raise NothingToDoError()
    await events.hint(services.pool)
    return Redirect(path=f"/cases/{case_id}", status_code=303)
