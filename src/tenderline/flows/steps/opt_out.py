"""The caller wants to be left alone: silence on every channel, from this instant."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call


class Step(step.Step, frozen=True, kw_only=True):
    """Keeps the word for the caller's number; `failed` when it was withheld or could not be kept."""

    about = "Keeps the caller's word to be contacted no more, on any channel."
    touches = frozenset({"database"})

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """Kept, or not: then somebody must hear of it."""
        del wired
        return frozenset({"next", "failed"})

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Keeps it."""
        try:
            return "next" if await backstage.opt_out(call) else "failed"
        except (TimeoutError, OSError):
            return "failed"
