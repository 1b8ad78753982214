"""Begins to record, or goes on with it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import RECORDING_ANNOUNCED, RECORDING_OFF, RECORDING_ON, Facts, Step, Touch


class RecordOn(Step, frozen=True):
    """Records both sides from here on. The caller must have been told: a `say` with `announces_recording`."""

    sensitive: Annotated[
        bool, Meta(description="The whole recording goes to the store for sensitive ones, which fewer roles may hear.")
    ] = False

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller", "agent"})
    needs: ClassVar[Facts] = frozenset({RECORDING_ANNOUNCED})
    gives: ClassVar[Facts] = frozenset({RECORDING_ON})
    takes_away: ClassVar[Facts] = frozenset({RECORDING_OFF})

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Switches it on."""
        await call.record(True, sensitive=self.sensitive)
        return "next"
