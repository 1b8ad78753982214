"""What administrators look at over several tables: how much there is of everything, and what the audit log says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from tenderline.store.db import Connection, query


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is."""

    users: int
    users_disabled: int
    admins: int
    clients: int
    clients_disabled: int
    queues: int
    callers: int
    skills: int
    agents: int
    agents_here: int
    lines: int
    telephones: int
    campaigns: int
    dispositions: int
    scripts: int
    segments_version: int
    audit_rows: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """Who waits in a queue, and who serves it."""

    name: str
    callers: int
    agents: int
    agents_here: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows of the audit log; None: any. An actor or a subject is meant by how it begins."""

    before: int | None = None
    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Somebody did something."""

    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    data: dict[str, Any]


async def counts(connection: Connection) -> Counts:
    """Of everything."""
    row = await connection.fetchrow(query("admin", "counts"))
    assert row is not None, "it counts"
    return Counts(**row)


async def queue_states(connection: Connection) -> dict[str, QueueState]:
    """Of every queue, by its name."""
    return {row["name"]: QueueState(**row) for row in await connection.fetch(query("admin", "queues"))}


async def audit_rows(connection: Connection, wanted: Wanted, limit: int) -> list[AuditRow]:
    """Newest first."""
    rows = await connection.fetch(
        query("admin", "audit_found"),
        wanted.before,
        wanted.actor,
        wanted.action,
        wanted.subject,
        wanted.since,
        wanted.until,
        limit,
    )
    return [AuditRow(**{**row, "data": msgspec.json.decode(row["data"])}) for row in rows]


async def audit_actions(connection: Connection) -> list[str]:
    """Every action that was ever written down, by name."""
    return [row["action"] for row in await connection.fetch(query("admin", "audit_actions"))]
