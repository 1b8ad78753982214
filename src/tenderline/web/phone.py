"""My telephone: an agent's browser takes calls. The page offers a session, a voice node answers it, by rows."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.core.ids import uuid7
from tenderline.store import audit, browser_phones
from tenderline.store.browser_phones import Wanted
from tenderline.store.users import Permission
from tenderline.web import stream
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import BACKGROUND, PERMISSION, SESSION_COOKIE, live_session, session_of, shell

PATH: Final = "/phone"
OFFER_BYTES_MAX: Final = 16_384
ANSWER_WAIT_S: Final = 5.0
ANSWER_LOOK_S: Final = 0.05
MICROPHONE: Final = {
    "permissions-policy": "camera=(), geolocation=(), microphone=(self), speaker-selection=(self), payment=(), usb=()"
}
# Of an offer this is kept. The rest tells of devices and networks that nobody here needs, and holds long numbers: a
# search for card data would find one of them sooner or later.
_KEPT: Final = ("v=", "s=", "m=", "a=mid:", "a=rtcp-mux", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
_WANTED: Final[dict[str, Wanted]] = {"accept": "accept", "decline": "decline", "hang-up": "hang_up"}
_ALLOWED: Final[dict[str, Any]] = {PERMISSION: Permission.TELEPHONE}

AnyRequest = Request[Any, Any, Any]


class NodeSilentError(TenderlineError):
    """No voice node answered in time; the page tries again by itself."""

    code = "phone.node_silent"
    status = 503


class NotTakenError(TenderlineError):
    """The voice node did not take this browser; the message tells why."""

    code = "phone.not_taken"
    status = 409


def panel_values(request: AnyRequest) -> dict[str, Any]:
    """What the template `phone_panel.html` shows; its page must be answered with the headers `MICROPHONE`."""
    voice = services_of(request).settings.voice
    ice: list[dict[str, Any]] = []
    if voice.browser_ice_urls:
        secret = voice.browser_ice_password
        ice = [{"urls": voice.browser_ice_urls}]
        if voice.browser_ice_user and secret is not None:
            ice[0] |= {"username": voice.browser_ice_user, "credential": secret.get_secret_value()}
    return {"ice": msgspec.json.encode(ice).decode(), "beat_s": browser_phones.BEAT_EVERY_S}


@get(PATH, include_in_schema=False, opt=_ALLOWED)
async def show_phone(request: AnyRequest) -> Response[str]:
    """The page. It alone may ask for the microphone."""
    return page("phone.html", headers=MICROPHONE, **panel_values(request), **shell(request))


@post(f"{PATH}/sessions", include_in_schema=False, opt=_ALLOWED, status_code=201)
async def offer(request: AnyRequest) -> Response[dict[str, Any]]:
    """A session in the place of any other of this user; the answer is a voice node's."""
    body = await request.body()
    if len(body) > OFFER_BYTES_MAX:
        raise InvalidInputError(f"A browser's offer has up to {OFFER_BYTES_MAX} bytes.")
    text, user, services = body.decode("utf-8", "replace"), session_of(request).user, services_of(request)
    if not text.startswith("v=0") or "\x00" in text:
        raise InvalidInputError("Send the browser's session description as text; it begins with v=0.")
    text = "\r\n".join([line for line in text.splitlines() if line.startswith(_KEPT)]) + "\r\n"
    session_id = uuid7()
    async with services.pool.acquire() as connection, connection.transaction():
        await browser_phones.offer(connection, session_id, agent=user.email, user_id=user.id, text=text)
        await audit.append(connection, actor=user.email, action="phone.opened", subject=f"user:{user.id}", data={})
    answer = await _answer(request, session_id)
    return Response({"session": str(session_id), "answer": answer}, status_code=201)


async def _answer(request: AnyRequest, session_id: UUID) -> str:
    pool, user = services_of(request).pool, session_of(request).user
    try:
        async with asyncio.timeout(ANSWER_WAIT_S):
            while True:
                async with pool.acquire() as connection:
                    found = await browser_phones.shown(connection, session_id, user.id)
                if found is None or found.state in ("replaced", "ended"):
                    raise NotTakenError(found.why if found and found.why else None)
                if found.answer is not None:
                    return found.answer
                await asyncio.sleep(ANSWER_LOOK_S)
    except TimeoutError:
        raise NodeSilentError() from None


async def _state(request: AnyRequest, session_id: UUID) -> str:
    """How the session stands, as one line of JSON."""
    async with services_of(request).pool.acquire() as connection:
        found = await browser_phones.shown(connection, session_id, session_of(request).user.id)
    if found is None:
        raise NotFoundError("There is no such session of your telephone any more.")
    shown = {
        "state": found.state if found.node_is_up else "ended",
        "why": found.why if found.node_is_up else "the voice node is gone",
        "call": str(found.call_id) if found.call_id else None,
        "caller": found.caller,
        "since": found.since.isoformat(),
    }
    return msgspec.json.encode(shown).decode()


@get(f"{PATH}/sessions/{{session_id:uuid}}", include_in_schema=False, opt={**_ALLOWED, BACKGROUND: True})
async def show_session(request: AnyRequest, session_id: FromPath[UUID]) -> Response[str]:
    """How it stands, once."""
    return Response(await _state(request, session_id), media_type="application/json")


@get(f"{PATH}/sessions/{{session_id:uuid}}/stream", include_in_schema=False, opt={**_ALLOWED, BACKGROUND: True})
async def stream_session(request: AnyRequest, session_id: FromPath[UUID]) -> Stream:
    """How it stands, whenever that changes."""
    await _state(request, session_id)
    services, token = services_of(request), request.cookies.get(SESSION_COOKIE, "")

    async def is_signed_in() -> bool:
        return await live_session(services, token, touch=False) is not None

    async def draw() -> str:
        return await _state(request, session_id)

    return stream.respond(request, draw, is_signed_in)


@post(f"{PATH}/sessions/{{session_id:uuid}}/beat", include_in_schema=False, opt={**_ALLOWED, BACKGROUND: True})
async def beat(request: AnyRequest, session_id: FromPath[UUID]) -> Response[None]:
    """The page is there: without this no new call comes. It keeps no sign-in alive."""
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        there = await browser_phones.beat(connection, session_id, session_of(request).user.id)
    if not there:
        raise NotFoundError("This session of your telephone is over.")
    return Response(None, status_code=204)


@post(f"{PATH}/sessions/{{session_id:uuid}}/leave", include_in_schema=False, opt=_ALLOWED)
async def leave(request: AnyRequest, session_id: FromPath[UUID]) -> Response[None]:
    """The page goes, or the telephone is turned off. A call that lasts waits a while for the next page."""
    user = session_of(request).user
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        if await browser_phones.leave(connection, session_id, user.id):
            await audit.append(connection, actor=user.email, action="phone.left", subject=f"user:{user.id}", data={})
    return Response(None, status_code=204)


@post(f"{PATH}/sessions/{{session_id:uuid}}/calls/{{call_id:uuid}}/{{what:str}}", include_in_schema=False, opt=_ALLOWED)
async def ask(
    request: AnyRequest, session_id: FromPath[UUID], call_id: FromPath[UUID], what: FromPath[str]
) -> Response[None]:
    """Accept, decline or hang up that call."""
    wanted = _WANTED.get(what)
    if wanted is None:
        raise NotFoundError("A call is accepted (accept), declined (decline) or ended (hang-up); nothing else.")
    user = session_of(request).user
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        if not await browser_phones.ask(connection, session_id, user.id, call_id, wanted):
            raise NotFoundError("This call is over.")
        data = {"call": str(call_id)}
        await audit.append(connection, actor=user.email, action=f"phone.{wanted}", subject=f"user:{user.id}", data=data)
    return Response(None, status_code=204)
