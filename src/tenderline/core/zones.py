"""Where a person's day is, and whose rules hold there: every zone and region not ruled out by stronger evidence.

Order of evidence: the zone that the person told of herself rules alone; then her address; then her telephone numbers;
then the account's default. An address that her numbers do not contradict rules alone; with one that they do, both
count, and the hour must be lawful in all zones (12 CFR 1006, comment 6(b)(1)(i)-2). Nothing known is an answer too:
no zone, on which the gate holds the contact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfoNotFoundError

from tenderline.core import hours, numbering, places
from tenderline.core.hours import LOOK_AHEAD_DAYS as LOOK_AHEAD_DAYS
from tenderline.core.places import NOWHERE, Address, Area


class Evidence(StrEnum):
    """What a place rests on."""

    SELF_STATED = "self-stated"
    ADDRESS = "address"
    ADDRESS_AND_NUMBER = "address and number"
    NUMBER = "number"
    COUNTRY = "country"
    DEFAULT = "default"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person may be, each sorted, and what the zones rest on."""

    zones: tuple[str, ...]
    regions: tuple[str, ...]
    evidence: Evidence


def is_known(zone: str) -> bool:
    """Whether `zone` names an IANA time zone."""
    try:
        hours.zone(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def locate(
    self_stated_zone: str | None,
    address: Address | None,
    numbers: Sequence[str],
    default_zone: str | None = None,
    default_region: str | None = None,
) -> Place:
    """Where a person may be, by the order of evidence above. `numbers` are all of hers, in E.164."""
    at = places.find(address) if address is not None else NOWHERE
    told = [numbering.find(number) for number in numbers]
    zones, evidence = _zones(self_stated_zone, at, [area for area in told if area.zones], default_zone)
    return Place(zones, _regions(at, told, default_region), evidence)


def _zones(
    self_stated: str | None, at: Area, told: list[Area], default: str | None
) -> tuple[tuple[str, ...], Evidence]:
    if self_stated is not None:
        return (self_stated,), Evidence.SELF_STATED
    against = [area.zones for area in told if at.zones and _is_against(area, at)]
    if against:
        return places.union([at.zones, *against]), Evidence.ADDRESS_AND_NUMBER
    if at.zones and not at.vague:
        return at.zones, Evidence.ADDRESS
    if told:
        return places.union(area.zones for area in told), Evidence.NUMBER
    if at.zones:
        return at.zones, Evidence.COUNTRY
    return ((default,), Evidence.DEFAULT) if default else ((), Evidence.NONE)


def _is_against(number: Area, at: Area) -> bool:
    """Whether a number and an address cannot both be right: no zone is in both, or another country."""
    if at.vague and not set(at.regions) & set(number.regions):
        return True
    return not any(places.are_alike(one, other) for one in number.zones for other in at.zones)


def _regions(at: Area, told: list[Area], default: str | None) -> tuple[str, ...]:
    """The address's regions, and those of every number that does not lie where the address is."""
    found = set(at.regions)
    for area in told:
        if not any(_within(here, there) for here in _finest(at.regions) for there in _finest(area.regions)):
            found |= set(area.regions)
    if not found and default:
        parts = default.split("-")
        found = {"-".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return tuple(sorted(found))


def _finest(regions: tuple[str, ...]) -> list[str]:
    """The regions that hold no other of them: of US and US-FL the second."""
    return [one for one in regions if not any(_within(other, one) and other != one for other in regions)]


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}-")


def candidates(self_stated: str | None, number_zones: tuple[str, ...], default: str | None) -> tuple[str, ...]:
    """The zones in which it must be a lawful hour, of somebody whose address is not known."""
    return _zones(self_stated, NOWHERE, [Area(number_zones)] if number_zones else [], default)[0]


def is_open(now: datetime, zones: tuple[str, ...], opens: time, closes: time) -> bool:
    """Whether `now` lies in the same hours of every day, [opens, closes), in every one of `zones`."""
    return hours.is_open(now, zones, hours.daily(opens, closes))


def next_open(now: datetime, zones: tuple[str, ...], opens: time, closes: time) -> datetime | None:
    """The first instant from `now` on that is open in every zone; None when the next 8 days have none."""
    return hours.next_open(now, zones, hours.daily(opens, closes))
