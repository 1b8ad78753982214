"""Goes where the first condition that holds leads."""

from __future__ import annotations

from tenderline.flows import cel, step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.cel import BadConditionError


class Step(step.Step, frozen=True, kw_only=True):
    """`when = { large = "balance.minor > 500000" }`: each name is an exit, tried in order; else `otherwise`."""

    about = "Goes by the first condition (CEL) that holds."
    when: dict[str, str]

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """The names of the conditions, and otherwise."""
        del wired
        return frozenset(self.when) | {"otherwise"}

    def needs(self) -> frozenset[str]:
        """The variables that the conditions look at."""
        found: set[str] = set()
        for one in self.when.values():
            try:
                found |= {f"${name}" for name in cel.variables(one)}
            except BadConditionError:
                continue  # named by `faults`
        return frozenset(found)

    def faults(self) -> list[tuple[str, str]]:
        """Each must be a condition."""
        found = []
        for name, one in self.when.items():
            try:
                cel.read(one)
            except BadConditionError as error:
                found.append(("when", f"{name}: {error.detail}"))
        return found

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """The first that holds."""
        return next((name for name, one in self.when.items() if cel.holds(one, call.variables)), "otherwise")
