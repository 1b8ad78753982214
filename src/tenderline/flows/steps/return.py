"""Gives the caller back."""

from __future__ import annotations

from typing import ClassVar

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import RETURNED, Step


class Return(Step, frozen=True):
    """Gives the caller back to whoever called this flow, on a call that goes on: an agent who waits. What came of it
    lies in the variables. A flow with this step can be used for that and for nothing else."""

    fixed_exits: ClassVar[tuple[str, ...]] = ()
    ends: ClassVar[tuple[str, ...]] = (RETURNED,)

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Nothing is left to do here."""
        return RETURNED
