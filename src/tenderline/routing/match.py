"""Who takes whom: free agents and callers in line, matched by rule alone. No clock, no database.

The order among callers: those come first whom an agent was offered and did not answer; then whoever has the earliest
rank, which is when she came less the head start of her priority. Since everybody waits at the same speed, that order
never turns round by waiting: who comes much later is never before, so nobody waits for ever.

Each caller, in that order, gets the agent who may take her and is free for longest. A caller whom no free agent may
take keeps nobody idle: the next one is asked at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from tenderline.core.queue_rings import Reach, Ring, reaches

STEP_S: Final = 60.0
"""What one step of priority is worth in waiting time."""
PRIORITY_MAX: Final = 10
OVERFLOW_HEAD_START_S: Final = 120.0
"""Whoever overflows into another queue is served there ahead of its order by this much."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """Of one queue, what matching needs."""

    name: str
    rings: tuple[Ring, ...] = ()
    tiers: Mapping[str, int] = field(default_factory=dict)

    def reaches(self) -> tuple[Reach, ...]:
        """Whom each of its rings reaches."""
        return reaches(self.rings, self.name)

    def begins_s(self) -> tuple[float, ...]:
        """When each ring begins."""
        return tuple(ring.after_s for ring in self.rings) or (0.0,)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody in line. Times are seconds of one clock. `node` None: reachable from wherever the agent is. `is_kept`:
    hung up, and is to be called."""

    id: UUID
    queue: str
    entered_s: float
    rank_s: float
    skills: frozenset[str] = frozenset()
    ring_min: int = 0
    returned: bool = False
    preferred_agent: UUID | None = None
    preferred_until_s: float = 0.0
    node: UUID | None = None
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class FreeAgent:
    """Somebody who may take a call now. `node` None: can be rung from any node. `calls_back`: where she is reached,
    whoever kept a place can be called."""

    id: UUID
    queues: frozenset[str]
    skills: Mapping[str, int]
    free_since_s: float
    node: UUID | None = None
    calls_back: bool = True


@dataclass(frozen=True, slots=True)
class Match:
    """This agent takes this caller."""

    caller: UUID
    agent: UUID
    ring: int
    overflowed: bool


def head_start_s(priority: int, tier: str | None, tiers: Mapping[str, int]) -> float:
    """How much earlier than she came somebody counts: bounded, so that nobody can be overtaken for ever."""
    return STEP_S * max(0, min(PRIORITY_MAX, priority + tiers.get(tier or "", 0)))


def _ring_at(begins_s: tuple[float, ...], waited_s: float, ring_min: int) -> int:
    """The ring that somebody is in: by her time, or further out when nobody is logged in for the narrower ones."""
    by_time = sum(1 for begin_s in begins_s if begin_s <= waited_s) - 1
    return min(len(begins_s) - 1, max(by_time, ring_min))


def may_take(reach: Reach, skills: frozenset[str], queues: frozenset[str], known: Mapping[str, int]) -> bool:
    """Whether somebody of these queues, with these skills, may take a caller in this ring who wants those."""
    if not reach.queues & queues:
        return False
    return all(known.get(one, 0) >= reach.proficiency_min for one in skills if one not in reach.skills_dropped)


@dataclass(frozen=True, slots=True)
class Serving:
    """What somebody serves who is logged in, busy or not. `node` None: can be rung from any node."""

    queues: frozenset[str]
    skills: Mapping[str, int]
    node: UUID | None = None


def ring_to_skip_to(
    rules: QueueRules, skills: frozenset[str], node: UUID | None, logged_in: Iterable[Serving]
) -> int | None:
    """The first ring that somebody is logged in for whom this node can ring; None when nobody is in any."""
    crowd = [one for one in logged_in if one.node is None or node is None or one.node == node]
    for number, reach in enumerate(rules.reaches()):
        if any(may_take(reach, skills, one.queues, one.skills) for one in crowd):
            return number
    return None


def match(
    now_s: float, callers: Sequence[Caller], agents: Sequence[FreeAgent], rules: Mapping[str, QueueRules]
) -> list[Match]:
    """All that can be matched now."""
    board = _Board(agents)
    # Once for each queue, not for each caller: there are hundreds of them.
    known = {name: (one.begins_s(), one.reaches()) for name, one in rules.items()}
    placed = sorted((_place(now_s, one, *known[one.queue]) for one in callers if one.queue in known), key=_order)
    found: list[Match] = []
    for place in placed:
        agent = board.take(place, now_s)
        if agent is not None:
            overflowed = place.caller.queue not in agent.queues
            found.append(Match(place.caller.id, agent.id, place.ring, overflowed))
    return found


def next_change_s(now_s: float, callers: Sequence[Caller], rules: Mapping[str, QueueRules]) -> float | None:
    """When, though nobody comes or goes, somebody may reach more agents than now: a ring or a preference ends."""
    begins_s = {name: one.begins_s() for name, one in rules.items()}
    ahead = [one.preferred_until_s for one in callers if one.preferred_agent is not None]
    ahead += [one.entered_s + begin_s for one in callers for begin_s in begins_s.get(one.queue, ())]
    return min((at_s for at_s in ahead if at_s > now_s), default=None)


@dataclass(frozen=True, slots=True)
class _Place:
    caller: Caller
    ring: int
    reach: Reach
    rank_s: float


def _place(now_s: float, caller: Caller, begins_s: tuple[float, ...], reached: tuple[Reach, ...]) -> _Place:
    ring = _ring_at(begins_s, now_s - caller.entered_s, caller.ring_min)
    reach = reached[ring]
    ahead_s = OVERFLOW_HEAD_START_S if reach.queues != reached[0].queues else 0.0
    return _Place(caller, ring, reach, caller.rank_s - ahead_s)


def _order(place: _Place) -> tuple[bool, float, UUID]:
    return not place.caller.returned, place.rank_s, place.caller.id


class _Board:
    """Free agents, those free for longest first; callers who want the same look through them once, together."""

    def __init__(self, agents: Sequence[FreeAgent]) -> None:
        self._agents = sorted(agents, key=lambda one: (one.free_since_s, one.id))
        self._by_id = {one.id: one for one in agents}
        self._taken: set[UUID] = set()
        self._looks: dict[tuple[str, int, frozenset[str], UUID | None, bool], Iterator[FreeAgent]] = {}

    def take(self, place: _Place, now_s: float) -> FreeAgent | None:
        caller = place.caller
        if caller.preferred_agent is not None and now_s < caller.preferred_until_s:
            agent = self._by_id.get(caller.preferred_agent)
            if agent is not None and (agent.id in self._taken or not _fits(agent, place)):
                agent = None
        else:
            key = caller.queue, place.ring, caller.skills, caller.node, caller.is_kept
            if key not in self._looks:
                self._looks[key] = self._look(place)
            agent = next(self._looks[key], None)
        if agent is not None:
            self._taken.add(agent.id)
        return agent

    def _look(self, place: _Place) -> Iterator[FreeAgent]:
        """Whom one of those alike may not take, none of them may; whoever is taken stays taken: once is enough."""
        for one in self._agents:
            if one.id not in self._taken and _fits(one, place):
                yield one


def _fits(agent: FreeAgent, place: _Place) -> bool:
    caller = place.caller
    near = agent.node is None or caller.node is None or agent.node == caller.node
    can_be_called = agent.calls_back or not caller.is_kept
    return near and can_be_called and may_take(place.reach, caller.skills, agent.queues, agent.skills)
