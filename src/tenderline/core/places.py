"""Where a postal address may lie: time zones and regions, from tables that ship with the product.

Regions are written like ISO 3166-2: "US", "US-FL", "CA-ON", and "US-NY-NYC" for a city with rules of its own. Every
zone and region counts that may be meant; a part that cannot be read is as good as none.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

NEW_YORK_CITY = "US-NY-NYC"

_ZIP = re.compile(r"(\d{3,5})(?:[ -]?\d{4})?")
_ZIP_DIGITS = 5
_ZIP_PREFIX_DIGITS = 3
_CANADIAN_CODE = re.compile(r"[A-Z](?:\d(?:[A-Z](?:\d[A-Z]\d)?)?)?")
_FSA_CHARACTERS = 3


@dataclass(frozen=True, slots=True)
class Address:
    """As much of a postal address as tells where somebody is."""

    country: str
    """An ISO 3166 code."""
    region: str | None = None
    """A state or province: FL, US-FL or Florida."""
    postal_code: str | None = None


@dataclass(frozen=True, slots=True)
class Area:
    """Where somebody may be: every zone and every region that is not ruled out, sorted."""

    zones: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    vague: bool = False
    """No more is known than a country of several zones; any other evidence goes before it."""


NOWHERE = Area()


@dataclass(frozen=True, slots=True)
class _Country:
    """One of the two countries whose parts are known."""

    parts: Mapping[str, Area]
    """States or provinces by code."""
    codes: Mapping[str, str]
    """Codes by name, in capitals."""
    postal: Mapping[str, Mapping[str, tuple[str, ...]]]
    """For the beginning of a postal code, the zones in each part that it may mean."""


@lru_cache(maxsize=65_536)
def find(address: Address) -> Area:
    """Where an address may lie; `NOWHERE` when its country is not known."""
    written = address.country.strip().upper()
    country = _names().get(written, written)
    region, postal_code = (address.region or "").strip(), (address.postal_code or "").strip().upper()
    if country in _places()["US"]["territories"]:
        country, region = "US", country
    if country == "US":
        found = _find(_united_states(), country, region, _zip(postal_code)[:_ZIP_PREFIX_DIGITS])
        return _with_city(found, _zip(postal_code))
    if country == "CA":
        return _find(_canada(), country, region, _canadian(postal_code))
    zones = _countries().get(country, ())
    return Area(zones, (country,), vague=len(zones) > 1) if zones else NOWHERE


def countries() -> Mapping[str, tuple[str, ...]]:
    """Every country that is known, by its ISO 3166 code, with its zones."""
    return _countries()


def are_alike(one: str, other: str) -> bool:
    """Whether two zones have the same rules in the years that matter here."""
    alike = _alike()
    return alike.get(one, one) == alike.get(other, other)


def data_text(name: str) -> str:
    """A data file of this package."""
    return (resources.files("tenderline.core") / "data" / name).read_text("utf-8")


def _find(country: _Country, code: str, region: str, postal: str) -> Area:
    """The part that was written and the parts that the postal code may mean. When they disagree, both count."""
    part = _folded(region).removeprefix(f"{code}-")
    part = country.codes.get(part, part)
    by_code = country.postal.get(postal, {})
    if part in by_code:
        return Area(by_code[part], country.parts[part].regions)
    areas = [Area(zones, country.parts[one].regions) for one, zones in by_code.items()]
    if part in country.parts:
        areas.append(country.parts[part])
    if not areas:
        return Area(_countries()[code], (code,), vague=True)
    return Area(union(area.zones for area in areas), union(area.regions for area in areas))


def union(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All of several sets of names, sorted."""
    return tuple(sorted({one for part in parts for one in part}))


def _folded(name: str) -> str:
    """In capitals, without accents and full stops: QUEBEC, DC."""
    parted = unicodedata.normalize("NFKD", name).upper()
    return "".join(one for one in parted if not unicodedata.combining(one)).replace(".", "")


def _zip(written: str) -> str:
    """The digits of a ZIP code, at least three; empty when it is none. Spreadsheets lose the zero of New England."""
    match = _ZIP.fullmatch(written)
    if match is None:
        return ""
    return match[1].zfill(_ZIP_DIGITS) if len(match[1]) == _ZIP_DIGITS - 1 else match[1]


def _with_city(area: Area, zip_code: str) -> Area:
    boroughs: list[str] = _places()["US"]["new_york_city"]["zips"]
    in_city = zip_code and any(zip_code.startswith(one) or one.startswith(zip_code) for one in boroughs)
    return Area(area.zones, union([area.regions, [NEW_YORK_CITY]])) if in_city else area


def _canadian(written: str) -> str:
    """The first three characters of a Canadian postal code, or its first; empty when it is none."""
    code = written.replace(" ", "").replace("-", "")
    if _CANADIAN_CODE.fullmatch(code) is None:
        return ""
    return code[:_FSA_CHARACTERS] if code[:_FSA_CHARACTERS] in _canada().postal else code[:1]


# The tables, each read when it is first asked for.


@lru_cache(maxsize=1)
def _places() -> dict[str, Any]:
    return tomllib.loads(data_text("places.toml"))


@lru_cache(maxsize=1)
def _zones() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data_text("zones.json"))
    return found


@lru_cache(maxsize=1)
def _countries() -> dict[str, tuple[str, ...]]:
    return {country: tuple(zones) for country, zones in _zones()["countries"].items()}


@lru_cache(maxsize=1)
def _alike() -> dict[str, str]:
    alike: dict[str, str] = _zones()["alike"]
    return alike


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    names: dict[str, str] = _places()["countries"]["names"]
    return names


@lru_cache(maxsize=1)
def _united_states() -> _Country:
    groups = _places()["US"]
    parts: dict[str, Area] = {}
    names: dict[str, str] = {}
    for group in ("states", "territories", "associated", "posts"):
        for code, row in groups[group].items():
            # An armed forces' post office is no place of the United States; an associated state is a country.
            regions = {"associated": (code,), "posts": ("US",)}.get(group, ("US", f"US-{code}"))
            parts[code] = Area(union([row["zones"]]), regions)
            names[row["name"].upper()] = code
    postal: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in json.loads(data_text("zips.json"))["rows"]:
        for prefix in row["zips"].split(","):
            postal.setdefault(prefix, {})[row["state"]] = tuple(row["zones"])
    return _Country(parts, names, postal)


@lru_cache(maxsize=1)
def _canada() -> _Country:
    groups = _places()["CA"]
    parts = {code: Area(union([row["zones"]]), ("CA", f"CA-{code}")) for code, row in groups["provinces"].items()}
    names = {row["name"].upper(): code for code, row in groups["provinces"].items()}
    postal = {begins: {row["in"]: union([row["zones"]])} for begins, row in groups["postal"].items()}
    return _Country(parts, names, postal)
