"""What follows from each way to end a call, said before it is chosen: the same words and instants are then kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from tenderline.core import hours
from tenderline.core.errors import InvalidInputError
from tenderline.store.dispositions import Disposition

AHEAD_MAX: Final = timedelta(days=28)
DEFERRING: Final = ("callback", "promise")
_WORDS: Final = {
    "none": "Nothing more is planned.",
    "callback": "A call on {at}, if the gate lets it pass.",
    "promise": "No machine contacts this person until {at}.",
    "opt_out": "No more contact on any channel, from this instant. Only the person can take that back.",
    "wrong_number": "This number is not used again for this person.",
}


class BadInstantError(InvalidInputError):
    """The instant must lie ahead, within 28 days; write it as the person's own clock shows it."""

    code = "disposition.instant"


@dataclass(frozen=True, slots=True)
class Next:
    """What follows, and when, if it has a time."""

    at: datetime | None
    words: str


def next_of(one: Disposition, now: datetime, zones: Sequence[str], *, wanted: datetime | None = None) -> Next:
    """What follows if `one` is chosen now. `wanted`: another local time than the usual one, without a zone."""
    if one.next_action not in DEFERRING:
        return Next(None, _WORDS[one.next_action])
    if wanted is not None:
        # By its year first: the ends of the calendar are no instants in UTC.
        if abs(wanted.year - now.year) > 1:
            raise BadInstantError()
        at = _everywhere(wanted, zones)
        if not now < at <= now + AHEAD_MAX + timedelta(days=4):
            raise BadInstantError()
    else:
        assert one.after_days is not None
        assert one.local_time is not None
        at = usual(now, one.after_days, one.local_time, zones)
    return Next(at, words(one.next_action, at, zones))


def words(next_action: str, at: datetime, zones: Sequence[str]) -> str:
    """The sentence for an instant."""
    return _WORDS[next_action].format(at=local(at, zones))


def usual(now: datetime, after_days: int, at: time, zones: Sequence[str]) -> datetime:
    """So many days after today at this hour, wherever the person may be; the day after, if that is past."""
    days = [
        datetime.combine(now.astimezone(hours.zone(name)).date() + timedelta(days=after_days), at)
        for name in zones or ("UTC",)
    ]
    found = _everywhere(max(days), zones)
    return found if found > now else _everywhere(max(days) + timedelta(days=1), zones)


def _everywhere(wall: datetime, zones: Sequence[str]) -> datetime:
    """The first instant at which no clock that may be hers is before this one."""
    readings = [wall.replace(tzinfo=hours.zone(name), fold=fold) for name in zones or ("UTC",) for fold in (0, 1)]
    return max(one.astimezone(UTC) for one in readings)


def local(at: datetime, zones: Sequence[str]) -> str:
    """`Mon 23 Nov, 10:00 local time`; with UTC when no zone is known."""
    if not zones:
        return f"{at.astimezone(UTC):%a %-d %b, %H:%M} UTC (the local time is not known)"
    walls = sorted(at.astimezone(hours.zone(name)).replace(tzinfo=None) for name in zones)
    first, last = walls[0], walls[-1]
    text = f"{first:%a %-d %b, %H:%M}"
    return f"{text} local time" if first == last else f"{text} to {last:%H:%M} local time"


def read_instant(text: str) -> datetime | None:
    """What a form's field for a local time holds; None when it is empty. Raises `BadInstantError`."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInstantError() from None
    if found.tzinfo is not None:
        raise BadInstantError()
    return found
