"""Asks for digits: an account's number, a reference, an amount. Never for a card: that has a room of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.flows.asking import NO_INPUT, digits
from tenderline.flows.call import Backstage, Call, Value
from tenderline.flows.phrase import Text
from tenderline.flows.step import KeyWait, Step, Touch, Tries, spoken
from tenderline.flows.variables import Sets, is_storable

Length = Annotated[int, Meta(ge=1, le=20, description="In digits.")]


class Collect(Step, frozen=True):
    """Asks for digits and keeps them as text. `#` ends, `*` begins anew; what looks like a card number is refused."""

    text: Text
    variable: Sets
    digits_min: Length = 1
    digits_max: Length = 12
    timeout_s: KeyWait = 8
    between_s: Annotated[float, Meta(ge=1, le=20, description="The pause after a digit that ends it.")] = 4
    tries_max: Tries = 3
    invalid: Text | None = None

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("collected", NO_INPUT, "invalid")

    def __post_init__(self) -> None:
        if self.digits_min > self.digits_max:
            raise ValueError(f"digits_min: {self.digits_min} is more than digits_max, {self.digits_max}")

    def sets_on(self, exit: str) -> frozenset[str]:
        """The variable, when it was collected."""
        return frozenset({str(self.variable)}) if exit == "collected" else frozenset()

    def samples(self) -> Mapping[str, Value]:
        """Digits, as text."""
        return {str(self.variable): "1" * self.digits_min}

    def waits_on(self, exit: str) -> bool:
        """It always waits for keys."""
        return True

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Asks, and asks again."""
        failure = NO_INPUT
        for tried in range(self.tries_max):
            typed = await digits(
                call,
                spoken(self.text, call),
                length_max=self.digits_max,
                timeout_s=self.timeout_s,
                between_s=self.between_s,
            )
            if typed is not None and self.digits_min <= len(typed) and is_storable(typed):
                call.variables[str(self.variable)] = typed
                return "collected"
            failure = NO_INPUT if typed is None else "invalid"
            call.forget_keys()
            if typed is not None and self.invalid and tried + 1 < self.tries_max:
                await call.say(spoken(self.invalid, call), cut_by_key=True)
        return failure
