"""Waits for an agent."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.call import Backstage, Call
from tenderline.flows.phrase import Text
from tenderline.flows.step import Names, Step, Touch, spoken


class Queue(Step, frozen=True):
    """Waits for an agent of a queue, and lets the two talk. Nobody signed in is `nobody`, at once."""

    queue: Names
    wait_max_s: Annotated[float, Meta(ge=5, le=7200, description="How long the caller is kept waiting.")] = 600
    comfort: Text | None = None
    comfort_every_s: Annotated[float, Meta(ge=10, le=600, description="How often the comfort text is said.")] = 45

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "agent", "database"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("talked", "timed_out", "nobody")

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
        )
