"""How calls end: the ways that an agent may choose from, what she chose, and what was done for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec

from tenderline.core.errors import InvalidInputError
from tenderline.store import audit
from tenderline.store.db import Connection, query

NextAction = Literal["none", "callback", "promise", "opt_out", "wrong_number"]
TELLABLE_S: Final = 1_800.0
"""How long after a call its end can be told, when nobody has told it."""


class KeyTakenError(InvalidInputError):
    """Another disposition has this key already; choose a free one, from 1 to 9."""

    code = "disposition.key_taken"
    status = 409


class Disposition(msgspec.Struct, frozen=True, kw_only=True):
    """A way for a call to end. Without `queues` or `flows` it fits all of them."""

    code: str
    title: str
    key: int | None = None
    next_action: NextAction = "none"
    after_days: int | None = None
    local_time: time | None = None
    asked_for: bool = False
    """The person asked for the callback herself."""
    queues: list[str] = []
    flows: list[str] = []
    enabled: bool = True
    updated_at: datetime | None = None
    updated_by: str | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done for a choice, as far as another choice has to undo it."""

    person_id: UUID | None = None
    attempt_id: UUID | None = None
    callback_id: UUID | None = None
    contact_point_id: UUID | None = None
    paused_before: datetime | None = None
    paused_until: datetime | None = None
    opted_out: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an agent chose for a call, and what follows."""

    code: str
    title: str
    chosen_by: str
    at: datetime
    note: str
    next_action: NextAction
    due_at: datetime | None
    next_words: str
    done: Done


@dataclass(frozen=True, slots=True)
class Standing:
    """How an agent stands to a call: it is hers now, or was until a moment ago."""

    state: str
    is_hers: bool
    was_hers: bool


async def every(connection: Connection) -> list[Disposition]:
    """All of them, by key."""
    return [Disposition(**row) for row in await connection.fetch(query("dispositions", "all"))]


async def fitting(connection: Connection, queue: str | None, flow: str | None) -> list[Disposition]:
    """Those for a call of this queue and flow, by key."""
    rows = await connection.fetch(query("dispositions", "fitting"), queue, flow)
    return [Disposition(**row) for row in rows]


async def put(connection: Connection, wanted: Disposition, *, by: str) -> None:
    """Makes one, or changes it; audited. Raises `KeyTakenError`, `InvalidInputError`."""
    try:
        async with connection.transaction():
            await connection.execute(
                query("dispositions", "put"),
                wanted.code,
                wanted.title,
                wanted.key,
                wanted.next_action,
                wanted.after_days,
                wanted.local_time,
                wanted.asked_for,
                wanted.queues,
                wanted.flows,
                wanted.enabled,
                by,
            )
    except asyncpg.UniqueViolationError:
        raise KeyTakenError() from None
    except asyncpg.CheckViolationError:
        raise InvalidInputError(
            "A disposition has a code of a-z, 0-9 and _, a title, a key from 1 to 9 or none, and with a callback or a "
            "promise the days (0 to 31) and the local time."
        ) from None
    data = {name: str(value) for name, value in msgspec.structs.asdict(wanted).items() if not name.startswith("upd")}
    await audit.append(connection, actor=by, action="disposition_set", subject=wanted.code, data=data)


def _chosen(row: Any) -> Chosen:
    return Chosen(**{**row, "done": msgspec.json.decode(row["done"], type=Done)})


async def chosen(connection: Connection, conversation_id: UUID, agent_id: UUID, *, lock: bool = False) -> Chosen | None:
    """What this agent chose for this call; `lock`: nobody changes it until the transaction ends."""
    name = "chosen" if lock else "seen"
    row = await connection.fetchrow(query("dispositions", name), conversation_id, agent_id)
    return _chosen(row) if row else None


async def choose(
    connection: Connection,
    conversation_id: UUID,
    agent_id: UUID,
    wanted: Disposition,
    *,
    by: str,
    note: str,
    due_at: datetime | None,
    next_words: str,
    done: Done,
) -> None:
    """Keeps the choice, in the place of one before it; audited."""
    await connection.execute(
        query("dispositions", "choose"),
        conversation_id,
        agent_id,
        wanted.code,
        wanted.title,
        by,
        note,
        wanted.next_action,
        due_at,
        next_words,
        msgspec.json.encode(done).decode(),
    )
    data = {"code": wanted.code, "next": next_words, "due": due_at.isoformat() if due_at else None}
    subject = f"conversation:{conversation_id}"
    await audit.append(connection, actor=by, action="call_disposed", subject=subject, data=data)


async def standing(connection: Connection, agent_id: UUID, conversation_id: UUID) -> Standing:
    """Hers, was hers, or neither; her state stays as it is until the transaction ends."""
    row = await connection.fetchrow(query("dispositions", "lock_agent"), agent_id, conversation_id, TELLABLE_S)
    assert row is not None, "every agent has a state"
    return Standing(row["state"], bool(row["is_hers"]), row["was_hers"])


async def mark_case(
    connection: Connection, *, attempt_id: UUID | None, person_id: UUID | None, code: str
) -> UUID | None:
    """Writes the end of the call into the case that it was about; the case, if there is one."""
    row = await connection.fetchrow(query("dispositions", "case_of"), attempt_id, person_id)
    if row is None:
        return None
    await connection.execute(query("dispositions", "mark_case"), row["person_id"], row["id"], code)
    case_id: UUID = row["id"]
    return case_id


async def usable_again(connection: Connection, person_id: UUID, contact_point_id: UUID, why: str) -> None:
    """A number that was marked for this reason is usable again."""
    await connection.execute(query("dispositions", "usable_again"), person_id, contact_point_id, why)
