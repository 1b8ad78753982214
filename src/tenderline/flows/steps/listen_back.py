"""Lets a caller hear how they sound to us: the proof of a line."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.call import Backstage, Call
from tenderline.flows.spoken import Sound, Spoken
from tenderline.flows.step import Step, Touch


class ListenBack(Step, frozen=True):
    """Beeps, listens for a while and plays back what was heard. It is kept in memory only, and is no recording."""

    duration_s: Annotated[float, Meta(ge=0.5, le=10, description="How long it listens.")] = 2

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})

    def waits_on(self, exit: str) -> bool:
        """The caller has the word."""
        return True

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Beeps, listens and plays."""
        await call.say(Spoken(call.language, (Sound("beep"),)), cut_by_key=False)
        heard = await call.listen(duration_s=self.duration_s)
        await call.play_back(heard)
        return "next"
