"""Calls somebody else and lets the two talk."""

from __future__ import annotations

from typing import ClassVar

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Destination, Ring, Step, Touch


class Bridge(Step, frozen=True):
    """Calls a number or a SIP address and lets the two talk, until the other side hangs up."""

    to: Destination
    ring_s: Ring = 25

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "agent", "network"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("talked", "busy", "no_answer", "failed")

    def waits_on(self, exit: str) -> bool:
        """A line that is busy or broken says so at once."""
        return exit in ("talked", "no_answer")

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Calls and talks."""
        return await call.bridge(self.to, ring_s=self.ring_s)
