"""Asks the clock whether somebody is there."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, ClassVar

from msgspec import Meta

from tenderline.compliance.hours import WEEKDAYS, weekly
from tenderline.compliance.hours import Hours as Week
from tenderline.compliance.regions import is_known as is_region
from tenderline.core import zones
from tenderline.core.hours import DAY_S, Window, is_open
from tenderline.flows.call import Backstage, Call
from tenderline.flows.step import Step, Touch

_SPAN = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])")
_DAYS = re.compile(rf"({'|'.join(WEEKDAYS)})(?:-({'|'.join(WEEKDAYS)}))?")


class Hours(Step, frozen=True):
    """Leaves by `open` or `closed`, by weekly hours in one zone: `hours = { mon-fri = "09:00-12:30, 14:00-17:00" }`."""

    zone: Annotated[str, Meta(max_length=64, description="An IANA time zone, such as America/Chicago.")]
    hours: Annotated[dict[str, str], Meta(min_length=1, max_length=7)]
    holidays: Annotated[str, Meta(description="Closed on the public holidays of this country or state: US, US-FL.")] = (
        ""
    )

    touches: ClassVar[frozenset[Touch]] = frozenset()
    fixed_exits: ClassVar[tuple[str, ...]] = ("open", "closed")

    def __post_init__(self) -> None:
        if not zones.is_known(self.zone):
            raise ValueError(f"zone: {self.zone!r} is no time zone; write a name like 'America/Chicago'")
        if self.holidays and not is_region(self.holidays):
            raise ValueError(f"holidays: {self.holidays!r} is no country or state that is known; write US, US-FL, GB …")
        _week(tuple(self.hours.items()), self.holidays)

    async def run(self, call: Call, backstage: Backstage) -> str:
        """Looks at the clock."""
        week = _week(tuple(self.hours.items()), self.holidays)
        return "open" if is_open(backstage.now(), (self.zone,), week) else "closed"


@lru_cache(maxsize=256)
def _week(written: tuple[tuple[str, str], ...], holidays: str) -> Week:
    spans: list[tuple[int, Window]] = []
    seen: set[int] = set()
    for days, text in written:
        named = _days(days)
        if seen & set(named):
            raise ValueError(f"hours: {days!r} names a day that has its hours already")
        seen.update(named)
        windows = _windows(days, text)
        spans += [(day, window) for day in named for window in windows]
    return Week(weekly(spans), () if holidays else None, holidays)


def _days(text: str) -> range:
    found = _DAYS.fullmatch(text)
    if found is None:
        raise ValueError(f"hours: {text!r} names no days; write mon-fri or sat")
    first, last = WEEKDAYS.index(found[1]), WEEKDAYS.index(found[2] or found[1])
    if last < first:
        raise ValueError(f"hours: {text!r} runs backwards; a week begins on Monday")
    return range(first, last + 1)


def _windows(days: str, text: str) -> list[Window]:
    windows: list[Window] = []
    for part in text.split(","):
        found = _SPAN.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"hours: {part.strip()!r} on {days} is no span; write 09:00-17:00")
        opens_s, closes_s = _second(found[1], found[2]), _second(found[3], found[4]) or DAY_S
        if not opens_s < closes_s <= DAY_S:
            raise ValueError(f"hours: {part.strip()!r} on {days} is empty; it ends before it begins")
        windows.append((opens_s, closes_s))
    windows.sort()
    if any(opens_s < closes_s for (_, closes_s), (opens_s, _) in pairwise(windows)):
        raise ValueError(f"hours: two spans on {days} overlap")
    return windows


def _second(hour: str, minute: str) -> int:
    return int(hour) * 3600 + int(minute) * 60
