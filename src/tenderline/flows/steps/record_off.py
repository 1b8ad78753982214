"""Silences the recording."""

from __future__ import annotations

from typing import ClassVar

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import RECORDING_OFF, RECORDING_ON, Facts, Step, Touch


class RecordOff(Step, frozen=True):
    """Records silence from here on, until `record_on`."""

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "agent"})
    gives: ClassVar[Facts] = frozenset({RECORDING_OFF})
    takes_away: ClassVar[Facts] = frozenset({RECORDING_ON})

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Switches it off."""
        await call.record(False)
        return "next"
