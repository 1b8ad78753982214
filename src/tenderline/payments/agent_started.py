"""A payment that an agent starts on a live call: asked of the node that carries it, whichever way the agent asked.

`begin` is part of the caller's transaction; the node hears of it with the commit, and `accepted` waits for its word.
"""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from tenderline.app import Services
from tenderline.core import pan
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.store import (
    audit,
    calling_campaigns,
    conversations,
    holds,
    lines,
    live_commands,
    people,
    secure_sessions,
)
from tenderline.store.conversations import Conversation
from tenderline.store.db import Connection
from tenderline.store.live_commands import NoAnswerError, NotLiveError
from tenderline.store.secure_sessions import Mode, SecureSession

FLOW: Final = "secure_payment"
VALUES_MAX: Final = 20
OURS: Final = frozenset({"amount", "payment", "payment_mode", "payment_result", "reference", "last_four", "brand"})
"""Variables that a payment sets: whoever starts one does not say how it ends."""

Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
Words = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NoAgentOnCallError(TenderlineError):
    """Nobody is talking with an agent on this call now; a payment is started by the agent who does."""

    code = "secure_session.no_agent"
    status = 409


class InDistressError(TenderlineError):
    """Whoever is on this call is in distress: no payment is taken from her now. A supervisor may lift the hold."""

    code = "secure_session.distress"
    status = 409


class CardNumberError(InvalidInputError):
    """This is a card number; it may not be sent here. The caller keys it in on the telephone."""

    code = "secure_session.card_number"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the payment is for. Without an amount the caller keys it in."""

    mode: Mode = "leave"
    flow: Name = FLOW
    disconnect: bool = False
    amount: str | None = None
    """In whole units: `25` or `25.00`."""
    currency: str | None = None
    """None: that of the line."""
    values: dict[Name, Words | int] = {}


class Begun(msgspec.Struct, frozen=True):
    """A payment that was asked for, and the command that its node answers."""

    session_id: UUID
    command_id: UUID


async def begin(
    connection: Connection, conversation_id: UUID, wish: Wish, *, by: str, participant_id: UUID | None = None
) -> Begun:
    """Asks for it. `participant_id`: who it is taken from or who asks; None: the caller.

    Raises `NotFoundError`, `NotLiveError`, `PaymentOffError`, `InDistressError`, `NoAgentOnCallError`,
    `AlreadyOpenError` and what is
    wrong with the wish.
    """
    found = await conversations.get(connection, conversation_id)
    if found is None:
        raise NotFoundError("There is no conversation of this id; list them to find it.")
    if found.ended_at is not None:
        raise NotLiveError()
    await holds.require_payment_on(connection, conversation_id)
    if found.person_id is not None and await people.is_in_distress(connection, found.person_id):
        raise InDistressError()
    here = [one for one in await conversations.participants(connection, conversation_id) if one.left_at is None]
    payer = next((one for one in here if one.purpose == "caller"), None)
    agents = [one for one in here if one.purpose == "agent"]
    if participant_id is not None and participant_id not in {one.id for one in here}:
        raise NotFoundError("There is no such participant on the call now; read the conversation to find who is.")
    if payer is None or not agents:
        raise NoAgentOnCallError()
    agent = next((one for one in agents if one.id == participant_id), agents[-1])
    money = await _money(connection, found, wish)
    session_id = uuid7()
    await secure_sessions.begin(
        connection,
        id=session_id,
        conversation_id=conversation_id,
        participant_id=payer.id,
        source_participant_id=agent.id,
        mode=wish.mode,
        flow=wish.flow,
        disconnect=wish.disconnect,
        user_data=_checked(wish),
        asked_by=by,
    )
    detail: dict[str, Any] = {
        "session_id": str(session_id),
        "flow": wish.flow,
        "mode": wish.mode,
        "disconnect": wish.disconnect,
        "amount_minor": money.minor if money else None,
        "currency": money.currency if money else None,
        "values": wish.values,
    }
    command_id = await live_commands.ask(connection, conversation_id, "secure_payment", detail, asked_by=by)
    kept = {
        "session": str(session_id),
        "mode": wish.mode,
        "flow": wish.flow,
        "amount": money.format() if money else None,
    }
    await audit.append(
        connection, actor=by, action="secure_payment_started", subject=f"conversation:{conversation_id}", data=kept
    )
    return Begun(session_id, command_id)


async def _money(connection: Connection, call: Conversation, wish: Wish) -> Money | None:
    if wish.amount is None:
        return None
    currency = wish.currency or await _currency_of(connection, call)
    if currency is None:
        raise InvalidInputError("Say the currency of the amount, as ISO 4217 writes it: USD.")
    return Money.read(wish.amount, currency)


async def _currency_of(connection: Connection, call: Conversation) -> str | None:
    if call.direction == "outbound":
        campaign = await calling_campaigns.get(connection, call.campaign or "")
        return campaign.currency if campaign else None
    line = next((one for one in await lines.all_lines(connection) if one.number == call.called), None)
    return line.currency if line else None


def _checked(wish: Wish) -> dict[str, Any]:
    if len(wish.values) > VALUES_MAX:
        raise InvalidInputError(f"At most {VALUES_MAX} values go with a payment.")
    if taken := sorted(OURS & set(wish.values)):
        raise InvalidInputError(f"The value {taken[0]!r} is what comes of a payment; it cannot go with one.")
    for name, value in wish.values.items():
        if pan.is_written_in(str(value)):
            raise CardNumberError(f"The value {name!r} holds a card number; the caller keys it in.")
    return dict(wish.values)


async def accepted(services: Services, begun: Begun) -> SecureSession:
    """The session, once the node has begun it. Raises `CommandRefusedError` or `NoAnswerError`; then it has ended."""
    try:
        await live_commands.answer_of(services.pool, begun.command_id)
    except NoAnswerError as error:
        if error.is_withdrawn:
            await _failed(services, begun.session_id)
        raise
    except live_commands.CommandRefusedError:
        await _failed(services, begun.session_id)
        raise
    async with services.pool.acquire() as connection:
        found = await secure_sessions.get(connection, begun.session_id)
    assert found is not None, "it was written before it was asked for"
    return found


async def _failed(services: Services, session_id: UUID) -> None:
    async with services.pool.acquire() as connection:
        await secure_sessions.end(connection, session_id, utc_now(), "system_problem")


async def get(connection: Connection, conversation_id: UUID, session_id: UUID) -> SecureSession:
    """One of this call. Raises `NotFoundError`."""
    found = await secure_sessions.get(connection, session_id)
    if found is None or found.conversation_id != conversation_id:
        raise NotFoundError("There is no such payment on this call; list them to find it.")
    return found


async def order(connection: Connection, session: SecureSession, kind: str, detail: dict[str, Any], *, by: str) -> UUID:
    """Asks for something on a payment that lasts: `secure_cancel`, or `secure_restart` of a field. The command's id."""
    if session.ended_at is not None:
        raise NotLiveError("This payment is over; start another one.")
    command_id = await live_commands.ask(connection, session.conversation_id, kind, detail, asked_by=by)
    await audit.append(
        connection,
        actor=by,
        action=kind,
        subject=f"conversation:{session.conversation_id}",
        data={"session": str(session.id), **detail},
    )
    return command_id
