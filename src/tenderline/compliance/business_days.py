"""The clock of 47 CFR 64.1200(a)(10): an opt-out must be honoured within 10 business days. We honour it at once; the
clock is shown all the same, because others are measured by it.

A business day is Monday to Friday and no federal holiday of the United States. The day of receipt does not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from tenderline.compliance.hours import is_holiday
from tenderline.core.hours import zone

OPT_OUT_BUSINESS_DAYS = 10
_SATURDAY = 5


def is_business_day(day: date) -> bool:
    """Whether a date counts."""
    return day.weekday() < _SATURDAY and not is_holiday("US", day)


def after(day: date, count: int = OPT_OUT_BUSINESS_DAYS) -> date:
    """The last of so many business days after a date."""
    left = count
    while left:
        day += timedelta(days=1)
        left -= is_business_day(day)
    return day


def due(received_at: datetime, zones: Iterable[str] = ()) -> tuple[date, datetime]:
    """(the last day, its end) for honouring an opt-out, by the zone in which that end comes first.

    Without a zone by UTC.
    """
    last = [(after(received_at.astimezone(zone(name)).date()), name) for name in tuple(zones) or ("UTC",)]
    return min(((day, _end_of(day, name)) for day, name in last), key=lambda one: one[1])


def _end_of(day: date, name: str) -> datetime:
    return datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone(name)).astimezone(UTC)
