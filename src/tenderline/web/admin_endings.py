"""How calls may end, and what agents may say: dispositions with what follows, and scripts in steps."""

from __future__ import annotations

import re
from datetime import time
from typing import Final, get_args

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.flows import shipped
from tenderline.store import calling_campaigns, dispositions, lines, queues, scripts
from tenderline.store.db import Connection
from tenderline.store.dispositions import Disposition, NextAction
from tenderline.store.scripts import STEPS_MAX, Script, ScriptStep
from tenderline.store.users import Permission
from tenderline.web.admin_form import AnyRequest, Form, by, services_of, show
from tenderline.web.sign_in import PERMISSION

DISPOSITIONS: Final = "/admin/dispositions"
SCRIPTS: Final = "/admin/scripts"
MAY: Final = {PERMISSION: Permission.ADMINISTER}
CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
TITLE_LENGTH_MAX: Final = 80
TEXT_LENGTH_MAX: Final = 1000
DAYS_MAX: Final = 31
ACTIONS: Final[dict[str, str]] = {
    "none": "nothing follows",
    "callback": "she is called back",
    "promise": "her promise is kept in the case",
    "opt_out": "no contact any more, on no channel",
    "wrong_number": "the number is somebody else's: it is used no more",
}
assert set(ACTIONS) == set(get_args(NextAction))


def _code(form: Form, name: str, label: str) -> str:
    found = form.value(name).strip()
    if not CODE.fullmatch(found) or found == "new":
        form.wrong(name, f"{label}: begin with a small letter; then small letters, digits and “_” only, 40 at most.")
    return found


async def _flows(connection: Connection) -> list[str]:
    return sorted({one.name for one in await lines.newest_flows(connection)}.union(shipped.names()))


async def _queues(connection: Connection) -> list[str]:
    return [one.name for one in await queues.every(connection)]


async def _campaigns(connection: Connection) -> list[str]:
    own = {one.name for one in await calling_campaigns.every(connection)}
    return sorted(own.union(one.campaign for one in await lines.all_lines(connection)))


@get(DISPOSITIONS, include_in_schema=False, opt=MAY)
async def show_dispositions(request: AnyRequest) -> Response[str]:
    """Every way for a call to end, with what follows."""
    async with services_of(request).pool.acquire() as connection:
        every = await dispositions.every(connection)
    return show(request, "admin_dispositions.html", dispositions=every, actions=ACTIONS)


async def _disposition_page(request: AnyRequest, form: Form, found: Disposition | None) -> Response[str]:
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        known, flows = await _queues(connection), await _flows(connection)
    kept = found or Disposition(code="", title="")
    return show(
        request,
        "admin_disposition.html",
        form,
        found=found,
        actions=ACTIONS,
        queues=sorted({*known, *kept.queues}),
        flows=sorted({*flows, *kept.flows}),
        days_max=DAYS_MAX,
    )


def _of(found: Disposition) -> Form:
    return Form(
        {
            "title": [found.title],
            "key": [str(found.key or "")],
            "next_action": [found.next_action],
            "after_days": ["" if found.after_days is None else str(found.after_days)],
            "local_time": [found.local_time.isoformat("minutes") if found.local_time else ""],
            "asked_for": ["yes"] if found.asked_for else [],
            "enabled": ["yes"] if found.enabled else [],
            "queues": found.queues,
            "flows": found.flows,
        }
    )


async def _disposition(connection: Connection, code: str) -> Disposition:
    for one in await dispositions.every(connection):
        if one.code == code:
            return one
    raise NotFoundError("There is no disposition of this code; the list shows those there are.")


@get(f"{DISPOSITIONS}/new", include_in_schema=False, opt=MAY)
async def new_disposition(request: AnyRequest) -> Response[str]:
    """The form of a new one."""
    return await _disposition_page(request, Form({"enabled": ["yes"]}), None)


@get(f"{DISPOSITIONS}/{{code:str}}", include_in_schema=False, opt=MAY)
async def show_disposition(request: AnyRequest, code: FromPath[str]) -> Response[str]:
    """The form of one."""
    async with services_of(request).pool.acquire() as connection:
        found = await _disposition(connection, code)
    return await _disposition_page(request, _of(found), found)


@post(f"{DISPOSITIONS}/new", include_in_schema=False, opt=MAY)
async def add_disposition(request: AnyRequest) -> Response[str] | Redirect:
    """A new way for a call to end."""
    return await _save_disposition(request, None)


@post(f"{DISPOSITIONS}/{{code:str}}", include_in_schema=False, opt=MAY)
async def change_disposition(request: AnyRequest, code: FromPath[str]) -> Response[str] | Redirect:
    """From the next choice on; what was chosen keeps what followed."""
    async with services_of(request).pool.acquire() as connection:
        found = await _disposition(connection, code)
    return await _save_disposition(request, found)


def _read(form: Form, code: str, known: list[str], flows: list[str]) -> Disposition:
    action = form.choice("next_action", "What follows", list(ACTIONS))
    days = form.maybe_whole("after_days", "After days", 0, DAYS_MAX)
    at: time | None = None
    if typed := form.value("local_time").strip():
        try:
            at = time.fromisoformat(typed).replace(second=0, microsecond=0, tzinfo=None)
        except ValueError:
            form.wrong("local_time", f"At: write a time of day as 09:30, not “{typed[:20]}”.")
    if action in ("callback", "promise"):
        if days is None:
            form.wrong("after_days", f"After days: write 0 to {DAYS_MAX}; a callback or a promise needs a day.")
        if at is None:
            form.wrong("local_time", "At: write a time of day as 09:30; a callback or a promise needs one.")
    return Disposition(
        code=code,
        title=form.text("title", "Title", length_max=TITLE_LENGTH_MAX),
        key=form.maybe_whole("key", "Key", 1, 9),
        next_action=action if action in ACTIONS else "none",  # type: ignore[arg-type]  # one of them
        after_days=days,
        local_time=at,
        asked_for=form.is_ticked("asked_for"),
        queues=form.ticked("queues", "Queues", known),
        flows=form.ticked("flows", "Flows", flows),
        enabled=form.is_ticked("enabled"),
    )


async def _save_disposition(request: AnyRequest, found: Disposition | None) -> Response[str] | Redirect:
    form = await Form.posted(request)
    async with services_of(request).pool.acquire() as connection:
        known, flows = await _queues(connection), await _flows(connection)
        taken = [one.code for one in await dispositions.every(connection)]
    code = found.code if found else _code(form, "code", "Code")
    if found is None and code in taken:
        form.wrong("code", f"Code: there is a disposition “{code}” already; change that one, or choose another code.")
    wanted = _read(form, code, [*known, *(found.queues if found else ())], [*flows, *(found.flows if found else ())])
    if form.is_right:
        try:
            async with services_of(request).pool.acquire() as connection, connection.transaction():
                await dispositions.put(connection, wanted, by=by(request))
            return Redirect(path=f"{DISPOSITIONS}#disposition-{code}", status_code=303)
        except InvalidInputError as error:
            form.failed(error)
    return await _disposition_page(request, form, found)


@get(SCRIPTS, include_in_schema=False, opt=MAY)
async def show_scripts(request: AnyRequest) -> Response[str]:
    """Every script in its newest version."""
    async with services_of(request).pool.acquire() as connection:
        every = await scripts.every(connection)
    return show(request, "admin_scripts.html", scripts=every)


def _step_rows(form: Form) -> int:
    typed = form.value("steps", "3")
    rows = int(typed) if typed.isascii() and typed.isdecimal() and len(typed) <= 2 else 3
    return max(1, min(STEPS_MAX, rows + (1 if form.value("do") == "step" else 0)))


async def _script_page(request: AnyRequest, form: Form, found: Script | None) -> Response[str]:
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        known, campaigns = await _queues(connection), await _campaigns(connection)
    return show(
        request,
        "admin_script.html",
        form,
        found=found,
        rows=_step_rows(form),
        rows_max=STEPS_MAX,
        queues=sorted({*known, *(found.queues if found else ())}),
        campaigns=sorted({*campaigns, *(found.campaigns if found else ())}),
    )


async def _script(connection: Connection, name: str) -> Script:
    for one in await scripts.every(connection):
        if one.name == name:
            return one
    raise NotFoundError("There is no script of this name; the list shows those there are.")


@get(f"{SCRIPTS}/new", include_in_schema=False, opt=MAY)
async def new_script(request: AnyRequest) -> Response[str]:
    """The form of a new one."""
    return await _script_page(request, Form({"enabled": ["yes"]}), None)


@get(f"{SCRIPTS}/{{name:str}}", include_in_schema=False, opt=MAY)
async def show_script(request: AnyRequest, name: FromPath[str]) -> Response[str]:
    """The form of one."""
    async with services_of(request).pool.acquire() as connection:
        found = await _script(connection, name)
    values = {
        "title": [found.title],
        "enabled": ["yes"] if found.enabled else [],
        "queues": found.queues,
        "campaigns": found.campaigns,
        "steps": [str(len(found.steps))],
        "seen": [str(found.version)],
    }
    for place, step in enumerate(found.steps):
        values[f"step-{place}-title"], values[f"step-{place}-text"] = [step.title], [step.text]
    return await _script_page(request, Form(values), found)


@post(f"{SCRIPTS}/new", include_in_schema=False, opt=MAY)
async def add_script(request: AnyRequest) -> Response[str] | Redirect:
    """A new script."""
    return await _save_script(request, None)


@post(f"{SCRIPTS}/{{name:str}}", include_in_schema=False, opt=MAY)
async def change_script(request: AnyRequest, name: FromPath[str]) -> Response[str] | Redirect:
    """A new version; those before are kept."""
    async with services_of(request).pool.acquire() as connection:
        found = await _script(connection, name)
    return await _save_script(request, found)


def _steps(form: Form) -> list[ScriptStep]:
    found: list[ScriptStep] = []
    for place in range(_step_rows(form)):
        title, text = f"step-{place}-title", form.value(f"step-{place}-text").replace("\r\n", "\n").strip()
        if not form.value(title).strip() and not text:
            continue
        if len(text) > TEXT_LENGTH_MAX or not text.replace("\n", " ").isprintable():
            form.wrong(f"step-{place}-text", f"Step {place + 1}, text: {TEXT_LENGTH_MAX} printable characters at most.")
        found.append(ScriptStep(form.text(title, f"Step {place + 1}, title", length_max=TITLE_LENGTH_MAX), text))
    if not found:
        form.wrong("step-0-title", "Step 1, title: a script has one step at least; write what it is about.")
    return found


async def _save_script(request: AnyRequest, found: Script | None) -> Response[str] | Redirect:
    form = await Form.posted(request)
    async with services_of(request).pool.acquire() as connection:
        known, campaigns = await _queues(connection), await _campaigns(connection)
        taken = [one.name for one in await scripts.every(connection)]
    if form.value("do") == "step":
        return await _script_page(request, form, found)
    name = found.name if found else _code(form, "name", "Name")
    if found is None and name in taken:
        form.wrong("name", f"Name: there is a script “{name}” already; change that one, or choose another name.")
    wanted = Script(
        name=name,
        title=form.text("title", "Title", length_max=TITLE_LENGTH_MAX),
        steps=_steps(form),
        queues=form.ticked("queues", "Queues", [*known, *(found.queues if found else ())]),
        campaigns=form.ticked("campaigns", "Campaigns", [*campaigns, *(found.campaigns if found else ())]),
        enabled=form.is_ticked("enabled"),
    )
    if found is not None and form.value("seen") != str(found.version):
        form.general = f"{found.created_by} put version {found.version} in force since you looked: open it and compare."
    if not form.is_right:
        return await _script_page(request, form, found)
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        await scripts.put(connection, wanted, by=by(request))
    return Redirect(path=f"{SCRIPTS}#script-{name}", status_code=303)


HANDLERS: Final = [
    show_dispositions, new_disposition, show_disposition, add_disposition, change_disposition,
    show_scripts, new_script, show_script, add_script, change_script,
]  # fmt: skip
