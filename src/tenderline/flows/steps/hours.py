"""Open or closed, by the clock of a place."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from tenderline.core import zones
from tenderline.flows import step
from tenderline.flows.call import Backstage, Call

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d|24:00)")


class Step(step.Step, frozen=True, kw_only=True):
    """Goes by `open` or `closed`: `open = { mon = ["09:00-12:00", "13:00-17:00"] }`; other days are closed."""

    about = "Open or closed, by weekly hours in a time zone and days that are off."
    zone: str
    open: dict[str, list[str]]
    closed_on: tuple[str, ...] = ()

    def exits(self, wired: frozenset[str]) -> frozenset[str]:
        """Open or closed."""
        del wired
        return frozenset({"open", "closed"})

    def faults(self) -> list[tuple[str, str]]:
        """Zone, days and spans must be ones."""
        found = [] if zones.is_known(self.zone) else [("zone", f"{self.zone!r} is no IANA time zone")]
        for day, spans in self.open.items():
            if day not in DAYS:
                found.append(("open", f"{day!r} is no day; write {', '.join(DAYS)}"))
            found += [("open", f"{one!r} is no span; write 09:00-17:00") for one in spans if not _is_span(one)]
        for day in self.closed_on:
            if not re.fullmatch(r"\d{4}-\d\d-\d\d|\d\d-\d\d", day):
                found.append(("closed_on", f"{day!r} is no day; write 2026-12-24, or 12-25 for every year"))
        return found

    async def run(self, call: Call, backstage: Backstage, wired: frozenset[str]) -> str:
        """By the clock there."""
        return "open" if self.is_open(backstage.now()) else "closed"

    def is_open(self, now: datetime) -> bool:
        """Whether it is open at an instant. A span's end is outside of it."""
        there = now.astimezone(ZoneInfo(self.zone))
        if f"{there:%Y-%m-%d}" in self.closed_on or f"{there:%m-%d}" in self.closed_on:
            return False
        minute = f"{there:%H:%M}"
        return any(span[:5] <= minute < span[6:] for span in self.open.get(DAYS[there.weekday()], []))


def _is_span(text: str) -> bool:
    return _SPAN.fullmatch(text) is not None and text[:5] < text[6:]
