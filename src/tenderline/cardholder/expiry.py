"""Until when a card is good: keyed as MMYY, and judged so that no payer is turned away a day too early.

A card is good through the last day of the month printed on it, wherever its holder is: so `today` is the date in
UTC-12, the last place on earth where that month ends (ISO/IEC 7813 for the form; the schemes' rules for the last day).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final, Literal

import msgspec

from tenderline.cardholder.digits import Digits

EXPIRY_DIGITS: Final = 4
_YEARS_AHEAD_MAX: Final = 20  # issuers stay well below; more is a slip of the finger
_CENTURY_TURNS_YEARS: Final = 50  # two digits that would lie further back belong to the next century
_LAST_ZONE: Final = timezone(timedelta(hours=-12))


class Expiry(msgspec.Struct, frozen=True):
    """A month of a year. It may be shown and kept."""

    month: int
    year: int


def last_date_on_earth(now: datetime | None = None) -> date:
    """The date in UTC-12: what `today` means for an expiry."""
    return (now or datetime.now(UTC)).astimezone(_LAST_ZONE).date()


def read_expiry(digits: Digits, today: date) -> Expiry | Literal["wrong", "expired"]:
    """What was keyed. Three digits such as 126 are wrong: they could be January 26 or December 6-something."""
    if len(digits) != EXPIRY_DIGITS:
        return "wrong"
    month = digits.pair(0)
    year = today.year // 100 * 100 + digits.pair(2)
    if year < today.year - _CENTURY_TURNS_YEARS:
        year += 100
    months_ahead = (year - today.year) * 12 + month - today.month
    if not 1 <= month <= 12 or months_ahead > _YEARS_AHEAD_MAX * 12:
        return "wrong"
    return "expired" if months_ahead < 0 else Expiry(month, year)
