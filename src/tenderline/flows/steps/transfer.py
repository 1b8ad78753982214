"""Hands the caller over."""

from __future__ import annotations

from typing import ClassVar

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Destination, Ring, Step, Touch


class Transfer(Step, frozen=True):
    """Hands the caller over to a number or a SIP address. Once it is done, the call is over for us."""

    to: Destination
    ring_s: Ring = 25

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "network"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("busy", "no_answer", "failed")
    ends: ClassVar[tuple[str, ...]] = ("transferred",)

    def waits_on(self, exit: str) -> bool:
        """A line that is busy or broken says so at once."""
        return exit == "no_answer"

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Hands over."""
        return await call.transfer(self.to, ring_s=self.ring_s)
