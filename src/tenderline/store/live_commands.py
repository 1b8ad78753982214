"""What is asked of a call that lasts: a row addressed to the node that carries it, and the node's answer.

The row is the truth and NOTIFY only a hint: a node that missed it finds the row at its next look. No process opens a
port for this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from tenderline.core.errors import TenderlineError
from tenderline.core.ids import uuid7
from tenderline.store.db import Connection, Pool, query

CHANNEL: Final = "live_command"
VALID_S: Final = 5.0
"""A command that no node has taken by then is not carried out any more: who asked has given up."""
KEPT_S: Final = 86_400.0
TAKEN_AT_ONCE_MAX: Final = 50
_LOOK_EVERY_S: Final = 0.05

Detail = Mapping[str, Any]


class NotLiveError(TenderlineError):
    """The call does not last any more; nothing can be asked of it."""

    code = "call.not_live"
    status = 409


class NoAnswerError(TenderlineError):
    """The node that carries the call did not answer in time; look at the call before you ask again."""

    code = "call.no_answer"
    status = 503

    def __init__(self, *, is_withdrawn: bool) -> None:
        super().__init__()
        self.is_withdrawn = is_withdrawn
        """Whether it surely was not done, and will not be."""


def is_surely_not_done(error: TenderlineError) -> bool:
    """Whether what was asked may be asked again at once. Without an answer to what a node has taken, nobody knows."""
    return not isinstance(error, NoAnswerError) or error.is_withdrawn


class CommandRefusedError(TenderlineError):
    """The call cannot do that now."""

    code = "call.refused"
    status = 409

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Command:
    """One command, taken by its node."""

    id: UUID
    conversation_id: UUID
    kind: str
    detail: Detail
    asked_by: str
    asked_at: datetime


async def ask(connection: Connection, conversation_id: UUID, kind: str, detail: Detail, *, asked_by: str) -> UUID:
    """Asks; the node hears of it with the commit. Raises `NotLiveError`."""
    made = uuid7()
    text = msgspec.json.encode(detail).decode()
    node = await connection.fetchval(
        query("live_commands", "ask"), made, conversation_id, kind, text, asked_by, VALID_S
    )
    if node is None:
        raise NotLiveError()
    await connection.execute(query("live_commands", "hint"), str(node))
    return made


async def answer_of(pool: Pool, command_id: UUID, *, timeout_s: float = VALID_S) -> Detail:
    """What the node answered. Raises `CommandRefusedError`, or `NoAnswerError` for a node that does not."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                async with pool.acquire() as connection:
                    row = await connection.fetchrow(query("live_commands", "read"), command_id)
                if row is None:
                    raise NoAnswerError(is_withdrawn=True)
                if row["answered_at"] is not None:
                    if row["refused_code"] is not None:
                        raise CommandRefusedError(row["refused_code"], row["refused_detail"])
                    answer: dict[str, Any] = msgspec.json.decode(row["answer"])
                    return answer
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        async with pool.acquire() as connection:
            withdrawn = await connection.fetchval(query("live_commands", "withdraw"), command_id)
        raise NoAnswerError(is_withdrawn=withdrawn is not None) from None


async def take(connection: Connection, node_id: UUID) -> list[Command]:
    """What waits for this node, each once."""
    rows = await connection.fetch(query("live_commands", "take"), node_id, TAKEN_AT_ONCE_MAX)
    found = [
        Command(
            row["id"], row["conversation_id"], row["kind"], msgspec.json.decode(row["detail"]), row["asked_by"],
            row["asked_at"],
        )
        for row in rows
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.asked_at)


async def answer(connection: Connection, command_id: UUID, detail: Detail) -> None:
    """It was done."""
    text = msgspec.json.encode(detail).decode()
    await connection.execute(query("live_commands", "answer"), command_id, text, None, None)


async def refuse(connection: Connection, command_id: UUID, code: str, why: str) -> None:
    """It could not be done."""
    await connection.execute(query("live_commands", "answer"), command_id, None, code, why)


async def sweep(connection: Connection) -> None:
    """Forgets what nobody asks about any more."""
    await connection.execute(query("live_commands", "sweep"), KEPT_S)
