"""When it is lawful to speak: the hours of several rules together, each by the wall clocks that it names.

The open spans of a day are those that all clocks share, on instants (`core.hours`), whatever the local dates are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import holidays

from tenderline.core.hours import LOOK_AHEAD_DAYS, Schedule, Window, Windows

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS_KEPT_MAX = 64
"""Of each set of clocks: decisions are about now and the days of a look ahead."""


class Hours(Schedule):
    """The hours of a week, and those of the public holidays of a region."""

    __slots__ = ("_on_holidays", "_region")

    def __init__(self, week: tuple[Windows, ...], on_holidays: Windows | None = None, region: str = "") -> None:
        super().__init__(week)
        self._on_holidays = on_holidays
        self._region = region

    def __eq__(self, other: object) -> bool:
        return self is other  # two rules may write the same week and not keep the same holidays

    __hash__ = Schedule.__hash__

    def windows(self, day: date) -> Windows:
        """The windows of a local date."""
        if self._on_holidays is not None and is_holiday(self._region, day):
            return self._on_holidays
        return super().windows(day)


def is_holiday(region: str, day: date) -> bool:
    """Whether a date is a public holiday of a region (`US`, `US-AL`, `CA-ON`, `GB`)."""
    return day in _holidays(region, day.year)


@lru_cache(maxsize=512)
def _holidays(region: str, year: int) -> frozenset[date]:
    country, _, rest = region.partition("-")
    subdivision = rest.partition("-")[0] or None  # a city keeps the holidays of its state
    known = holidays.list_supported_countries()
    if country not in known:
        return frozenset()
    if subdivision not in known[country]:
        subdivision = None
    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))


class Clocks:
    """Hours and the zones by whose wall clocks they must all hold. Made once and asked often: known by its identity."""

    __slots__ = ("items", "openings")

    def __init__(self, items: Iterable[tuple[tuple[str, ...], Schedule]]) -> None:
        self.items = tuple(items)
        self.openings = lru_cache(maxsize=DAYS_KEPT_MAX)(self._openings)

    def _openings(self, day: int) -> tuple[datetime, ...]:
        """The edges of all instants of a UTC day (an ordinal) that are open by every clock: open, close, open, …"""
        midnight = datetime.combine(date.fromordinal(day), datetime.min.time(), UTC)
        shared = [(midnight, midnight + timedelta(days=1))]
        for zones, schedule in self.items:
            edges = schedule.openings(zones, day)
            shared = [
                (opens, closes)
                for mine in shared
                for theirs in zip(edges[::2], edges[1::2], strict=True)
                if (opens := max(mine[0], theirs[0])) < (closes := min(mine[1], theirs[1]))
            ]
        return tuple(edge for span in shared for edge in span)


def is_open(now: datetime, clocks: Clocks) -> bool:
    """Whether every clock is within its hours at `now` (aware UTC). No clock means always."""
    return bisect_right(clocks.openings(now.toordinal()), now) % 2 == 1


def next_open(now: datetime, clocks: Clocks) -> datetime | None:
    """The first instant from `now` on at which every clock is within its hours; None when 8 days have none."""
    last = now + timedelta(days=LOOK_AHEAD_DAYS)
    for day in range(now.toordinal(), last.toordinal() + 1):
        edges = clocks.openings(day)
        at = bisect_right(edges, now)
        if at % 2 == 1:
            return now
        if at < len(edges):
            return edges[at] if edges[at] <= last else None
    return None


def weekly(spans: Iterable[tuple[int, Window]]) -> tuple[Windows, ...]:
    """A week from (weekday, window) pairs, each day's windows in order."""
    week: list[list[Window]] = [[] for _ in WEEKDAYS]
    for weekday, span in spans:
        week[weekday].append(span)
    return tuple(tuple(sorted(day)) for day in week)
