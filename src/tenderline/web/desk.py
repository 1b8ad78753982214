"""The agent's desk: one page for a call from its first ring to how it ended. Everything on it comes from the server."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.response import Redirect, Stream

from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.core.phone import normalise
from tenderline.desk import agent_desk, distress, secure
from tenderline.desk.agent_desk import Around
from tenderline.desk.endings import read_instant
from tenderline.store import agents, audit, desks, events, live_commands, presence
from tenderline.store.presence import Said
from tenderline.store.users import Permission
from tenderline.web import endings, phone, stream
from tenderline.web.pages import HTML, page, render, services_of
from tenderline.web.sign_in import (
    BACKGROUND,
    MASKS_CARDS,
    PERMISSION,
    SESSION_COOKIE,
    field,
    live_session,
    refuse_cards,
    session_of,
    shell,
)

PATH: Final = "/desk"
REASON_LENGTH_MAX: Final = 100
NOTE_LENGTH_MAX: Final = 500
LOOK_ANEW_S: Final = 60.0
"""So often a desk is drawn though nothing of its own changed: callbacks fall due, agents become free. Desks that were
opened together must not all be drawn together: each begins at another second of it."""
ORDERS: Final = frozenset(
    {"hold", "retrieve", "transfer", "consult", "complete_transfer", "cancel_consult", "escalate", "hang_up"}
)
_SAID: Final[dict[str, Said]] = {"available": "available", "away": "away", "offline": "offline"}
_OPT: Final[dict[str, Any]] = {PERMISSION: Permission.DESK}

AnyRequest = Request[Any, Any, Any]


class NoAgentError(TenderlineError):
    """You are no agent: you serve no queue. An administrator makes you one."""

    code = "desk.no_agent"
    status = 409


class NotOnCallError(TenderlineError):
    """You are not on this call any more; look at your desk."""

    code = "desk.not_on_call"
    status = 409


async def _live(request: AnyRequest) -> str:
    services, session = services_of(request), session_of(request)
    around = Around(services.settings.organisation, services.defaults, services.zone)
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        view = await agent_desk.read(connection, session.user.id, around)
        call = view.call if view else None
        distressed = await distress.read(connection, call.id) if call else None
    return render(
        "desk_live.html",
        view=view,
        call=call,
        distress=distressed,
        reasons=agent_desk.REASONS,
        secure_modes=secure.MODES,
        secure_fields=secure.asked_for(postal_code=services.settings.capture.postal_code),
        may_take_payment=session.user.may(Permission.TAKE_PAYMENT),
        csrf_token=session.csrf_token,
        note_max=NOTE_LENGTH_MAX,
        reason_max=REASON_LENGTH_MAX,
        back="desk",
    )


@lru_cache(maxsize=2)
def _by_user(versions: str) -> dict[str, str]:
    """Every open desk asks with the same text."""
    return msgspec.json.decode(versions, type=dict[str, str])


@get(PATH, include_in_schema=False, opt=_OPT)
async def show_desk(request: AnyRequest) -> Response[str]:
    """The whole page, with the telephone of whoever may have one in the browser."""
    live = await _live(request)
    if not session_of(request).user.may(Permission.TELEPHONE):
        return page("desk_agent.html", live=live, **shell(request))
    values = phone.panel_values(request)
    return page("desk_agent.html", headers=phone.MICROPHONE, live=live, **values, **shell(request))


@get(f"{PATH}/live", include_in_schema=False, opt={**_OPT, BACKGROUND: True})
async def poll_desk(request: AnyRequest) -> Response[str]:
    """The live part alone."""
    return Response(await _live(request), media_type=HTML)


@get("/stream/desk", include_in_schema=False, opt={**_OPT, BACKGROUND: True})
async def stream_desk(request: AnyRequest) -> Stream:
    """The live part as a stream: one query tells of all desks which of them changed, and only those are drawn."""
    services = services_of(request)
    token, user_id = request.cookies.get(SESSION_COOKIE, ""), session_of(request).user.id
    hub = stream.hub_of(request.app.state, services)
    clock = asyncio.get_running_loop().time
    known, shown, anew_at_s = "", "", clock() + LOOK_ANEW_S * (user_id.int % 1000) / 1000

    async def all_versions() -> str:
        async with services.pool.acquire() as connection:
            return msgspec.json.encode(await desks.versions(connection)).decode()

    async def look() -> str:
        nonlocal known, shown, anew_at_s
        found = await hub.shared("desk versions", all_versions, is_quick=True)
        version = _by_user(found).get(str(user_id), "")
        is_time = clock() >= anew_at_s
        if version != known or not shown or is_time:
            shown, known = await _live(request), version
            if is_time:
                anew_at_s = clock() + LOOK_ANEW_S
        return shown

    async def is_signed_in() -> bool:
        return await live_session(services, token, touch=False) is not None

    return stream.respond(request, look, is_signed_in, is_quick=True)


def _back() -> Redirect:
    return Redirect(path=PATH, status_code=303)


async def _agent(connection: Any, request: AnyRequest) -> UUID:
    found = await agents.of_user(connection, session_of(request).user.id)
    if found is None:
        raise NoAgentError()
    return found


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise InvalidInputError("This names no call; look at your desk.") from None


@post(f"{PATH}/state", include_in_schema=False, opt=_OPT)
async def say(request: AnyRequest) -> Redirect:
    """What she does from now on; on a call, from its end on."""
    services = services_of(request)
    form = await request.form()
    state = _SAID.get(str(form.get("state")))
    if state is None:
        raise InvalidInputError("Choose one: ready, away or offline.")
    reason = None
    if state == "away":
        reason = field(form, "reason", length_max=REASON_LENGTH_MAX)
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        agent_id = await _agent(connection, request)
        await presence.say(connection, agent_id, state, reason=reason, by=by)
    return _back()


async def _read(request: AnyRequest, call_id: UUID, given: object) -> str:
    """What she typed about her call, in one line. It is read for distress before anything can refuse it."""
    text = " ".join(given.split())[:NOTE_LENGTH_MAX] if isinstance(given, str) else ""
    if text:
        services, user = services_of(request), session_of(request).user
        async with services.pool.acquire() as connection, connection.transaction():
            await endings.read_note(services, connection, user.id, call_id, text, by=user.email)
    return text


@post(f"{PATH}/order", include_in_schema=False, opt={**_OPT, MASKS_CARDS: True})
async def order(request: AnyRequest) -> Redirect:
    """Something that the call's node shall do; what it refuses is said as it says it."""
    services = services_of(request)
    form = await request.form()
    kind, call_id = str(form.get("kind")), _uuid(form.get("call"))
    await _read(request, call_id, form.get("reason"))
    refuse_cards(form, ("number",))
    if kind not in ORDERS:
        raise InvalidInputError(f"A call can be asked for: {', '.join(sorted(ORDERS))}.")
    detail: dict[str, str] = {}
    if kind in ("transfer", "consult"):
        detail["to"] = _target(form, services.settings.compliance.default_region)
    if kind == "escalate":
        detail["reason"] = field(form, "reason", length_max=REASON_LENGTH_MAX)
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        await _agent(connection, request)
        desk = await desks.of_user(connection, session_of(request).user.id)
        if desk is None or desk.conversation_id != call_id or not desk.is_hers:
            raise NotOnCallError()
        command_id = await live_commands.ask(connection, call_id, kind, detail, asked_by=by)
        await audit.append(connection, actor=by, action=f"call_{kind}", subject=f"conversation:{call_id}", data=detail)
    await live_commands.answer_of(services.pool, command_id)
    await events.hint(services.pool)
    return _back()


def _target(form: Any, region: str) -> str:
    """A queue or an agent from the list, or a number; a number goes before."""
    number = str(form.get("number") or "").strip()[:40]
    if number:
        return normalise(number, region)
    wanted = str(form.get("to") or "")
    if not wanted.startswith(("queue:", "agent:")) or len(wanted) > 200:
        raise InvalidInputError("Choose where the call goes: a queue, an agent or a number.")
    return wanted


@post(f"{PATH}/ending", include_in_schema=False, opt={**_OPT, MASKS_CARDS: True})
async def end(request: AnyRequest) -> Redirect:
    """How the call ended; what follows is done with it."""
    services = services_of(request)
    form = await request.form()
    call_id = _uuid(form.get("call"))
    note = await _read(request, call_id, form.get("note"))
    refuse_cards(form)
    if not note.isprintable():
        raise InvalidInputError("Write the note with printable characters.")
    wish = endings.Wish(
        call_id=call_id,
        code=str(form.get("code"))[:40],
        note=note,
        wanted=read_instant(str(form.get("when") or "")[:30]),
    )
    user = session_of(request).user
    async with services.pool.acquire() as connection, connection.transaction():
        await endings.choose(services, connection, user.id, wish, by=user.email)
    await events.hint(services.pool)
    return _back()
