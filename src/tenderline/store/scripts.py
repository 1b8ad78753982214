"""What agents may say on a call, in steps; every version is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from tenderline.store import audit
from tenderline.store.db import Connection, query

STEPS_MAX = 20
Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]


class ScriptStep(msgspec.Struct, frozen=True):
    """One step. Names in braces are filled in: {name}, {agent}, {organisation}, {fund}, {campaign}."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    text: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A script, for these queues and campaigns; without any, for all."""

    name: Name
    title: str
    steps: Annotated[list[ScriptStep], msgspec.Meta(min_length=1, max_length=STEPS_MAX)]
    queues: list[str] = []
    campaigns: list[str] = []
    enabled: bool = True
    version: int = 0
    created_at: datetime | None = None
    created_by: str | None = None


def _script(row: Any) -> Script:
    return Script(**{**row, "steps": msgspec.json.decode(row["steps"], type=list[ScriptStep])})


async def fitting(connection: Connection, campaign: str | None, queue: str | None) -> Script | None:
    """The one for a call."""
    row = await connection.fetchrow(query("scripts", "fitting"), campaign, queue)
    return _script(row) if row else None


async def every(connection: Connection) -> list[Script]:
    """The newest version of each, by name."""
    return [_script(row) for row in await connection.fetch(query("scripts", "newest"))]


async def put(connection: Connection, wanted: Script, *, by: str) -> int:
    """A new version; its number. Audited. The caller's transaction."""
    await connection.execute(query("scripts", "lock"), wanted.name)
    steps = msgspec.json.encode(wanted.steps).decode()
    version: int = await connection.fetchval(
        query("scripts", "add"),
        wanted.name,
        wanted.title,
        steps,
        wanted.queues,
        wanted.campaigns,
        wanted.enabled,
        by,
    )
    data = {"version": version, "enabled": wanted.enabled}
    await audit.append(connection, actor=by, action="script_set", subject=wanted.name, data=data)
    return version
