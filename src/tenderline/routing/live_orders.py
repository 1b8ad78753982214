"""What is asked of somebody on a live call from outside: looked at, asked of the node that carries it, and audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.store import agents, audit, conversations, live_commands
from tenderline.store.db import Connection


class NotAnAgentError(TenderlineError):
    """Only an agent's part can be changed so; name the participant who is the agent."""

    code = "call.not_an_agent"
    status = 409


async def order(
    connection: Connection,
    conversation_id: UUID,
    participant_id: UUID,
    kind: str,
    detail: Mapping[str, Any],
    *,
    by: str,
) -> UUID:
    """Asks for it in the caller's transaction; the command's id.

    Raises `NotFoundError`, `NotLiveError`, `NotAnAgentError`.
    """
    if await conversations.get(connection, conversation_id) is None:
        raise NotFoundError("There is no conversation of this id; list them to find it.")
    known = await conversations.participants(connection, conversation_id)
    here = next((one for one in known if one.id == participant_id and one.left_at is None), None)
    if here is None:
        raise NotFoundError("There is no such participant on the call now; read the conversation to find who is.")
    if here.purpose not in ("agent", "external"):
        raise NotAnAgentError()
    command_id = await live_commands.ask(connection, conversation_id, kind, detail, asked_by=by)
    subject = f"conversation:{conversation_id}"
    data = {"participant": str(participant_id), **detail}
    await audit.append(connection, actor=by, action=f"call_{kind}", subject=subject, data=data)
    return command_id


async def target_of(
    connection: Connection, *, queue: str | None = None, user_id: UUID | None = None, address: str | None = None
) -> str:
    """Whom a call goes to, as the node reads it. A user is known by her own id or by that of the agent that she is."""
    chosen = [one for one in (queue, user_id, address) if one is not None]
    if len(chosen) != 1:
        raise InvalidInputError("Name one of queueId, userId and address.")
    if queue is not None:
        return f"queue:{queue}"
    if user_id is not None:
        return f"agent:{await agents.of_user(connection, user_id) or user_id}"
    return str(address)
