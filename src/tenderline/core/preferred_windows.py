"""When somebody likes to be called, as CRMs write it: `weekdays 18:00-20:00`, `Mon-Fri 9am-12pm`, `Saturday mornings`.

A wish, no law: it narrows what the rules allow. What cannot be read narrows nothing, and is shown as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAYS_AHEAD_MAX: Final = 31
_NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PARTS: Final = {"morning": (9, 12), "afternoon": (12, 17), "evening": (17, 20), "noon": (12, 13), "lunch": (12, 13)}
_EVERY: Final = frozenset(range(7))
_DAYS = re.compile(r"\b(mon|tue|wed|thu|fri|sat|sun)[a-z]*(?:\s*(?:-|–|to)\s*(mon|tue|wed|thu|fri|sat|sun)[a-z]*)?\b")
_CLOCK = r"(\d{1,2})(?:[:.h](\d{2}))?\s*(am|pm)?"
_HOURS = re.compile(rf"\b{_CLOCK}\s*(?:-|–|to|until)\s*{_CLOCK}")
_NOON: Final = 12


@dataclass(frozen=True, slots=True)
class Window:
    """Days of the week (Monday is 0) and hours of the person's own clock."""

    days: frozenset[int]
    begin: time
    end: time


def read(text: str) -> Window | None:
    """None for what is no window."""
    plain = text.casefold()[:100]
    hours = _hours(plain)
    return None if hours is None or hours[0] >= hours[1] else Window(_days(plain), *hours)


def _days(plain: str) -> frozenset[int]:
    found: set[int] = set()
    if "weekday" in plain:
        found |= set(range(5))
    if "weekend" in plain:
        found |= {5, 6}
    for first, last in _DAYS.findall(plain):
        begin = _NAMES.index(first)
        length = (_NAMES.index(last) - begin) % 7 if last else 0
        found |= {(begin + step) % 7 for step in range(length + 1)}
    return frozenset(found) or _EVERY


def _hours(plain: str) -> tuple[time, time] | None:
    found = _HOURS.search(plain)
    if found is None:
        part = next((hours for name, hours in _PARTS.items() if name in plain), None)
        if part is None and _days(plain) != _EVERY:
            part = (9, 20)
        return None if part is None else (time(part[0]), time(part[1]))
    first, first_minute, first_half, last, last_minute, last_half = found.groups()
    begin, end = _clock(first, first_minute, first_half or ""), _clock(last, last_minute, last_half or "")
    return None if begin is None or end is None else (begin, end)


def _clock(hour: str, minute: str | None, half: str) -> time | None:
    value = int(hour)
    if half:
        if not 1 <= value <= _NOON:
            return None
        value = value % _NOON + (_NOON if half == "pm" else 0)
    try:
        return time(value, int(minute or 0))
    except ValueError:
        return None


def first_in(texts: Iterable[str], zone: str, begin: datetime, end: datetime) -> datetime | None:
    """The first instant from `begin` on that lies in a window; None when none is before `end`, or none can be read."""
    windows = [one for one in map(read, texts) if one is not None]
    there = ZoneInfo(zone)
    today = begin.astimezone(there).date()
    found: list[datetime] = []
    for ahead in range(DAYS_AHEAD_MAX + 1):
        day = today + timedelta(days=ahead)
        for one in windows:
            opens = datetime.combine(day, one.begin, there).astimezone(UTC)
            closes = datetime.combine(day, one.end, there).astimezone(UTC)
            if day.weekday() in one.days and begin < closes and max(opens, begin) < end:
                found.append(max(opens, begin))
        if found:
            return min(found)
    return None
