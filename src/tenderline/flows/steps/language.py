"""Lets a caller choose the language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.asking import one_key
from tenderline.flows.call import Backstage, Call
from tenderline.flows.graph import Flow
from tenderline.flows.phrase import Text
from tenderline.flows.step import Key, KeyWait, Step, Touch, Tries
from tenderline.flows.variables import of


class Language(Step, frozen=True):
    """Says its text in every language there is of it, one after the other, and goes on in the one that is chosen."""

    text: Text
    choices: Annotated[dict[Key, str], Meta(min_length=1, max_length=10, description="Key -> language.")]
    timeout_s: KeyWait = 6
    tries_max: Tries = 2

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("chosen", "not_chosen")

    def waits_on(self, exit: str) -> bool:
        """It always waits for a key."""
        return True

    def faults(self, flow: Flow) -> Iterator[tuple[tuple[str, ...], str]]:
        """A language that the flow does not speak."""
        for key, language in self.choices.items():
            if language not in flow.languages:
                spoken = ", ".join(flow.languages)
                yield ("choices", key), f"choices: {language!r} is none of the flow's languages ({spoken})"

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Asks."""
        known = of(call)
        prompts = [self.text.spoken(language, known) for language in self.text.by_language]
        key = await one_key(call, prompts, self.choices, timeout_s=self.timeout_s, tries_max=self.tries_max)
        if key not in self.choices:
            return "not_chosen"
        call.speak_language(self.choices[key])
        return "chosen"
