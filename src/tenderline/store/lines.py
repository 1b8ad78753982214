"""Which number leads to which flow, the flows' versions, and the telephones that may register."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenderline.store import agents, audit
from tenderline.store.db import Connection, query


@dataclass(frozen=True, slots=True)
class Line:
    """A number that can be called: its campaign, its flow, and what is spoken and collected there."""

    number: str
    campaign: str
    flow: str
    language: str
    currency: str
    fund: str | None
    record: bool
    updated_at: datetime
    updated_by: str
    look_up_by: str = "ANI"
    """By which number the CRM is asked who calls: ANI (hers), DNIS (this one), or none."""


@dataclass(frozen=True, slots=True)
class Telephone:
    """A telephone that may register, and the queues whose calls it takes."""

    name: str
    ha1_md5: str
    ha1_sha256: str
    queues: list[str]
    enabled: bool


@dataclass(frozen=True, slots=True)
class FlowVersion:
    """One version of a flow, as it was put in."""

    name: str
    version: int
    content: str
    digest: bytes
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Callback:
    """Somebody waits to be called back."""

    id: UUID
    number: str
    due_at: datetime
    person_id: UUID | None
    conversation_id: UUID | None
    created_at: datetime
    attempt_state: str | None
    """Of the call that answers it; None when nobody calls by itself."""
    why: str | None


async def all_lines(connection: Connection) -> list[Line]:
    """Every line, by number."""
    return [Line(**row) for row in await connection.fetch(query("lines", "all"))]


async def put_line(
    connection: Connection,
    *,
    number: str,
    campaign: str,
    flow: str,
    language: str,
    currency: str,
    fund: str | None,
    record: bool,
    by: str,
    look_up_by: str = "ANI",
) -> None:
    """A line as it is from now on; audited."""
    await connection.execute(
        query("lines", "put"), number, campaign, flow, language, currency, fund, record, by, look_up_by
    )
    data = {"campaign": campaign, "flow": flow, "language": language, "currency": currency, "fund": fund}
    data["look_up_by"] = look_up_by
    await audit.append(connection, actor=by, action="line_set", subject=number, data={**data, "record": record})


async def remove_line(connection: Connection, number: str, *, by: str) -> bool:
    """The number leads nowhere any more; False when it did not. Audited."""
    if await connection.fetchval(query("lines", "remove"), number) is None:
        return False
    await audit.append(connection, actor=by, action="line_removed", subject=number, data={})
    return True


async def telephones(connection: Connection) -> list[Telephone]:
    """Every telephone, by name."""
    return [Telephone(**row) for row in await connection.fetch(query("lines", "telephones"))]


async def put_telephone(
    connection: Connection, name: str, *, ha1_md5: str, ha1_sha256: str, queues: list[str], by: str
) -> None:
    """A telephone may register with the password behind these, and is an agent of its queues; audited without them."""
    await connection.execute(query("lines", "put_telephone"), name, ha1_md5, ha1_sha256, queues)
    await agents.of_telephone(connection, name, queues, by=by)
    await audit.append(connection, actor=by, action="telephone_set", subject=name, data={"queues": queues})


async def disable_telephone(connection: Connection, name: str, *, by: str) -> bool:
    """It may not register any more; False when it may not now. Audited."""
    if await connection.fetchval(query("lines", "disable_telephone"), name) is None:
        return False
    await audit.append(connection, actor=by, action="telephone_disabled", subject=name, data={})
    return True


async def newest_flows(connection: Connection) -> list[FlowVersion]:
    """The newest version of each flow."""
    return [FlowVersion(**row) for row in await connection.fetch(query("lines", "newest_flows"))]


async def flow_version(connection: Connection, name: str, version: int) -> FlowVersion | None:
    """One version."""
    row = await connection.fetchrow(query("lines", "flow_version"), name, version)
    return FlowVersion(**row) if row else None


async def put_flow(connection: Connection, name: str, content: str, *, by: str) -> int:
    """The newest version's number; a new one unless the text is the same. Call it in a transaction; audited."""
    digest = hashlib.sha256(content.encode()).digest()
    await connection.execute(query("lines", "lock_flow"), name)
    row = await connection.fetchrow(query("lines", "newest_flow"), name)
    if row is not None and row["digest"] == digest:
        return int(row["version"])
    version = int(await connection.fetchval(query("lines", "add_flow"), name, content, digest, by))
    await audit.append(
        connection, actor=by, action="flow_put", subject=name, data={"version": version, "sha256": digest.hex()}
    )
    return version


async def callbacks(connection: Connection, limit: int) -> list[Callback]:
    """Those who wait, the most urgent first."""
    return [Callback(**row) for row in await connection.fetch(query("lines", "callbacks"), limit)]
