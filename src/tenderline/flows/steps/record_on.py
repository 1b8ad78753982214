"""Records from here: it must be announced before."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call


class Step(step.Step, frozen=True, kw_only=True):
    """Records from here: it must be announced before."""

    about = "Records from here: it must be announced before."
    touches = frozenset({"recording"})

    def takes_away(self, exit: str) -> frozenset[str]:
        """Whether the recording is silent is a fact that other steps need."""
        del exit
        return frozenset({"recording_off"})

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Does it."""
        await call.record(True)
        return "next"
