"""Notes that the caller wants to be called back."""

from __future__ import annotations

from tenderline.core import phone
from tenderline.core.errors import InvalidInputError
from tenderline.flows import step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Name


class Step(step.Step, frozen=True, kw_only=True):
    """To the caller's own number, or to the one in a variable."""

    about = "Notes a callback to the caller's number, or to one that was collected."
    touches = frozenset({"database"})
    number_in: Name | None = None

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """Noted, or not."""
        del wired
        return frozenset({"next", "failed"})

    def needs(self) -> frozenset[str]:
        """The variable with the number."""
        return frozenset({f"${self.number_in}"}) if self.number_in is not None else frozenset()

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Notes it."""
        number = None
        if self.number_in is not None:
            try:
                number = phone.normalise(str(call.variables.get(self.number_in) or ""), "US")
            except InvalidInputError:
                return "failed"
        try:
            return "next" if await backstage.call_back(call, number=number, due_at=None) else "failed"
        except (TimeoutError, OSError):
            return "failed"
