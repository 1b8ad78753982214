"""The caller wants no contact any more."""

from __future__ import annotations

from typing import ClassVar

from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Step, Touch


class OptOut(Step, frozen=True):
    """Stops every contact to the caller, on every channel. `unknown`: nobody is known by this number."""

    touches: ClassVar[frozenset[Touch]] = frozenset({"database"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("noted", "unknown")

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Notes it."""
        return "noted" if await backstage.opt_out(call) else "unknown"
