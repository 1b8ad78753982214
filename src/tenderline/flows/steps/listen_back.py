"""Listens, and plays back what it heard: proof that both directions of a line carry sound."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.spoken import Sound, Spoken

Brief = Annotated[float, msgspec.Meta(gt=0, le=10)]


class Step(step.Step, frozen=True, kw_only=True):
    """Nothing is kept."""

    about = "Beeps, listens for a while and plays it back; nothing is kept."
    touches = frozenset({"caller"})
    waits = True
    duration_s: Brief = 2.0

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Beeps, listens, and plays back."""
        await call.say(Spoken(call.language, (Sound("beep"),)), cut_by_key=False)
        await call.play_back(await call.listen(duration_s=self.duration_s))
        return "next"
