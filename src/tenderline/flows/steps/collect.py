"""Collects digits: a reference, a ZIP code, an extension. Never a card: that is another step, in another room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from tenderline.core import pan
from tenderline.flows import phrase, step
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Name, Seconds, Text, Tries

Length = Annotated[int, msgspec.Meta(ge=1, le=30)]


class Step(step.Step, frozen=True, kw_only=True):
    """Asks for digits; `#` ends them, `*` begins again. What looks like a card number is refused and forgotten."""

    about = "Collects digits into a variable; # ends them, * begins again."
    touches = frozenset({"caller"})
    waits = True
    text: Text
    into: Name
    wrong: Text | None = None
    length_min: Length = 1
    length_max: Length = 10
    timeout_s: Seconds = 8.0
    between_keys_s: Seconds = 5.0
    tries: Tries = 3

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """Got, or not."""
        del wired
        return frozenset({"next", "no_input", "no_match"})

    def gives(self, exit: str) -> frozenset[str]:
        """The variable, when it was got."""
        return frozenset({f"${self.into}"}) if exit == "next" else frozenset()

    def texts(self) -> Mapping[str, Text]:
        """The question, and what is said after a wrong answer."""
        return {"text": self.text} | ({"wrong": self.wrong} if self.wrong is not None else {})

    def faults(self) -> list[tuple[str, str]]:
        """The lengths must fit each other."""
        if self.length_min > self.length_max:
            return [("length_min", f"length_min {self.length_min} is more than length_max {self.length_max}")]
        return []

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """Asks as often as it may."""
        outcome = "no_input"
        for attempt in range(self.tries):
            if attempt and outcome == "no_match" and self.wrong is not None:
                await call.say(phrase.spoken(self.wrong, call.language, call.variables), cut_by_key=True)
            await call.say(phrase.spoken(self.text, call.language, call.variables), cut_by_key=True)
            digits = await self._digits(call)
            if len(digits) >= self.length_min and not pan.holds_card_number(digits.encode()):
                call.variables[self.into] = digits
                return "next"
            outcome = "no_match" if digits else "no_input"
        return outcome

    async def _digits(self, call: Call) -> str:
        digits, timeout_s = "", self.timeout_s
        while len(digits) < self.length_max:
            key = await call.key(timeout_s=timeout_s)
            if key is None or key == "#":
                break
            digits = "" if key == "*" else digits + key if key.isdecimal() else digits
            timeout_s = self.between_keys_s
        return digits
