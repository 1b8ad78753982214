"""Decides by what is known of the call."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.core.condition import Condition
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Step
from tenderline.flows.variables import of

OTHERWISE = "otherwise"


class Choose(Step, frozen=True):
    """Leaves by the first exit whose CEL expression is true, else by `otherwise`.

    An expression without an answer (a variable that is null where a number is wanted) is not true.
    """

    when: Annotated[dict[str, Condition], Meta(min_length=1, max_length=20)]

    fixed_exits: ClassVar[tuple[str, ...]] = (OTHERWISE,)
    derived_exits: ClassVar[str] = "each key of `when`"

    def __post_init__(self) -> None:
        if OTHERWISE in self.when:
            raise ValueError(f"when: {OTHERWISE!r} has no condition; it is the exit that is left")

    def exits(self) -> tuple[str, ...]:
        """One for each expression, and the one that is left."""
        return (*self.when, OTHERWISE)

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Asks each in turn."""
        variables = of(call)
        return next((exit for exit, condition in self.when.items() if condition.holds(variables)), OTHERWISE)
