"""Where a telephone number may lie, by its first digits: one look-up in a table that ships with the product.

A number is evidence of a place, not a place: people move, and numbers are ported. So every zone counts in which an area
code is used, and a number that is used everywhere (mobile, toll-free) counts for its whole country.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from tenderline.core.places import NOWHERE, Area, data_text

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# ITU-T E.164 calls this zone 1: three digits of area code, then seven, neither beginning with 0 or 1.
_NORTH_AMERICAN = re.compile(r"\+1[2-9][0-9]{2}[2-9][0-9]{6}")
_AREA_CODE_DIGITS = 4  # with the 1


@lru_cache(maxsize=65_536)
def find(e164: str) -> Area:
    """Where a number in E.164 may lie; `NOWHERE` when it is none, or of no country.

    Numbers of North America that have no place (toll-free, premium, personal) may lie in every state of the United
    States; its territories have area codes of their own.
    """
    if e164.startswith("+1"):
        return _table().get(e164[1 : 1 + _AREA_CODE_DIGITS], NOWHERE) if _NORTH_AMERICAN.fullmatch(e164) else NOWHERE
    if _E164.fullmatch(e164) is None:
        return NOWHERE
    table = _table()
    return next((table[e164[1:end]] for end in range(_longest() + 1, 1, -1) if e164[1:end] in table), NOWHERE)


@lru_cache(maxsize=1)
def _table() -> dict[str, Area]:
    found: dict[str, Area] = {}
    for row in json.loads(data_text("numbers.json"))["areas"]:
        area = Area(tuple(row["zones"]), tuple(row["regions"]))
        found |= dict.fromkeys(row["prefixes"].split(","), area)
    return found


@lru_cache(maxsize=1)
def _longest() -> int:
    return max(map(len, _table()))
