"""Asks for an amount of money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from babel.numbers import get_currency_precision
from msgspec import Meta

from tenderline.core.errors import InvalidInputError
from tenderline.core.money import Money
from tenderline.flows.asking import NO_INPUT
from tenderline.flows.call import Backstage, Call, Value
from tenderline.flows.phrase import Text
from tenderline.flows.step import KeyWait, Step, Touch, Tries, spoken
from tenderline.flows.variables import Reads, Sets

KEYS_MAX = 12


class Amount(Step, frozen=True):
    """Asks for an amount: whole units, `*` for the decimal point, `#` at the end (25*50# is 25.50). The currency is the
    line's. What is too small or too large has an exit of its own."""

    text: Text
    variable: Sets = Sets("amount")
    currency: Reads = Reads("currency")
    minimum: Annotated[int, Meta(ge=0, le=1_000_000, description="The least that is taken, in whole units.")] = 1
    maximum: Annotated[int, Meta(ge=1, le=1_000_000, description="The most that is taken, in whole units.")] = 10_000
    timeout_s: KeyWait = 10
    between_s: Annotated[float, Meta(ge=1, le=20, description="The pause after a key that ends it.")] = 5
    tries_max: Tries = 3
    invalid: Text | None = None

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})
    fixed_exits: ClassVar[tuple[str, ...]] = ("entered", "below_minimum", "above_maximum", NO_INPUT, "invalid")

    def __post_init__(self) -> None:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum: {self.minimum} is more than maximum, {self.maximum}")

    def sets_on(self, exit: str) -> frozenset[str]:
        """The amount, when it was entered."""
        return frozenset({str(self.variable)}) if exit == "entered" else frozenset()

    def samples(self) -> Mapping[str, Value]:
        """An amount."""
        return {str(self.variable): Money(2500, "USD")}

    def waits_on(self, exit: str) -> bool:
        """It always waits for keys."""
        return True

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Asks, and asks again."""
        currency = str(call.variables.get(str(self.currency)) or "")
        failure = NO_INPUT
        for tried in range(self.tries_max):
            await call.say(spoken(self.text, call), cut_by_key=True)
            keyed = await self._keyed(call)
            if keyed is not None:
                amount = money_of(keyed, currency)
                if amount is not None:
                    return self._judged(call, amount)
            failure = NO_INPUT if keyed is None else "invalid"
            call.forget_keys()
            if keyed is not None and self.invalid and tried + 1 < self.tries_max:
                await call.say(spoken(self.invalid, call), cut_by_key=True)
        return failure

    def _judged(self, call: Call, amount: Money) -> str:
        unit = 10 ** get_currency_precision(amount.currency)
        if amount.minor < self.minimum * unit:
            return "below_minimum"
        if amount.minor > self.maximum * unit:
            return "above_maximum"
        call.variables[str(self.variable)] = amount
        return "entered"

    async def _keyed(self, call: Call) -> str | None:
        """Digits with at most some stars, up to `#` or a pause; None when nothing was keyed."""
        keyed = ""
        while len(keyed) < KEYS_MAX:
            key = await call.key(timeout_s=self.between_s if keyed else self.timeout_s)
            if key is None or key == "#":
                break
            if key.isdigit() or key == "*":
                keyed += key
        return keyed or None


def money_of(keyed: str, currency: str) -> Money | None:
    """`25*50` as 25.50; None for what is no amount of that currency, zero among it."""
    whole, star, fraction = keyed.partition("*")
    precision = get_currency_precision(currency)
    if "*" in fraction or len(fraction) > precision or not (whole + fraction).isdecimal():
        return None
    if star and not precision:
        return None
    minor = int(whole or "0") * 10**precision + int(fraction.ljust(precision, "0") or "0")
    try:
        return Money.parse(minor, currency)
    except InvalidInputError:
        return None
