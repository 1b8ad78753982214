"""Listens, and plays back what it heard: proof that both directions of a line carry sound."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call

Brief = Annotated[float, msgspec.Meta(gt=0, le=10)]


class Step(step.Step, frozen=True, kw_only=True):
    """Nothing is kept."""

    about = "Listens for a while and plays it back; nothing is kept."
    touches = frozenset({"caller"})
    waits = True
    seconds: Brief = 2.0

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Listens, and plays back."""
        await call.play_back(await call.listen(seconds=self.seconds))
        return "next"
