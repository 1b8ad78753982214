"""What surely holds at each place of a graph, whatever way led there: a forward must-analysis to its fixpoint.

A state is a set of items; where ways meet, only what all of them bring is left. It knows nothing of flows: facts and
variables are both items to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Edge:
    """A way from one place to another: what it makes true, and what it makes untrue. Taking away comes first."""

    to: str
    gives: frozenset[Hashable] = frozenset()
    takes_away: frozenset[Hashable] = frozenset()

    def carried(self, state: frozenset[Hashable]) -> frozenset[Hashable]:
        """The state behind it."""
        return (state - self.takes_away) | self.gives


Edges = Mapping[str, Sequence[Edge]]


def surely(start: str, state: frozenset[Hashable], edges: Edges) -> dict[str, frozenset[Hashable]]:
    """What holds on entering each place that can be reached from `start`, on every way there."""
    found = {start: state}
    waiting = deque([start])
    while waiting:  # a state only ever shrinks, so this ends
        here = waiting.popleft()
        for edge in edges.get(here, ()):
            carried = edge.carried(found[here])
            known = found.get(edge.to)
            met = carried if known is None else known & carried
            if met != known:
                found[edge.to] = met
                waiting.append(edge.to)
    return found


def way_without(start: str, state: frozenset[Hashable], edges: Edges, to: str, item: Hashable) -> tuple[str, ...]:
    """The shortest way from `start` to `to` on which `item` does not hold at the end; empty when there is none."""
    first = (start, item in state)
    came_from: dict[tuple[str, bool], tuple[str, bool] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        at = waiting.popleft()
        if at == (to, False):
            way: list[str] = []
            step: tuple[str, bool] | None = at
            while step is not None:
                way.append(step[0])
                step = came_from[step]
            return tuple(reversed(way))
        for edge in edges.get(at[0], ()):
            there = (edge.to, item in edge.gives or (at[1] and item not in edge.takes_away))
            if there not in came_from:
                came_from[there] = at
                waiting.append(there)
    return ()


def reached(starts: Sequence[str], edges: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Every place there is a way to."""
    found = set(starts)
    waiting = list(starts)
    while waiting:
        for there in edges.get(waiting.pop(), ()):
            if there not in found:
                found.add(there)
                waiting.append(there)
    return frozenset(found)


def circles(edges: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Each group of places that lead back to themselves, in order of the names."""
    reach = {place: reached(list(nexts), edges) for place, nexts in edges.items()}
    found: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for place in sorted(edges):
        if place in reach[place] and place not in seen:
            group = tuple(sorted(other for other in reach[place] if place in reach.get(other, frozenset())))
            seen.update(group)
            found.append(group)
    return found
