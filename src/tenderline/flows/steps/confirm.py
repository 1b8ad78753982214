"""Reads a value back and asks whether it is right. Only this makes a value confirmed."""

from __future__ import annotations

from typing import ClassVar

from tenderline.flows.asking import NO_INPUT, one_key
from tenderline.flows.call import Backstage, Call
from tenderline.flows.phrase import Placeholder, Text
from tenderline.flows.step import NOTHING, Facts, Key, KeyWait, Step, Touch, Tries, confirmed, spoken
from tenderline.flows.variables import Reads


class Confirm(Step, frozen=True):
    """Reads a variable's value back and asks whether it is right; gives the fact `<variable>_confirmed`.

    A step that sets the variable anew undoes the fact.
    """

    text: Text
    variable: Reads
    yes: Key = "1"
    no: Key = "2"
    timeout_s: KeyWait = 6
    tries_max: Tries = 3

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("confirmed", "refused", NO_INPUT)
    derived_facts: ClassVar[str] = "`<variable>_confirmed` by the exit `confirmed` alone"

    def __post_init__(self) -> None:
        if self.yes == self.no:
            raise ValueError("yes: must be another key than no")
        for language, pieces in self.text.by_language.items():
            if not any(isinstance(one, Placeholder) and one.variable == self.variable for one in pieces):
                raise ValueError(f"text: does not say {{{self.variable}}} in {language!r}; nobody can confirm it")

    def gives_on(self, exit: str) -> Facts:
        """Confirmed by a key, and by nothing else."""
        return frozenset({confirmed(self.variable)}) if exit == "confirmed" else NOTHING

    def takes_away_on(self, exit: str) -> Facts:
        """Asked again and not confirmed: what was confirmed before is not any more."""
        return NOTHING if exit == "confirmed" else frozenset({confirmed(self.variable)})

    def waits_on(self, exit: str) -> bool:
        """It always waits for a key."""
        return True

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Asks. No key pressed ahead counts, and none cuts the prompt short: it would confirm what nobody heard."""
        call.forget_keys()
        key = await one_key(
            call,
            [spoken(self.text, call)],
            (self.yes, self.no),
            timeout_s=self.timeout_s,
            tries_max=self.tries_max,
            cut_by_key=False,
        )
        return {self.yes: "confirmed", self.no: "refused"}.get(key, NO_INPUT)
