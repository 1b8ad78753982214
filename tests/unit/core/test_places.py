"""Where a postal address may lie: states, provinces and postal codes, with every zone that may be meant."""

import json
import re
import tomllib
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core import places
from tenderline.core.hours import zone as rules
from tenderline.core.places import NOWHERE, Address

DATA = Path(__file__).parents[3] / "src/tenderline/core/data"
EASTERN, CENTRAL, MOUNTAIN, PACIFIC = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
PLACES = tomllib.loads((DATA / "places.toml").read_text("utf-8"))
COUNTIES = tomllib.loads((DATA / "us-counties.toml").read_text("utf-8"))
ZIPS = json.loads((DATA / "zips.json").read_text("utf-8"))["rows"]
ZONE_TAB = {
    country: re.findall(
        rf"(?m)^{country}\t[^\t]+\t([^\t\n]+)", (files("tzdata") / "zoneinfo/zone.tab").read_text("utf-8")
    )
    for country in ("US", "CA")
}
ZONES = json.loads((DATA / "zones.json").read_text("utf-8"))


def find(country, region=None, postal_code=None):
    return places.find(Address(country, region, postal_code))


@pytest.mark.parametrize(
    ("zip_code", "state", "zones"),
    [
        ("32501", "FL", (CENTRAL,)),  # Pensacola
        ("32456", "FL", (CENTRAL, EASTERN)),  # Port St. Joe, in a county with two zones
        ("33101", "FL", (EASTERN,)),
        ("46368", "IN", (CENTRAL,)),  # Portage
        ("46204", "IN", (EASTERN,)),
        ("42101", "KY", (CENTRAL,)),  # Bowling Green
        ("40202", "KY", (EASTERN,)),
        ("37402", "TN", (EASTERN,)),  # Chattanooga
        ("37201", "TN", (CENTRAL,)),
        ("36867", "AL", (CENTRAL, EASTERN)),  # Phenix City
        ("79901", "TX", (MOUNTAIN,)),  # El Paso
        ("75201", "TX", (CENTRAL,)),
        ("83814", "ID", (PACIFIC,)),  # Coeur d'Alene
        ("83702", "ID", (MOUNTAIN,)),
        ("97914", "OR", (MOUNTAIN, PACIFIC)),  # Ontario
        ("86515", "AZ", (MOUNTAIN, "America/Phoenix")),  # Window Rock
        ("85001", "AZ", ("America/Phoenix",)),
        ("99546", "AK", ("America/Adak", "America/Anchorage")),
        ("99801", "AK", ("America/Anchorage",)),
        ("96813", "HI", ("Pacific/Honolulu",)),
        ("69361", "NE", (MOUNTAIN,)),  # Scottsbluff
        ("57701", "SD", (MOUNTAIN,)),  # Rapid City
        ("49938", "MI", (CENTRAL, EASTERN)),  # Ironwood
        ("89883", "NV", (MOUNTAIN, PACIFIC)),  # West Wendover
    ],
)
def test_a_zip_code_tells_zones_and_state(zip_code, state, zones):
    for found in (find("US", state, zip_code), find("US", None, f"{zip_code}-0001")):
        assert found.zones == tuple(sorted(zones))
        assert found.regions == ("US", f"US-{state}")


@pytest.mark.parametrize(
    "zip_code", ["10001", "10314", "10451", "11201", "11375", "11691", "11004", "10001-1234", "110"]
)
def test_a_zip_code_of_the_five_boroughs_names_the_city(zip_code):
    assert find("US", "NY", zip_code).regions == ("US", "US-NY", "US-NY-NYC")
    assert find("us", None, zip_code).regions == ("US", "US-NY", "US-NY-NYC")


@pytest.mark.parametrize("zip_code", ["11530", "10701", "14201", "11021", "06390"])
def test_a_zip_code_of_new_york_outside_the_city_does_not(zip_code):
    assert find("US", "NY", zip_code).regions == ("US", "US-NY")


@pytest.mark.parametrize("written", ["FL", "fl", "US-FL", "Florida", " florida "])
def test_a_state_alone_has_all_its_zones_however_it_is_written(written):
    found = find("US", written)
    assert found.zones == (CENTRAL, EASTERN)
    assert found.regions == ("US", "US-FL")
    assert not found.vague


def test_what_people_write_in_place_of_a_code_is_understood():
    assert find("USA", "D.C.").regions == find("United States", "District of Columbia").regions == ("US", "US-DC")
    assert find("Canada", "PE") == find("CA", "Prince Edward Island")


def test_a_state_and_a_zip_code_that_disagree_both_count():
    found = find("US", "CA", "10001")
    assert found.zones == (PACIFIC, EASTERN)
    assert found.regions == ("US", "US-CA", "US-NY", "US-NY-NYC")


def test_a_country_alone_is_vague_when_it_has_several_zones():
    assert find("US").vague
    assert find("US", "nowhere", "hello").vague
    assert len(find("US").zones) == 8
    assert find("US").regions == ("US",)
    assert not find("DE").vague
    assert find("AU", "NSW").vague
    assert find("CA").vague


def test_a_territory_is_part_of_the_united_states_also_when_it_is_written_as_a_country():
    assert find("PR", None, "00901") == find("US", "PR") == find("US", "Puerto Rico", "00901")
    assert find("PR").regions == ("US", "US-PR")


def test_an_armed_forces_post_office_may_be_anywhere_in_its_part_of_the_world():
    found = find("US", "AE", "09012")
    assert {"Europe/Berlin", "Asia/Dubai"} <= set(found.zones)
    assert found.regions == ("US",)


def test_a_zip_code_that_lost_its_zero_in_a_spreadsheet_is_still_one():
    assert find("US", None, "2134") == find("US", "MA", "02134")


@pytest.mark.parametrize(
    ("code", "province", "zones"),
    [
        ("A1A 1A1", "NL", ("America/St_Johns",)),
        ("A0P 1C0", "NL", ("America/Halifax", "America/St_Johns")),  # Labrador's coast
        ("A2V2K1", "NL", ("America/Halifax",)),
        ("B3H 1A1", "NS", ("America/Halifax",)),
        ("C1A 1A1", "PE", ("America/Halifax",)),
        ("E1A 1A1", "NB", ("America/Halifax",)),
        ("G1A 1A1", "QC", ("America/Toronto",)),
        ("G4T 1A1", "QC", ("America/Halifax",)),  # Magdalen Islands
        ("G0G 1W0", "QC", ("America/Blanc-Sablon", "America/Halifax", "America/Toronto")),
        ("M5V 1A1", "ON", ("America/Toronto",)),
        ("P9N 1A1", "ON", ("America/Winnipeg",)),  # Kenora
        ("P0W 1A0", "ON", ("America/Atikokan", "America/Winnipeg")),  # Rainy River
        ("R3C 1A1", "MB", ("America/Winnipeg",)),
        ("S4P 1A1", "SK", ("America/Regina",)),
        ("S9V 1A1", "SK", ("America/Edmonton",)),  # Lloydminster
        ("S0P 0A0", "SK", ("America/Regina", "America/Winnipeg")),  # Creighton
        ("T2P 1A1", "AB", ("America/Edmonton",)),
        ("V6B 1A1", "BC", ("America/Vancouver",)),
        ("V1C 1A1", "BC", ("America/Edmonton",)),  # Cranbrook
        ("V0B 1G0", "BC", ("America/Edmonton", "America/Fort_Nelson", "America/Vancouver")),  # Creston
        ("V1J 1A1", "BC", ("America/Fort_Nelson",)),  # Fort St. John
        ("X0A 0H0", "NU", ("America/Atikokan", "America/Rankin_Inlet", "America/Toronto")),
        ("X0B 0C0", "NU", ("America/Cambridge_Bay", "America/Rankin_Inlet")),
        ("X1A 1A1", "NT", ("America/Edmonton",)),
        ("Y1A 1A1", "YT", ("America/Whitehorse",)),
    ],
)
def test_a_canadian_postal_code_tells_zones_and_province(code, province, zones):
    for found in (find("CA", None, code), find("CA", province, code.lower())):
        assert found.zones == zones
        assert found.regions == ("CA", f"CA-{province}")


def test_a_province_alone_has_all_its_zones():
    assert find("CA", "Québec").zones == ("America/Blanc-Sablon", "America/Halifax", "America/Toronto")
    assert find("CA", "SK").zones == ("America/Edmonton", "America/Regina", "America/Winnipeg")
    assert find("CA", "British Columbia", "hello").regions == ("CA", "CA-BC")


@pytest.mark.parametrize(
    ("country", "zones"),
    [
        ("GB", ("Europe/London",)),
        ("de", ("Europe/Berlin",)),
        ("ES", ("Atlantic/Canary", "Europe/Madrid")),
        ("IN", ("Asia/Kolkata",)),
        ("NP", ("Asia/Kathmandu",)),
        ("XX", ()),
        ("", ()),
    ],
)
def test_another_country_has_the_zones_that_the_tz_database_gives_it(country, zones):
    found = find(country, "somewhere", "12345")
    assert found.zones == zones
    assert found.regions == ((country.upper(),) if zones else ())
    assert zones or found == NOWHERE


@given(st.text(max_size=4), st.none() | st.text(max_size=12), st.none() | st.text(max_size=12))
def test_no_address_is_too_odd_to_be_looked_up(country, region, postal_code):
    for one in (country, "US", "CA"):
        found = find(one, region, postal_code)
        assert list(found.zones) == sorted(set(found.zones))
        assert list(found.regions) == sorted(set(found.regions))


def test_every_zone_in_the_tables_exists():
    for name in ("numbers.json", "zones.json", "zips.json", "places.toml", "area-codes.toml", "us-counties.toml"):
        for zone in set(re.findall(r'"([A-Z][A-Za-z]+/[A-Za-z_/-]+)"', (DATA / name).read_text("utf-8"))):
            assert rules(zone).key == zone


def test_no_zone_of_the_united_states_or_canada_is_forgotten():
    for country, parts in (("US", "states"), ("CA", "provinces")):
        listed = {zone for row in PLACES[country][parts].values() for zone in row["zones"]}
        assert listed == set(find(country).zones)
        for zone in ZONE_TAB[country]:
            assert any(places.are_alike(zone, one) for one in listed), zone


def test_the_zip_codes_of_a_state_have_together_the_zones_of_the_state():
    for state, row in PLACES["US"]["states"].items():
        by_zip = {zone for one in ZIPS if one["state"] == state for zone in one["zones"]}
        assert by_zip == set(row["zones"]), state


def test_every_county_that_deviates_is_of_a_state_that_lists_its_zone():
    for row in COUNTIES["state"]:
        for part in row["part"]:
            assert part.get("zone", part.get("also")) in PLACES["US"]["states"][row["code"]]["zones"]
            assert part.get("confidence", "high") in {"high", "medium", "low"}


def test_zones_that_are_called_alike_have_the_same_hours_in_all_the_years_that_are_named():
    first, last = ZONES["years"]
    for one, other in list(ZONES["alike"].items())[::9]:
        for year in range(first, last, 4):
            for month in range(1, 13):
                assert _offset(one, year, month) == _offset(other, year, month), (one, other)
    assert not places.are_alike(EASTERN, CENTRAL)
    assert places.are_alike("America/Toronto", EASTERN)
    assert places.are_alike("Mars/Olympus", "Mars/Olympus")


def _offset(zone, year, month):
    return datetime(year, month, 15, tzinfo=UTC).astimezone(rules(zone)).utcoffset()
