"""Says something."""

from __future__ import annotations

from collections.abc import Mapping

from tenderline.flows import phrase, step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Text


class Step(step.Step, frozen=True, kw_only=True):
    """Says a text; a key may cut it short, and is kept for the next step."""

    about = "Says a text."
    touches = frozenset({"caller"})
    text: Text
    cut_by_key: bool = True

    def texts(self) -> Mapping[str, Text]:
        """The text."""
        return {"text": self.text}

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Says it."""
        await call.say(phrase.spoken(self.text, call.language, call.variables), cut_by_key=self.cut_by_key)
        return "next"
