"""Where a person may be: what rules alone, what narrows, and when both sides count."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core import numbering, places, zones
from tenderline.core.places import Address
from tenderline.core.zones import Evidence, locate

CENTRAL, EASTERN, PACIFIC = "America/Chicago", "America/New_York", "America/Los_Angeles"
PANHANDLE, CHICAGO, MANHATTAN, TOLL_FREE, LONDON = (
    "+18505550123", "+13125550123", "+12125550123", "+18005550123", "+442079460123",
)  # fmt: skip
PENSACOLA, LOS_ANGELES, ALBANY = (
    Address("US", "FL", "32501"),
    Address("US", "CA", "90001"),
    Address("US", "NY", "12207"),
)

addresses = st.sampled_from([None, PENSACOLA, LOS_ANGELES, ALBANY, Address("US"), Address("GB"), Address("XX")])
numbers = st.lists(st.sampled_from([PANHANDLE, CHICAGO, MANHATTAN, TOLL_FREE, LONDON, "nonsense"]), max_size=3)


def test_the_zone_that_she_told_of_herself_rules_alone():
    place = locate("Asia/Tokyo", PENSACOLA, [LONDON], EASTERN, "US-NY")
    assert place.zones == ("Asia/Tokyo",)
    assert place.evidence is Evidence.SELF_STATED
    assert "US-FL" in place.regions, "her own word about the time says nothing about the law"


def test_an_address_inside_the_zones_of_her_number_narrows_to_the_address():
    place = locate(None, PENSACOLA, [PANHANDLE])
    assert (place.zones, place.regions) == ((CENTRAL,), ("US", "US-FL"))
    assert place.evidence is Evidence.ADDRESS


def test_an_address_outside_the_zones_of_her_number_counts_beside_them():
    place = locate(None, LOS_ANGELES, [PANHANDLE])
    assert place.zones == (CENTRAL, PACIFIC, EASTERN)
    assert place.regions == ("US", "US-CA", "US-FL")
    assert place.evidence is Evidence.ADDRESS_AND_NUMBER


def test_one_number_that_contradicts_the_address_is_enough():
    place = locate(None, PENSACOLA, [CHICAGO, MANHATTAN])
    assert place.zones == (CENTRAL, EASTERN)
    assert place.evidence is Evidence.ADDRESS_AND_NUMBER


def test_a_number_of_another_state_in_the_same_zone_adds_its_rules_but_no_zone():
    place = locate(None, Address("US", "FL", "33101"), [MANHATTAN])
    assert place.zones == (EASTERN,)
    assert place.regions == ("US", "US-FL", "US-NY", "US-NY-NYC")
    assert place.evidence is Evidence.ADDRESS


def test_a_number_of_the_city_adds_the_city_to_an_address_in_the_state():
    assert locate(None, ALBANY, [MANHATTAN]).regions == ("US", "US-NY", "US-NY-NYC")
    assert locate(None, Address("US", "NY", "10001"), ["+15185550123"]).regions == ("US", "US-NY", "US-NY-NYC")


def test_a_toll_free_number_contradicts_no_address_in_the_country():
    place = locate(None, PENSACOLA, [TOLL_FREE])
    assert (place.zones, place.regions) == ((CENTRAL,), ("US", "US-FL"))


def test_without_an_address_the_zones_of_all_her_numbers_count():
    place = locate(None, None, [PANHANDLE, LONDON])
    assert place.zones == (CENTRAL, EASTERN, "Europe/London")
    assert {"US-FL", "GB"} <= set(place.regions)
    assert place.evidence is Evidence.NUMBER


def test_a_country_with_many_zones_is_less_than_a_number_in_it_and_more_than_nothing():
    place = locate(None, Address("US"), [PANHANDLE])
    assert place.zones == (CENTRAL, EASTERN)
    assert place.regions == ("US", "US-FL")
    assert place.evidence is Evidence.NUMBER
    alone = locate(None, Address("US"), [], EASTERN)
    assert len(alone.zones) == 8
    assert alone.evidence is Evidence.COUNTRY


@pytest.mark.parametrize("number", [LONDON, "+14165550123"])
def test_a_number_of_another_country_contradicts_a_country_also_in_the_same_zone(number):
    place = locate(None, Address("US"), [number])
    assert set(place.zones) == {*places.find(Address("US")).zones, *numbering.find(number).zones}
    assert place.evidence is Evidence.ADDRESS_AND_NUMBER


def test_the_default_of_the_account_is_the_last_resort_and_nothing_known_is_no_zone():
    place = locate(None, None, [], CENTRAL, "US-TX")
    assert (place.zones, place.regions, place.evidence) == ((CENTRAL,), ("US", "US-TX"), Evidence.DEFAULT)
    assert locate(None, None, ["nonsense"], CENTRAL).evidence is Evidence.DEFAULT
    nothing = locate(None, Address("XX"), ["+15550100001"])
    assert (nothing.zones, nothing.regions, nothing.evidence) == ((), (), Evidence.NONE)


@given(address=addresses, told=numbers, default=st.sampled_from([None, EASTERN]))
def test_no_zone_is_ruled_out_but_by_the_address(address, told, default):
    place = locate(None, address, told, default)
    at = places.find(address) if address else places.NOWHERE
    by_number = {zone for number in told for zone in numbering.find(number).zones}
    assert set(place.zones) <= {*at.zones, *by_number, *([default] if default else [])}
    assert set(at.regions) <= set(place.regions)
    if at.zones and not at.vague:
        assert set(at.zones) <= set(place.zones)
    else:
        assert by_number <= set(place.zones)
    assert bool(place.zones) == (place.evidence is not Evidence.NONE)


@given(address=addresses, told=numbers)
def test_the_order_of_her_numbers_changes_nothing(address, told):
    assert locate(None, address, told) == locate(None, address, told[::-1])


def test_somebody_without_an_address_is_located_as_before():
    for self_stated, default in product((None, "Asia/Tokyo"), (None, EASTERN)):
        for told in ((), (PANHANDLE,), (PANHANDLE, LONDON)):
            by_number = places.union(numbering.find(number).zones for number in told)
            located = locate(self_stated, None, told, default)
            assert zones.candidates(self_stated, by_number, default) == located.zones


def test_a_zone_is_known_when_the_tz_database_has_it():
    assert zones.is_known("America/New_York")
    assert not any(zones.is_known(one) for one in ("", "Mars/Olympus", "../passwd", "/etc/localtime", "America"))
