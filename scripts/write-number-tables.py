"""Writes where telephone numbers may lie and which zones each country has; a test holds both files against the code.

It reads the installed phonenumbers (libphonenumber's zones and descriptions, Apache-2.0), the installed tzdata (public
domain), and what we know better: area-codes.toml and places.toml.
"""

import json
import random
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path

import phonenumbers
import tzdata
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.tzdata import TIMEZONE_DATA

from tenderline.core import hours

DATA = Path(__file__).parents[1] / "src/tenderline/core/data"
# Two zones are alike when they agree from the first of these years until the last has begun.
YEARS = (2020, 2041)
_WEEK_S = 7 * 86_400
_SAMPLES = 50
_NANP = 1
_NOBODYS = "001"  # libphonenumber's region of calling codes that belong to no country
# In these countries a mobile number begins with the area code of a town.
_MOBILE_WITH_AREA = frozenset({52, 54, 55})
_TYPES = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip
# No area code in use refuses all of these.
_EXCHANGES = (222, 234, 345, 567, 789)
_NAMES = {"Washington State": "US-WA", "Washington D.C.": "US-DC", "British Colombia": "CA-BC"}

KNOWN = tomllib.loads((DATA / "area-codes.toml").read_text("utf-8"))
PLACES = tomllib.loads((DATA / "places.toml").read_text("utf-8"))


class TableError(Exception):
    """The sources disagree with what is written in area-codes.toml; the message says where."""


@cache
def rules(zone: str) -> tuple[tuple[int, float], ...]:
    """When a zone's offset changes within `YEARS`, and to what: the same for zones that are alike."""

    def offset(second: int) -> float:
        found = datetime.fromtimestamp(second, hours.zone(zone)).utcoffset()
        assert found is not None
        return found.total_seconds()

    at, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in YEARS)
    now = offset(at)
    changes = [(0, now)]
    while at < end:
        low, high = at, min(at + _WEEK_S, end)
        if offset(high) != now:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == now else (low, middle)
            now = offset(high)
            changes.append((high, now))
        at = high
    return tuple(changes)


@cache
def zone_tab() -> dict[str, list[str]]:
    """Every country's zones by the tz database."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            country, _, zone = line.split("\t")[:3]
            found[country].append(zone)
    return found


@cache
def listed_by_country() -> dict[str, list[str]]:
    """Every country's zones, ours where we know better."""
    found = dict(zone_tab())
    for country, parts in (("US", "states"), ("CA", "provinces")):
        found[country] = [zone for row in PLACES[country][parts].values() for zone in row["zones"]]
    return dict(sorted((found | {country: row["zones"] for country, row in KNOWN["countries"].items()}).items()))


@cache
def country_zones() -> dict[str, tuple[str, ...]]:
    """Every country's zones; of those that are alike the one that libphonenumber names, which is the best known."""
    known = {zone for zones in TIMEZONE_DATA.values() for zone in zones}
    return {
        country: fewest(zones, () if country in ("US", "CA") else [zone for zone in zones if zone in known])
        for country, zones in listed_by_country().items()
    }


def fewest(zones: Iterable[str], rather: Iterable[str] = ()) -> tuple[str, ...]:
    """Of the zones that are alike one, which is taken from `rather` when that has one, else the first; sorted."""
    chosen = {rules(zone): zone for zone in reversed([*rather])}
    found: dict[tuple[tuple[int, float], ...], str] = {}
    for zone in zones:
        found.setdefault(rules(zone), chosen.get(rules(zone), zone))
    return tuple(sorted(found.values()))


def codes(text: str) -> list[str]:
    """The codes of a list in area-codes.toml."""
    return [code.strip() for code in text.split(",")]


# North America


def area_codes() -> dict[str, set[str]]:
    """Every area code in use, with the countries that use it."""
    found: dict[str, set[str]] = defaultdict(set)
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[_NANP]:
        own = phonenumbers.PhoneMetadata.metadata_for_region(region).leading_digits
        for code in map(str, range(200, 1000)):
            if own:
                used = re.fullmatch(own, code) is not None
            else:
                numbers = [f"{code}{exchange}2345" for exchange in _EXCHANGES]
                used = any(pattern.fullmatch(one) for pattern, _ in patterns(region) for one in numbers)
            if used:
                found[code].add(region)
    return found


@cache
def patterns(region: str, *without: str) -> list[tuple[re.Pattern[str], tuple[int, ...]]]:
    """What numbers of a country look like, and their lengths, for each type but some."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    described = [getattr(metadata, one) for one in _TYPES if one not in without]
    return [
        (re.compile(one.national_number_pattern), one.possible_length)
        for one in described
        if one is not None and one.national_number_pattern
    ]


@cache
def named_regions() -> dict[str, str]:
    """US-FL by "Florida" and by "FL", and so on."""
    found = dict(_NAMES)
    for country, parts in (("US", PLACES["US"]["states"]), ("CA", PLACES["CA"]["provinces"])):
        for code, row in parts.items():
            found[row["name"]] = found[code] = f"{country}-{code}"
    return found


@cache
def below() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The zones and the regions that libphonenumber names anywhere below each area code."""
    zones: dict[str, set[str]] = defaultdict(set)
    regions: dict[str, set[str]] = defaultdict(set)
    for prefix, listed in TIMEZONE_DATA.items():
        if prefix.startswith("1") and len(prefix) > 3:
            zones[prefix[1:4]] |= set(listed)
    for prefix, names in GEOCODE_DATA.items():
        if prefix.startswith("1") and len(prefix) > 3 and "en" in names:
            for name in names["en"].rsplit(", ", 1)[-1].split("/"):
                regions[prefix[1:4]] |= {one for one in [named_regions().get(name)] if one}
    return zones, regions


def described_regions(area: str) -> set[str]:
    """The states of an area code, corrected."""
    return below()[1][area] - set(KNOWN["regions"].get(area, {}).get("drop", ()))


def listed_zones(area: str) -> set[str]:
    """The zones of an area code, corrected."""
    row = KNOWN["zones"].get(area, {})
    return (below()[0][area] | set(row.get("add", ()))) - set(row.get("drop", ()))


def of_area(area: str, countries: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Zones and regions of one area code."""
    zones = country_zones()
    if len(countries) > 1 or not (described_regions(area) or countries - {"US", "CA"}):
        # Toll-free, premium, personal: nowhere in particular.
        country = "CA" if countries == {"CA"} else "US"
        return zones[country], (country,)
    (country,) = countries
    if country in PLACES["US"]["territories"]:
        return tuple(PLACES["US"]["territories"][country]["zones"]), ("US", f"US-{country}")
    if country not in ("US", "CA"):
        return zones[country], (country,)
    regions = {country, *described_regions(area)}
    if area in codes(KNOWN["new_york_city"]["codes"]):
        regions.add("US-NY-NYC")
    found = fewest(listed_zones(area), zones[country])
    check(area, found, regions)
    return found, tuple(sorted(regions))


def check(area: str, zones: tuple[str, ...], regions: set[str]) -> None:
    """Holds an area code against its states, so that a new overlay cannot slip in with half its zones."""
    states = {
        f"{country}-{code}": set(row["zones"])
        for country, parts in (("US", PLACES["US"]["states"]), ("CA", PLACES["CA"]["provinces"]))
        for code, row in parts.items()
    }
    named = [one for one in regions if one in states]
    # 867 has the Yukon's old zone too, which libphonenumber lists.
    if area != "867" and not set(zones) <= set(fewest(zone for one in named for zone in states[one])):
        raise TableError(f"{area} has {zones}, which are not all zones of {sorted(named)}")
    split = area in codes(KNOWN["split"]["codes"])
    whole = any(area in codes(KNOWN["whole"].get(one[3:], "")) for one in named)
    if split != (len(zones) > 1):
        raise TableError(f"{area} has {zones}; area-codes.toml says otherwise")
    if any(len(states[one]) > 1 for one in named) and not split and not whole:
        raise TableError(f"{area} lies in {sorted(named)}, which have several zones: add it to area-codes.toml")


def north_america() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Zones and regions by area code, with the 1 before it."""
    overlays = KNOWN["overlays"]
    used = area_codes()
    found = {f"1{area}": of_area(area, countries) for area, countries in used.items() if area not in overlays}
    return found | {f"1{area}": found[f"1{parent}"] for area, parent in overlays.items() if area in used}


# The rest of the world


def elsewhere(code: int, regions: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Zones and regions by prefix, for one calling code."""
    all_over = of_countries(regions)
    if not all_over[0]:  # Ascension, and codes that belong to nobody
        listed = TIMEZONE_DATA.get(str(code))
        return {str(code): (fewest(listed), regions)} if listed and _NOBODYS not in regions else {}
    found = {str(code): all_over}
    if len(all_over[0]) == 1:
        return found
    for prefix in sorted(TIMEZONE_DATA):
        if prefix.startswith(str(code)) and prefix != str(code):
            anywhere = anywhere_in(code, regions, prefix[len(str(code)) :])
            found[prefix] = of_countries(anywhere) if anywhere else of_prefix(code, regions, prefix)
    return {prefix: area for prefix, area in found.items() if area != above(found, prefix)}


def of_countries(regions: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All that may be meant by a number that is used all over these countries."""
    return fewest(zone for region in regions for zone in country_zones().get(region, ())), tuple(sorted(regions))


def of_prefix(code: int, regions: tuple[str, ...], prefix: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What libphonenumber says of a prefix and of all longer ones, corrected.

    The longer ones count because what it says of the short one is a guess: Queensland's is Sydney.
    """
    listed = {zone for longer, zones in TIMEZONE_DATA.items() if longer.startswith(prefix) for zone in zones}
    stand_in = KNOWN["stand_ins"].get(str(code), {"from": "", "to": ""})
    zones = {stand_in["to"] if zone == stand_in["from"] else zone for zone in listed}
    zones |= {zone for start, row in KNOWN["prefixes"].items() if prefix.startswith(start) for zone in row["add"]}
    here = [region for region in regions if zones & set(listed_by_country().get(region, ()))] or regions
    return fewest(sorted(zones), of_countries(here)[0]), tuple(sorted(here))


def above(found: dict[str, tuple[tuple[str, ...], tuple[str, ...]]], prefix: str) -> object:
    """What the next shorter prefix says."""
    return next((found[prefix[:end]] for end in range(len(prefix) - 1, 0, -1) if prefix[:end] in found), None)


def anywhere_in(code: int, regions: tuple[str, ...], digits: str) -> list[str]:
    """The countries whose mobile, toll-free or like numbers may begin so: those are used all over a country.

    libphonenumber knows what a number is, but not what a prefix is, so this tries some numbers.
    """
    without = ("fixed_line", "mobile") if code in _MOBILE_WITH_AREA else ("fixed_line",)
    return [region for region in regions if any(may_begin(digits, *one) for one in patterns(region, *without))]


def may_begin(digits: str, pattern: re.Pattern[str], lengths: tuple[int, ...]) -> bool:
    """Whether a number of this pattern may begin so."""
    chance = random.Random(digits)  # noqa: S311  # the same numbers on every run
    return any(
        pattern.fullmatch(digits + f"{chance.randrange(10**missing):0{missing}d}") is not None
        for missing in (length - len(digits) for length in lengths)
        for _ in range(_SAMPLES if missing > 0 else 0)
    )


# The files


@cache
def numbers() -> str:
    """numbers.json: each set of zones and regions with the prefixes that have it."""
    found = north_america()
    for code, regions in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()):
        if code != _NANP:
            found |= elsewhere(code, regions)
    areas: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    for prefix, area in sorted(found.items()):
        areas[area].append(prefix)
    rows = [
        json.dumps({"zones": zones, "regions": regions, "prefixes": ",".join(prefixes)})
        for (zones, regions), prefixes in areas.items()
    ]
    head = {
        "about": "Where telephone numbers may lie, by prefix. Written by scripts/write-number-tables.py; do not edit.",
        "sources": f"phonenumbers {phonenumbers.__version__} (libphonenumber, Apache-2.0), area-codes.toml",
        "tzdata": tzdata.IANA_VERSION,
    }
    return json.dumps(head)[:-1] + ',\n"areas": [\n' + ",\n".join(rows) + "\n]}\n"


def zones() -> str:
    """zones.json: the zones of each country, and which of all zones have the same rules."""
    countries = country_zones()
    named = {zone for source in (zone_tab(), countries) for found in source.values() for zone in found}
    for group in ("territories", "associated", "posts"):
        named |= {zone for row in PLACES["US"][group].values() for zone in row["zones"]}
    named |= {zone for row in PLACES["CA"]["postal"].values() for zone in row["zones"]}
    named |= set(re.findall(r'"([A-Z][A-Za-z]+/[A-Za-z_/-]+)"', numbers()))
    first: dict[tuple[tuple[int, float], ...], str] = {}
    alike: dict[str, str] = {}
    for zone in sorted(named):
        if first.setdefault(rules(zone), zone) != zone:
            alike[zone] = first[rules(zone)]
    head = {
        "about": "Zones by country, and which are alike. Written by scripts/write-number-tables.py; do not edit.",
        "sources": f"tz database {tzdata.IANA_VERSION} (public domain), area-codes.toml, places.toml",
        "years": YEARS,
    }
    rows = ",\n".join(f"{json.dumps(country)}: {json.dumps(found)}" for country, found in countries.items())
    same = ",\n".join(f"{json.dumps(zone)}: {json.dumps(other)}" for zone, other in alike.items())
    return json.dumps(head)[:-1] + ',\n"countries": {\n' + rows + '\n},\n"alike": {\n' + same + "\n}}\n"


TABLES = {"numbers.json": numbers, "zones.json": zones}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    for name, table in TABLES.items():
        (folder / name).write_text(table(), "utf-8")
