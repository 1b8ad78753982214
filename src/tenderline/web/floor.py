"""The floor: what a supervisor watches while people call, and the rows behind every number of it."""

from __future__ import annotations

import secrets
from typing import Any, Final, get_args
from uuid import UUID

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.response import Stream

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.desk import floor as desk
from tenderline.desk import floor_agents
from tenderline.store import agents, alerts, conversations, floor, queues
from tenderline.store.db import Connection
from tenderline.store.users import Permission
from tenderline.web import stream
from tenderline.web.pages import HTML, page, render, services_of
from tenderline.web.sign_in import BACKGROUND, PERMISSION, SESSION_COOKIE, live_session, session_of, shell

PATH: Final = "/floor"
NOW: Final = {"waiting": "Waiting now", "kept": "Keeping their place, to be called back in their turn"}
COUNTED: Final = {
    "level": "Counted in the service level",
    "answered": "Answered",
    "abandoned": "Left without an answer",
    "overflowed": "Found an agent of another queue",
}
DUE: Final = {"overdue": "Callbacks overdue", "due": "Callbacks due", "later": "Callbacks due later"}
LOOK_UPS: Final = {"asked": "all", "late": "late", "failed": "failed", "skipped": "not asked"}
_NAME_LENGTH_MAX: Final = 60
_TOKEN_PLACE: Final = f"token-{secrets.token_hex(16)}"
"""Stands for the token of whoever looks: the floor is drawn once for all of them. Nobody outside can know it."""

AnyRequest = Request[Any, Any, Any]


async def draw(services: Services, *, may_act: bool) -> str:
    """The live part: the same for everybody who may do the same."""
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await desk.read(connection)
    return render_live(found, may_act=may_act)


def render_live(found: desk.Floor, *, may_act: bool) -> str:
    """A floor as the live part of its page, with a place where each session's token goes."""
    return render(
        "floor_live.html",
        floor=found,
        may_act=may_act,
        csrf_token=_TOKEN_PLACE,
    )


async def _live(request: AnyRequest) -> str:
    services, session = services_of(request), session_of(request)
    may_act = session.user.may(Permission.SUPERVISE)
    hub = stream.hub_of(request.app.state, services)
    shared = await hub.shared(f"floor, {'acting' if may_act else 'looking'}", lambda: draw(services, may_act=may_act))
    return shared.replace(_TOKEN_PLACE, session.csrf_token)


async def show(request: AnyRequest, *, problem: str | None = None, status: int = 200) -> Response[str]:
    """The whole page, with what could not be done."""
    services, session = services_of(request), session_of(request)
    may_act = session.user.may(Permission.SUPERVISE)
    live = (await draw(services, may_act=may_act)).replace(_TOKEN_PLACE, session.csrf_token)
    monitored = await _monitored(request) if may_act and problem is None else None
    return page(
        "floor.html",
        status=status,
        live=live,
        problem=problem,
        monitored=monitored,
        mode=request.query_params.get("mode", ""),
        modes=MODES,
        now=utc_now(),
        **shell(request),
    )


MODES: Final = {"listen": "Listen", "whisper": "Whisper", "join": "Join"}


async def _monitored(request: AnyRequest) -> UUID | None:
    """The call that this supervisor was just connected to, as the address says; None when it is over."""
    try:
        call_id = UUID(request.query_params.get("call", ""))
    except ValueError:
        return None
    async with services_of(request).pool.acquire() as connection:
        found = await conversations.get(connection, call_id)
    return call_id if found is not None and found.ended_at is None else None


@get(PATH, include_in_schema=False)
async def show_floor(request: AnyRequest) -> Response[str]:
    """Filled in already: it is of use before any script has run."""
    return await show(request)


@get(f"{PATH}/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_floor(request: AnyRequest) -> Response[str]:
    """The live part alone."""
    return Response(await _live(request), media_type=HTML)


@get("/stream/floor", include_in_schema=False, opt={BACKGROUND: True})
async def stream_floor(request: AnyRequest) -> Stream:
    """The live part as a stream."""
    services = services_of(request)
    token = request.cookies.get(SESSION_COOKIE, "")

    async def look() -> str:
        return await _live(request)

    async def is_signed_in() -> bool:
        return await live_session(services, token, touch=False) is not None

    return stream.respond(request, look, is_signed_in)


def _choice(request: AnyRequest, name: str, known: Any) -> str:
    wanted = request.query_params.get(name, "")
    if wanted not in known:
        raise InvalidInputError(f"“{name}” is one of: {', '.join(known)}.")
    return str(wanted)


async def _queue(request: AnyRequest, connection: Connection) -> floor.QueueNow | None:
    """The queue that the address names; None for all of them."""
    wanted = request.query_params.get("queue")
    if not wanted:
        return None
    found = next((one for one in await floor.queues(connection) if one.name == wanted), None)
    if found is None:
        raise queues.NoSuchQueueError()
    return found


@get(f"{PATH}/callers", include_in_schema=False)
async def show_callers(request: AnyRequest) -> Response[str]:
    """Who waits, or the rows behind a queue's number."""
    what = _choice(request, "what", [*NOW, *COUNTED])
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        queue = await _queue(request, connection)
        if what in NOW:
            found = await floor.in_line(
                connection, queue.name if queue else None, kept=what == "kept", limit=floor.ROWS_MAX
            )
            title = NOW[what]
        else:
            if queue is None:
                raise InvalidInputError("Name the queue whose callers are meant.")
            period = next(one for one in get_args(floor.Period) if one == _choice(request, "period", desk.PERIODS))
            counted = next(one for one in get_args(floor.Counted) if one == what)
            found = await floor.counted(connection, queue.name, period, counted)
            title = f"{COUNTED[what]}, {desk.PERIODS[period]}"
        rules = {one.name: one for one in await floor.queues(connection)}
    now = utc_now()
    lines = [desk.caller_line(one, rules.get(one.queue), now) for one in found]
    return _rows(request, f"{title}{': ' + queue.title if queue else ''}", callers=lines)


@get(f"{PATH}/agents", include_in_schema=False)
async def show_agents(request: AnyRequest) -> Response[str]:
    """The agents behind a number, of a queue or of all."""
    doing = _choice(request, "doing", floor_agents.DOINGS)
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        queue = await _queue(request, connection)
        staff = floor_agents.agent_lines(await agents.every(connection), ())
    found = [one for one in staff if one.doing == doing and (queue is None or queue.name in one.queues)]
    where = f" of {queue.title}" if queue else ""
    said = next(words for name, words in floor_agents.DOINGS.items() if name == doing)
    return _rows(request, f"Agents{where}: {said}", agents=found)


@get(f"{PATH}/callbacks", include_in_schema=False)
async def show_callbacks(request: AnyRequest) -> Response[str]:
    """Who is to be called back."""
    wanted = _choice(request, "which", DUE)
    which = next(one for one in get_args(floor.Due) if one == wanted)
    async with services_of(request).pool.acquire() as connection:
        found = await floor.callbacks(connection, which)
    return _rows(request, DUE[which], callbacks=found)


@get(f"{PATH}/look-ups", include_in_schema=False)
async def show_look_ups(request: AnyRequest) -> Response[str]:
    """Look-ups at the CRM, of one state or reason."""
    what = request.query_params.get("what", "asked")[:_NAME_LENGTH_MAX]
    async with services_of(request).pool.acquire() as connection:
        found = await floor.look_ups(connection, what)
    said = LOOK_UPS.get(what, what.replace("_", " "))
    return _rows(request, f"Look-ups of the last 15 minutes: {said}", look_ups=found)


def _rows(request: AnyRequest, title: str, **found: Any) -> Response[str]:
    nothing: dict[str, Any] = {"callers": None, "agents": None, "callbacks": None, "look_ups": None}
    return page(
        "floor_rows.html", title=title, rows_max=floor.ROWS_MAX, now=utc_now(), **nothing | found, **shell(request)
    )


async def _agent(request: AnyRequest, agent_id: UUID, template: str) -> Response[str]:
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        panel = await floor_agents.read_panel(connection, agent_id)
    return page(template, panel=panel, modes=MODES, now=utc_now(), **shell(request))


@get(f"{PATH}/agents/{{agent_id:uuid}}", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def show_agent(request: AnyRequest, agent_id: FromPath[UUID]) -> Response[str]:
    """What can be set for an agent, as a page of its own."""
    return await _agent(request, agent_id, "floor_agent.html")


@get(f"{PATH}/agents/{{agent_id:uuid}}/panel", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def agent_panel(request: AnyRequest, agent_id: FromPath[UUID]) -> Response[str]:
    """The same, to be shown over the floor."""
    return await _agent(request, agent_id, "floor_agent_panel.html")


async def _alert(request: AnyRequest, alert_id: UUID, template: str) -> Response[str]:
    async with services_of(request).pool.acquire() as connection:
        found = next((one for one in await alerts.open_ones(connection) if one.id == alert_id), None)
    if found is None:
        raise NotFoundError("There is no such alert any more; it was closed.")
    title, said = desk.ALERTS.get(found.kind, found.kind), desk.alert_said(found.detail)
    return page(template, alert=found, title=title, said=said, note_max=NOTE_LENGTH_MAX, **shell(request))


NOTE_LENGTH_MAX: Final = 500


@get(f"{PATH}/alerts/{{alert_id:uuid}}", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def show_alert(request: AnyRequest, alert_id: FromPath[UUID]) -> Response[str]:
    """An alert, to be closed, as a page of its own."""
    return await _alert(request, alert_id, "floor_alert.html")


@get(f"{PATH}/alerts/{{alert_id:uuid}}/panel", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def alert_panel(request: AnyRequest, alert_id: FromPath[UUID]) -> Response[str]:
    """The same, to be shown over the floor."""
    return await _alert(request, alert_id, "floor_alert_panel.html")
