"""Callbacks: who is to be called, what the gate says of it, and what became of those before."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.campaigns import callbacks as feature
from tenderline.campaigns.callbacks import Wish
from tenderline.core.errors import InvalidInputError
from tenderline.store import callbacks, calling_campaigns
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import NUMBERS, PERMISSION, field, session_of, shell

PATH: Final = "/callbacks"
_WINDOW_H_MAX: Final = 168

AnyRequest = Request[Any, Any, Any]


def _back() -> Redirect:
    return Redirect(path=PATH, status_code=303)


def _time(form: Any) -> datetime | None:
    said = str(form.get("at") or "").strip()[:40]
    if not said:
        return None
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        raise InvalidInputError("Write date and time as 2026-11-23T18:30.") from None


def _window(form: Any) -> timedelta | None:
    said = str(form.get("window_h") or "").strip()
    if not said:
        return None
    if not said.isdecimal() or not 1 <= int(said) <= _WINDOW_H_MAX:
        raise InvalidInputError(f"The window is a number of hours, 1 to {_WINDOW_H_MAX}.")
    return timedelta(hours=int(said))


def _text(form: Any, name: str, length_max: int) -> str | None:
    return " ".join(str(form.get(name) or "").split())[:length_max] or None


@get(PATH, include_in_schema=False)
async def show(request: AnyRequest) -> Response[str]:
    """Those that wait, the most urgent first; then those that are over."""
    services = services_of(request)
    async with services.pool.acquire() as connection:
        waiting = await callbacks.waiting(connection)
        over = await callbacks.over(connection)
        campaigns = [one for one in await calling_campaigns.every(connection) if one.enabled]
    order = {"overdue": 0, "due": 1, "ahead": 2}
    return page(
        "callbacks.html",
        waiting=sorted(waiting, key=lambda one: order.get(one.state, 3)),
        over=over,
        campaigns={one.name: one for one in campaigns},
        usual=services.settings.voice.callback_campaign,
        number=str(request.query_params.get("number", ""))[:40],
        may_change=session_of(request).user.may(Permission.DESK),
        **shell(request),
    )


@post(PATH, include_in_schema=False, opt={PERMISSION: Permission.DESK, NUMBERS: ("number",)})
async def add(request: AnyRequest) -> Redirect:
    """A callback at a time, through the gate."""
    services = services_of(request)
    form = await request.form()
    wish = Wish(
        number=field(form, "number", length_max=40),
        at=_time(form),
        zone=_text(form, "zone", 60),
        window=_window(form),
        campaign=_text(form, "campaign", 40),
        note=_text(form, "note", feature.NOTE_LENGTH_MAX),
    )
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        await feature.schedule(services, connection, wish, by=by, kind="agent")
    return _back()


@post(f"{PATH}/{{callback_id:uuid}}/move", include_in_schema=False, opt={PERMISSION: Permission.DESK})
async def move(request: AnyRequest, callback_id: FromPath[UUID]) -> Redirect:
    """Another time, through the gate again."""
    services = services_of(request)
    form = await request.form()
    at = _time(form)
    if at is None:
        raise InvalidInputError("Choose a date and a time.")
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        await feature.move(services, connection, callback_id, at=at, zone=None, window=_window(form), by=by)
    return _back()


@post(f"{PATH}/{{callback_id:uuid}}/close", include_in_schema=False, opt={PERMISSION: Permission.DESK})
async def close(request: AnyRequest, callback_id: FromPath[UUID]) -> Redirect:
    """Somebody called by hand, or nobody shall any more."""
    services = services_of(request)
    outcome = (await request.form()).get("outcome")
    if outcome not in ("done", "cancelled"):
        raise InvalidInputError("Choose one: done, or cancelled.")
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        await feature.close(connection, callback_id, is_done=outcome == "done", by=by)
    return _back()
