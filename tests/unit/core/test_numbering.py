"""Where a telephone number may lie: every zone and region of its area code, and never fewer than is known."""

import runpy
import tomllib
from functools import cache
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers.tzdata import TIMEZONE_DATA

from tenderline.core import numbering, phone, places
from tenderline.core.errors import InvalidInputError
from tenderline.core.places import NOWHERE

ROOT = Path(__file__).parents[3]
DATA = ROOT / "src/tenderline/core/data"
EASTERN, CENTRAL, MOUNTAIN, PACIFIC = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
STATES = (
    "America/Adak", "America/Anchorage", CENTRAL, MOUNTAIN, PACIFIC, EASTERN, "America/Phoenix", "Pacific/Honolulu",
)  # fmt: skip
BRITISH_COLUMBIA = ("America/Edmonton", "America/Fort_Nelson", "America/Vancouver")
NORTHERN_CANADA = (
    "America/Atikokan", "America/Cambridge_Bay", "America/Edmonton", "America/Rankin_Inlet", "America/Toronto",
    "America/Vancouver", "America/Whitehorse", "America/Winnipeg",
)  # fmt: skip
EASTERN_QUEBEC = ("America/Blanc-Sablon", "America/Halifax", "America/Toronto")
SASKATCHEWAN = ("America/Edmonton", "America/Regina", "America/Winnipeg")

# Every code that is used in several zones: what a number of it has to answer with.
SPLIT = {
    "208": ((MOUNTAIN, PACIFIC), "US-ID"),
    "219": ((CENTRAL, EASTERN), "US-IN"),
    "250": (BRITISH_COLUMBIA, "CA-BC"),
    "270": ((CENTRAL, EASTERN), "US-KY"),
    "308": ((CENTRAL, MOUNTAIN), "US-NE"),
    "418": (EASTERN_QUEBEC, "CA-QC"),
    "423": ((CENTRAL, EASTERN), "US-TN"),
    "541": ((MOUNTAIN, PACIFIC), "US-OR"),
    "574": ((CENTRAL, EASTERN), "US-IN"),
    "605": ((CENTRAL, MOUNTAIN), "US-SD"),
    "606": ((CENTRAL, EASTERN), "US-KY"),
    "620": ((CENTRAL, MOUNTAIN), "US-KS"),
    "701": ((CENTRAL, MOUNTAIN), "US-ND"),
    "709": (("America/Halifax", "America/St_Johns"), "CA-NL"),
    "775": ((MOUNTAIN, PACIFIC), "US-NV"),
    "785": ((CENTRAL, MOUNTAIN), "US-KS"),
    "807": (("America/Atikokan", "America/Toronto", "America/Winnipeg"), "CA-ON"),
    "812": ((CENTRAL, EASTERN), "US-IN"),
    "850": ((CENTRAL, EASTERN), "US-FL"),
    "867": (NORTHERN_CANADA, "CA-NU"),
    "879": (("America/Halifax", "America/St_Johns"), "CA-NL"),
    "906": ((CENTRAL, EASTERN), "US-MI"),
    "907": (("America/Adak", "America/Anchorage"), "US-AK"),
    "928": ((MOUNTAIN, "America/Phoenix"), "US-AZ"),
    "986": ((MOUNTAIN, PACIFIC), "US-ID"),
}
CORRECTED = {
    "432": ((CENTRAL, MOUNTAIN), "US-TX"),
    "931": ((CENTRAL, EASTERN), "US-TN"),
    "334": ((CENTRAL, EASTERN), "US-AL"),
    "256": ((CENTRAL, EASTERN), "US-AL"),
    "306": (SASKATCHEWAN, "CA-SK"),
    "474": (SASKATCHEWAN, "CA-SK"),
    "689": ((EASTERN,), "US-FL"),
}
OVERLAYS = {
    "448": "850", "364": "270", "930": "812", "458": "541", "986": "208", "938": "256", "778": "250", "236": "250",
    "672": "250", "257": "250", "581": "418", "367": "418", "273": "418", "639": "306", "474": "306", "879": "709",
    "689": "407",
}  # fmt: skip


def number(area):
    """A number of that area code, of those that are kept for fiction."""
    return f"+1{area}5550123"


@cache
def known():
    """What is written by hand."""
    return tomllib.loads((DATA / "area-codes.toml").read_text("utf-8"))


@cache
def script():
    """The script that writes the tables, run on what is installed."""
    return runpy.run_path(str(ROOT / "scripts/write-number-tables.py"))


@pytest.mark.parametrize("name", ["numbers.json", "zones.json"])
def test_the_committed_tables_are_those_of_the_pinned_packages(name):
    written = script()["TABLES"][name]()
    assert (DATA / name).read_text("utf-8") == written, "run scripts/write-number-tables.py"


@pytest.mark.parametrize(("area", "expected"), [*SPLIT.items(), *CORRECTED.items()])
def test_an_area_code_answers_with_every_zone_it_is_used_in(area, expected):
    zones, region = expected
    found = numbering.find(number(area))
    assert found.zones == tuple(sorted(zones))
    assert region in found.regions
    assert region[:2] in found.regions


@pytest.mark.parametrize(("overlay", "parent"), OVERLAYS.items())
def test_an_overlay_is_used_where_its_parent_is(overlay, parent):
    assert numbering.find(number(overlay)) == numbering.find(number(parent)) != NOWHERE


def test_nothing_that_libphonenumber_says_of_north_america_is_lost_unless_it_is_written_why():
    lost = []
    for prefix, zones in TIMEZONE_DATA.items():
        area = prefix[1:4]
        if not prefix.startswith("1") or len(prefix) < 4 or area in known()["overlays"]:
            continue
        dropped = known()["zones"].get(area, {}).get("drop", ())
        found = numbering.find(number(area)).zones
        lost += [
            (prefix, zone)
            for zone in zones
            if zone not in dropped and not any(places.are_alike(zone, one) for one in found)
        ]
    assert lost == []


@pytest.mark.parametrize("area", ["800", "888", "877", "833", "900", "500", "521", "588"])
def test_a_number_that_lies_nowhere_may_lie_in_every_state_and_has_no_state(area):
    found = numbering.find(number(area))
    assert found.zones == STATES
    assert found.regions == ("US",)


@pytest.mark.parametrize("area", ["212", "332", "347", "646", "718", "917", "929"])
def test_a_number_of_new_york_city_names_the_city(area):
    assert numbering.find(number(area)).regions == ("US", "US-NY", "US-NY-NYC")


@pytest.mark.parametrize("area", ["315", "516", "518", "914", "934", "838"])
def test_a_number_of_new_york_outside_the_city_does_not(area):
    assert numbering.find(number(area)).regions == ("US", "US-NY")


@pytest.mark.parametrize(
    ("e164", "zones", "regions"),
    [
        ("+17875550123", ("America/Puerto_Rico",), ("US", "US-PR")),
        ("+16715550123", ("Pacific/Guam",), ("US", "US-GU")),
        ("+18765550123", ("America/Jamaica",), ("JM",)),
        ("+19025550123", ("America/Halifax",), ("CA", "CA-NS", "CA-PE")),
        ("+442079460123", ("Europe/London",), ("GB", "GG", "IM", "JE")),
        ("+447700900123", ("Europe/London",), ("GB", "GG", "IM", "JE")),
        ("+35315550123", ("Europe/Dublin",), ("IE",)),
        ("+4930123456", ("Europe/Berlin",), ("DE",)),
        ("+390612345678", ("Europe/Rome",), ("IT", "VA")),
        ("+34911234567", ("Atlantic/Canary", "Europe/Madrid"), ("ES",)),
        ("+34922123456", ("Atlantic/Canary",), ("ES",)),
        ("+34612345678", ("Atlantic/Canary", "Europe/Madrid"), ("ES",)),
        ("+61731234567", ("Australia/Brisbane",), ("AU",)),
        ("+74012123456", ("Europe/Kaliningrad",), ("RU",)),
        ("+212520123456", ("Africa/Casablanca",), ("EH", "MA")),
    ],
)
def test_a_number_of_another_country_has_that_countrys_zones(e164, zones, regions):
    found = numbering.find(e164)
    assert (found.zones, found.regions) == (zones, regions)


def test_a_mobile_number_of_a_wide_country_may_lie_in_all_of_it():
    australian = numbering.find("+61412345678").zones
    assert {"Australia/Perth", "Australia/Sydney", "Australia/Brisbane", "Australia/Lord_Howe"} <= set(australian)
    assert len(numbering.find("+79123456789").zones) > 8
    assert numbering.find("+77710009998").regions == ("KZ",)


@pytest.mark.parametrize(
    "e164",
    ["", "+", "+1", "+1212", "+15550100001", "+12021234567", "+1202555012", "+120255501234", "+9991234567",
     "+870773123", "12025550123", "+1202555012a", "+1202555012٣", "+0123456789", "+44", "+4" * 9, "tel:+12025550123"],
)  # fmt: skip
def test_what_is_no_number_lies_nowhere(e164):
    assert numbering.find(e164) == NOWHERE
    assert phone.zones(e164) == phone.regions(e164) == ()


@given(st.text(max_size=20))
def test_no_text_is_too_odd_to_be_looked_up(text):
    assert isinstance(numbering.find(text).zones, tuple)


@given(country=st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)), kind=st.integers(0, 1))
def test_every_number_that_can_be_dialled_lies_somewhere(country, kind):
    example = phonenumbers.example_number_for_type(country, kind)
    if example is None:
        return
    e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    try:
        found = numbering.find(phone.normalise(e164))
    except InvalidInputError:
        return
    assert found.zones
    assert any(region.startswith(country) or region == f"US-{country}" for region in found.regions)
    assert len(found.zones) <= 13, "more zones than Russia has would be a mistake"


def test_no_number_names_two_zones_with_the_same_rules():
    for area in set(numbering._table().values()):
        alike = [(a, b) for a in area.zones for b in area.zones if a < b and places.are_alike(a, b)]
        assert not alike


def test_every_correction_says_why_and_how_sure_it_is():
    rows = [*known()["zones"].values(), *known()["regions"].values(), *known()["countries"].values()]
    assert all(row["why"] for row in rows)
    rows += [*known()["stand_ins"].values(), *known()["prefixes"].values()]
    assert {row["confidence"] for row in rows} <= {"high", "medium", "low"}
