"""Skills, and the agents who have them: who an agent is, which queues she serves, how good she is at what."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.queue_rings import PROFICIENCY_MAX, PROFICIENCY_MIN
from tenderline.store import agents, lines, queues, users, waiting
from tenderline.store.agents import Agent
from tenderline.store.users import Permission
from tenderline.web.admin_form import AnyRequest, Form, by, services_of, show
from tenderline.web.sign_in import PERMISSION

SKILLS: Final = "/admin/skills"
AGENTS: Final = "/admin/agents"
MAY: Final = {PERMISSION: Permission.ADMINISTER}
TITLE_LENGTH_MAX: Final = 80
LEVELS: Final = [str(level) for level in range(PROFICIENCY_MIN, PROFICIENCY_MAX + 1)]


async def _skills_page(request: AnyRequest, form: Form | None = None) -> Response[str]:
    async with services_of(request).pool.acquire() as connection:
        known = await queues.skills(connection)
    return show(request, "admin_skills.html", form, skills=known)


@get(SKILLS, include_in_schema=False, opt=MAY)
async def show_skills(request: AnyRequest) -> Response[str]:
    """Every skill, and how many have it."""
    return await _skills_page(request)


@post(SKILLS, include_in_schema=False, opt=MAY)
async def put_skill(request: AnyRequest) -> Response[str] | Redirect:
    """A new one, or another title."""
    form = await Form.posted(request)
    name, title = form.name("name", "Name"), form.text("title", "Title", length_max=TITLE_LENGTH_MAX)
    if not form.is_right:
        return await _skills_page(request, form)
    async with services_of(request).pool.acquire() as connection, connection.transaction():
        await queues.put_skill(connection, name, title, by=by(request))
    return Redirect(path=f"{SKILLS}#skill-{name}", status_code=303)


@post(f"{SKILLS}/delete", include_in_schema=False, opt=MAY)
async def delete_skill(request: AnyRequest) -> Response[str] | Redirect:
    """Refused while anybody has it, or a queue's rings name it."""
    form = await Form.posted(request)
    name = form.name("name", "Name")
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            await queues.remove_skill(connection, name, by=by(request))
    except (InvalidInputError, NotFoundError) as error:
        form = Form()
        form.failed(error)
        return await _skills_page(request, form)
    return Redirect(path=SKILLS, status_code=303)


def _of(agent: Agent) -> Form:
    values = {
        "name": [agent.name],
        "user": [str(agent.user_id or "")],
        "telephone": [agent.telephone or ""],
        "enabled": ["yes"] if agent.enabled else [],
        "queues": agent.queues,
        **{f"skill-{name}": [str(level)] for name, level in agent.skills.items()},
    }
    return Form(values)


async def _agent_page(request: AnyRequest, form: Form, agent: Agent | None) -> Response[str]:
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        people = await users.list_users(connection)
        every = await agents.every(connection)
        telephones = await lines.telephones(connection)
        known, skills = await queues.every(connection), await queues.skills(connection)
    taken = {one.user_id for one in every if agent is None or one.id != agent.id}
    theirs = {one.telephone for one in every if not one.automatic and (agent is None or one.id != agent.id)}
    return show(
        request,
        "admin_agent.html",
        form,
        agent=agent,
        people=[one for one in people if one.id not in taken and one.disabled_at is None],
        telephones=[one.name for one in telephones if one.enabled and one.name not in theirs],
        queues=[one.name for one in known],
        skills=skills,
        levels=LEVELS,
    )


@get(AGENTS, include_in_schema=False, opt=MAY)
async def show_agents(request: AnyRequest) -> Response[str]:
    """Every agent, and what she does now."""
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        every = await agents.every(connection)
        people = {one.id: one for one in await users.list_users(connection)}
    return show(request, "admin_agents.html", agents=every, people=people)


@get(f"{AGENTS}/new", include_in_schema=False, opt=MAY)
async def show_new(request: AnyRequest) -> Response[str]:
    """The form of somebody new."""
    return await _agent_page(request, Form({"enabled": ["yes"]}), None)


@get(f"{AGENTS}/{{agent_id:uuid}}", include_in_schema=False, opt=MAY)
async def show_agent(request: AnyRequest, agent_id: FromPath[UUID]) -> Response[str]:
    """The form of one."""
    async with services_of(request).pool.acquire() as connection:
        agent = await agents.get(connection, agent_id)
    return await _agent_page(request, _of(agent), agent)


@post(f"{AGENTS}/new", include_in_schema=False, opt=MAY)
async def add(request: AnyRequest) -> Response[str] | Redirect:
    """Somebody new, offline until she says otherwise."""
    return await _save(request, None)


@post(f"{AGENTS}/{{agent_id:uuid}}", include_in_schema=False, opt=MAY)
async def change(request: AnyRequest, agent_id: FromPath[UUID]) -> Response[str] | Redirect:
    """From the next call on; one that lasts goes on."""
    async with services_of(request).pool.acquire() as connection:
        agent = await agents.get(connection, agent_id)
    return await _save(request, agent)


async def _save(request: AnyRequest, agent: Agent | None) -> Response[str] | Redirect:
    form = await Form.posted(request)
    async with services_of(request).pool.acquire() as connection:
        known = [one.name for one in await queues.every(connection)]
        skills = [one.name for one in await queues.skills(connection)]
    name = form.text("name", "Name", length_max=TITLE_LENGTH_MAX)
    levels = {one: form.choice(f"skill-{one}", one, ["", *LEVELS]) for one in skills}
    served = form.ticked("queues", "Queues", known)
    user_id = _user(form)
    telephone = form.value("telephone")[:40] or None
    if not form.is_right:
        return await _agent_page(request, form, agent)
    mastered = {one: int(level) for one, level in levels.items() if level}
    who, enabled = by(request), form.is_ticked("enabled")
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            if agent is None:
                await agents.make(
                    connection,
                    name=name,
                    user_id=user_id,
                    telephone=telephone,
                    of_queues=served,
                    skills=mastered,
                    by=who,
                )
            else:
                await agents.change(
                    connection, agent.id, name=name, user_id=user_id, telephone=telephone, enabled=enabled, by=who
                )
                await agents.assign(connection, agent.id, of_queues=served, skills=mastered, by=who)
            await waiting.hint(connection)
    except (InvalidInputError, NotFoundError) as error:
        form.failed(error)
        return await _agent_page(request, form, agent)
    return Redirect(path=AGENTS, status_code=303)


def _user(form: Form) -> UUID | None:
    typed = form.value("user")
    try:
        return UUID(typed) if typed else None
    except ValueError:
        form.wrong("user", "User: choose one of the list.")
        return None


@post(f"{AGENTS}/{{agent_id:uuid}}/delete", include_in_schema=False, opt=MAY)
async def delete(request: AnyRequest, agent_id: FromPath[UUID]) -> Response[str] | Redirect:
    """With what she did before; refused while she is on a call."""
    async with services_of(request).pool.acquire() as connection:
        agent = await agents.get(connection, agent_id)
    try:
        async with services_of(request).pool.acquire() as connection, connection.transaction():
            await agents.remove(connection, agent_id, by=by(request))
    except InvalidInputError as error:
        form = _of(agent)
        form.failed(error)
        return await _agent_page(request, form, agent)
    return Redirect(path=AGENTS, status_code=303)


HANDLERS: Final = [
    show_skills, put_skill, delete_skill, show_agents, show_new, show_agent, add, change, delete,
]  # fmt: skip
