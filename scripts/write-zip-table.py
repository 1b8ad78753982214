"""Writes which states and time zones each first three digits of a ZIP code may mean.

It needs the package `zipcodes`, which is no dependency of ours: install it into an environment of its own and run this
there with `python scripts/write-zip-table.py`. Of its data only facts are taken: which ZIP codes are in which county of
which state. The zones of the counties are ours (us-counties.toml, places.toml).
"""

import json
import re
import tomllib
from collections import defaultdict
from importlib import metadata
from pathlib import Path

import zipcodes

DATA = Path(__file__).parents[1] / "src/tenderline/core/data"
COUNTIES = tomllib.loads((DATA / "us-counties.toml").read_text("utf-8"))
PLACES = tomllib.loads((DATA / "places.toml").read_text("utf-8"))["US"]
STATES = {code: row for group in PLACES.values() for code, row in group.items() if isinstance(row, dict)}
_PREFIX_DIGITS = 3


def county(name: str) -> str:
    """A county's name as it is compared: without what kind of county it is, without spaces."""
    return re.sub(r"\W", "", re.sub(r" (County|Parish|Borough|Census Area|Municipality)$", "", name)).lower()


def zones_of(state: str, county_name: str, zip_code: str) -> set[str]:
    """The zones of a county, or of all of a military post's part of the world."""
    row = STATES[state]
    if state in PLACES["posts"] or state in PLACES["associated"]:
        return set(row["zones"])
    found = {row["zones"][0]}
    for part in (part for one in COUNTIES["state"] if one["code"] == state for part in one["part"]):
        named = county(county_name) in map(county, part.get("counties", ()))
        if named or zip_code.startswith(tuple(part.get("zips", ("none",)))):
            found = {part["zone"]} if "zone" in part else found | {part["also"]}
    return found


def table() -> str:
    """zips.json: each state and set of zones with the prefixes that may mean them."""
    zones: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in zipcodes.list_all():
        code, state = row["zip_code"], row["state"]
        if state and not code.startswith(tuple(COUNTIES["misplaced"])):
            zones[code[:_PREFIX_DIGITS], state] |= zones_of(state, row["county"], code)
    rows: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (prefix, state), found in sorted(zones.items()):
        rows[state, tuple(sorted(found))].append(prefix)
    written = [
        json.dumps({"state": state, "zones": found, "zips": ",".join(prefixes)})
        for (state, found), prefixes in sorted(rows.items())
    ]
    head = {
        "about": "What a ZIP code's first three digits may mean. Written by scripts/write-zip-table.py; do not edit.",
        "sources": (
            f"zipcodes {metadata.version('zipcodes')} (package: MIT; its data: unitedstateszipcodes.org, GeoNames CC BY"
            " 4.0, USPS ZIP Locale Detail): which ZIP codes are in which county; us-counties.toml (49 CFR part 71)"
        ),
    }
    return json.dumps(head)[:-1] + ',\n"rows": [\n' + ",\n".join(written) + "\n]}\n"


if __name__ == "__main__":
    (DATA / "zips.json").write_text(table(), "utf-8")
