"""Agents' browsers as telephones: what a page offers, what its node answers, and what each tells the other meanwhile.

The row is the truth and NOTIFY a hint to look, as everywhere: no process opens a port for the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from tenderline.core.errors import TenderlineError
from tenderline.store.db import Connection, query
from tenderline.store.events import CHANNEL as SCREENS_CHANNEL

CHANNEL: Final = "browser_phone"
"""NOTIFY channel for nodes; the payload is the node's id."""
LEASE_S: Final = 45.0
BEAT_EVERY_S: Final = 15.0

State = Literal["offered", "connecting", "ready", "ringing", "talking", "away", "replaced", "ended"]
Wanted = Literal["accept", "decline", "hang_up"]


class NoVoiceNodeError(TenderlineError):
    """No voice node runs, so there is no telephone; start `tenderline voice` or set voice.enabled, then try again."""

    code = "no_voice_node"
    status = 503


@dataclass(frozen=True, slots=True)
class Wish:
    """A session as its node finds it: what is to be answered, and what its agent asks for."""

    session_id: UUID
    agent: str
    offer: str | None
    wanted: Wanted | None
    wanted_call: UUID | None
    is_leased: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A session as its page shows it."""

    state: State
    why: str | None
    answer: str | None
    call_id: UUID | None
    caller: str | None
    since: datetime
    node_is_up: bool


async def offer(connection: Connection, session_id: UUID, *, agent: str, user_id: UUID, text: str) -> None:
    """A new session, in the place of any other of this agent. Call it in a transaction. Raises `NoVoiceNodeError`."""
    await connection.execute(query("browser_phones", "lock_agent"), agent)
    node_id = await connection.fetchval(query("browser_phones", "node_for"), agent, user_id)
    if node_id is None:
        raise NoVoiceNodeError()
    await connection.execute(query("browser_phones", "forget"))
    left = await connection.fetch(query("browser_phones", "replace"), agent)
    lease = timedelta(seconds=LEASE_S)
    await connection.execute(query("browser_phones", "offer"), session_id, agent, user_id, node_id, text, lease)
    for one in {node_id, *(row["node_id"] for row in left)}:
        await _hint(connection, CHANNEL, str(one))
    if left:
        await _hint(connection, SCREENS_CHANNEL)


async def of_node(connection: Connection, node_id: UUID) -> list[Wish]:
    """Every session of a node that is not over."""
    return [Wish(**row) for row in await connection.fetch(query("browser_phones", "of_node"), node_id)]


async def answered(connection: Connection, session_id: UUID, answer: str) -> None:
    """The node's description for the browser."""
    await connection.execute(query("browser_phones", "answered"), session_id, answer)
    await _hint(connection, SCREENS_CHANNEL)


async def took(connection: Connection, session_id: UUID, wanted: Wanted) -> None:
    """What the agent asked for has been seen."""
    await connection.execute(query("browser_phones", "took"), session_id, wanted)


async def tell(
    connection: Connection,
    session_id: UUID,
    state: State,
    *,
    since: datetime,
    call_id: UUID | None = None,
    caller: str | None = None,
) -> None:
    """How it stands at the node."""
    await connection.execute(query("browser_phones", "tell"), session_id, state, call_id, caller, since)
    await _hint(connection, SCREENS_CHANNEL)


async def end(connection: Connection, session_id: UUID, why: str) -> None:
    """The node has done with it."""
    await connection.execute(query("browser_phones", "end"), session_id, why)
    await _hint(connection, SCREENS_CHANNEL)


async def ask(connection: Connection, session_id: UUID, user_id: UUID, call_id: UUID, wanted: Wanted) -> bool:
    """The agent wants this of that call; False when it is over."""
    return await _to_node(connection, "ask", session_id, user_id, call_id, wanted)


async def leave(connection: Connection, session_id: UUID, user_id: UUID) -> bool:
    """The page goes; a call that lasts waits for the next one for a while. False when the session was over."""
    return await _to_node(connection, "leave", session_id, user_id)


async def beat(connection: Connection, session_id: UUID, user_id: UUID) -> bool:
    """The page is there; False when the session is over."""
    lease = timedelta(seconds=LEASE_S)
    return await connection.fetchval(query("browser_phones", "beat"), session_id, user_id, lease) is not None


async def shown(connection: Connection, session_id: UUID, user_id: UUID) -> Shown | None:
    """A session of this user."""
    row = await connection.fetchrow(query("browser_phones", "shown"), session_id, user_id)
    return Shown(**row) if row else None


async def _to_node(connection: Connection, name: str, *values: object) -> bool:
    node_id = await connection.fetchval(query("browser_phones", name), *values)
    if node_id is None:
        return False
    await _hint(connection, CHANNEL, str(node_id))
    return True


async def _hint(connection: Connection, channel: str, payload: str = "") -> None:
    await connection.execute(query("browser_phones", "hint"), channel, payload)
