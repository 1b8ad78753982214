"""Queues and skills: how long somebody waits for whom, and what agents may be good at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

from tenderline.core import queue_rings
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.queue_rings import Name, Ring
from tenderline.store import audit
from tenderline.store.db import Connection, query

TIERS_MAX = 50


class QueueInUseError(InvalidInputError):
    """This queue is in use and cannot be deleted; take away what uses it, then try again."""

    code = "queue.in_use"
    status = 409


class SkillInUseError(InvalidInputError):
    """Agents have this skill, or rings of a queue name it; take it from them, then delete it."""

    code = "skill.in_use"
    status = 409


class NoSuchQueueError(NotFoundError):
    """There is no queue of this name; list the queues to find it."""

    code = "queue.unknown"


class NoSuchSkillError(NotFoundError):
    """There is no skill of this name; list the skills to find it."""

    code = "skill.unknown"


Tiers = dict[Name, Annotated[int, msgspec.Meta(ge=0, le=10)]]


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue. `callback_after_s`: from then on a caller may keep the place and hang up; None: never."""

    name: str
    title: str
    rings: tuple[Ring, ...] = ()
    tiers: Tiers = {}
    ring_s: int = 20
    wrap_up_s: int = 0
    service_level_s: int = 20
    service_level_percent: int = 80
    wait_max_s: int | None = None
    callback_after_s: int | None = None
    last_agent_wait_s: int = 0
    updated_at: datetime | None = None
    updated_by: str | None = None


@dataclass(frozen=True, slots=True)
class Skill:
    """Something that agents may be good at, and how many are."""

    name: str
    title: str
    agents: int


def _queue(row: Any) -> Queue:
    values = dict(row)
    values["rings"] = msgspec.json.decode(values["rings"], type=tuple[Ring, ...])
    values["tiers"] = msgspec.json.decode(values["tiers"], type=dict[str, int])
    return Queue(**values)


async def every(connection: Connection) -> list[Queue]:
    """All of them, by name."""
    return [_queue(row) for row in await connection.fetch(query("queues", "all"))]


async def get(connection: Connection, name: str) -> Queue | None:
    """One."""
    row = await connection.fetchrow(query("queues", "one"), name)
    return _queue(row) if row else None


async def put(connection: Connection, queue: Queue, *, by: str) -> None:
    """Makes a queue, or changes it for whoever waits in it, too. Raises `InvalidInputError`; audited."""
    rings = queue_rings.checked(queue.rings, queue.name)
    joined = {name for ring in rings for name in ring.queues_joined} - {queue.name}
    known = {one.name for one in await every(connection)}
    if missing := sorted(joined - known):
        raise NoSuchQueueError(f"There is no queue {missing[0]!r} to join; make it first.")
    dropped = {name for ring in rings for name in ring.skills_dropped}
    if missing := sorted(dropped - {one.name for one in await skills(connection)}):
        raise NoSuchSkillError(f"There is no skill {missing[0]!r} to drop; make it first.")
    if len(queue.tiers) > TIERS_MAX:
        raise InvalidInputError(f"A queue knows {TIERS_MAX} tiers at most.")
    await connection.execute(
        query("queues", "put"),
        queue.name,
        queue.title,
        msgspec.json.encode(rings).decode(),
        msgspec.json.encode(queue.tiers).decode(),
        queue.ring_s,
        queue.wrap_up_s,
        queue.service_level_s,
        queue.service_level_percent,
        queue.wait_max_s,
        queue.callback_after_s,
        queue.last_agent_wait_s,
        by,
    )
    data = {name: value for name, value in msgspec.to_builtins(queue).items() if not name.startswith("updated_")}
    await audit.append(connection, actor=by, action="queue_set", subject=queue.name, data=data)


async def ensure(connection: Connection, names: Iterable[str], *, by: str) -> None:
    """Those that something names are there from now on; audited where one is made."""
    for row in await connection.fetch(query("queues", "ensure"), sorted(set(names)), by):
        await audit.append(connection, actor=by, action="queue_set", subject=row["name"], data={"title": row["name"]})


async def remove(connection: Connection, name: str, *, by: str) -> None:
    """Deletes a queue that nothing uses. Raises `NoSuchQueueError`, or `QueueInUseError` with the reason; audited."""
    if await connection.fetchval(query("queues", "lock"), name) is None:
        raise NoSuchQueueError()
    uses = await connection.fetchrow(query("queues", "uses"), name)
    assert uses is not None, "it counts"
    reasons = [
        (uses["callers"], f"{uses['callers']} callers wait in it; let them be served, or lead the flow elsewhere"),
        (uses["talking"], f"{uses['talking']} of its callers talk to an agent; wait until they are done"),
        (uses["agents"], f"{uses['agents']} agents serve it; move them to another queue"),
        (uses["campaigns"], f"calling campaigns use it: {', '.join(uses['campaigns'])}"),
        (uses["joined_by"], f"it is joined by rings of: {', '.join(uses['joined_by'])}"),
    ]
    if found := [text for is_so, text in reasons if is_so]:
        raise QueueInUseError(f"The queue {name!r} cannot be deleted: {'; '.join(found)}.")
    await connection.execute(query("queues", "remove"), name)
    await audit.append(connection, actor=by, action="queue_removed", subject=name, data={})


async def skills(connection: Connection) -> list[Skill]:
    """All of them, by name."""
    return [Skill(**row) for row in await connection.fetch(query("queues", "skills"))]


async def put_skill(connection: Connection, name: str, title: str, *, by: str) -> None:
    """Makes a skill, or gives it another title; audited."""
    await connection.execute(query("queues", "put_skill"), name, title)
    await audit.append(connection, actor=by, action="skill_set", subject=name, data={"title": title})


async def remove_skill(connection: Connection, name: str, *, by: str) -> None:
    """Deletes a skill that nobody has and no ring names. Raises `NoSuchSkillError` or `SkillInUseError`; audited."""
    if rings := [one.name for one in await every(connection) if any(name in ring.skills_dropped for ring in one.rings)]:
        raise SkillInUseError(f"The rings of {', '.join(rings)} name {name!r}; change them first.")
    if agents := await connection.fetchval(query("queues", "skill_agents"), name):
        raise SkillInUseError(f"{agents} agents have the skill {name!r}; take it from them, then delete it.")
    if await connection.fetchval(query("queues", "remove_skill"), name) is None:
        raise NoSuchSkillError()
    await audit.append(connection, actor=by, action="skill_removed", subject=name, data={})
