"""A floor with somebody of every kind: callers, agents, alerts, callbacks, look-ups; names that try to break out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from support import lines_up
from tenderline.core.clock import utc_now
from tenderline.core.ids import uuid7
from tenderline.core.queue_rings import Ring
from tenderline.store import alerts, callbacks, conversations, donors, presence, queues, secure_sessions
from tenderline.store.secure_sessions import Progress

CALLER = "+12025550143"


async def make_call(connection: Any, node: UUID, *, caller: str = CALLER, ended: bool = False) -> UUID:
    call, now = uuid7(), utc_now()
    started = conversations.Started(
        call, node, "inbound", caller, "+18005550123", "spring", "welcome", None, None, now - timedelta(minutes=3)
    )
    await conversations.start(connection, started)
    if ended:
        await conversations.ended(connection, call, now, by="caller", why="hung up")
    return call


async def was_in_line(
    connection: Any,
    queue: str,
    *,
    ago_s: float,
    wait_s: float,
    answered: bool = True,
    outcome: str | None = None,
    kept: bool = False,
    overflowed: bool = False,
) -> UUID:
    """Somebody who got in line so long ago, and waited so long."""
    made = uuid7()
    await connection.execute(
        "INSERT INTO waiting (id, conversation_id, queue, caller, entered_at, rank_at, overflowed, kept_at, state,"
        " connected_at, left_at, outcome) SELECT $1, $2, $3, $4, e.at, e.at, $5, CASE WHEN $6 THEN e.at END, 'left',"
        " CASE WHEN $7 THEN e.at + make_interval(secs => $8) END,"
        " e.at + make_interval(secs => $8 + CASE WHEN $7 THEN 60 ELSE 0 END), $9"
        " FROM (SELECT now() - make_interval(secs => $10) AS at) AS e",
        made, uuid7(), queue, CALLER, overflowed, kept, answered, wait_s,
        outcome or ("talked" if answered else "abandoned"), ago_s,
    )  # fmt: skip
    return made


async def keys_in(connection: Any, call: UUID, *, by: str | None = None) -> None:
    """A card is keyed in on this call: by a flow, or for an agent."""
    await conversations.segment(connection, call, 5, "secure_ivr", "", utc_now())
    if by is None:
        return
    made = uuid7()
    await secure_sessions.begin(
        connection, id=made, conversation_id=call, participant_id=uuid7(), source_participant_id=uuid7(),
        mode="attended", flow="secure_payment", disconnect=False, user_data={}, asked_by=by,
    )  # fmt: skip
    so_far = Progress(field="number", count=11, brand="visa", said="number_wrong")
    await secure_sessions.progress(connection, made, so_far)


async def look_up(connection: Any, state: donors.State, *, reason: str | None = None, detail: str = "") -> UUID:
    call = uuid7()
    await donors.begin(connection, call, CALLER, "rest", utc_now())
    told = donors.Told(
        conversation_id=call, caller=CALLER, crm="rest", state=state, reason=reason, detail=detail or None, took_ms=120
    )
    await donors.tell(connection, told)
    return call


async def asked_back(connection, *, due_at, conversation_id=None, number=CALLER):
    """Somebody is to be called back by hand; its id."""
    wish = callbacks.Wanted(
        person_id=None, conversation_id=conversation_id, number=number, due_at=due_at, not_after=None, asked_by="test"
    )
    return await callbacks.add(connection, wish)


async def busy(connection: Any) -> dict[str, UUID]:
    """Two queues, callers with and without priority, five agents, alerts, callbacks, two cards, look-ups."""
    node = await lines_up.make_node(connection)
    await lines_up.make_queue(connection, "general", service_level_s=20)
    await queues.put(
        connection,
        queues.Queue(
            name="specialists", title="Specialists <b>", service_level_s=30, service_level_percent=90,
            rings=(Ring(), Ring(after_s=30, queues_joined=("general",))), wrap_up_s=30,
        ),
        by="test",
    )  # fmt: skip
    ids: dict[str, UUID] = {}
    for name in ("anna", "bob", "carol", "dora", "emil"):
        ids[name] = await lines_up.make_agent(
            connection, name, ["general", "specialists"], node=node, skills={"legacy_gifts": 4}
        )
    await presence.say(connection, ids["bob"], "away", reason="lunch <i>", by="bob")
    await presence.say(connection, ids["carol"], "offline", reason=None, by="carol")
    await presence.say(connection, ids["dora"], "offline", reason=None, by="dora")
    call = ids["call"] = await make_call(connection, node)
    await lines_up.enter(connection, "general", node, conversation_id=call)
    await lines_up.match(connection)
    (offer,) = (await lines_up.offers(connection, node)).values()
    await lines_up.answer(connection, offer)
    ids["talks"] = offer.agent_id
    await presence.say(connection, ids["dora"], "available", reason=None, by="dora")
    await presence.unreached(connection, node, ["dora"])
    await connection.execute("UPDATE agent_presence SET state = 'available' WHERE agent_id = $1", ids["dora"])
    spare = ids["emil"] if offer.agent_id == ids["anna"] else ids["anna"]
    await presence.say(connection, spare, "away", reason="a talk", by="test")
    for number in range(3):
        waiting_call = await make_call(connection, node, caller=f"+1202555019{number}")
        await lines_up.enter(
            connection, "specialists", node, caller=f"+1202555019{number}", conversation_id=waiting_call,
            tier="High_Value_Donor <i>", skills=("legacy_gifts",), priority=number,
        )  # fmt: skip
    await connection.execute(
        "UPDATE waiting SET entered_at = entered_at - interval '45 s' WHERE caller = '+12025550190'"
    )
    for wait_s, answered in ((5, True), (10, True), (15, True), (25, True), (3, False), (40, False)):
        await was_in_line(connection, "general", ago_s=300, wait_s=wait_s, answered=answered)
    await presence.say(connection, offer.agent_id, "distress", reason="the word <u>fraud</u>", by="test")
    ids["alert"] = await alerts.raise_one(
        connection, "distress", call, None, {"reason": "<script>alert(1)</script>", "word": "fraud"}
    )
    await alerts.raise_one(connection, "callback_overdue", None, None, {"number": CALLER})
    for due in (timedelta(hours=-2), timedelta(minutes=10), timedelta(days=1)):
        await asked_back(connection, due_at=utc_now() + due)
    await keys_in(connection, call, by="anna@example.org")
    ids["self"] = await make_call(connection, node, caller="+12025550177")
    await keys_in(connection, ids["self"])
    await look_up(connection, "found")
    await look_up(connection, "failed", reason="timed_out", detail="No answer within 2 s; the call went on.")
    await look_up(connection, "skipped", reason="skipped", detail="The CRM was not asked: failing.")
    return ids
