"""The rule book: every rule with what it rests on; changing one, with a reason and a second look, for those who may."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.compliance import rule_check
from tenderline.compliance.facts import Purpose
from tenderline.compliance.rule import CHANNELS, RuleKind
from tenderline.compliance.rule_check import Finding
from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.desk import rule_book, rule_words
from tenderline.desk.rule_book import RulePage
from tenderline.store import rules as store
from tenderline.store.db import Connection
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import PERMISSION, field, session_of, shell

AnyRequest = Request[Any, Any, Any]
WHY_LENGTH_MAX: Final = 200
TEXT_LENGTH_MAX: Final = 32 * 1024
WRITTEN: Final = "line"
"""What findings name in place of a file."""
_RULE_ID = re.compile(r"[A-Z0-9]+(?:-[A-Z0-9]+)*")
NEW_RULE: Final = """[[rule]]
id = "HOUSE-SUNDAYS"
kind = "hours"
why = "we do not write on Sundays"
source = "house rule"
confidence = "high"
effective_from = 2026-01-01
hours = [{ days = "mon-sat", opens = 09:00:00, closes = 18:00:00 }]
"""


class ChangedMeanwhileError(TenderlineError):
    """Somebody changed this rule since you looked at it; look at it again before you change it."""

    code = "rule.changed_meanwhile"
    status = 409


@get("/rules", include_in_schema=False)
async def show_rules(request: AnyRequest) -> Response[str]:
    """All rules, or those that bind somewhere, for some purpose, on some channel; and the hours they leave open."""
    services = services_of(request)
    query = request.query_params
    said = {name: query.get(name, "") for name in ("region", "purpose", "channel", "kind")}
    wanted = rule_book.filter_of(**said)
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        book = await rule_book.read_book(connection, services.book, wanted)
    return page(
        "rules.html",
        book=book,
        said=said,
        purposes=tuple(Purpose),
        channels=CHANNELS,
        kinds=[(kind.value, rule_words.kind(kind)) for kind in RuleKind],
        may_change=session_of(request).user.may(Permission.RULES),
        **shell(request),
    )


async def _rule(connection: Connection, request: AnyRequest, rule_id: str) -> RulePage:
    found = None
    if _RULE_ID.fullmatch(rule_id):
        found = await rule_book.read_rule(connection, services_of(request).book, rule_id)
    if found is None:
        raise NotFoundError("There is no rule of this name; the rule book lists those there are.")
    return found


@get("/rules/{rule_id:str}", include_in_schema=False)
async def show_rule(request: AnyRequest, rule_id: FromPath[str]) -> Response[str]:
    """One rule with its rows, and everything that was done to it."""
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        found = await _rule(connection, request, rule_id)
    return page("rule.html", rule=found, may_change=session_of(request).user.may(Permission.RULES), **shell(request))


def _form(
    request: AnyRequest,
    rule: RulePage | None,
    text: str,
    *,
    why: str = "",
    problems: list[str] | None = None,
    differences: tuple[tuple[str, str], ...] | None = None,
) -> Response[str]:
    """The form, with what is wrong; or, when nothing is, what would change, to be confirmed."""
    return page(
        "rule_change.html",
        status=422 if problems else 200,
        rule=rule,
        text=text,
        why=why,
        problems=problems or [],
        differences=differences,
        why_max=WHY_LENGTH_MAX,
        text_max=TEXT_LENGTH_MAX,
        **shell(request),
    )


@get("/rules/new", include_in_schema=False, opt={PERMISSION: Permission.RULES})
async def show_new(request: AnyRequest) -> Response[str]:
    """The form for a rule of one's own."""
    return _form(request, None, NEW_RULE)


@post("/rules/new", include_in_schema=False, opt={PERMISSION: Permission.RULES})
async def add(request: AnyRequest) -> Response[Any]:
    """Shows what would be added; puts it in force once that is confirmed."""
    return await _change(request, None)


@get("/rules/{rule_id:str}/change", include_in_schema=False, opt={PERMISSION: Permission.RULES})
async def show_change(request: AnyRequest, rule_id: FromPath[str]) -> Response[str]:
    """The form, with the rows as they are."""
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        found = await _rule(connection, request, rule_id)
    return _form(request, found, found.text)


@post("/rules/{rule_id:str}/change", include_in_schema=False, opt={PERMISSION: Permission.RULES})
async def change(request: AnyRequest, rule_id: FromPath[str]) -> Response[Any]:
    """Shows what would change; puts it in force once that is confirmed."""
    return await _change(request, rule_id)


async def _change(request: AnyRequest, rule_id: str | None) -> Response[Any]:
    services = services_of(request)
    form = await request.form()
    text, why = _text(form), str(form.get("why", ""))
    async with services.pool.acquire() as connection, connection.transaction():
        rule = await _rule(connection, request, rule_id) if rule_id else None
        problems, rows = _read(text, rule)
        if rule is None and rows and await rule_book.read_rule(connection, services.book, rows[0]["id"]):
            problems = [f"There is a rule {rows[0]['id']} already; change it on its own page."]
        try:
            why = field(form, "why", length_max=WHY_LENGTH_MAX)
        except InvalidInputError as error:
            problems.append(error.detail)
        if problems:
            return _form(request, rule, text, why=why, problems=problems)
        if form.get("confirmed") != "yes":
            return _form(
                request, rule, text, why=why, differences=rule_book.differences(rule.text if rule else "", text)
            )
        _require_unchanged(form, rule)
        by = session_of(request).user.email
        await store.set_rule(connection, services.book, rows, by=by, why=why)
    return Redirect(path=f"/rules/{rows[0]['id']}", status_code=303)


def _text(form: Any) -> str:
    text = form.get("text")
    if not isinstance(text, str) or len(text) > TEXT_LENGTH_MAX:
        raise InvalidInputError(f"A rule is a text of up to {TEXT_LENGTH_MAX} characters.")
    return text.replace("\r\n", "\n")


def _read(text: str, rule: RulePage | None) -> tuple[list[str], list[dict[str, Any]]]:
    """(what is wrong, the rows) of what somebody wrote: rows of one rule, and of the one that is to be changed."""
    findings = list(rule_check.check_file(WRITTEN, text))
    if findings:
        return [_in_words(one) for one in findings], []
    rows: list[dict[str, Any]] = tomllib.loads(text).get("rule", [])
    ids = {row["id"] for row in rows}
    if not ids:
        return ["There is no rule in it; a rule is written as [[rule]]."], []
    if len(ids) > 1:
        return [f"It names {len(ids)} rules; change one at a time."], []
    if rule is not None and ids != {rule.id}:
        return [f"It must stay the rule {rule.id}; another name is another rule."], []
    return [], rows


def _in_words(finding: Finding) -> str:
    place = finding.place.replace(f"{WRITTEN}:", "line ")
    return f"{place}: {finding.said}" if place != WRITTEN else finding.said


def _require_unchanged(form: Any, rule: RulePage | None) -> None:
    if rule is not None and form.get("seen") != str(rule.newest):
        raise ChangedMeanwhileError()


@get("/rules/{rule_id:str}/off", include_in_schema=False, opt={PERMISSION: Permission.RULES})
async def confirm_off(request: AnyRequest, rule_id: FromPath[str]) -> Response[str]:
    """What turning it off means, before it is done."""
    return await _confirm(request, rule_id, "off")


@get("/rules/{rule_id:str}/as-shipped", include_in_schema=False, opt={PERMISSION: Permission.RULES})
async def confirm_as_shipped(request: AnyRequest, rule_id: FromPath[str]) -> Response[str]:
    """What taking the changes back means, before it is done."""
    return await _confirm(request, rule_id, "as-shipped")


async def _confirm(request: AnyRequest, rule_id: str, action: str) -> Response[str]:
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        found = await _rule(connection, request, rule_id)
    return page("rule_confirm.html", rule=found, action=action, why_max=WHY_LENGTH_MAX, **shell(request))


@post("/rules/{rule_id:str}/off", include_in_schema=False, opt={PERMISSION: Permission.RULES})
async def turn_off(request: AnyRequest, rule_id: FromPath[str]) -> Redirect:
    """Leaves the rule out from now on."""
    services = services_of(request)
    form = await request.form()
    why = field(form, "why", length_max=WHY_LENGTH_MAX)
    async with services.pool.acquire() as connection, connection.transaction():
        _require_unchanged(form, await _rule(connection, request, rule_id))
        by = session_of(request).user.email
        await store.turn_off(connection, services.book, rule_id, by=by, why=why)
    return Redirect(path=f"/rules/{rule_id}", status_code=303)


@post("/rules/{rule_id:str}/as-shipped", include_in_schema=False, opt={PERMISSION: Permission.RULES})
async def as_shipped(request: AnyRequest, rule_id: FromPath[str]) -> Redirect:
    """Takes back what was changed."""
    services = services_of(request)
    form = await request.form()
    why = field(form, "why", length_max=WHY_LENGTH_MAX)
    async with services.pool.acquire() as connection, connection.transaction():
        _require_unchanged(form, await _rule(connection, request, rule_id))
        by = session_of(request).user.email
        await store.as_shipped(connection, services.book, rule_id, by=by, why=why)
    return Redirect(path=f"/rules/{rule_id}", status_code=303)
