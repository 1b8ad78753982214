"""How many decimals a currency has (ISO 4217, by CLDR)."""

from __future__ import annotations

from functools import lru_cache

from babel.numbers import get_currency_precision


@lru_cache(maxsize=512)
def exponent(currency: str) -> int:
    """2 for USD, 0 for JPY."""
    return int(get_currency_precision(currency))
