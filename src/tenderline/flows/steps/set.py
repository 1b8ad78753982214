"""Sets a variable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.core.condition import Condition, UnansweredError
from tenderline.core.money import InvalidMoneyError, Money
from tenderline.flows.call import Backstage, Call, Value
from tenderline.flows.step import Step, keep
from tenderline.flows.variables import VALUE_CHARACTERS_MAX, Sets, of


class Set(Step, frozen=True):
    """Sets a variable to a value or to what a CEL expression comes to; with a currency it becomes money.

    `expression = "int(keyed) * 100"` with `currency = "USD"` makes the money of dollars that were keyed in.
    """

    variable: Sets
    value: str | int | bool | None = None
    expression: Condition | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217; the value is in its minor units.")] = ""

    derived_exits: ClassVar[str] = "`invalid` with `expression`"

    def __post_init__(self) -> None:
        if (self.value is None) == (self.expression is None):
            raise ValueError("needs one of 'value' and 'expression'")
        if self.currency and self.expression is None:
            try:
                Money.parse(self.value, self.currency)
            except InvalidMoneyError as error:
                raise ValueError(f"currency: {error.detail}") from None
        if isinstance(self.value, str) and len(self.value) > VALUE_CHARACTERS_MAX:
            raise ValueError(f"value: is longer than {VALUE_CHARACTERS_MAX} characters")

    def exits(self) -> tuple[str, ...]:
        """A value that stands there cannot fail; an expression can."""
        return ("next",) if self.expression is None else ("next", "invalid")

    def sets_on(self, exit: str) -> frozenset[str]:
        """The variable, when there was a value for it."""
        return frozenset({str(self.variable)}) if exit == "next" else frozenset()

    def samples(self) -> Mapping[str, Value]:
        """Money, or the value itself; what an expression comes to is not known."""
        if self.currency:
            return {str(self.variable): Money(1, self.currency)}
        return {} if self.expression is not None else {str(self.variable): self.value}

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Sets it."""
        try:
            value = self.value if self.expression is None else self.expression.answer(of(call))
            found = Money.parse(value, self.currency) if self.currency else _storable(value)
        except (UnansweredError, InvalidMoneyError):
            return "invalid"
        keep(call, str(self.variable), found)
        return "next"


def _storable(value: object) -> Value:
    """A value of a kind that variables may hold. Raises `UnansweredError`."""
    if value is not None and not isinstance(value, str | int | datetime):
        raise UnansweredError(f"a variable cannot hold a {type(value).__name__}")
    if isinstance(value, str) and len(value) > VALUE_CHARACTERS_MAX:
        raise UnansweredError("the text is too long to be kept")
    return value
