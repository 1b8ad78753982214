"""Asks for one key of several."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.asking import NO_INPUT, NO_MATCH, one_key
from tenderline.flows.call import Backstage, Call
from tenderline.flows.phrase import Text
from tenderline.flows.step import Key, KeyWait, Step, Touch, Tries, spoken


class Menu(Step, frozen=True):
    """Asks for one key; a wrong one, or none, is asked for again."""

    text: Text
    keys: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=12)]
    timeout_s: KeyWait = 6
    tries_max: Tries = 3
    invalid: Text | None = None
    silence: Text | None = None

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})
    fixed_exits: ClassVar[tuple[str, ...]] = (NO_INPUT, NO_MATCH)
    derived_exits: ClassVar[str] = "each of `keys`"

    def __post_init__(self) -> None:
        if len(set(self.keys)) != len(self.keys):
            raise ValueError("keys: a key stands there twice")

    def exits(self) -> tuple[str, ...]:
        """Each key, and what happens without a usable one."""
        return (*self.keys, *self.fixed_exits)

    def waits_on(self, exit: str) -> bool:
        """It always waits for a key."""
        return True

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Asks."""
        return await one_key(
            call,
            [spoken(self.text, call)],
            self.keys,
            timeout_s=self.timeout_s,
            tries_max=self.tries_max,
            invalid=spoken(self.invalid, call) if self.invalid else None,
            silence=spoken(self.silence, call) if self.silence else None,
        )
