"""Calls: all of them live, and each with its parts, its way through the flow and its recording."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.response import Stream

from tenderline.core import recording_file
from tenderline.core.errors import NotFoundError, TenderlineError
from tenderline.desk import calls as desk
from tenderline.desk import distress, secure
from tenderline.flows import draw, load, shipped
from tenderline.store import audit, recordings
from tenderline.store.recording_store import RecordingStore
from tenderline.store.users import Permission
from tenderline.web import stream
from tenderline.web.pages import HTML, page, render, services_of
from tenderline.web.sign_in import BACKGROUND, PERMISSION, SESSION_COOKIE, live_session, session_of, shell

PATH: Final = "/calls"
WAV: Final = "audio/wav"
PAUSE_S: Final = 0.25
"""An agent watches a card being keyed in: a call's page looks up to four times a second while something happens."""

AnyRequest = Request[Any, Any, Any]


class SensitiveRecordingError(TenderlineError):
    """This recording is sensitive; listening to it needs the role compliance or admin."""

    code = "recording.sensitive"
    status = 403


async def _board(request: AnyRequest) -> str:
    async with (
        services_of(request).pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await desk.read_board(connection)
    return render("calls_live.html", found=found)


@get(PATH, include_in_schema=False)
async def show_calls(request: AnyRequest) -> Response[str]:
    """Live calls, then the newest."""
    return page("calls.html", live=await _board(request), **shell(request))


@get(f"{PATH}/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_calls(request: AnyRequest) -> Response[str]:
    """The live part alone."""
    return Response(await _board(request), media_type=HTML)


async def _call(request: AnyRequest, call_id: UUID) -> tuple[str, str]:
    async with (
        services_of(request).pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        view = await desk.read_call(connection, call_id, services_of(request).zone)
        if view is None:
            raise NotFoundError("There is no call of this id; the list of calls leads to those there are.")
        panel = await secure.read(connection, view.conversation)
        distressed = await distress.read(connection, call_id)
    session = session_of(request)
    user = session.user
    live = render(
        "call_live.html",
        view=view,
        picture=_picture(view),
        may_listen=user.may(Permission.LISTEN),
        may_listen_to_all=user.may(Permission.LISTEN_SENSITIVE),
        distress=distressed,
        call_id=call_id,
        secure=panel,
        secure_modes=secure.MODES,
        secure_fields=secure.asked_for(postal_code=services_of(request).settings.capture.postal_code),
        may_take_payment=user.may(Permission.TAKE_PAYMENT),
        csrf_token=session.csrf_token,
    )
    who = f"Call to {view.line.called}" if view.line.direction == "outbound" else f"Call from {view.line.caller}"
    return who, live


def _picture(view: desk.CallView) -> str | None:
    """The flow, with the way of the call lit."""
    name = view.conversation.flow
    if name is None or (view.flow_text is None and name not in shipped.names()):
        return None
    flow, _ = load.read(f"{name}.toml", view.flow_text or shipped.text(name))
    if flow is None:
        return None
    taken = {(one.node, one.exit) for one in view.steps if one.exit is not None}
    return draw.svg(flow, lit={one.node for one in view.steps}, lit_edges=taken)


@get(f"{PATH}/{{call_id:uuid}}", include_in_schema=False)
async def show_call(request: AnyRequest, call_id: FromPath[UUID]) -> Response[str]:
    """The whole page."""
    title, live = await _call(request, call_id)
    return page("call.html", title=title, live=live, call_id=call_id, **shell(request))


@get(f"{PATH}/{{call_id:uuid}}/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_call(request: AnyRequest, call_id: FromPath[UUID]) -> Response[str]:
    """The live part alone."""
    return Response((await _call(request, call_id))[1], media_type=HTML)


@get("/stream/calls/{call_id:uuid}", include_in_schema=False, opt={BACKGROUND: True})
async def stream_call(request: AnyRequest, call_id: FromPath[UUID]) -> Stream:
    """The live part as a stream."""
    services = services_of(request)
    token = request.cookies.get(SESSION_COOKIE, "")

    async def look() -> str:
        return (await _call(request, call_id))[1]

    async def is_signed_in() -> bool:
        return await live_session(services, token, touch=False) is not None

    await look()  # an unknown call is a 404 now, not a stream that breaks
    return stream.respond(request, look, is_signed_in, pause_s=PAUSE_S)


@get("/recordings/{recording_id:uuid}", include_in_schema=False, opt={PERMISSION: Permission.LISTEN})
async def play(request: AnyRequest, recording_id: FromPath[UUID]) -> Response[bytes]:
    """A recording, as a WAV file. Who listened is in the audit log, before the first sound."""
    services = services_of(request)
    user = session_of(request).user
    async with services.pool.acquire() as connection, connection.transaction():
        found = await recordings.get(connection, recording_id)
        if found is None or found.state != "stored":
            raise NotFoundError("There is no such recording, or it is not there any more.")
        if found.sensitive and not user.may(Permission.LISTEN_SENSITIVE):
            raise SensitiveRecordingError()
        subject = f"recording:{recording_id}"
        data = {"conversation": str(found.conversation_id), "sensitive": found.sensitive}
        await audit.append(connection, actor=user.email, action="recording.played", subject=subject, data=data)
    stored = await RecordingStore(services.settings).read(found.path, sensitive=found.sensitive)
    key = recording_file.open_key(found.sealed_key, services.key_for("recordings"), found.id)
    return Response(recording_file.wav(recording_file.read(stored, key, found.id)), media_type=WAV)
