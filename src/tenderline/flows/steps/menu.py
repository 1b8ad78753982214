"""Lets the caller choose by one key."""

from __future__ import annotations

from collections.abc import Mapping

from tenderline.flows import phrase, step
from tenderline.flows.call import KEYS, Backstage, Call
from tenderline.flows.step import Seconds, Text, Tries


class Step(step.Step, frozen=True, kw_only=True):
    """Asks, and goes where the key leads; each key that is wired is an exit."""

    about = "Asks for one key; each key that is wired is an exit."
    touches = frozenset({"caller"})
    waits = True
    text: Text
    wrong: Text | None = None
    timeout_s: Seconds = 5.0
    tries: Tries = 3

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """The keys, and what becomes of those who press none or another one."""
        return (wired & KEYS) | {"no_input", "no_match"}

    def texts(self) -> Mapping[str, Text]:
        """The question, and what is said after a wrong key."""
        return {"text": self.text} | ({"wrong": self.wrong} if self.wrong is not None else {})

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Asks as often as it may."""
        keys = wired & KEYS
        outcome = "no_input"
        for attempt in range(self.tries):
            if attempt and outcome == "no_match" and self.wrong is not None:
                await call.say(phrase.spoken(self.wrong, call.language, call.variables), cut_by_key=True)
            await call.say(phrase.spoken(self.text, call.language, call.variables), cut_by_key=True)
            key = await call.key(timeout_s=self.timeout_s)
            if key in keys:
                assert key is not None
                return key
            outcome = "no_input" if key is None else "no_match"
        return outcome
