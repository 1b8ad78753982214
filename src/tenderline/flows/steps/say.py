"""Says something."""

from __future__ import annotations

from typing import ClassVar

from tenderline.flows.call import Backstage, Call
from tenderline.flows.phrase import Text
from tenderline.flows.step import NOTHING, RECORDING_ANNOUNCED, Facts, Step, Touch, spoken


class Say(Step, frozen=True):
    """Says a text, to its end or until a key is pressed. The key is kept for the step that comes next."""

    text: Text
    cut_by_key: bool = True
    announces_recording: bool = False

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})
    derived_facts: ClassVar[str] = "`recording_announced` when `announces_recording` is set and `cut_by_key` is not"

    def gives_on(self, exit: str) -> Facts:
        """A recording may begin once the caller was told; a text that can be cut short tells nobody anything."""
        return frozenset({RECORDING_ANNOUNCED}) if self.announces_recording and not self.cut_by_key else NOTHING

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Says it."""
        await call.say(spoken(self.text, call), cut_by_key=self.cut_by_key)
        return "next"
