"""Queues, skills and agents: who may wait for whom, who serves what, and what each agent does now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, delete, get, post, put
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.api.telephony import READ_SCOPE, WRITE_SCOPE
from tenderline.app import Services
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.queue_rings import RINGS_MAX, Name, Ring
from tenderline.flows import queues_named
from tenderline.store import agents, presence, queues, waiting
from tenderline.store.agents import Agent
from tenderline.store.queues import Queue

QUEUES_MAX: Final = 100
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Level = Annotated[int, msgspec.Meta(ge=1, le=5)]
Steps = Annotated[int, msgspec.Meta(ge=0, le=10)]


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class QueueSettings(_Json, frozen=True, forbid_unknown_fields=True):
    """A queue. `rings` say from which second on whom a caller may reach; `tiers` how many steps of priority a tier is
    worth, each like a minute of waiting; `callbackAfterS` from when on a place may be kept, null for never."""

    title: Words
    rings: Annotated[list[Ring], msgspec.Meta(max_length=RINGS_MAX)] = []
    tiers: dict[Name, Steps] = {}
    ring_s: Annotated[int, msgspec.Meta(ge=5, le=60)] = 20
    wrap_up_s: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 0
    service_level_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 20
    service_level_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 80
    wait_max_s: Annotated[int, msgspec.Meta(ge=5, le=7200)] | None = None
    callback_after_s: Annotated[int, msgspec.Meta(ge=0, le=7200)] | None = None
    last_agent_wait_s: Annotated[int, msgspec.Meta(ge=0, le=300)] = 0


class QueueEntity(QueueSettings, frozen=True, kw_only=True):
    """A queue with its name."""

    name: str
    updated_at: datetime | None


class QueueList(_Json, frozen=True):
    """Every queue, by name."""

    entities: list[QueueEntity]


class SkillSettings(_Json, frozen=True, forbid_unknown_fields=True):
    """What a skill is called on the screens."""

    title: Words


class SkillEntity(_Json, frozen=True):
    """A skill, and how many agents have it."""

    name: str
    title: str
    agents: int


class SkillList(_Json, frozen=True):
    """Every skill, by name."""

    entities: list[SkillEntity]


class AgentSettings(_Json, frozen=True, forbid_unknown_fields=True):
    """An agent: a user of the screens, a telephone, or both; the queues she serves; how good she is at what, 1 to 5."""

    name: Words
    user_id: UUID | None = None
    telephone: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    queues: Annotated[list[Name], msgspec.Meta(max_length=QUEUES_MAX)] = []
    skills: dict[Name, Level] = {}
    enabled: bool = True


class AgentEntity(_Json, frozen=True):
    """An agent with what she does now. `automatic`: a telephone with queues of its own."""

    id: UUID
    name: str
    user_id: UUID | None
    telephone: str | None
    automatic: bool
    enabled: bool
    queues: list[str]
    skills: dict[str, int]
    state: str
    reason: str | None
    since: datetime
    until: datetime | None
    conversation_id: UUID | None
    queue: str | None
    is_reachable: bool


class AgentList(_Json, frozen=True):
    """Every agent, by name."""

    entities: list[AgentEntity]


class PresenceWish(_Json, frozen=True, forbid_unknown_fields=True):
    """What an agent shall be: on a call it counts from the call's end on."""

    state: Literal["available", "away", "offline", "distress"]
    reason: Words | None = None


def _queue(one: Queue) -> QueueEntity:
    names = QueueEntity.__struct_fields__
    values = {name: getattr(one, name) for name in names}
    return QueueEntity(**{**values, "rings": list(one.rings)})


def _agent(one: Agent) -> AgentEntity:
    return AgentEntity(**{name: getattr(one, name) for name in AgentEntity.__struct_fields__})


def _checked(name: str, what: str) -> str:
    try:
        return msgspec.convert(name, Name)
    except msgspec.ValidationError:
        raise InvalidInputError(
            f"A {what}'s name begins with a letter and has letters, digits, _, - and . only, 40 at most."
        ) from None


def _by(request: Request[Any, Any, Any]) -> str:
    return f"client:{grant_of(request).client_id}"


def _known(name: str) -> str:
    if "\x00" in name:
        raise NotFoundError()
    return name


_READ: dict[str, Any] = {
    "opt": {SCOPE: READ_SCOPE},
    "security": [{"oauth2": [READ_SCOPE]}],
    "responses": documented(401, 403, 404, 429),
}
_WRITE_CODES = (400, 401, 403, 404, 409, 413, 422, 429)


@get("/api/v2/routing/queues", operation_id="getRoutingQueues", summary="Every queue", **_READ)
async def list_queues(request: Request[Any, Any, Any]) -> QueueList:
    """By name."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return QueueList(entities=[_queue(one) for one in await queues.every(connection)])


@put(
    "/api/v2/routing/queues/{name:str}",
    opt={SCOPE: WRITE_SCOPE},
    operation_id="putRoutingQueue",
    summary="Make or change a queue",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(*_WRITE_CODES),
)
async def put_queue(request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[QueueSettings]) -> QueueEntity:
    """It holds for those who wait in it, too. Audited."""
    services: Services = request.app.state.services
    wanted = Queue(
        name=_checked(name, "queue"),
        rings=tuple(data.rings),
        **{field: getattr(data, field) for field in QueueSettings.__struct_fields__ if field != "rings"},
    )
    async with services.pool.acquire() as connection, connection.transaction():
        await queues.put(connection, wanted, by=_by(request))
        found = await queues.get(connection, wanted.name)
        await waiting.hint(connection)
    assert found is not None, "it was written"
    return _queue(found)


@delete(
    "/api/v2/routing/queues/{name:str}",
    status_code=HTTP_204_NO_CONTENT,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="deleteRoutingQueue",
    summary="Delete a queue that nothing uses",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(401, 403, 404, 409, 429),
)
async def delete_queue(request: Request[Any, Any, Any], name: FromPath[str]) -> None:
    """Refused, with the reason, while callers wait in it or anything names it. Audited."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        await queues_named.remove_queue(connection, _known(name), by=_by(request))


@get("/api/v2/routing/skills", operation_id="getRoutingSkills", summary="Every skill", **_READ)
async def list_skills(request: Request[Any, Any, Any]) -> SkillList:
    """By name."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        found = await queues.skills(connection)
    return SkillList(entities=[SkillEntity(name=one.name, title=one.title, agents=one.agents) for one in found])


@put(
    "/api/v2/routing/skills/{name:str}",
    opt={SCOPE: WRITE_SCOPE},
    operation_id="putRoutingSkill",
    summary="Make a skill, or give it another title",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(*_WRITE_CODES),
)
async def put_skill(request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[SkillSettings]) -> SkillEntity:
    """Audited."""
    services: Services = request.app.state.services
    checked = _checked(name, "skill")
    async with services.pool.acquire() as connection, connection.transaction():
        await queues.put_skill(connection, checked, data.title, by=_by(request))
        (found,) = [one for one in await queues.skills(connection) if one.name == checked]
    return SkillEntity(name=found.name, title=found.title, agents=found.agents)


@delete(
    "/api/v2/routing/skills/{name:str}",
    status_code=HTTP_204_NO_CONTENT,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="deleteRoutingSkill",
    summary="Delete a skill that nobody has",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(401, 403, 404, 409, 429),
)
async def delete_skill(request: Request[Any, Any, Any], name: FromPath[str]) -> None:
    """Audited."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        await queues.remove_skill(connection, _known(name), by=_by(request))


@get("/api/v2/routing/agents", operation_id="getRoutingAgents", summary="Every agent and what she does now", **_READ)
async def list_agents(request: Request[Any, Any, Any]) -> AgentList:
    """By name."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return AgentList(entities=[_agent(one) for one in await agents.every(connection)])


@post(
    "/api/v2/routing/agents",
    opt={SCOPE: WRITE_SCOPE},
    operation_id="postRoutingAgents",
    summary="Make an agent",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(*_WRITE_CODES),
)
async def make_agent(request: Request[Any, Any, Any], data: JSONBody[AgentSettings]) -> AgentEntity:
    """Offline until she says otherwise. A telephone that was an agent by itself is hers from now on. Audited."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        made = await agents.make(
            connection,
            name=data.name,
            user_id=data.user_id,
            telephone=data.telephone,
            of_queues=data.queues,
            skills=data.skills,
            by=_by(request),
        )
        return _agent(await agents.get(connection, made))


@put(
    "/api/v2/routing/agents/{agent_id:uuid}",
    opt={SCOPE: WRITE_SCOPE},
    operation_id="putRoutingAgent",
    summary="Change an agent, her queues and her skills",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(*_WRITE_CODES),
)
async def put_agent(
    request: Request[Any, Any, Any], agent_id: FromPath[UUID], data: JSONBody[AgentSettings]
) -> AgentEntity:
    """From the next match on; a call that lasts goes on. Audited."""
    services: Services = request.app.state.services
    by = _by(request)
    async with services.pool.acquire() as connection, connection.transaction():
        await agents.change(
            connection,
            agent_id,
            name=data.name,
            user_id=data.user_id,
            telephone=data.telephone,
            enabled=data.enabled,
            by=by,
        )
        await agents.assign(connection, agent_id, of_queues=data.queues, skills=data.skills, by=by)
        await waiting.hint(connection)
        return _agent(await agents.get(connection, agent_id))


@delete(
    "/api/v2/routing/agents/{agent_id:uuid}",
    status_code=HTTP_204_NO_CONTENT,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="deleteRoutingAgent",
    summary="Delete an agent",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(401, 403, 404, 409, 429),
)
async def delete_agent(request: Request[Any, Any, Any], agent_id: FromPath[UUID]) -> None:
    """With what she did before; refused while she is on a call. Audited."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        await agents.remove(connection, agent_id, by=_by(request))


@post(
    "/api/v2/routing/agents/{agent_id:uuid}/presence",
    status_code=HTTP_200_OK,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="postRoutingAgentPresence",
    summary="Say what an agent does",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(*_WRITE_CODES),
)
async def say_presence(
    request: Request[Any, Any, Any], agent_id: FromPath[UUID], data: JSONBody[PresenceWish]
) -> AgentEntity:
    """On a call it counts from its end on; distress shows at once. Audited."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        await presence.say(connection, agent_id, data.state, reason=data.reason, by=_by(request))
        await waiting.hint(connection)
        return _agent(await agents.get(connection, agent_id))


HANDLERS: Final = [
    list_queues,
    put_queue,
    delete_queue,
    list_skills,
    put_skill,
    delete_skill,
    list_agents,
    make_agent,
    put_agent,
    delete_agent,
    say_presence,
]
