"""The audit log: who did what, found by person, action, subject and day; and whether the chain is whole."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from litestar import Response, get, post

from tenderline.store import administration, audit
from tenderline.store.administration import Wanted
from tenderline.store.audit import Verdict
from tenderline.store.users import Permission
from tenderline.web.admin_form import AnyRequest, Form, services_of, show
from tenderline.web.sign_in import PERMISSION

PATH: Final = "/admin/audit"
MAY: Final = {PERMISSION: Permission.ADMINISTER}
PAGE_SIZE: Final = 50
VERIFY_TIMEOUT_S: Final = 30.0
TEXT_LENGTH_MAX: Final = 254
FIELDS: Final = ("actor", "action", "subject", "since", "until")


def _day(form: Form, name: str, label: str) -> datetime | None:
    typed = form.value(name).strip()
    if not typed:
        return None
    try:
        found = date.fromisoformat(typed)
    except ValueError:
        form.wrong(name, f"{label}: write a day as 2026-11-30, or leave it empty.")
        return None
    return datetime(found.year, found.month, found.day, tzinfo=UTC)


def _wanted(form: Form) -> Wanted:
    before = form.value("before")
    until = _day(form, "until", "To")
    if until is not None and until.year >= date.max.year:
        until = None
    return Wanted(
        before=int(before) if before.isascii() and before.isdecimal() and len(before) <= 18 else None,
        actor=form.text("actor", "Who", length_max=TEXT_LENGTH_MAX, optional=True) or None,
        action=form.text("action", "Action", length_max=TEXT_LENGTH_MAX, optional=True) or None,
        subject=form.text("subject", "On what", length_max=TEXT_LENGTH_MAX, optional=True) or None,
        since=_day(form, "since", "From"),
        until=until + timedelta(days=1) if until is not None else None,
    )


async def _page(request: AnyRequest, form: Form, verdict: Verdict | str | None = None) -> Response[str]:
    services = services_of(request)
    wanted = _wanted(form)
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        rows = await administration.audit_rows(connection, wanted, PAGE_SIZE + 1) if form.is_right else []
        actions = await administration.audit_actions(connection)
        count = (await administration.counts(connection)).audit_rows
    heads = await asyncio.to_thread(audit.read_heads, services.audit_head_file)
    asked = {name: form.value(name) for name in FIELDS if form.value(name)}
    older = None
    if len(rows) > PAGE_SIZE:
        rows.pop()
        older = f"{PATH}?{urlencode({**asked, 'before': rows[-1].number})}"
    return show(
        request,
        "admin_audit.html",
        form,
        rows=rows,
        actions=actions,
        count=count,
        head=heads[-1] if heads else None,
        older=older,
        newest=f"{PATH}?{urlencode(asked)}" if wanted.before else None,
        is_filtered=bool(asked),
        verdict=verdict,
        words_of=words_of,
    )


def words_of(data: dict[str, Any]) -> str:
    """What was said with it: `role agent, address 192.0.2.1`."""
    return ", ".join(f"{name} {_short(value)}" for name, value in data.items())


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_short(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + words_of(value) + "}"
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


@get(PATH, include_in_schema=False, opt=MAY)
async def show_audit(request: AnyRequest) -> Response[str]:
    """Newest first."""
    query = request.query_params
    return await _page(request, Form({name: [query.get(name, "")] for name in (*FIELDS, "before")}))


@post(f"{PATH}/verify", include_in_schema=False, opt=MAY, status_code=200)
async def verify(request: AnyRequest) -> Response[str]:
    """Walks the chain, for as long as a page may take."""
    services = services_of(request)
    heads = await asyncio.to_thread(audit.read_heads, services.audit_head_file)
    key = await asyncio.to_thread(audit.load_public_key, services.audit_key_file)
    verdict: Verdict | str
    try:
        async with asyncio.timeout(VERIFY_TIMEOUT_S):
            verdict = await audit.verify(services.pool, heads, key)
    except TimeoutError:
        verdict = "The log is too long to be walked while a page waits; `tenderline audit verify` takes its time."
    return await _page(request, Form(), verdict)


HANDLERS: Final = [show_audit, verify]
