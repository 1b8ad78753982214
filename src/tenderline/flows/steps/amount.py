"""An amount of money: known already, all that is owed by one key, or keyed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from babel.numbers import get_currency_precision
from msgspec import Meta

from tenderline.core.errors import InvalidInputError
from tenderline.core.money import AMOUNT_MINOR_MAX, Money
from tenderline.flows.asking import NO_INPUT, one_key
from tenderline.flows.call import Backstage, Call, Value
from tenderline.flows.phrase import Text
from tenderline.flows.step import Key, KeyWait, Step, Touch, Tries, spoken
from tenderline.flows.variables import Reads, Sets

KEYS_MAX = 12
ENTERED, BELOW, ABOVE, INVALID = "entered", "below_minimum", "above_maximum", "invalid"


class Amount(Step, frozen=True):
    """Comes to an amount. One that `known` holds (an agent's) is taken without a question; what `balance` holds is
    offered to be paid whole by one key; else it is keyed: whole units, `*` for the decimal point, `#` at the end
    (25*50# is 25.50). The currency is the line's; another one is `invalid`. What is too small or too large has an exit
    of its own; a balance below `minimum` may be paid whole. What holds for every payment (`capture.minimum`,
    `capture.maximum`) holds here too."""

    text: Text
    variable: Sets = Sets("amount")
    currency: Reads = Reads("currency")
    known: Annotated[Reads | None, Meta(description="Variable with the amount, when it is known already.")] = None
    balance: Annotated[Reads | None, Meta(description="Variable with what is owed.")] = None
    balance_text: Annotated[Text | None, Meta(description="Offers to pay the balance whole.")] = None
    all_key: Key = "1"
    other_key: Key = "2"
    minimum: Annotated[int, Meta(ge=0, le=1_000_000, description="The least that is taken, in whole units.")] = 1
    maximum: Annotated[int, Meta(ge=1, le=1_000_000, description="The most that is taken, in whole units.")] = 10_000
    minimum_from: Annotated[Reads | None, Meta(description="Variable with the least, instead: money.")] = None
    maximum_from: Annotated[Reads | None, Meta(description="Variable with the most, instead: money.")] = None
    timeout_s: KeyWait = 10
    between_s: Annotated[float, Meta(ge=1, le=20, description="The pause after a key that ends it.")] = 5
    tries_max: Tries = 3
    invalid: Text | None = None

    touches: ClassVar[frozenset[Touch]] = frozenset({"caller"})
    fixed_exits: ClassVar[tuple[str, ...]] = (ENTERED, BELOW, ABOVE, NO_INPUT, INVALID)

    def __post_init__(self) -> None:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum: {self.minimum} is more than maximum, {self.maximum}")
        if (self.balance is None) != (self.balance_text is None):
            raise ValueError("balance: needs balance_text, which offers to pay it, and the other way round")
        if self.all_key == self.other_key:
            raise ValueError("all_key: must be another key than other_key")

    def sets_on(self, exit: str) -> frozenset[str]:
        """The amount, when there is one."""
        return frozenset({str(self.variable)}) if exit == ENTERED else frozenset()

    def samples(self) -> Mapping[str, Value]:
        """An amount."""
        return {str(self.variable): Money(2500, "USD")}

    def waits_on(self, exit: str) -> bool:
        """It waits for keys, unless the amount is known: then nobody is asked."""
        return self.known is None or exit == NO_INPUT

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Takes what is known, offers the balance, or asks."""
        currency = str(call.variables.get(str(self.currency)) or "")
        known = call.variables.get(self.known) if self.known else None
        if known not in (None, ""):
            return self._judged(call, backstage, known, currency) if isinstance(known, Money) else INVALID
        owed = call.variables.get(self.balance) if self.balance else None
        if isinstance(owed, Money) and owed.minor > 0:
            key = await self._offered(call)
            if key == self.all_key:
                return self._judged(call, backstage, owed, currency, is_all=True)
            if key != self.other_key:
                return NO_INPUT
        return await self._asked(call, backstage, currency)

    async def _offered(self, call: Call) -> str:
        assert self.balance_text is not None
        return await one_key(
            call,
            [spoken(self.balance_text, call)],
            (self.all_key, self.other_key),
            timeout_s=self.timeout_s,
            tries_max=self.tries_max,
        )

    async def _asked(self, call: Call, backstage: Backstage, currency: str) -> str:
        failure = NO_INPUT
        for tried in range(self.tries_max):
            await call.say(spoken(self.text, call), cut_by_key=True)
            keyed = await self._keyed(call)
            if keyed is not None:
                amount = money_of(keyed, currency)
                if amount is not None:
                    return self._judged(call, backstage, amount, currency)
            failure = NO_INPUT if keyed is None else INVALID
            call.forget_keys()
            if keyed is not None and self.invalid and tried + 1 < self.tries_max:
                await call.say(spoken(self.invalid, call), cut_by_key=True)
        return failure

    def _judged(self, call: Call, backstage: Backstage, amount: Money, currency: str, *, is_all: bool = False) -> str:
        """Sets it, when it is within its own limits and those of all payments. One that came from elsewhere may be no
        amount at all."""
        if amount.currency != currency or not 0 < amount.minor <= AMOUNT_MINOR_MAX:
            return INVALID
        unit, terms = 10 ** get_currency_precision(currency), backstage.payment_terms()
        least = 0 if is_all else _limit(call, self.minimum_from, currency, self.minimum * unit)
        most = _limit(call, self.maximum_from, currency, self.maximum * unit)
        if amount.minor < max(least, terms.minimum * unit):
            return BELOW
        if amount.minor > min(most, terms.maximum * unit):
            return ABOVE
        call.variables[str(self.variable)] = amount
        return ENTERED

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


def _limit(call: Call, variable: Reads | None, currency: str, otherwise: int) -> int:
    """In minor units. A limit in another currency, or none at all, limits nothing: the fixed one holds."""
    found = call.variables.get(variable) if variable else None
    return found.minor if isinstance(found, Money) and found.currency == currency else otherwise


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
