"""What a supervisor does from the floor: listens in, moves agents, sets their state, takes alerts and closes them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.core.queue_rings import PROFICIENCY_MAX, PROFICIENCY_MIN
from tenderline.desk import floor_agents
from tenderline.store import agents, alerts, audit, events, live_commands, presence, waiting
from tenderline.store.db import Connection
from tenderline.store.live_commands import CommandRefusedError, NoAnswerError, NotLiveError
from tenderline.store.presence import Said
from tenderline.store.users import Permission
from tenderline.web.floor import MODES, NOTE_LENGTH_MAX, PATH, show
from tenderline.web.pages import services_of
from tenderline.web.sign_in import PERMISSION, field, session_of

REASON_LENGTH_MAX: Final = 100
_STATES: Final[dict[str, Said]] = {"available": "available", "away": "away", "offline": "offline"}
_SKILL: Final = "skill:"

AnyRequest = Request[Any, Any, Any]


class AgentChangedMeanwhileError(TenderlineError):
    """Somebody moved this agent, or changed her skills, since you looked; look again before you change them."""

    code = "agent.changed_meanwhile"
    status = 409


class NoTelephoneError(TenderlineError):
    """Listening in rings your own telephone or browser, and you have none here; have an administrator add one."""

    code = "supervisor.no_telephone"
    status = 409


_SHOWN_ON_THE_FLOOR: Final = (NotLiveError, NoAnswerError, CommandRefusedError, NoTelephoneError)


async def _changed(connection: Connection) -> None:
    """Screens look again, and so does the match: an agent who was moved may take somebody now."""
    await waiting.hint(connection)
    await events.hint_with(connection)


def _proficiencies(form: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in form.items():
        if not name.startswith(_SKILL) or value in ("", "0"):
            continue
        if value not in {str(one) for one in range(PROFICIENCY_MIN, PROFICIENCY_MAX + 1)}:
            raise InvalidInputError(f"A proficiency is a number from {PROFICIENCY_MIN} to {PROFICIENCY_MAX}.")
        found[name.removeprefix(_SKILL)] = int(value)
    return found


@post(f"{PATH}/agents/{{agent_id:uuid}}/assign", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def assign(request: AnyRequest, agent_id: FromPath[UUID]) -> Redirect:
    """The queues she serves and what she is good at, from the next match on; a call that lasts goes on."""
    form = await request.form()
    wanted = sorted({str(one) for one in form.getall("queue", [])})
    skills = _proficiencies(form)
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        found = await agents.get(connection, agent_id)
        if form.get("seen") != floor_agents.seen(found):
            raise AgentChangedMeanwhileError()
        by = session_of(request).user.email
        await agents.assign(connection, agent_id, of_queues=wanted, skills=skills, by=by)
        await _changed(connection)
    return Redirect(path=f"{PATH}#agent-{agent_id}", status_code=303)


@post(f"{PATH}/agents/{{agent_id:uuid}}/state", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def set_state(request: AnyRequest, agent_id: FromPath[UUID]) -> Redirect:
    """Her state, for her; on a call it counts from its end on."""
    form = await request.form()
    state = _STATES.get(str(form.get("state")))
    if state is None:
        raise InvalidInputError(f"Choose one: {', '.join(_STATES)}.")
    reason = None if state == "available" else field(form, "reason", length_max=REASON_LENGTH_MAX)
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        await presence.say(connection, agent_id, state, reason=reason, by=session_of(request).user.email)
        await _changed(connection)
    return Redirect(path=f"{PATH}#agent-{agent_id}", status_code=303)


async def _order(request: AnyRequest, call_id: UUID, kind: str, detail: dict[str, str]) -> None:
    """Asks the call's node, with the supervisor's own agent; raises what is shown on the floor."""
    services, user = services_of(request), session_of(request).user
    async with services.pool.acquire() as connection, connection.transaction():
        own = await agents.of_user(connection, user.id)
        if own is None:
            raise NoTelephoneError()
        asked = {"agent_id": str(own), **detail}
        command_id = await live_commands.ask(connection, call_id, kind, asked, asked_by=user.email)
        subject = f"conversation:{call_id}"
        await audit.append(connection, actor=user.email, action=f"call_{kind}", subject=subject, data=asked)
    await live_commands.answer_of(services.pool, command_id)


@post(f"{PATH}/calls/{{call_id:uuid}}/monitor", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def monitor(request: AnyRequest, call_id: FromPath[UUID]) -> Response[Any]:
    """Rings the supervisor, who then listens, whispers to the agent, or talks with both; again it changes which."""
    mode = str((await request.form()).get("mode"))
    if mode not in MODES:
        raise InvalidInputError(f"Choose one: {', '.join(MODES)}.")
    try:
        await _order(request, call_id, "monitor", {"mode": mode})
    except _SHOWN_ON_THE_FLOOR as error:
        return await show(request, problem=error.detail, status=error.status)
    return Redirect(path=f"{PATH}?call={call_id}&mode={mode}", status_code=303)


@post(f"{PATH}/calls/{{call_id:uuid}}/monitor-stop", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def stop_monitoring(request: AnyRequest, call_id: FromPath[UUID]) -> Response[Any]:
    """The supervisor leaves the call."""
    try:
        await _order(request, call_id, "monitor_stop", {})
    except _SHOWN_ON_THE_FLOOR as error:
        return await show(request, problem=error.detail, status=error.status)
    return Redirect(path=PATH, status_code=303)


@post(f"{PATH}/alerts/{{alert_id:uuid}}/take", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def take(request: AnyRequest, alert_id: FromPath[UUID]) -> Response[Any]:
    """This supervisor looks after it; whose it is already is said on the floor."""
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            await alerts.take(connection, alert_id, session_of(request).user.email)
            await events.hint_with(connection)
    except TenderlineError as error:
        return await show(request, problem=error.detail, status=error.status)
    return Redirect(path=PATH, status_code=303)


@post(f"{PATH}/alerts/{{alert_id:uuid}}/close", include_in_schema=False, opt={PERMISSION: Permission.SUPERVISE})
async def close(request: AnyRequest, alert_id: FromPath[UUID]) -> Response[Any]:
    """It is over, and what was done stands in the note."""
    note = field(await request.form(), "note", length_max=NOTE_LENGTH_MAX)
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            await alerts.close(connection, alert_id, session_of(request).user.email, note)
            await events.hint_with(connection)
    except TenderlineError as error:
        return await show(request, problem=error.detail, status=error.status)
    return Redirect(path=PATH, status_code=303)
