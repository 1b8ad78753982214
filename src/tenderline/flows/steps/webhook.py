"""Tells another system, and asks it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Answer, Names, Step, Touch, take_over
from tenderline.flows.variables import Reads, Sets, of


class Webhook(Step, frozen=True):
    """Posts values, signed, to a registered endpoint, and takes over what is named here of its answer."""

    endpoint: Names
    sends: Annotated[tuple[Reads, ...], Meta(max_length=20, description="Variables whose values are posted.")] = ()
    variables: Annotated[
        tuple[Sets, ...], Meta(max_length=20, description="Variables taken from the answer; they may be null.")
    ] = ()
    timeout_s: Answer = 3

    touches: ClassVar[frozenset[Touch]] = frozenset({"network"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("answered", "no_answer")

    def sets_on(self, exit: str) -> frozenset[str]:
        """All of them when there was an answer."""
        return frozenset(map(str, self.variables)) if exit == "answered" else frozenset()

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Posts and waits."""
        known = of(call)
        values = {str(name): known.get(name) for name in self.sends}
        try:
            answer = await backstage.post(call, endpoint=self.endpoint, values=values, timeout_s=self.timeout_s)
        except TimeoutError:
            return "no_answer"
        if answer is None:
            return "no_answer"
        take_over(call, self.variables, answer)
        return "answered"
