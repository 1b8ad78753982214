"""An agent on a call, as rows: what her desk is drawn from. The call's node is whoever takes its commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from support import edge
from tenderline.core.donor import Donor, Given
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.store import agents, conversations, donors, lines, queues, recordings, voice_nodes, waiting
from tenderline.store.conversations import Started

CALLER = "+12025550100"
LINE = "+18005550123"
QUEUE = "General_Acquisition"


@dataclass
class DeskCall:
    """The ids of it."""

    email: str
    agent: UUID
    node: UUID = field(default_factory=uuid7)
    call: UUID = field(default_factory=uuid7)
    caller: UUID = field(default_factory=uuid7)
    participant: UUID = field(default_factory=uuid7)
    waiting: UUID = field(default_factory=uuid7)


async def make_agent(pool: Any, *, name: str = "Anna", role: str = "agent", wrap_up_s: int = 60) -> tuple[str, UUID]:
    """(e-mail address, agent) of somebody who serves a queue."""
    email = await edge.make_user(pool, role=role, email=f"{name.lower()}@example.org")
    async with pool.acquire() as connection, connection.transaction():
        user = await connection.fetchval("SELECT id FROM app_user WHERE email = $1", email)
        await queues.ensure(connection, [QUEUE], by="test")
        await connection.execute("UPDATE queue SET wrap_up_s = $1", wrap_up_s)
        agent = await agents.make(connection, name=name, user_id=user, of_queues=[QUEUE], by="test")
    return email, agent


async def ring(pool: Any, email: str, agent: UUID, *, overflowed: bool = True, talking: bool = True) -> DeskCall:
    """A caller who waited 42 s, and is with this agent now."""
    made, at = DeskCall(email, agent), datetime.now(UTC) - timedelta(seconds=60)
    async with pool.acquire() as connection, connection.transaction():
        await voice_nodes.register(connection, made.node, "192.0.2.1:5060", 150)
        await lines.put_line(
            connection, number=LINE, campaign="spring", flow="welcome", language="en", currency="USD", fund="Wells",
            record=True, by="test",
        )  # fmt: skip
        started = Started(made.call, made.node, "inbound", CALLER, LINE, "spring", "welcome", None, None, at)
        await conversations.start(connection, started)
        await conversations.join(connection, made.call, made.caller, "caller", CALLER, at)
        await conversations.step_entered(connection, made.call, 1, "greeting", "say", at)
        await conversations.step_left(connection, made.call, 1, "next", at)
        entering = waiting.Entering(
            made.waiting, made.call, made.node, QUEUE, CALLER, 0.0, 5, "High_Value_Donor", ["Legacy_Gifts"], None, 0
        )
        await waiting.enter(connection, entering)
        await connection.execute(
            "UPDATE waiting SET state = 'offered', agent_id = $2, overflowed = $3, entered_at = $4, offered_at = $5"
            " WHERE id = $1",
            made.waiting, agent, overflowed, at, at + timedelta(seconds=42),
        )  # fmt: skip
        await connection.execute(
            "UPDATE agent_presence SET state = 'ringing', node_id = $2, conversation_id = $3, queue = $4,"
            " reach_node = $2, reach_kind = 'telephone', reach_until = now() + interval '1 hour' WHERE agent_id = $1",
            agent, made.node, made.call, QUEUE,
        )  # fmt: skip
    if talking:
        await answer(pool, made)
    return made


async def answer(pool: Any, made: DeskCall) -> None:
    """She takes it; it is recorded."""
    at = datetime.now(UTC)
    async with pool.acquire() as connection, connection.transaction():
        assert await waiting.connect(connection, made.waiting, made.agent, made.call)
        await conversations.join(connection, made.call, made.participant, "agent", "anna", at)
        await conversations.segment(connection, made.call, 1, "agent", "anna", at)
        await recordings.begin(connection, uuid7(), made.call, sensitive=False, sealed_key=b"k", path="a/b.tlr", at=at)


async def know(pool: Any, made: DeskCall, *, state: Any = "found") -> None:
    """The CRM's answer arrives."""
    donor = Donor(
        crm_id="c1",
        name="Maud Lindqvist",
        phone=CALLER,
        tier="Gold",
        lifetime_value=Money(750_000, "USD"),
        last_gift=Given(datetime.now(UTC).date() - timedelta(days=30), Money(25_000, "USD")),
        notes=("Prefers letters.",),
    )
    told = donors.Told(
        conversation_id=made.call, caller=CALLER, crm="rest", state=state, donor=donor, segment="High_Value_Donor"
    )
    async with pool.acquire() as connection, connection.transaction():
        await donors.tell(connection, told)


async def hang_up(pool: Any, made: DeskCall) -> None:
    """The caller hangs up: the time to write it up begins."""
    at = datetime.now(UTC)
    async with pool.acquire() as connection, connection.transaction():
        await conversations.ended(connection, made.call, at, by="caller", why="hung up")
        await waiting.leave(connection, made.waiting, "talked")
