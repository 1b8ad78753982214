"""Administration: everything that can be set, what state it is in, and where; what each role may do; the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from litestar import Response, get

from tenderline import config_shown
from tenderline.desk import role_words
from tenderline.store import administration
from tenderline.store.administration import Counts
from tenderline.store.users import Permission, Role
from tenderline.web.admin_form import AnyRequest, services_of, show
from tenderline.web.sign_in import PERMISSION

PATH: Final = "/admin"
MAY: Final = {PERMISSION: Permission.ADMINISTER}


@dataclass(frozen=True, slots=True)
class Place:
    """Something that can be set: where, what it is, and how it stands."""

    path: str
    title: str
    about: str
    state: str
    is_wanting: bool = False
    """Whether nothing works until somebody sets it."""


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def _shut_out(count: int) -> str:
    return f", {count} shut out" if count else ""


def _places(now: Counts, set_somewhere: int) -> list[tuple[str, list[Place]]]:
    settings = f"{_many(set_somewhere, 'setting')} not by default"
    return [
        ("Who may get in", _who_may_get_in(now)),
        ("Who answers calls", _who_answers(now)),
        ("What callers meet", _what_callers_meet(now)),
        (
            "The system",
            [
                Place("/admin/settings", "Settings", "Every setting, its value and where it comes from.", settings),
                Place("/admin/audit", "Audit log", "Who did what; whether the log is whole.", f"{now.audit_rows} rows"),
            ],
        ),
    ]


def _who_may_get_in(now: Counts) -> list[Place]:
    users = f"{_many(now.users, 'user')}, {_many(now.admins, 'administrator')}{_shut_out(now.users_disabled)}"
    clients = f"{_many(now.clients, 'client')}{_shut_out(now.clients_disabled)}"
    return [
        Place("/admin/users", "Users", "Who signs in to the screens, and with which role.", users),
        Place("/admin/roles", "Roles", "What each role may do.", _many(len(Role), "role")),
        Place("/admin/clients", "API clients", "Programs that use the API, and their scopes.", clients),
    ]


def _who_answers(now: Counts) -> list[Place]:
    queues = f"{_many(now.queues, 'queue')}, {_many(now.callers, 'caller')} waiting"
    agents = f"{_many(now.agents, 'agent')}, {now.agents_here} logged in"
    reach = "Whom a caller may reach, how long it rings, when a place may be kept."
    return [
        Place("/admin/queues", "Queues", reach, queues, is_wanting=not now.queues),
        Place("/admin/skills", "Skills", "What agents may be good at.", _many(now.skills, "skill")),
        Place(
            "/admin/agents",
            "Agents",
            "Telephone or browser, queues, and how good at what.",
            agents,
            is_wanting=not now.agents,
        ),
        Place(
            "/admin/dispositions",
            "Dispositions",
            "How calls may end, and what follows.",
            f"{_many(now.dispositions, 'disposition')} offered",
        ),
        Place("/admin/scripts", "Scripts", "What agents may say, step by step.", _many(now.scripts, "script")),
    ]


def _what_callers_meet(now: Counts) -> list[Place]:
    lines = f"{_many(now.lines, 'line')}, {_many(now.telephones, 'telephone')}"
    calling = f"{lines}, {_many(now.campaigns, 'calling campaign')}"
    led = "Which number leads to which flow; telephones; calls that we make."
    segments = f"version {now.segments_version}" if now.segments_version else "as shipped"
    return [
        Place("/lines", "Lines", led, calling, is_wanting=not now.lines),
        Place("/segments", "Segments", "Which donors count as what.", segments),
        Place("/rules", "Rules", "What the gate asks before every contact.", "each with its source"),
        Place("/do-not-contact", "Do not contact", "Lists that the gate asks.", "read in as files"),
        Place("/outgoing", "Webhooks", "Who else is told of what happens.", "each with its state"),
    ]


@get(PATH, include_in_schema=False, opt=MAY)
async def show_places(request: AnyRequest) -> Response[str]:
    """Everything that can be set."""
    services = services_of(request)
    async with services.pool.acquire() as connection:
        now = await administration.counts(connection)
    return show(request, "admin.html", groups=_places(now, len(services.settings.sources)))


@get(f"{PATH}/roles", include_in_schema=False, opt=MAY)
async def show_roles(request: AnyRequest) -> Response[str]:
    """The table of permissions; it is part of the product and cannot be changed."""
    return show(request, "admin_roles.html", roles=role_words.ROLES, rows=role_words.table())


@get(f"{PATH}/settings", include_in_schema=False, opt=MAY)
async def show_settings(request: AnyRequest) -> Response[str]:
    """Every setting as this process read it; secrets are never shown."""
    found = config_shown.sections(services_of(request).settings)
    is_all = request.query_params.get("show") != "set"
    return show(request, "admin_settings.html", sections=found, is_all=is_all)


HANDLERS: Final = [show_places, show_roles, show_settings]
