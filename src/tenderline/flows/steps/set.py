"""Sets variables to fixed values."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call


class Step(step.Step, frozen=True, kw_only=True):
    """`values = { purpose = "gift" }`."""

    about = "Sets variables to fixed values."
    values: dict[str, str | int | bool]

    def gives(self, exit: str) -> frozenset[str]:
        """The variables."""
        del exit
        return frozenset(f"${name}" for name in self.values)

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Sets them."""
        call.variables.update(self.values)
        return "next"
