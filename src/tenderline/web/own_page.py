"""A payer's own page: what we sent her and why, what comes next, and what she wants of it. A signed link, no account.

Opening the link changes nothing: mail scanners open links too. Every change is a post that carries the token of a form
that was shown to the holder of this very link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.app import Services
from tenderline.core import links
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, RateLimitedError
from tenderline.core.links import ExpiredLinkError, InvalidLinkError
from tenderline.desk import own_page as desk
from tenderline.desk import zone_names
from tenderline.desk.own_page import OwnPage
from tenderline.notify.delivery import OWN_PAGE_LINK
from tenderline.people import choices
from tenderline.store import events, limits, people, places
from tenderline.store.db import Connection
from tenderline.web import payer
from tenderline.web.pages import SecurityHeaders, page, services_of
from tenderline.web.sign_in import CrossSiteError, require_same_site

BODY_BYTES_MAX: Final = 4096
VIEWS_PER_LINK_MAX: Final = 60
"""In a minute."""
CHANGES_PER_LINK_MAX: Final = 30
"""In an hour. A stop is never refused: it writes nothing when it stands already."""
FORM_LINK: Final = "me-form"
FORM_VALID_S: Final = 12 * 3600
_LINE_LENGTH_MAX: Final = 200
_UUID_BYTES: Final = 16
_DONE: Final = {
    "paused": "Done. Until your pause ends, nothing comes by itself.",
    "resumed": "Done. Your pause has ended.",
    "left_out": "Done. That message will not be sent.",
    "on_its_way": "That message had left already, or was taken back before. Nothing was changed.",
    "turned_off": "Done. We do not use this way any more.",
    "turned_on": "Done. We may use this way again.",
    "stopped": "Done. We ask you for nothing more, by any way.",
    "zone": "Thank you. We go by your time zone from now on.",
    "address": "Thank you. We go by your postal address from now on.",
}

AnyRequest = Request[Any, Any, Any]
Form = Any
"""What was posted, read by name."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose page a link opens, and the address that it came to."""

    person_id: UUID
    contact_point_id: UUID
    channel: str
    address: str


Act = Callable[[Connection, Services, Holder, Form], Awaitable[str]]
"""Makes one change in the caller's transaction and says what was done (a key of `_DONE`)."""


def _payload(services: Services, token: str) -> bytes:
    return links.verify(services.key_for(OWN_PAGE_LINK), OWN_PAGE_LINK, token, utc_now().timestamp())


async def _holder(connection: Connection, payload: bytes) -> Holder | None:
    """None when the address is not, or not any more, one of this person's."""
    person_id, contact_point_id = UUID(bytes=payload[:_UUID_BYTES]), UUID(bytes=payload[_UUID_BYTES:])
    found = await people.get_contact_point(connection, contact_point_id)
    if found is None or found[0] != person_id:
        return None
    point = found[1]
    channel = "sms" if point.kind == people.PHONE else point.kind
    return Holder(person_id, contact_point_id, channel, point.value)


def _form_token(services: Services, payload: bytes) -> str:
    expires = int(utc_now().timestamp()) + FORM_VALID_S
    return links.sign(services.key_for(FORM_LINK), FORM_LINK, payload, expires)


def _require_own_form(request: AnyRequest, services: Services, payload: bytes, form: Form) -> None:
    """Raises `CrossSiteError` unless the form was made by us, lately, for the holder of this link."""
    require_same_site(request, services)
    try:
        token = str(form.get("form_token", ""))
        made_for = links.verify(services.key_for(FORM_LINK), FORM_LINK, token, utc_now().timestamp())
    except (InvalidLinkError, ExpiredLinkError):
        raise CrossSiteError() from None
    if made_for != payload:
        raise CrossSiteError()


async def _count(connection: Connection, what: str, payload: bytes, *, limit: int, window_s: int) -> None:
    """A link that is true is counted by itself, never by address: many people share one."""
    of = limits.subject(what, payload.hex())
    (await limits.take(connection, of, limit=limit, window_s=window_s)).require_room()


async def _draw(request: AnyRequest, token: str, payload: bytes, *, problem: str = "") -> Response[str]:
    services = services_of(request)
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        holder = await _holder(connection, payload)
        view = await _read(connection, services, holder) if holder else None
    if view is None:
        return await payer.invalid_link(request)
    return page(
        "own_page.html",
        status=400 if problem else 200,
        view=view,
        organisation=services.settings.organisation,
        path=f"/me/{token}",
        form_token=_form_token(services, payload),
        done="" if problem else _done(request, view),
        problem=problem,
        pause_days=choices.PAUSE_DAYS,
        countries=zone_names.countries(),
        country=services.settings.compliance.default_region,
    )


async def _read(connection: Connection, services: Services, holder: Holder) -> OwnPage:
    return await desk.read(
        connection,
        services.book,
        services.defaults,
        await people.get(connection, holder.person_id),
        holder.contact_point_id,
        services.settings.organisation,
        utc_now(),
    )


def _done(request: AnyRequest, view: OwnPage) -> str:
    """What was just done; never what is not so, whatever an address says."""
    key = request.query_params.get("done", "")
    is_so = {"paused": view.paused_until is not None, "resumed": view.paused_until is None, "stopped": view.has_stopped}
    return _DONE.get(key, "") if is_so.get(key, True) else ""


@get("/me/{token:str}")
async def show(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """The whole page."""
    services = services_of(request)
    try:
        payload = _payload(services, token)
    except ExpiredLinkError:
        return payer.notice_page(services, "invalid")
    except InvalidLinkError:
        return await payer.invalid_link(request)
    async with services.pool.acquire() as connection:
        await _count(connection, "me-view", payload, limit=VIEWS_PER_LINK_MAX, window_s=limits.MINUTE_S)
    return await _draw(request, token, payload)


async def _change(request: AnyRequest, token: str, act: Act, *, is_counted: bool = True) -> Response[Any]:
    services = services_of(request)
    try:
        payload = _payload(services, token)
    except ExpiredLinkError:
        return payer.notice_page(services, "invalid")
    except InvalidLinkError:
        return await payer.invalid_link(request)
    form = await request.form()
    try:
        _require_own_form(request, services, payload, form)
    except CrossSiteError:
        return payer.notice_page(services, "stale", again=f"/me/{token}")
    done, problem = "", ""
    async with services.pool.acquire() as connection:
        if is_counted:
            await _count(connection, "me-change", payload, limit=CHANGES_PER_LINK_MAX, window_s=limits.WINDOW_MAX_S)
        try:
            async with connection.transaction():
                holder = await _holder(connection, payload)
                done = await act(connection, services, holder, form) if holder else ""
        except InvalidInputError as error:
            problem = error.detail
    if problem or not done:
        return await _draw(request, token, payload, problem=problem)
    await events.hint(services.pool)
    return Redirect(path=f"/me/{token}?done={done}", status_code=303)


def _line(form: Form, name: str) -> str:
    value = form.get(name)
    return " ".join(value.split())[:_LINE_LENGTH_MAX] if isinstance(value, str) else ""


@post("/me/{token:str}/pause")
async def pause(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """No automated contact for some days."""
    return await _change(request, token, _pause)


async def _pause(connection: Connection, services: Services, holder: Holder, form: Form) -> str:
    days = next((one for one in choices.PAUSE_DAYS if str(one) == form.get("days")), None)
    if days is None:
        raise InvalidInputError("Choose how many days the pause lasts.")
    now = utc_now()
    zones = (await places.of_person(connection, holder.person_id, services.defaults)).zones
    await choices.pause(connection, holder.person_id, now=now, until=choices.pause_end(now, days, zones))
    return "paused"


@post("/me/{token:str}/resume")
async def resume(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """Ends the pause."""
    return await _change(request, token, _resume)


async def _resume(connection: Connection, services: Services, holder: Holder, form: Form) -> str:
    del services, form
    await choices.resume(connection, holder.person_id, now=utc_now())
    return "resumed"


@post("/me/{token:str}/leave-out")
async def leave_out(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """One planned contact less."""
    return await _change(request, token, _leave_out)


async def _leave_out(connection: Connection, services: Services, holder: Holder, form: Form) -> str:
    del services
    try:
        attempt_id = UUID(str(form.get("contact", "")))
    except ValueError:
        raise InvalidInputError("Press the button beside the message that you want to leave out.") from None
    return "left_out" if await choices.leave_out(connection, holder.person_id, attempt_id) else "on_its_way"


@post("/me/{token:str}/channel")
async def channel(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """Turns a channel off or on again."""
    return await _change(request, token, _channel)


async def _channel(connection: Connection, services: Services, holder: Holder, form: Form) -> str:
    del services
    wanted = {"on": True, "off": False}.get(str(form.get("turn", "")))
    if form.get("channel") not in choices.CHANNELS or wanted is None:
        raise InvalidInputError("Press the button beside the way that you want to turn off or on.")
    await choices.choose_channel(connection, holder.person_id, form["channel"], wanted=wanted)
    return "turned_on" if wanted else "turned_off"


@post("/me/{token:str}/stop")
async def stop(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """Silence on every channel."""
    return await _change(request, token, _stop, is_counted=False)


async def _stop(connection: Connection, services: Services, holder: Holder, form: Form) -> str:
    del services, form
    await choices.stop(connection, holder.person_id, channel=holder.channel, address=holder.address)
    return "stopped"


@post("/me/{token:str}/zone")
async def zone(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """Her own time zone."""
    return await _change(request, token, _zone)


async def _zone(connection: Connection, services: Services, holder: Holder, form: Form) -> str:
    del services
    told = _line(form, "zone")
    if not zone_names.may_be_chosen(told):
        raise InvalidInputError("Choose your time zone from the list.")
    await choices.correct_zone(connection, holder.person_id, told)
    return "zone"


@post("/me/{token:str}/address")
async def address(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """Her own postal address, as far as it tells where she is."""
    return await _change(request, token, _address)


async def _address(connection: Connection, services: Services, holder: Holder, form: Form) -> str:
    del services
    told = choices.read_address(_line(form, "country"), _line(form, "region"), _line(form, "postal_code"))
    await choices.correct_address(connection, holder.person_id, told)
    return "address"


route_handlers = [
    Router(
        path="/",
        route_handlers=[show, pause, resume, leave_out, channel, stop, zone, address],
        middleware=[SecurityHeaders()],
        exception_handlers={RateLimitedError: payer.busy},
        include_in_schema=False,
        request_max_body_size=BODY_BYTES_MAX,
    )
]
