"""Waits for an agent."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final

from msgspec import Meta

from tenderline.core.queue_rings import Name
from tenderline.flows.call import Backstage, Call, Value
from tenderline.flows.phrase import Text
from tenderline.flows.step import Step, Touch, spoken
from tenderline.flows.variables import Reads
from tenderline.routing.match import PRIORITY_MAX
from tenderline.routing.queues import Wish

_SKILL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


class Queue(Step, frozen=True):
    """Waits for an agent of a queue, and lets the two talk. Nobody logged in who could ever take it is `nobody`, at
    once. Of what is wanted and how urgent it is, variables may tell more than the flow."""

    queue: Name
    wait_max_s: Annotated[float, Meta(ge=5, le=7200, description="How long the caller is kept waiting.")] = 600
    comfort: Text | None = None
    comfort_every_s: Annotated[float, Meta(ge=10, le=600, description="How often the comfort text is said.")] = 45
    skills: Annotated[
        tuple[Name, ...], Meta(max_length=10, description="What the agent must be good at; the queue's rings say how.")
    ] = ()
    skills_from: Reads | None = None
    priority: Annotated[int, Meta(ge=0, le=10, description="Each step counts like a minute of waiting.")] = 0
    priority_from: Reads | None = None
    tier_from: Reads | None = None
    keep_place: Text | None = None

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "agent", "database"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("talked", "timed_out", "nobody")
    derived_exits: ClassVar[str] = "`kept` with `keep_place`"

    def exits(self) -> tuple[str, ...]:
        """One more when the place may be kept: the caller pressed 1, and is called back when it is her turn."""
        return (*self.fixed_exits, "kept") if self.keep_place is not None else self.fixed_exits

    def waits_on(self, exit: str) -> bool:
        """Not when nobody is there."""
        return exit != "nobody"

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Waits and talks."""
        return await call.queue(
            self.queue,
            wait_max_s=self.wait_max_s,
            comfort=spoken(self.comfort, call) if self.comfort else None,
            comfort_every_s=self.comfort_every_s,
            wish=self._wish(call),
            keep_place=spoken(self.keep_place, call) if self.keep_place else None,
        )

    def _wish(self, call: Call) -> Wish:
        def value(name: Reads | None) -> Value:
            return call.variables.get(name) if name is not None else None

        told, priority, tier = value(self.skills_from), value(self.priority_from), value(self.tier_from)
        more = [one for one in str(told or "").replace(",", " ").split() if _SKILL.fullmatch(one)]
        is_number = isinstance(priority, int) and not isinstance(priority, bool)
        return Wish(
            skills=tuple(dict.fromkeys((*self.skills, *more))),
            priority=max(0, min(PRIORITY_MAX, priority)) if is_number and isinstance(priority, int) else self.priority,
            tier=str(tier) if tier else None,
        )
