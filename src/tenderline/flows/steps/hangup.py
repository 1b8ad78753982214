"""Ends the call."""

from __future__ import annotations

from collections.abc import Mapping

from tenderline.flows import phrase, step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Text


class Step(step.Step, frozen=True, kw_only=True):
    """With a last word, when there is one."""

    about = "Says a last word, if any, and ends the call."
    touches = frozenset({"caller"})
    is_end = True
    text: Text | None = None

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """None: the call is over."""
        del wired
        return frozenset()

    def texts(self) -> Mapping[str, Text]:
        """The last word."""
        return {"text": self.text} if self.text is not None else {}

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Says it, and hangs up."""
        if self.text is not None:
            await call.say(phrase.spoken(self.text, call.language, call.variables), cut_by_key=False)
        await call.hang_up()
        return "hung_up"
