"""Says good-bye."""

from __future__ import annotations

from typing import ClassVar

from tenderline.flows.call import Backstage, Call
from tenderline.flows.phrase import Text
from tenderline.flows.step import Step, Touch, spoken


class Hangup(Step, frozen=True):
    """Says good-bye, when there is a text for it, and ends the call."""

    text: Text | None = None

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})
    fixed_exits: ClassVar[tuple[str, ...]] = ()
    ends: ClassVar[tuple[str, ...]] = ("hung_up",)

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Hangs up."""
        if self.text is not None:
            await call.say(spoken(self.text, call), cut_by_key=False)
        await call.hang_up()
        return "hung_up"
