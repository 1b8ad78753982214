"""Webhooks to other systems: who is told, how far each message got, and sending again what was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.desk import told
from tenderline.store import webhook_endpoints, webhook_replay
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import PERMISSION, field, session_of, shell

PATH: Final = "/outgoing"
CHOSEN_MAX: Final = 200
MISSED_DAYS: Final = 7
WHY_LENGTH_MAX: Final = 200
AnyRequest = Request[Any, Any, Any]


@get(PATH, include_in_schema=False)
async def show_told(request: AnyRequest) -> Response[str]:
    """Receivers, and messages of one state or of all, newest first."""
    state, cursor = request.query_params.get("state"), request.query_params.get("before")
    if state is not None and state not in told.STATES:
        raise NotFoundError(f"There is no such state; known are {', '.join(told.STATES)}.")
    before = _before(cursor) if cursor is not None else None
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        found = await told.read_told(connection, state=state, before=before)
    more = None
    if found.next_before is not None:
        at, row_id = found.next_before
        cursor = f"{round(at.timestamp() * 1_000_000)}_{row_id}"
        more = f"{PATH}?{urlencode({**({'state': state} if state else {}), 'before': cursor})}"
    may = session_of(request).user.may
    return page(
        "told.html",
        view=found,
        state=state,
        states=told.STATES,
        is_first=before is None,
        more=more,
        may_replay=may(Permission.REPLAY),
        may_change=may(Permission.WEBHOOKS),
        missed_days=MISSED_DAYS,
        why_max=WHY_LENGTH_MAX,
        **shell(request),
    )


def _before(text: str) -> tuple[datetime, UUID]:
    at, _, row_id = text.partition("_")
    try:
        seconds, micros = divmod(int(at[:20]), 1_000_000)
        return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micros), UUID(row_id)
    except (ValueError, OverflowError, OSError):
        raise NotFoundError("This page's address is not complete; begin with the first page of the list.") from None


@post(f"{PATH}/replay", include_in_schema=False, opt={PERMISSION: Permission.REPLAY})
async def replay(request: AnyRequest) -> Redirect:
    """Sends the chosen messages again, each under the webhook-id it had."""
    form = await request.form()
    chosen = form.getall("message", [])
    try:
        ids = [UUID(str(one)) for one in chosen[:CHOSEN_MAX]]
    except ValueError:
        raise InvalidInputError("Choose rows of the list.") from None
    if len(chosen) > CHOSEN_MAX:
        raise InvalidInputError(f"Choose up to {CHOSEN_MAX} rows of the list.")
    services = services_of(request)
    async with services.pool.acquire() as connection, connection.transaction():
        await webhook_replay.replay_chosen(connection, ids, by=session_of(request).user.email)
    return Redirect(path=f"{PATH}?state=waiting", status_code=303)


@post(f"{PATH}/{{endpoint_id:uuid}}/replay", include_in_schema=False, opt={PERMISSION: Permission.REPLAY})
async def replay_missed(request: AnyRequest, endpoint_id: FromPath[UUID]) -> Redirect:
    """Sends an endpoint everything that it missed lately."""
    since = utc_now() - timedelta(days=MISSED_DAYS)
    services = services_of(request)
    async with services.pool.acquire() as connection, connection.transaction():
        await webhook_replay.replay(connection, since, endpoint_id=endpoint_id, by=session_of(request).user.email)
    return Redirect(path=f"{PATH}?state=waiting", status_code=303)


@post(f"{PATH}/{{endpoint_id:uuid}}/disable", include_in_schema=False, opt={PERMISSION: Permission.WEBHOOKS})
async def disable(request: AnyRequest, endpoint_id: FromPath[UUID]) -> Redirect:
    """Tells an endpoint nothing more."""
    services = services_of(request)
    why = field(await request.form(), "why", length_max=WHY_LENGTH_MAX)
    async with services.pool.acquire() as connection, connection.transaction():
        await webhook_endpoints.disable(connection, endpoint_id, why=why, by=session_of(request).user.email)
    return Redirect(path=PATH, status_code=303)


@post(f"{PATH}/{{endpoint_id:uuid}}/enable", include_in_schema=False, opt={PERMISSION: Permission.WEBHOOKS})
async def enable(request: AnyRequest, endpoint_id: FromPath[UUID]) -> Redirect:
    """Tells it again from now on."""
    services = services_of(request)
    async with services.pool.acquire() as connection, connection.transaction():
        await webhook_endpoints.enable(connection, endpoint_id, by=session_of(request).user.email)
    return Redirect(path=PATH, status_code=303)
