"""The line in front of agents: getting in, the match as one transaction, and what a look round finds.

Every step is right by the rows it locks, so any number of nodes may take it at once; hints only make it quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from tenderline.core.ids import uuid7
from tenderline.routing import match as matching
from tenderline.routing.match import Caller, FreeAgent, QueueRules, Serving
from tenderline.store import presence, queues, waiting
from tenderline.store.db import Connection
from tenderline.store.queues import Queue


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller brings along: skills that are wanted, and how urgent she is."""

    skills: tuple[str, ...] = ()
    priority: int = 0
    tier: str | None = None
    preferred_agent: UUID | None = None
    waited_s: float = 0.0
    """In a line before this one: who is handed on does not begin anew."""


NOTHING = Wish()


@dataclass(frozen=True, slots=True)
class InLine:
    """Somebody is in line."""

    id: UUID
    wait_max_s: float | None
    callback_after_s: float | None


@dataclass(frozen=True, slots=True)
class Turn:
    """What a match did: how many it matched, which nodes have something to ring, when it may find more by itself."""

    matched: int
    nodes: frozenset[UUID]
    next_in_s: float | None


def rules_of(queue: Queue) -> QueueRules:
    """What matching needs of a queue."""
    return QueueRules(queue.name, queue.rings, queue.tiers)


async def enter(
    connection: Connection,
    queue: str,
    *,
    conversation_id: UUID,
    node_id: UUID,
    caller: str | None,
    wish: Wish,
    id: UUID | None = None,
) -> InLine | None:
    """Gets in line; None when there is no such queue, or nobody is logged in who could ever take the call. With an `id`
    twice is no error."""
    found = await queues.get(connection, queue)
    if found is None:
        return None
    rules = rules_of(found)
    crowd = await _logged_in(connection, [rules])
    ring = matching.ring_to_skip_to(rules, frozenset(wish.skills), node_id, crowd)
    if ring is None:
        return None
    preferred = wish.preferred_agent
    if preferred is None and found.last_agent_wait_s and caller is not None:
        preferred = await waiting.last_agent(connection, caller, queue)
    one = waiting.Entering(
        id=id or uuid7(),
        conversation_id=conversation_id,
        node_id=node_id,
        queue=queue,
        caller=caller,
        head_start_s=matching.head_start_s(wish.priority, wish.tier, found.tiers) + wish.waited_s,
        priority=max(0, min(matching.PRIORITY_MAX, wish.priority)),
        tier=wish.tier,
        skills=wish.skills,
        preferred_agent=preferred,
        ring_min=ring,
    )
    if await waiting.enter(connection, one) is None:
        return None
    return InLine(one.id, found.wait_max_s, found.callback_after_s)


async def match(connection: Connection) -> Turn:
    """Gives every free agent the caller whose turn it is. Call it in a transaction of its own."""
    now_s = await waiting.lock(connection)
    await presence.come_back(connection)
    free = [_free(one) for one in await presence.free(connection)]
    if not free:
        return Turn(0, frozenset(), None)
    rules = {one.name: rules_of(one) for one in await queues.every(connection)}
    served = frozenset[str]().union(*(one.queues for one in free))
    reaching = [name for name, one in rules.items() if one.reaches()[-1].queues & served]
    callers = [_caller(one) for one in await waiting.in_line(connection, reaching)]
    if not callers:
        return Turn(0, frozenset(), None)
    found = matching.match(now_s, callers, free, rules)
    wanted = [waiting.Assignment(one.caller, one.agent, one.ring, one.overflowed) for one in found]
    nodes = await waiting.assign(connection, wanted) if wanted else []
    for node in set(nodes):
        await waiting.hint(connection, node)
    taken = {one.caller for one in found}
    change_s = matching.next_change_s(now_s, [one for one in callers if one.id not in taken], rules)
    return Turn(len(nodes), frozenset(nodes), None if change_s is None else change_s - now_s)


async def look_round(connection: Connection) -> None:
    """What no single event tells: reservations that nobody took up, telephones that did not register again, rings for
    which nobody is logged in, callers whom nobody can serve any more. Call it in a transaction."""
    await waiting.lock(connection)
    await waiting.return_stale_offers(connection)
    await presence.lapse(connection)
    names = await waiting.queues_in_line(connection)
    if not names:
        return
    rules = {one.name: rules_of(one) for one in await queues.every(connection)}
    crowd = await _logged_in(connection, [rules[name] for name in names if name in rules])
    rings: dict[tuple[str, frozenset[str], UUID | None], int | None] = {}
    further: dict[UUID, int] = {}
    stranded: list[UUID] = []
    for one in await waiting.in_line(connection, names):
        alike = one.queue, frozenset(one.skills), one.node_id
        if alike not in rings:
            known = rules.get(one.queue)
            rings[alike] = None if known is None else matching.ring_to_skip_to(known, alike[1], one.node_id, crowd)
        ring = rings[alike]
        if ring is None:
            stranded.append(one.id)
        elif ring > one.ring_min:
            further[one.id] = ring
    if further:
        await waiting.skip_rings(connection, further)
    for node in await waiting.nobody_there(connection, stranded) if stranded else ():
        await waiting.hint(connection, node)


async def _logged_in(connection: Connection, rules: Iterable[QueueRules]) -> list[Serving]:
    names = sorted(frozenset[str]().union(*(one.reaches()[-1].queues for one in rules)))
    return [Serving(one.queues, one.skills, one.node) for one in await presence.logged_in(connection, names)]


def _free(one: presence.Free) -> FreeAgent:
    return FreeAgent(one.id, one.serving.queues, one.serving.skills, one.free_since_s, one.serving.node, one.calls_back)


def _caller(one: waiting.Waiting) -> Caller:
    return Caller(
        id=one.id,
        queue=one.queue,
        entered_s=one.entered_s,
        rank_s=one.rank_s,
        skills=frozenset(one.skills),
        ring_min=one.ring_min,
        returned=one.returned,
        preferred_agent=one.preferred_agent,
        preferred_until_s=one.preferred_until_s,
        node=one.node_id,
        is_kept=one.is_kept,
    )
