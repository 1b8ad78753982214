"""Lines: which number leads to which campaign and flow; the telephones of agents; the flows, drawn."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.campaigns import calling
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.money import Money
from tenderline.flows import check, draw, fitness, shipped
from tenderline.store import calling_campaigns, lines
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import NUMBERS, PERMISSION, session_of, shell

PATH: Final = "/lines"
NUMBER: Final = re.compile(r"\+?[A-Za-z0-9][A-Za-z0-9._-]{0,39}")

AnyRequest = Request[Any, Any, Any]


def _text(form: Any, name: str, length_max: int) -> str:
    value = form.get(name)
    return " ".join(value.split())[:length_max] if isinstance(value, str) else ""


async def _texts(request: AnyRequest) -> dict[str, tuple[str, int | None]]:
    """The newest text of each flow, with its version; None for one that is shipped."""
    found: dict[str, tuple[str, int | None]] = {name: (shipped.text(name), None) for name in shipped.names()}
    async with services_of(request).pool.acquire() as connection:
        for one in await lines.newest_flows(connection):
            found[one.name] = (one.content, one.version)
    return found


@get(PATH, include_in_schema=False)
async def show_lines(request: AnyRequest) -> Response[str]:
    """Every line, every telephone, every flow."""
    async with services_of(request).pool.acquire() as connection:
        every = await lines.all_lines(connection)
        telephones = await lines.telephones(connection)
        campaigns = await calling_campaigns.every(connection)
    flows = await _texts(request)
    return page(
        "lines.html",
        lines=every,
        telephones=telephones,
        campaigns=campaigns,
        purposes=sorted(calling.PURPOSES),
        caller_ids=services_of(request).settings.voice.caller_ids,
        flows=sorted((name, version) for name, (_, version) in flows.items()),
        may_change=session_of(request).user.may(Permission.LINES),
        **shell(request),
    )


@post(PATH, include_in_schema=False, opt={PERMISSION: Permission.LINES, NUMBERS: ("number",)})
async def put(request: AnyRequest) -> Redirect:
    """A line as it is from now on."""
    form = await request.form()
    number = _text(form, "number", 40).replace(" ", "")
    if not NUMBER.fullmatch(number):
        raise InvalidInputError("Write the number as the trunk sends it: +18005550123, or an extension such as 400.")
    flow, language, campaign = _text(form, "flow", 40), _text(form, "language", 10), _text(form, "campaign", 60)
    if not campaign:
        raise InvalidInputError("Name the campaign: reports are told by it.")
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
        raise InvalidInputError("Write the language as en or es.")
    currency = Money.parse(1, _text(form, "currency", 3)).currency
    look_up_by = _text(form, "look_up_by", 4) or "ANI"
    if look_up_by not in ("ANI", "DNIS", "none"):
        raise InvalidInputError("Callers are looked up by ANI (their number), by DNIS (this number), or by none.")
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        await fitness.require_for_line(connection, flow)
        await lines.put_line(
            connection,
            number=number,
            campaign=campaign,
            flow=flow,
            language=language,
            currency=currency,
            fund=_text(form, "fund", 60) or None,
            record=form.get("record") == "yes",
            by=session_of(request).user.email,
            look_up_by=look_up_by,
        )
    return Redirect(path=PATH, status_code=303)


@post(f"{PATH}/remove", include_in_schema=False, opt={PERMISSION: Permission.LINES, NUMBERS: ("number",)})
async def remove(request: AnyRequest) -> Redirect:
    """The number leads nowhere any more."""
    number = _text(await request.form(), "number", 40)
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        if not await lines.remove_line(connection, number, by=session_of(request).user.email):
            raise NotFoundError("There is no such line any more.")
    return Redirect(path=PATH, status_code=303)


@post(f"{PATH}/calling", include_in_schema=False, opt={PERMISSION: Permission.LINES})
async def put_calling(request: AnyRequest) -> Redirect:
    """A calling campaign as it is from now on."""
    form = await request.form()
    name = _text(form, "name", 40)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise InvalidInputError("Name a calling campaign in small letters, digits and _: spring_appeal.")
    ring_s = _text(form, "ring_s", 3)
    if not ring_s.isascii() or not ring_s.isdecimal() or not 15 <= int(ring_s) <= 90:
        raise InvalidInputError("A call rings for 15 to 90 seconds.")
    language = _text(form, "language", 10)
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
        raise InvalidInputError("Write the language as en or es.")
    wanted = CallingCampaign(
        name=name,
        caller_id=_text(form, "caller_id", 20),
        purpose=_text(form, "purpose", 40),
        flow=_text(form, "flow", 40) or None,
        machine_flow=_text(form, "machine_flow", 40) or None,
        queue=_text(form, "queue", 40) or None,
        language=language,
        currency=Money.parse(1, _text(form, "currency", 3)).currency,
        fund=_text(form, "fund", 60) or None,
        ring_s=int(ring_s),
        enabled=form.get("enabled") == "yes",
    )
    services = services_of(request)
    async with services.pool.acquire() as connection, connection.transaction():
        for flow in (wanted.flow, wanted.machine_flow):
            if flow is not None:
                await fitness.require(connection, flow, purpose=wanted.purpose)
        await calling.put(services, connection, wanted, by=session_of(request).user.email)
    return Redirect(path=f"{PATH}#calling", status_code=303)


@get("/flows/{name:str}", include_in_schema=False)
async def show_flow(request: AnyRequest, name: FromPath[str]) -> Response[str]:
    """A flow as a picture, with its text and its faults, if it has any."""
    found = (await _texts(request)).get(name)
    if found is None:
        raise NotFoundError("There is no flow of this name; the lines' page lists those there are.")
    text, version = found
    flow, found_faults = check.check_text(f"{name}.toml", text)
    faults = [str(fault) for fault in found_faults]
    picture = draw.svg(flow) if flow is not None else None
    return page(
        "flow.html",
        flow_name=name,
        version=version,
        text=text,
        faults=faults,
        picture=picture,
        flow=flow,
        **shell(request),
    )
