"""Hands the caller over to somebody else; the flow ends with it."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Seconds
from tenderline.flows.steps.bridge import _place_faults


class Step(step.Step, frozen=True, kw_only=True):
    """`to` is a number in E.164, or `sip:NAME` of a telephone that is registered here."""

    about = "Hands the caller over; the call is somebody else's then."
    touches = frozenset({"caller", "network"})
    waits = True
    is_end = True
    to: str
    ring_s: Seconds = 30.0

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """Why it did not work; when it did, the flow is over."""
        del wired
        return frozenset({"busy", "no_answer", "failed"})

    def faults(self) -> list[tuple[str, str]]:
        """It must be somewhere that can be reached."""
        return _place_faults(self.to)

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Hands over."""
        return await call.transfer(self.to, ring_s=self.ring_s)
