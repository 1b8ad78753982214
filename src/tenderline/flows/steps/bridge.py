"""Calls somebody else, and lets the two talk through us."""

from __future__ import annotations

from tenderline.flows import step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Seconds


class Step(step.Step, frozen=True, kw_only=True):
    """`to` is a number in E.164, or `sip:NAME` of a telephone that is registered here."""

    about = "Calls a number or a telephone and lets the two talk."
    touches = frozenset({"caller", "network"})
    waits = True
    to: str
    ring_s: Seconds = 30.0

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """They talked, or why not."""
        del wired
        return frozenset({"next", "busy", "no_answer", "failed"})

    def faults(self) -> list[tuple[str, str]]:
        """It must be somewhere that can be reached."""
        return _place_faults(self.to)

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Calls, and talks."""
        end = await call.bridge(self.to, ring_s=self.ring_s)
        return "next" if end == "talked" else end


def _place_faults(to: str) -> list[tuple[str, str]]:
    if to.startswith("sip:") or (to.startswith("+") and to[1:].isdecimal() and 7 <= len(to) - 1 <= 15):
        return []
    return [("to", f"{to!r} is neither a number such as +12025550123 nor sip:NAME")]
