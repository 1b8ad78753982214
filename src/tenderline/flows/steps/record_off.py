"""Records silence from here, on both sides."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call


class Step(step.Step, frozen=True, kw_only=True):
    """Records silence from here, on both sides."""

    about = "Records silence from here, on both sides."
    touches = frozenset({"recording"})

    def gives(self, exit: str) -> frozenset[str]:
        """Whether the recording is silent is a fact that other steps need."""
        del exit
        return frozenset({"recording_off"})

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Does it."""
        await call.record(False)
        return "next"
