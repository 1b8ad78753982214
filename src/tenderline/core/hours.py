"""When it is a lawful hour: weekly hours by the local clock, turned into instants in every zone they must hold in.

All is decided by instants, never by calendar dates: New York and Guam share hours although no date of theirs does. At
a clock change the shorter reading is taken: an ambiguous opening is the later one, an ambiguous closing the earlier,
and an edge in the hour that is skipped falls on the instant after it.
"""

from __future__ import annotations

import zoneinfo
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from tenderline.core.errors import InvalidInputError

# Zone rules come from the pinned tzdata package, never from the host: a host a release behind is an hour wrong
# somewhere, and a decision could not be made again elsewhere.
zoneinfo.reset_tzpath(to=())

Window = tuple[int, int]
"""[opens, closes) in seconds of the local day; 86,400 is the midnight that ends it."""
Windows = tuple[Window, ...]

DAY_S = 86_400
LOOK_AHEAD_DAYS = 8
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class InvalidHoursError(InvalidInputError):
    """The hours are not usable; give seven days of windows that are in order and do not overlap."""

    code = "invalid_hours"


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The rules of an IANA time zone; raises what `ZoneInfo` raises when there is none of that name."""
    return ZoneInfo(name)


class Schedule:
    """Weekly hours, and dates that have hours of their own (holidays). It never changes, so its openings are kept.

    `days` are Monday to Sunday. A date in `dates` has exactly the windows given there; none at all is `()`.
    """

    __slots__ = ("_hash", "_key", "dates", "days", "openings")

    def __init__(self, days: tuple[Windows, ...], dates: Mapping[date, Windows] | None = None) -> None:
        if len(days) != 7:
            raise InvalidHoursError(f"A week has 7 days, not {len(days)}.")
        self.days = tuple(_checked(windows) for windows in days)
        self.dates = {day: _checked(windows) for day, windows in (dates or {}).items()}
        self._key = (self.days, tuple(sorted(self.dates.items())))
        self._hash = hash(self._key)
        self.openings = lru_cache(maxsize=4096)(self._openings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Schedule({self.days!r}, {self.dates!r})"

    def windows(self, day: date) -> Windows:
        """The windows of a local date."""
        own = self.dates.get(day)
        return self.days[day.weekday()] if own is None else own

    def _openings(self, zones: tuple[str, ...], day: int) -> tuple[datetime, ...]:
        """The edges of all instants of the UTC day `day` (an ordinal) that are open in every zone: open, close, …"""
        start_s = (day - _EPOCH_DAY) * DAY_S
        common: list[Window] = [(start_s, start_s + DAY_S)]
        for name in zones:
            common = _meet(
                common, [one for date_met in _dates_met(name, day) for one in self._instants(name, date_met)]
            )
        return tuple(datetime.fromtimestamp(edge_s, UTC) for window in common for edge_s in window)

    def _instants(self, name: str, day: int) -> Iterator[Window]:
        """The windows of one local date as seconds since 1970."""
        local = date.fromordinal(day)
        windows = self.windows(local)
        offset_s = _steady_offset_s(name, day)
        if offset_s is not None:
            midnight_s = (day - _EPOCH_DAY) * DAY_S - offset_s
            for opens_s, closes_s in windows:
                yield midnight_s + opens_s, midnight_s + closes_s
            return
        for opens_s, closes_s in windows:
            opens = _instant_s(name, local, opens_s, later=True)
            # Hours that go on after midnight have no edge there, also when midnight itself is ambiguous.
            goes_on = closes_s == DAY_S and self._opens_at_midnight(local + timedelta(days=1))
            closes = _instant_s(name, local, closes_s, later=goes_on)
            if opens < closes:
                yield opens, closes

    def _opens_at_midnight(self, day: date) -> bool:
        windows = self.windows(day)
        return bool(windows) and windows[0][0] == 0


@lru_cache(maxsize=256)
def daily(opens: time, closes: time) -> Schedule:
    """The same hours on every day."""
    window = (_seconds(opens), _seconds(closes))
    return Schedule(((window,),) * 7)


def is_open(now: datetime, zones: tuple[str, ...], schedule: Schedule) -> bool:
    """Whether `now` (aware) is open in every one of `zones`. Without a zone nothing is open."""
    if now.tzinfo is not UTC:
        now = now.astimezone(UTC)
    return bool(zones) and bisect_right(schedule.openings(zones, now.toordinal()), now) % 2 == 1


@lru_cache(maxsize=8192)
def next_open(
    now: datetime, zones: tuple[str, ...], schedule: Schedule, look_ahead_days: int = LOOK_AHEAD_DAYS
) -> datetime | None:
    """The first instant (UTC) from `now` on that is open in every zone; None when there is none in sight."""
    if not zones:
        return None
    now = now.astimezone(UTC)
    last = now + timedelta(days=look_ahead_days)
    first_day = now.toordinal()
    for day in range(first_day, last.toordinal() + 1):
        edges = schedule.openings(zones, day)
        at = bisect_right(edges, now) if day == first_day else 0
        if at % 2 == 1:
            return now
        if at < len(edges):
            return edges[at] if edges[at] <= last else None
    return None


def _checked(windows: Windows) -> Windows:
    before_s = 0
    for opens_s, closes_s in windows:
        if not before_s <= opens_s < closes_s <= DAY_S:
            raise InvalidHoursError(f"The window {opens_s} to {closes_s} s is empty, out of order or out of the day.")
        before_s = closes_s
    return tuple((opens_s, closes_s) for opens_s, closes_s in windows)


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def _meet(one: list[Window], other: list[Window]) -> list[Window]:
    """What two sorted lists of windows have in common."""
    found: list[Window] = []
    i = j = 0
    while i < len(one) and j < len(other):
        opens_s, closes_s = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if opens_s < closes_s:
            found.append((opens_s, closes_s))
        if one[i][1] <= other[j][1]:
            i += 1
        else:
            j += 1
    return found


def _dates_met(name: str, day: int) -> tuple[int, ...]:
    """The local dates (ordinals) that a day of UTC may meet: of the west that day and the one before, and so on."""
    offset_s = _steady_offset_s(name, day)
    if offset_s is None:
        return day - 1, day, day + 1
    return (day, day + 1) if offset_s > 0 else (day - 1, day)


@lru_cache(maxsize=65_536)
def _steady_offset_s(name: str, day: int) -> int | None:
    """The offset from UTC that holds all through a local date; None when the clocks change on it."""
    rules = zone(name)
    before = rules.utcoffset(datetime.fromordinal(day))
    # The second reading of the next midnight: a change exactly then belongs to this day too.
    after = rules.utcoffset(datetime.fromordinal(day + 1).replace(fold=1))
    assert before is not None
    return before.days * DAY_S + before.seconds if before == after else None


def _instant_s(name: str, day: date, second: int, *, later: bool) -> int:
    """The instant at which the local clock shows `second` of `day`: the later or the earlier if it does so twice.

    If it never does, the first instant after the gap.
    """
    rules = zone(name)
    local = datetime.combine(day, time.min) + timedelta(seconds=second)
    first, second_reading = (int(local.replace(tzinfo=rules, fold=fold).timestamp()) for fold in (0, 1))
    if first <= second_reading:
        return second_reading if later else first
    # In a gap fold=1 reads too early and fold=0 too late; the change lies between the two.
    low, high = second_reading, first
    offset_after = datetime.fromtimestamp(high, rules).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, rules).utcoffset() == offset_after:
            high = middle
        else:
            low = middle
    return high
