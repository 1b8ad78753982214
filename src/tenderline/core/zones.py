"""Where a person's day is: every time zone not ruled out by stronger evidence.

Order of evidence: what the person said of herself rules alone; else every zone her telephone numbers may lie in; else
the account's default. Nothing known is an answer too: the empty tuple, on which the gate holds the contact.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LOOK_AHEAD_DAYS = 8

# Zone rules come from the pinned tzdata package, never from the host: a host a release behind is an hour wrong
# somewhere, and a decision could not be made again elsewhere.
zoneinfo.reset_tzpath(to=())


def is_known(zone: str) -> bool:
    """Whether `zone` names an IANA time zone."""
    try:
        _zone(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def candidates(self_stated: str | None, number_zones: tuple[str, ...], default: str | None) -> tuple[str, ...]:
    """The zones in which it must be a lawful hour, by the order of evidence above."""
    if self_stated is not None:
        return (self_stated,)
    if number_zones:
        return number_zones
    return (default,) if default else ()


def is_open(now: datetime, zones: tuple[str, ...], opens: time, closes: time) -> bool:
    """Whether `now` lies in [opens, closes) by the wall clock of every one of `zones`."""
    return all(opens <= now.astimezone(_zone(zone)).time() < closes for zone in zones)


@lru_cache(maxsize=8192)
def next_open(now: datetime, zones: tuple[str, ...], opens: time, closes: time) -> datetime | None:
    """The first instant at or after `now` that is open in every zone; None when the next 8 days have none.

    It steps over the opening edges of all zones: an opening of the intersection is always some zone's opening. At a
    clock change the later reading of an ambiguous opening is taken, and a skipped one opens after the gap.
    """
    if is_open(now, zones, opens, closes):
        return now
    edges: set[datetime] = set()
    for name in zones:
        zone = _zone(name)
        first_day = now.astimezone(zone).date() - timedelta(days=1)
        for day in range(LOOK_AHEAD_DAYS + 2):
            local = datetime.combine(first_day + timedelta(days=day), opens, tzinfo=zone).replace(fold=1)
            instant = local.astimezone(UTC)
            if instant.astimezone(zone).time() < opens:  # the opening fell into a gap: fold=1 reads it too early
                instant = local.replace(fold=0).astimezone(UTC)
            edges.add(instant)
    last = now + timedelta(days=LOOK_AHEAD_DAYS)
    return next((edge for edge in sorted(edges) if now <= edge <= last and is_open(edge, zones, opens, closes)), None)
