"""Segments of donors: the rules that count, every version of them, and trying others over a known donor."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError
from tenderline.core.money import Money
from tenderline.desk import donors as desk
from tenderline.routing import segments
from tenderline.routing.segment_trial import Trial, try_out
from tenderline.routing.segments import Segments
from tenderline.store import segment_rules
from tenderline.store.segment_rules import RulesVersion
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import PERMISSION, session_of, shell

PATH: Final = "/segments"
AnyRequest = Request[Any, Any, Any]


def _read(found: RulesVersion | None) -> tuple[Segments | None, str, str | None]:
    """The rules, their text, and why they cannot be used."""
    if found is None:
        return segments.shipped(), segments.shipped_text(), None
    try:
        return segments.parse(found.content, version=found.version), found.content, None
    except InvalidInputError as error:
        return None, found.content, error.detail


async def _page(
    request: AnyRequest,
    *,
    text: str | None = None,
    number: str = "",
    trial: Trial | None = None,
    problem: str | None = None,
) -> Response[str]:
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        newest = await segment_rules.newest(connection)
        versions = await segment_rules.versions(connection)
        health = await desk.read_health(connection)
    rules, current, broken = _read(newest)
    settings = services_of(request).settings
    return page(
        "segments.html",
        status=422 if problem else 200,
        rules=rules,
        broken=broken,
        thresholds=_thresholds(rules) if rules else (),
        version=newest.version if newest else 0,
        versions=versions,
        text=current if text is None else text,
        text_max=segments.TEXT_CHARACTERS_MAX,
        facts=segments.FACTS,
        number=number,
        trial=trial,
        problem=problem,
        health=health,
        crm=settings.crm.kind,
        budget_s=settings.crm.budget_s,
        may_change=session_of(request).user.may(Permission.LINES),
        **shell(request),
    )


def _thresholds(rules: Segments) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, Money(value, rules.currency).format() if name in rules.amounts else str(value))
        for name, value in rules.thresholds.items()
    )


@get(PATH, include_in_schema=False)
async def show(request: AnyRequest) -> Response[str]:
    """What counts now."""
    return await _page(request)


async def _written(request: AnyRequest) -> tuple[str, str, str]:
    form = await request.form()
    text, number, base = (form.get(name) for name in ("text", "number", "base"))
    written = text.replace("\r\n", "\n") if isinstance(text, str) else ""
    return written, number.strip()[:40] if isinstance(number, str) else "", base if isinstance(base, str) else ""


@post(f"{PATH}/try", include_in_schema=False, opt={PERMISSION: Permission.LINES}, status_code=200)
async def try_rules(request: AnyRequest) -> Response[str]:
    """What the rules as written would say of somebody; nothing is kept."""
    text, number, _ = await _written(request)
    try:
        trial = await try_out(services_of(request), segments.parse(text), number)
    except InvalidInputError as error:
        return await _page(request, text=text, number=number, problem=error.detail)
    return await _page(request, text=text, number=number, trial=trial)


@post(PATH, include_in_schema=False, opt={PERMISSION: Permission.LINES})
async def put(request: AnyRequest) -> Response[Any]:
    """These rules count from now on; calls that were decided keep their segment."""
    text, number, base = await _written(request)
    try:
        segments.parse(text)
    except InvalidInputError as error:
        return await _page(request, text=text, number=number, problem=error.detail)
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        # What is no number is no version: somebody else's, whichever there is.
        seen = int(base) if base.isascii() and base.isdecimal() and len(base) < 10 else -1
        await segment_rules.put(connection, text, by=session_of(request).user.email, expected=seen)
    return Redirect(path=PATH, status_code=303)
