"""Queues: listed, made, changed with a picture of whom a caller may reach, and deleted when nothing uses them."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError
from tenderline.core.queue_rings import PROFICIENCY_MAX, PROFICIENCY_MIN, RINGS_MAX, Ring, checked
from tenderline.desk import queue_picture
from tenderline.flows import queues_named
from tenderline.store import administration, queues, waiting
from tenderline.store.db import Connection
from tenderline.store.queues import TIERS_MAX, NoSuchQueueError, Queue
from tenderline.store.users import Permission
from tenderline.web.admin_form import NAME, AnyRequest, Form, by, services_of, show
from tenderline.web.sign_in import PERMISSION

PATH: Final = "/admin/queues"
NEW: Final = ""
MAY: Final = {PERMISSION: Permission.ADMINISTER}
TITLE_LENGTH_MAX: Final = 80
WAIT_MAX_S: Final = 7200
NUMBERS: Final = (
    ("ring_s", "Rings at an agent, seconds", 5, 60, "then it rings at the next one"),
    ("wrap_up_s", "Wrap-up after a call, seconds", 0, 3600, "an agent gets no call meanwhile"),
    ("service_level_s", "Service level: answered within, seconds", 1, 3600, "what the board measures against"),
    ("service_level_percent", "Service level: of calls, percent", 1, 100, "the target"),
    ("last_agent_wait_s", "Wait for the last agent, seconds", 0, 300, "0: whoever is free takes the call"),
)
LIMITS: Final = (
    ("wait_max_s", "Longest wait, seconds", 5, WAIT_MAX_S, "empty: as long as the flow says"),
    ("callback_after_s", "A place may be kept after, seconds", 0, WAIT_MAX_S, "empty: never"),
)


def _of(queue: Queue) -> Form:
    """The form of a queue as it is."""
    values: dict[str, list[str]] = {"name": [queue.name], "title": [queue.title], "seen": [_version(queue)]}
    for name, *_ in (*NUMBERS, *LIMITS):
        value = getattr(queue, name)
        values[name] = ["" if value is None else str(value)]
    values["tiers"] = ["\n".join(f"{tier} = {steps}" for tier, steps in sorted(queue.tiers.items()))]
    for place, ring in enumerate(queue.rings):
        values[f"ring-{place}-after"] = [f"{ring.after_s:g}"]
        values[f"ring-{place}-level"] = [str(ring.proficiency_min)]
        values[f"ring-{place}-skills"] = list(ring.skills_dropped)
        values[f"ring-{place}-queues"] = list(ring.queues_joined)
    values["rings"] = [str(len(queue.rings) + 1)]
    return Form(values)


def _version(queue: Queue | None) -> str:
    return queue.updated_at.isoformat() if queue and queue.updated_at else NEW


def _ring_rows(form: Form) -> int:
    """How many rows of rings the form has."""
    typed = form.value("rings", "2")
    rows = int(typed) if typed.isascii() and typed.isdecimal() and len(typed) <= 2 else 2
    return max(2, min(RINGS_MAX, rows + (1 if form.value("do") == "ring" else 0)))


def _rings(form: Form, skills: list[str], others: list[str]) -> tuple[Ring, ...]:
    """Rows without a second are left out; the first one is from second 0 on."""
    found: list[Ring] = []
    for place in range(_ring_rows(form)):
        after, row = f"ring-{place}-after", f"Ring {place + 1}"
        dropped = form.ticked(f"ring-{place}-skills", f"{row}, skills", skills)
        joined = form.ticked(f"ring-{place}-queues", f"{row}, queues", others)
        level = form.maybe_whole(f"ring-{place}-level", f"{row}, level", PROFICIENCY_MIN, PROFICIENCY_MAX)
        start = 0 if place == 0 else form.maybe_whole(after, f"{row}, seconds", 1, WAIT_MAX_S)
        if start is None:
            if dropped or joined:
                form.wrong(after, f"{row}, seconds: write after how many seconds it begins, or untick its boxes.")
            continue
        level = PROFICIENCY_MIN if level is None else level
        found.append(
            Ring(after_s=start, proficiency_min=level, skills_dropped=tuple(dropped), queues_joined=tuple(joined))
        )
    return () if found == [Ring()] else tuple(found)


def _tiers(form: Form) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in form.value("tiers").splitlines():
        if not line.strip():
            continue
        name, _, steps = (part.strip() for part in line.partition("="))
        if (
            not NAME.fullmatch(name)
            or not steps.isascii()
            or not steps.isdecimal()
            or len(steps) > 2
            or int(steps) > 10
        ):
            form.wrong("tiers", f"Head start: write “{line.strip()[:40]}” as name = minutes, with 0 to 10 minutes.")
            continue
        found[name] = int(steps)
    if len(found) > TIERS_MAX:
        form.wrong("tiers", f"Head start: {TIERS_MAX} tiers at most; this names {len(found)}.")
    return found


def _read(form: Form, before: Queue | None, skills: list[str], names: list[str]) -> Queue:
    name = before.name if before else form.name("name", "Name")
    if before is None and name == "new":
        form.wrong("name", "Name: “new” is the name of this page; choose another one.")
    if before is None and name in names:
        form.wrong("name", f"Name: there is a queue “{name}” already; change that one, or choose another name.")
    others = [one for one in names if one != name]
    rings = _rings(form, skills, others)
    try:
        checked(rings, name)
    except InvalidInputError as error:
        form.wrong("rings", f"Rings: {error.detail}")
        rings = ()
    numbers = {field: form.whole(field, label, low, high) for field, label, low, high, _ in NUMBERS}
    limits = {field: form.maybe_whole(field, label, low, high) for field, label, low, high, _ in LIMITS}
    made = Queue(
        name=name,
        title=form.text("title", "Title", length_max=TITLE_LENGTH_MAX),
        rings=rings,
        tiers=_tiers(form),
    )
    return msgspec.structs.replace(made, **numbers, **limits)


async def _known(connection: Connection) -> tuple[list[str], list[str]]:
    """(skills, queues), by name."""
    skills = [one.name for one in await queues.skills(connection)]
    return skills, [one.name for one in await queues.every(connection)]


async def _page(request: AnyRequest, form: Form, queue: Queue | None, drawn: Queue | None) -> Response[str]:
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        skills, names = await _known(connection)
        states = await administration.queue_states(connection)
        flows = await queues_named.flows_naming(connection, queue.name) if queue else []
    return show(
        request,
        "admin_queue.html",
        form,
        queue=queue,
        state=states.get(queue.name) if queue else None,
        flows=flows,
        skills=skills,
        others=[one for one in names if queue is None or one != queue.name],
        rows=_ring_rows(form),
        rows_max=RINGS_MAX,
        levels=range(PROFICIENCY_MIN, PROFICIENCY_MAX + 1),
        numbers=NUMBERS,
        limits=LIMITS,
        picture=queue_picture.svg(drawn) if drawn else None,
        in_words=queue_picture.in_words(drawn) if drawn else [],
    )


@get(PATH, include_in_schema=False, opt=MAY)
async def show_queues(request: AnyRequest) -> Response[str]:
    """Every queue with who waits and who serves it."""
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        every = await queues.every(connection)
        states = await administration.queue_states(connection)
    return show(request, "admin_queues.html", queues=every, states=states, picture=queue_picture)


@get(f"{PATH}/new", include_in_schema=False, opt=MAY)
async def show_new(request: AnyRequest) -> Response[str]:
    """The form with what a queue has by itself."""
    made = Queue(name="", title="")
    return await _page(request, _of(made), None, None)


@get(f"{PATH}/{{name:str}}", include_in_schema=False, opt=MAY)
async def show_queue(request: AnyRequest, name: FromPath[str]) -> Response[str]:
    """The form of one."""
    async with services_of(request).pool.acquire() as connection:
        queue = await _one(connection, name)
    return await _page(request, _of(queue), queue, queue)


async def _one(connection: Connection, name: str) -> Queue:
    found = await queues.get(connection, name) if NAME.fullmatch(name) else None
    if found is None:
        raise NoSuchQueueError()
    return found


@post(f"{PATH}/new", include_in_schema=False, opt=MAY)
async def add(request: AnyRequest) -> Response[str] | Redirect:
    """A new queue."""
    return await _save(request, None)


@post(f"{PATH}/{{name:str}}", include_in_schema=False, opt=MAY)
async def change(request: AnyRequest, name: FromPath[str]) -> Response[str] | Redirect:
    """A queue as it is from now on, also for those who wait in it."""
    return await _save(request, name)


async def _save(request: AnyRequest, name: str | None) -> Response[str] | Redirect:
    """Keeps it; or shows the form again: with another row, with the picture of what is typed, with what is wrong."""
    form = await Form.posted(request)
    async with services_of(request).pool.acquire() as connection:
        before = await _one(connection, name) if name is not None else None
        wanted = _read(form, before, *await _known(connection))
    step = form.value("do")
    if step == "ring":
        form.problems.clear()
    elif form.is_right and step != "preview":
        if before is not None and form.value("seen") != _version(before):
            form.general = (
                f"{before.updated_by} changed this queue since you looked at it: open it in another tab, compare, "
                "and set it there."
            )
        elif await _put(request, wanted, form):
            return Redirect(path=f"{PATH}#queue-{wanted.name}", status_code=303)
    return await _page(request, form, before, wanted if not form.problems else None)


async def _put(request: AnyRequest, wanted: Queue, form: Form) -> bool:
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            await queues.put(connection, wanted, by=by(request))
            await waiting.hint(connection)
    except InvalidInputError as error:
        form.failed(error)
        return False
    return True


@post(f"{PATH}/{{name:str}}/delete", include_in_schema=False, opt=MAY)
async def delete(request: AnyRequest, name: FromPath[str]) -> Response[str] | Redirect:
    """Refused with the reason while anything uses it."""
    async with services_of(request).pool.acquire() as connection:
        queue = await _one(connection, name)
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            await queues_named.remove_queue(connection, name, by=by(request))
    except InvalidInputError as error:
        form = _of(queue)
        form.failed(error)
        return await _page(request, form, queue, queue)
    return Redirect(path=PATH, status_code=303)


HANDLERS: Final = [show_queues, show_new, show_queue, add, change, delete]
