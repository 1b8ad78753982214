"""Money as an integer of minor units beside an ISO 4217 code: never a float, never a bare number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.numbers import format_currency, get_currency_precision

from tenderline.core.errors import InvalidInputError

AMOUNT_MINOR_MAX = 10**12
"""Ten billion dollars. A larger debt is a bug or an attack; it is held for a person to look at."""

_WRITTEN: Final = re.compile(r"[0-9]{1,13}(\.[0-9]+)?")


class InvalidMoneyError(InvalidInputError):
    """The amount of money is not usable: send whole minor units above zero and an ISO 4217 currency."""

    code = "invalid_money"


@lru_cache(maxsize=1)
def _known_currencies() -> frozenset[str]:
    territories = get_global("territory_currencies")
    return frozenset(entry[0] for entries in territories.values() for entry in entries)


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` in the currency's smallest unit (cents for USD, yen for JPY); `currency` upper-case ISO 4217."""

    minor: int
    currency: str

    @classmethod
    def parse(cls, minor: object, currency: object) -> Money:
        """Checks both parts; raises `InvalidMoneyError` naming the one that is wrong."""
        if not isinstance(currency, str) or currency.upper() not in _known_currencies():
            raise InvalidMoneyError(f"Unknown currency {str(currency)[:8]!r}: send an ISO 4217 code such as USD.")
        if not isinstance(minor, int) or isinstance(minor, bool):
            raise InvalidMoneyError("The amount must be a whole number of minor units (cents).")
        if not 0 < minor <= AMOUNT_MINOR_MAX:
            raise InvalidMoneyError(
                f"The amount {str(minor)[:20]} is not between 1 cent and ten billion dollars: check the sender's units."
            )
        return cls(minor, currency.upper())

    @classmethod
    def read(cls, text: str, currency: object) -> Money:
        """What somebody wrote in whole units of a currency, `25` or `25.50`; raises `InvalidMoneyError`."""
        known = cls.parse(1, currency)
        exponent = get_currency_precision(known.currency)
        if not _WRITTEN.fullmatch(text) or len(text.partition(".")[2]) > exponent:
            example = f"25.{'0' * exponent}" if exponent else "25"
            raise InvalidMoneyError(f"Write the amount in {known.currency} with digits and a point: {example}.")
        whole, _, fraction = text.partition(".")
        return cls.parse(int(whole) * 10**exponent + int((fraction or "0").ljust(exponent, "0")), known.currency)

    def plain(self) -> str:
        """In whole units, as `read` takes it: `25.00`."""
        exponent = get_currency_precision(self.currency)
        whole, fraction = divmod(self.minor, 10**exponent)
        return f"{whole}.{fraction:0{exponent}d}" if exponent else str(whole)

    def format(self, locale: str = "en_US") -> str:
        """For people, by CLDR: `$25.00`, `25,00 €`. An unknown locale falls back to en_US."""
        try:
            parsed = Locale.parse(locale, sep="-" if "-" in locale else "_")
        except (UnknownLocaleError, ValueError):
            parsed = Locale.parse("en_US")
        return str(format_currency(Decimal(self.plain()), self.currency, locale=parsed))
