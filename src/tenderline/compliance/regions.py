"""Names of places whose law may bind: a country, a part of it, a city (`US`, `US-NY`, `US-NY-NYC`), or the EU."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from babel import Locale

EU = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT",
    "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})  # fmt: skip
US_STATES = frozenset({
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "HI", "IA", "ID", "IL", "IN", "KS",
    "KY", "LA", "MA", "MD", "ME", "MI", "MN", "MO", "MS", "MT", "NC", "ND", "NE", "NH", "NJ", "NM", "NV",
    "NY", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VA", "VT", "WA", "WI", "WV", "WY",
    "PR", "GU", "VI", "AS", "MP",
})  # fmt: skip
CA_PROVINCES = frozenset(("AB", "BC", "MB", "NB", "NL", "NS", "NT", "NU", "ON", "PE", "QC", "SK", "YT"))
_PARTS = {"US": US_STATES, "CA": CA_PROVINCES}


@lru_cache(maxsize=1)
def _countries() -> frozenset[str]:
    codes = (str(code) for code in Locale("en").territories)
    return frozenset(code for code in codes if len(code) == len("US") and code.isalpha())


def is_known(region: str) -> bool:
    """Whether a region is one that a rule may name. Parts are checked for the US and Canada only."""
    country, _, rest = region.partition("-")
    if country == "EU":
        return not rest
    if country not in _countries():
        return False
    part = rest.partition("-")[0]
    return not part or country not in _PARTS or part in _PARTS[country]


@lru_cache(maxsize=4_096)
def _jurisdictions(regions: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    for region in regions:
        parts = region.split("-")
        found.update("-".join(parts[: count + 1]) for count in range(len(parts)))
    if found & EU:
        found.add("EU")
    return frozenset(found)


def jurisdictions(regions: Iterable[str]) -> frozenset[str]:
    """Everything whose rules may bind somebody who may be in these regions: each of them and what they lie in."""
    return _jurisdictions(tuple(regions))
