"""Posts what is known to a system of the operator's, and takes values back."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Name

Brief = Annotated[float, msgspec.Meta(gt=0, le=10)]


class Step(step.Step, frozen=True, kw_only=True):
    """`send` are the variables that are posted, `takes` those that the answer may set."""

    about = "Posts variables to a registered endpoint, and takes values from its answer."
    touches = frozenset({"network"})
    endpoint: Name
    send: tuple[Name, ...] = ()
    takes: tuple[Name, ...] = ()
    timeout_s: Brief = 3.0

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """Answered, or not."""
        del wired
        return frozenset({"next", "failed"})

    def needs(self) -> frozenset[str]:
        """The variables that are posted."""
        return frozenset(f"${name}" for name in self.send)

    def gives(self, exit: str) -> frozenset[str]:
        """The variables of the answer."""
        return frozenset(f"${name}" for name in self.takes) if exit == "next" else frozenset()

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Posts, within its time."""
        values = {name: call.variables.get(name) for name in self.send}
        try:
            answer = await backstage.post(call, endpoint=self.endpoint, values=values, timeout_s=self.timeout_s)
        except (TimeoutError, OSError):
            return "failed"
        if answer is None:
            return "failed"
        call.variables.update({name: answer.get(name) for name in self.takes})
        return "next"
