"""Plans a message to the caller, through the gate like every other."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Name


class Step(step.Step, frozen=True, kw_only=True):
    """A template, filled with the call's variables."""

    about = "Plans a message to the caller, through the gate."
    touches = frozenset({"database"})
    template: Name

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """Planned, or refused."""
        del wired
        return frozenset({"next", "refused"})

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Plans it."""
        try:
            planned = await backstage.message(call, template=self.template, values=dict(call.variables))
        except (TimeoutError, OSError):
            return "refused"
        return "next" if planned else "refused"
