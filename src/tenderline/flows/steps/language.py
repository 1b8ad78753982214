"""Goes on in another language."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call


class Step(step.Step, frozen=True, kw_only=True):
    """`language` is a BCP 47 tag, such as `es`; the variable of that name follows."""

    about = "Goes on in another language."
    touches = frozenset({"caller"})
    language: str

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Changes it."""
        call.speak_language(self.language)
        call.variables["language"] = self.language
        return "next"
