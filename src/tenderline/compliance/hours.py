"""When it is lawful to speak: weekly hours by wall clocks, turned into spans of instants once a day and zone.

Everything is decided on instants. A local opening that happens twice (clocks turn back) is taken at its later reading,
a closing at its earlier; one that never happens (clocks turn forward) at the instant of the turn: in doubt, closed.
Several clocks must agree: the open spans of a day are those that all of them share, whatever their dates are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import holidays

from tenderline.core import zones

LOOK_AHEAD_DAYS = 8
DAY_S = 86_400
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Span = tuple[datetime, datetime]
"""From an instant (inclusive) to another (exclusive), in UTC."""
LocalSpan = tuple[int, int]
"""From a second of the local day (inclusive) to another (exclusive); midnight at its end is 86,400."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The hours of a week, by the wall clock. A day without a span is closed."""

    week: tuple[tuple[LocalSpan, ...], ...]
    """Seven days from Monday on."""
    on_holidays: tuple[LocalSpan, ...] | None = None
    """The hours of a holiday of `region`; None when holidays are days like others."""
    region: str = ""
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        assert len(self.week) == len(WEEKDAYS)
        object.__setattr__(self, "_hash", hash((self.week, self.on_holidays, self.region)))

    def __hash__(self) -> int:
        return self._hash  # asked for on every look-up of a decision

    def spans(self, day: date) -> tuple[LocalSpan, ...]:
        """The open spans of one local date."""
        if self.on_holidays is not None and is_holiday(self.region, day):
            return self.on_holidays
        return self.week[day.weekday()]


Clock = tuple[str, Schedule]
"""A zone and the hours by its wall clock."""


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """Clocks that must agree. Made once and asked often, so it is known by its identity, not by its many items."""

    items: tuple[Clock, ...]


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


@lru_cache(maxsize=16_384)
def open_spans(clocks: Clocks, utc_day: date) -> tuple[Span, ...]:
    """The spans of a UTC day in which every clock is within its hours; no clock means always."""
    midnight = datetime.combine(utc_day, time.min, tzinfo=UTC)
    shared: list[Span] = [(midnight, midnight + timedelta(days=1))]
    for zone, schedule in clocks.items:
        theirs = [
            span
            for day in (utc_day - timedelta(days=1), utc_day, utc_day + timedelta(days=1))
            for span in _local_day(zone, schedule, day)
        ]
        shared = [
            (opens, closes)
            for mine in shared
            for span in theirs
            if (opens := max(mine[0], span[0])) < (closes := min(mine[1], span[1]))
        ]
    return tuple(shared)


@lru_cache(maxsize=16_384)
def _local_day(zone: str, schedule: Schedule, day: date) -> tuple[Span, ...]:
    spans = []
    for opens_s, closes_s in schedule.spans(day):
        span = (_instant(zone, day, opens_s, later=True), _instant(zone, day, closes_s, later=False))
        if span[0] < span[1]:
            spans.append(span)
    return tuple(spans)


def _instant(zone: str, day: date, second: int, *, later: bool) -> datetime:
    """The instant of a second of a local date: of two readings the later or the earlier, of none the turn itself."""
    clock = zones.zone_info(zone)
    if second == DAY_S:
        day, second = day + timedelta(days=1), 0
    local = datetime.combine(day, time.min, tzinfo=clock) + timedelta(seconds=second)  # wall time: no clock turns it
    readings = [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
    early, late = min(readings), max(readings)
    if early.astimezone(clock).replace(tzinfo=None) == local.replace(tzinfo=None):
        return late if later else early
    while late - early > timedelta(seconds=1):  # skipped: the turn lies between the two readings
        middle = early + (late - early) // 2
        if middle.astimezone(clock).utcoffset() == late.astimezone(clock).utcoffset():
            late = middle
        else:
            early = middle
    return late.replace(microsecond=0)


def is_open(now: datetime, clocks: Clocks) -> bool:
    """Whether every clock is within its hours at `now` (aware UTC)."""
    return any(opens <= now < closes for opens, closes in open_spans(clocks, now.date()))


def next_open(now: datetime, clocks: Clocks) -> datetime | None:
    """The first instant from `now` on at which every clock is within its hours; None when 8 days have none."""
    last = now + timedelta(days=LOOK_AHEAD_DAYS)
    day = now.date()
    while day <= last.date():
        for opens, closes in open_spans(clocks, day):
            if now < closes:
                found = max(opens, now)
                return found if found <= last else None
        day += timedelta(days=1)
    return None


def weekly(spans: Iterable[tuple[int, LocalSpan]]) -> tuple[tuple[LocalSpan, ...], ...]:
    """A week from (weekday, span) pairs, each day's spans in order."""
    week: list[list[LocalSpan]] = [[] for _ in WEEKDAYS]
    for weekday, span in spans:
        week[weekday].append(span)
    return tuple(tuple(sorted(day)) for day in week)
