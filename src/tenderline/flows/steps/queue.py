"""Waits for an agent, and lets the two talk."""

from __future__ import annotations

from collections.abc import Mapping

from tenderline.flows import phrase, step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Name, Seconds, Text


class Step(step.Step, frozen=True, kw_only=True):
    """Waits in a queue; `next` after the talk, `timed_out`, or `nobody` when no agent is there at all."""

    about = "Waits for an agent of a queue and lets the two talk."
    touches = frozenset({"caller", "agent"})
    waits = True
    queue: Name
    comfort: Text | None = None
    comfort_every_s: Seconds = 30.0
    wait_max_s: Seconds = 300.0

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """They talked, or not."""
        del wired
        return frozenset({"next", "timed_out", "nobody"})

    def texts(self) -> Mapping[str, Text]:
        """What is said while waiting."""
        return {"comfort": self.comfort} if self.comfort is not None else {}

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Waits, and talks."""
        comfort = phrase.spoken(self.comfort, call.language, call.variables) if self.comfort is not None else None
        end = await call.queue(
            self.queue, wait_max_s=self.wait_max_s, comfort=comfort, comfort_every_s=self.comfort_every_s
        )
        return "next" if end == "talked" else end
