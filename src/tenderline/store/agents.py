"""Agents: people of the organisation who take calls, by a browser or a telephone, for some queues, with some skills."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.ids import uuid7
from tenderline.store import audit, queues
from tenderline.store.db import Connection, query


class NoSuchAgentError(NotFoundError):
    """There is no such agent; list the agents to find her."""

    code = "agent.unknown"


class AgentExistsError(InvalidInputError):
    """An agent has this name, this user or this telephone already; change that one, or take another."""

    code = "agent.exists"
    status = 409


class AgentBusyError(InvalidInputError):
    """This agent is on a call, or is being rung; wait until it is over, then try again."""

    code = "agent.busy"
    status = 409


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent with what she does now. `skills`: how good she is at each, 1 to 5."""

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
    next_state: str | None
    next_reason: str | None
    node_id: UUID | None
    conversation_id: UUID | None
    queue: str | None
    reach_kind: str | None
    is_reachable: bool


def _agent(row: Any) -> Agent:
    return Agent(**{**row, "skills": msgspec.json.decode(row["skills"])})


async def every(connection: Connection) -> list[Agent]:
    """All of them, by name."""
    return [_agent(row) for row in await connection.fetch(query("agents", "all"))]


async def get(connection: Connection, agent_id: UUID) -> Agent:
    """One. Raises `NoSuchAgentError`."""
    row = await connection.fetchrow(query("agents", "one"), agent_id)
    if row is None:
        raise NoSuchAgentError()
    return _agent(row)


async def of_user(connection: Connection, user_id: UUID) -> UUID | None:
    """The agent that a user of the screens is; None when she is none."""
    found: UUID | None = await connection.fetchval(query("agents", "of_user"), user_id)
    return found


async def for_browser(connection: Connection, email: str, *, of_queues: Collection[str], by: str) -> UUID | None:
    """The agent whom a user is; made for her, with these queues, when she is none. None: there is no such user."""
    row = await connection.fetchrow(query("agents", "for_email"), email)
    if row is None:
        return None
    if row["agent_id"] is not None:
        return UUID(str(row["agent_id"]))
    await queues.ensure(connection, of_queues, by=by)
    return await make(connection, name=email, user_id=row["user_id"], of_queues=of_queues, by=by)


async def make(
    connection: Connection,
    *,
    name: str,
    user_id: UUID | None = None,
    telephone: str | None = None,
    of_queues: Collection[str] = (),
    skills: Mapping[str, int] | None = None,
    by: str,
) -> UUID:
    """An agent, offline until she says otherwise. Raises `AgentExistsError` and what `assign` does; audited.

    A telephone that was an agent by itself is hers from now on.
    """
    made = uuid7()
    if telephone is not None:
        await _take_over_telephone(connection, telephone)
    try:
        async with connection.transaction():
            await connection.execute(query("agents", "make"), made, name, user_id, telephone, False)
    except asyncpg.UniqueViolationError:
        raise AgentExistsError() from None
    except asyncpg.ForeignKeyViolationError:
        raise NotFoundError("There is no such user or telephone; make it first.") from None
    await connection.execute(query("agents", "make_presence"), made)
    await assign(connection, made, of_queues=of_queues, skills=skills or {}, by=by)
    return made


async def _take_over_telephone(connection: Connection, telephone: str) -> None:
    row = await connection.fetchrow(query("agents", "of_telephone"), telephone)
    if row is not None and row["automatic"]:
        await _not_busy(connection, row["id"])
        await connection.execute(query("agents", "remove"), row["id"])


async def change(
    connection: Connection,
    agent_id: UUID,
    *,
    name: str,
    user_id: UUID | None,
    telephone: str | None,
    enabled: bool,
    by: str,
) -> None:
    """Who she is. Raises `NoSuchAgentError`, `AgentExistsError`, `AgentBusyError` when she is shut out on a call."""
    before = await get(connection, agent_id)
    if telephone != before.telephone or (before.enabled and not enabled):
        await _not_busy(connection, agent_id)
    if telephone is not None and telephone != before.telephone:
        await _take_over_telephone(connection, telephone)
    try:
        async with connection.transaction():
            await connection.execute(query("agents", "change"), agent_id, name, user_id, telephone, enabled)
    except asyncpg.UniqueViolationError:
        raise AgentExistsError() from None
    except asyncpg.ForeignKeyViolationError:
        raise NotFoundError("There is no such user or telephone; make it first.") from None
    if telephone != before.telephone:
        await connection.execute(query("agents", "leave_telephone"), agent_id)
    data = {"name": name, "telephone": telephone, "user": str(user_id) if user_id else None, "enabled": enabled}
    await audit.append(connection, actor=by, action="agent_changed", subject=str(agent_id), data=data)


async def assign(
    connection: Connection, agent_id: UUID, *, of_queues: Collection[str], skills: Mapping[str, int], by: str
) -> None:
    """The queues she serves and what she is good at, from the next match on; audited. Raises `NoSuchQueueError`,
    `NoSuchSkillError`."""
    if missing := sorted(set(of_queues) - {one.name for one in await queues.every(connection)}):
        raise queues.NoSuchQueueError(f"There is no queue {missing[0]!r}; make it first.")
    if missing := sorted(set(skills) - {one.name for one in await queues.skills(connection)}):
        raise queues.NoSuchSkillError(f"There is no skill {missing[0]!r}; make it first.")
    await _put_queues(connection, agent_id, of_queues)
    names = sorted(skills)
    await connection.execute(query("agents", "clear_skills"), agent_id, names)
    await connection.execute(query("agents", "put_skills"), agent_id, names, [skills[name] for name in names])
    data = {"queues": sorted(of_queues), "skills": dict(skills)}
    await audit.append(connection, actor=by, action="agent_assigned", subject=str(agent_id), data=data)


async def _put_queues(connection: Connection, agent_id: UUID, names: Collection[str]) -> None:
    await connection.execute(query("agents", "clear_queues"), agent_id, sorted(names))
    await connection.execute(query("agents", "add_queues"), agent_id, sorted(set(names)))


async def remove(connection: Connection, agent_id: UUID, *, by: str) -> None:
    """Deletes an agent and what she did before. Raises `NoSuchAgentError`, `AgentBusyError`; audited."""
    await get(connection, agent_id)
    await _not_busy(connection, agent_id)
    name = await connection.fetchval(query("agents", "remove"), agent_id)
    await audit.append(connection, actor=by, action="agent_removed", subject=str(agent_id), data={"name": name})


async def _not_busy(connection: Connection, agent_id: UUID) -> None:
    if await connection.fetchval(query("agents", "is_busy"), agent_id):
        raise AgentBusyError()


async def of_telephone(connection: Connection, telephone: str, names: Collection[str], *, by: str) -> None:
    """A telephone with queues of its own and no user is an agent; its queues are the agent's. The telephone's own
    change is audited by its caller."""
    row = await connection.fetchrow(query("agents", "of_telephone"), telephone)
    if row is not None and not row["automatic"]:
        return
    await queues.ensure(connection, names, by=by)
    if row is None:
        if not names:
            return
        agent_id = uuid7()
        is_taken = await connection.fetchval(query("agents", "name_taken"), telephone, agent_id)
        name = f"{telephone} (telephone)" if is_taken else telephone
        await connection.execute(query("agents", "make"), agent_id, name, None, telephone, True)
        await connection.execute(query("agents", "make_presence"), agent_id)
    else:
        agent_id = row["id"]
        await connection.execute(query("agents", "enable"), agent_id, True)
    await _put_queues(connection, agent_id, names)
