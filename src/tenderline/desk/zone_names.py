"""Time zones as people know them: by their cities, with the time that it is there, the likely ones first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from babel import Locale
from babel.dates import get_timezone_name

from tenderline.core import hours, places
from tenderline.core.zones import Place

LIKELY: Final = "Most likely"
AREAS: Final = {
    "America": "The Americas",
    "Europe": "Europe",
    "Africa": "Africa",
    "Asia": "Asia",
    "Australia": "Australia",
    "Pacific": "The Pacific",
    "Atlantic": "The Atlantic",
    "Indian": "The Indian Ocean",
    "Antarctica": "Antarctica",
    "Arctic": "The Arctic",
}
"""The first parts of the zones' names, in the order of the list."""


@dataclass(frozen=True, slots=True)
class ZoneGroup:
    """Some zones of the list: (name, label) pairs."""

    label: str
    zones: tuple[tuple[str, str], ...]


def city(zone: str) -> str:
    """`New York` for `America/New_York`, `Knox, Indiana` for `America/Indiana/Knox`."""
    _, _, rest = zone.partition("/")
    return ", ".join(part.replace("_", " ") for part in reversed((rest or zone).split("/")))


def clock(at: datetime) -> str:
    """`10:05 am`."""
    return f"{at:%-I:%M} {'am' if at.hour < 12 else 'pm'}"


@lru_cache(maxsize=1024)
def label(zone: str) -> str:
    """`New York (Eastern Time)`: with the name of the time where it has one that helps."""
    name = get_timezone_name(hours.zone(zone), width="long", zone_variant="generic", locale="en_US")
    helps = not set(name) & set("(/:+") and city(zone) not in name
    return f"{city(zone)} ({name})" if helps else city(zone)


def groups(place: Place, now: datetime) -> tuple[ZoneGroup, ...]:
    """Every zone that may be chosen, each once: first where she may be and what lies in the same countries."""
    by_country = places.countries()
    near = {zone for region in place.regions for zone in by_country.get(region, ())}
    here = [zone for zone in place.zones if may_be_chosen(zone)]
    likely = [*here, *sorted(near - set(here), key=city)]
    found = [_group(LIKELY, likely, now)] if likely else []
    rest = {zone for zones in by_country.values() for zone in zones} - set(likely)
    for area, name in AREAS.items():
        if there := sorted((zone for zone in rest if zone.partition("/")[0] == area), key=city):
            found.append(_group(name, there, now))
    return tuple(found)


def may_be_chosen(zone: str) -> bool:
    """Whether a zone is one of the list, whoever looks at it."""
    return zone in _all_zones()


@lru_cache(maxsize=1)
def _all_zones() -> frozenset[str]:
    return frozenset(zone for zones in places.countries().values() for zone in zones)


def _group(name: str, zones: Sequence[str], now: datetime) -> ZoneGroup:
    return ZoneGroup(
        name, tuple((zone, f"{label(zone)}, now {clock(now.astimezone(hours.zone(zone)))}") for zone in zones)
    )


@lru_cache(maxsize=1)
def countries() -> tuple[tuple[str, str], ...]:
    """(code, English name) of every country that is known, by name."""
    names = Locale("en").territories
    return tuple(sorted(((code, names.get(code, code)) for code in places.countries()), key=_by_name))


def _by_name(country: tuple[str, str]) -> str:
    return country[1].replace("Å", "A").casefold()


def cities(zones: Iterable[str], shown_max: int = 3) -> str:
    """`New York`, or `Chicago, Denver or New York`, or as many as fit and `elsewhere`."""
    names = [city(zone) for zone in zones]
    if len(names) > shown_max:
        names = [*names[:shown_max], "elsewhere"]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
