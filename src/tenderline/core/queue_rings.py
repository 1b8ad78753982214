"""Rings of a queue: from which second on whom a caller may reach. They only ever widen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Final

import msgspec

from tenderline.core.errors import InvalidInputError

RINGS_MAX: Final = 10
PROFICIENCY_MIN: Final = 1
PROFICIENCY_MAX: Final = 5

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]


class InvalidRingsError(InvalidInputError):
    """The rings of a queue must begin at second 0 and follow each other; correct them and try again."""

    code = "queue.rings"


class Ring(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """From `after_s` of waiting on: how well a wanted skill must be known, which skills are wanted no more, and whose
    agents may take the call too."""

    after_s: Annotated[float, msgspec.Meta(ge=0, le=7200)] = 0
    proficiency_min: Annotated[int, msgspec.Meta(ge=PROFICIENCY_MIN, le=PROFICIENCY_MAX)] = PROFICIENCY_MIN
    skills_dropped: tuple[Name, ...] = ()
    queues_joined: tuple[Name, ...] = ()


class Reach(msgspec.Struct, frozen=True):
    """Whom a caller in some ring may reach, all rings before it counted in."""

    queues: frozenset[str]
    proficiency_min: int
    skills_dropped: frozenset[str]


ALONE: Final = (Ring(),)
"""A queue without rings: its own agents, from the first second."""


def checked(rings: Sequence[Ring], queue: str) -> tuple[Ring, ...]:
    """The rings as they are kept. Raises `InvalidRingsError`, which names what is wrong."""
    if len(rings) > RINGS_MAX:
        raise InvalidRingsError(f"A queue has {RINGS_MAX} rings at most; {queue!r} would have {len(rings)}.")
    if rings and rings[0].after_s != 0:
        raise InvalidRingsError(f"The first ring of {queue!r} must be from second 0 on (afterS 0).")
    for before, after in pairwise(rings):
        if after.after_s <= before.after_s:
            raise InvalidRingsError(f"Each ring of {queue!r} must begin later than the one before it.")
        if after.proficiency_min > before.proficiency_min:
            raise InvalidRingsError(f"The rings of {queue!r} may only widen: a later one asks for no more proficiency.")
    return tuple(rings)


@lru_cache(1024)
def reaches(rings: tuple[Ring, ...], queue: str) -> tuple[Reach, ...]:
    """Whom each ring reaches: what an earlier one allowed, a later one never takes away."""
    found: list[Reach] = []
    queues, dropped, proficiency = frozenset({queue}), frozenset[str](), PROFICIENCY_MAX
    for ring in rings or ALONE:
        queues |= frozenset(ring.queues_joined)
        dropped |= frozenset(ring.skills_dropped)
        proficiency = min(proficiency, ring.proficiency_min)
        found.append(Reach(queues, proficiency, dropped))
    return tuple(found)
