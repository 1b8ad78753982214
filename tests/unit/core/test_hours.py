"""Openings by instants: in every zone, at every edge, over both clock changes, and from the pinned rules."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenderline.core import hours, numbering
from tenderline.core.hours import DAY_S, InvalidHoursError, Schedule

SECOND = timedelta(seconds=1)
HOUR_S = 3600
EIGHT_TO_NINE = hours.daily(time(8), time(21))
SPLIT_CODES = (
    "208", "219", "250", "256", "270", "306", "308", "334", "418", "423", "432", "541", "574", "605", "606", "620",
    "701", "709", "775", "785", "807", "812", "850", "867", "879", "906", "907", "928", "931", "986",
)  # fmt: skip
# No clock change, one in part of a state, another date line, half and three quarters of an hour, half an hour of DST.
AWKWARD_ZONES = (
    "America/Phoenix", "America/Denver", "Pacific/Honolulu", "America/Adak", "America/St_Johns",
    "Australia/Lord_Howe", "Asia/Kathmandu",
)  # fmt: skip
CHANGES = (date(2026, 3, 8), date(2026, 11, 1))  # in the United States
CHANGES_AT_LORD_HOWE = (date(2026, 4, 5), date(2026, 10, 4))
ZONES = [
    *AWKWARD_ZONES, "America/New_York", "America/Los_Angeles", "Atlantic/Azores", "Asia/Beirut", "Europe/London",
    "Pacific/Auckland", "Pacific/Guam", "Africa/Casablanca", "America/Vancouver", "Pacific/Kiritimati",
]  # fmt: skip

two_years_s = st.floats(0, 2 * 365 * DAY_S)
instants = two_years_s.map(lambda after_s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=after_s))
zone_sets = st.lists(st.sampled_from(ZONES), min_size=1, max_size=4, unique=True).map(tuple)
seconds = st.one_of(st.integers(0, DAY_S), st.integers(0, 24).map(lambda hour: hour * HOUR_S))


def windows_of(edges):
    edges = sorted(set(edges))
    return tuple(zip(edges[::2], edges[1::2], strict=False))


windows = st.lists(seconds, max_size=4).map(windows_of)
schedules = st.builds(
    Schedule,
    st.tuples(*[windows] * 7),
    st.dictionaries(st.dates(date(2026, 1, 1), date(2026, 12, 31)), windows, max_size=5),
)


def at(zone, day, clock):
    """An instant by the clock of a zone."""
    return datetime.combine(day, clock, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def shows_open(now, zone, schedule):
    """Whether the clock on the wall says so."""
    local = now.astimezone(ZoneInfo(zone))
    second = local.hour * HOUR_S + local.minute * 60 + local.second
    return any(opens <= second < closes for opens, closes in schedule.windows(local.date()))


@pytest.mark.parametrize("day", CHANGES)
@pytest.mark.parametrize("code", SPLIT_CODES)
def test_a_split_area_code_opens_with_its_last_zone_and_closes_with_its_first_to_the_second(code, day):
    zones = numbering.find(f"+1{code}5550123").zones
    assert len(zones) > 1
    opens = max(at(zone, day, time(8)) for zone in zones)
    closes = min(at(zone, day, time(21)) for zone in zones)
    hold_edges(zones, opens, closes)


@pytest.mark.parametrize("day", [*CHANGES, *CHANGES_AT_LORD_HOWE])
@pytest.mark.parametrize("zone", AWKWARD_ZONES)
def test_every_edge_of_an_awkward_zone_holds_to_the_second_also_when_clocks_change(zone, day):
    for near in (-1, 0, 1):
        date_near = day + timedelta(days=near)
        hold_edges((zone,), at(zone, date_near, time(8)), at(zone, date_near, time(21)))


def hold_edges(zones, opens, closes):
    """Open from `opens` on, closed from `closes` on, to the second; and nobody has to try for the next opening."""
    is_open = [hours.is_open(now, zones, EIGHT_TO_NINE) for now in (opens - SECOND, opens, closes - SECOND, closes)]
    assert is_open == [False, True, True, False]
    assert hours.next_open(opens - SECOND, zones, EIGHT_TO_NINE) == opens
    assert hours.next_open(opens, zones, EIGHT_TO_NINE) == opens
    assert hours.next_open(closes - SECOND, zones, EIGHT_TO_NINE) == closes - SECOND
    assert hours.next_open(closes, zones, EIGHT_TO_NINE) > closes


@settings(max_examples=300)
@given(now=instants, zones=zone_sets, schedule=schedules)
def test_no_allowed_instant_is_outside_the_hours_of_any_zone(now, zones, schedule):
    shown = [shows_open(now, zone, schedule) for zone in zones]
    is_open = hours.is_open(now, zones, schedule)
    assert all(shown) or not is_open
    quiet = all(hours._steady_offset_s(zone, now.astimezone(ZoneInfo(zone)).toordinal()) is not None for zone in zones)
    if quiet:  # no clock changes on that date anywhere, so the wall is right in both directions
        assert is_open == all(shown)


@settings(max_examples=300)
@given(now=instants, zones=zone_sets, schedule=schedules, probes=st.lists(st.floats(0, 1), max_size=8))
def test_the_next_opening_is_open_and_nothing_before_it_is(now, zones, schedule, probes):
    opening = hours.next_open(now, zones, schedule)
    last = now + timedelta(days=hours.LOOK_AHEAD_DAYS)
    end = opening or last
    assert now <= end <= last
    if opening is not None:
        assert hours.is_open(opening, zones, schedule)
        assert opening == now or not hours.is_open(opening - timedelta(microseconds=1), zones, schedule)
    edges = [
        at(zone, (now + timedelta(days=day)).date(), time()) + timedelta(seconds=second + step)
        for zone in zones
        for day in range(hours.LOOK_AHEAD_DAYS + 1)
        for window in schedule.windows((now + timedelta(days=day)).date())
        for second in window
        for step in (-1, 0, 1)
    ]
    for probe in [*edges, *(now + (end - now) * share for share in probes)]:
        assert not (now <= probe < end and hours.is_open(probe, zones, schedule))


@settings(max_examples=100)
@given(now=instants, zones=zone_sets, schedule=schedules)
def test_the_time_zone_in_which_an_instant_is_written_changes_nothing(now, zones, schedule):
    written = now.astimezone(ZoneInfo("Pacific/Kiritimati"))
    assert hours.is_open(written, zones, schedule) == hours.is_open(now, zones, schedule)
    assert hours.next_open(written, zones, schedule) == hours.next_open(now, zones, schedule)


def test_new_york_and_guam_share_hours_although_no_date_of_theirs_does():
    zones = ("America/New_York", "Pacific/Guam")
    day = date(2026, 1, 15)
    opens = max(at(zone, day, time(8)) for zone in zones)
    assert opens > min(at(zone, day, time(21)) for zone in zones), "on one date nothing is common"
    opening = hours.next_open(datetime(2026, 1, 15, 12, tzinfo=UTC), zones, EIGHT_TO_NINE)
    assert opening == datetime(2026, 1, 15, 22, tzinfo=UTC)
    hold_edges(zones, opening, datetime(2026, 1, 16, 2, tzinfo=UTC))


def test_a_number_from_anywhere_in_the_united_states_has_seven_common_hours_in_summer_and_eight_in_winter():
    zones = numbering.find("+18005550123").zones
    hold_edges(zones, datetime(2026, 7, 15, 18, tzinfo=UTC), datetime(2026, 7, 16, 1, tzinfo=UTC))
    hold_edges(zones, datetime(2026, 1, 15, 18, tzinfo=UTC), datetime(2026, 1, 16, 2, tzinfo=UTC))


def test_zones_without_a_common_hour_have_no_opening_and_no_zone_has_none_either():
    now = datetime(2026, 1, 15, tzinfo=UTC)
    assert hours.next_open(now, ("Asia/Kolkata", "Pacific/Honolulu"), hours.daily(time(9), time(12))) is None
    assert hours.next_open(now, (), EIGHT_TO_NINE) is None
    assert not hours.is_open(now, (), EIGHT_TO_NINE)


def test_an_opening_later_than_the_look_ahead_is_none():
    mondays = Schedule((((0, DAY_S),), *[()] * 6))
    tuesday = datetime(2026, 1, 6, tzinfo=UTC)
    assert hours.next_open(tuesday, ("Etc/UTC",), mondays) == datetime(2026, 1, 12, tzinfo=UTC)
    assert hours.next_open(tuesday, ("Etc/UTC",), mondays, look_ahead_days=5) is None
    noon = hours.daily(time(12), time(13))
    assert hours.next_open(tuesday.replace(hour=13), ("Etc/UTC",), noon, look_ahead_days=0) is None
    assert hours.next_open(tuesday, ("Etc/UTC",), mondays, look_ahead_days=6) == datetime(2026, 1, 12, tzinfo=UTC)
    late = Schedule(((), (), ((72_000, DAY_S),), (), (), (), ()))
    assert hours.next_open(tuesday, ("Etc/UTC",), late, look_ahead_days=1) is None


@pytest.mark.parametrize(
    ("zone", "day", "clock", "opens", "closes"),
    [
        # 01:30 comes twice: the later opening, the earlier closing.
        ("America/New_York", date(2026, 11, 1), time(1, 30), "2026-11-01T06:30", "2026-11-01T05:30"),
        ("Australia/Lord_Howe", date(2026, 4, 5), time(1, 45), "2026-04-04T15:15", "2026-04-04T14:45"),
        # 02:30 does not come: the instant after the gap.
        ("America/New_York", date(2026, 3, 8), time(2, 30), "2026-03-08T07:00", "2026-03-08T07:00"),
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), "2026-10-03T15:30", "2026-10-03T15:30"),
        # Midnight itself does not come.
        ("Asia/Beirut", date(2026, 3, 29), time(0, 30), "2026-03-28T22:00", "2026-03-28T22:00"),
    ],
)
def test_an_edge_in_a_clock_change_takes_the_shorter_reading(zone, day, clock, opens, closes):
    second = clock.hour * HOUR_S + clock.minute * 60
    opens, closes = (datetime.fromisoformat(one).replace(tzinfo=UTC) for one in (opens, closes))
    opening = Schedule(((),) * 7, {day: ((second, 6 * HOUR_S),)})
    assert hours.next_open(opens - timedelta(hours=3), (zone,), opening) == opens
    if second > HOUR_S:
        closing = Schedule(((),) * 7, {day: ((60, second),), day + timedelta(days=1): ((0, 1),)})
        assert hours.is_open(closes - SECOND, (zone,), closing)
        assert hours.next_open(closes, (zone,), closing) == at(zone, day + timedelta(days=1), time())


def test_hours_that_go_on_after_midnight_have_no_gap_there_even_when_midnight_comes_twice():
    always = Schedule((((0, DAY_S),),) * 7)
    zone, day = "Atlantic/Azores", date(2026, 10, 25)
    first, second = (
        datetime.combine(day, time(), ZoneInfo(zone)).replace(fold=fold).astimezone(UTC) for fold in (0, 1)
    )
    assert second - first == timedelta(hours=1)
    for minute in range(-24 * 60, 24 * 60, 10):
        assert hours.is_open(first + timedelta(minutes=minute), (zone,), always)
    closed_that_day = Schedule(always.days, {day: ()})
    assert hours.is_open(first - SECOND, (zone,), closed_that_day)
    assert not hours.is_open(first, (zone,), closed_that_day)
    closed_the_day_before = Schedule(always.days, {day - timedelta(days=1): ()})
    assert hours.next_open(first - timedelta(hours=9), (zone,), closed_the_day_before) == second


def test_a_holiday_has_the_hours_of_its_own_date_in_each_zone():
    christmas = date(2026, 12, 25)
    schedule = Schedule(EIGHT_TO_NINE.days, {christmas: ()})
    zones = ("America/Chicago", "America/New_York")
    eve = at("America/New_York", date(2026, 12, 24), time(21))
    assert hours.next_open(eve, zones, schedule) == at("America/Chicago", date(2026, 12, 26), time(8))
    half = Schedule(EIGHT_TO_NINE.days, {christmas: ((10 * HOUR_S, 12 * HOUR_S),)})
    assert hours.next_open(eve, zones, half) == at("America/Chicago", christmas, time(10))


@pytest.mark.parametrize(
    "days",
    [(), ((),) * 6, (((8, 8),),) * 7, (((9, 8),),) * 7, (((0, DAY_S + 1),),) * 7, (((8, 10), (9, 11)),) * 7,
     (((-1, 5),),) * 7],
)  # fmt: skip
def test_hours_that_are_not_a_week_in_order_are_refused(days):
    with pytest.raises(InvalidHoursError):
        Schedule(days)


def test_schedules_with_the_same_hours_are_equal():
    assert hours.daily(time(8), time(21)) == Schedule((((8 * HOUR_S, 21 * HOUR_S),),) * 7)
    assert hash(EIGHT_TO_NINE) == hash(Schedule(EIGHT_TO_NINE.days, {}))
    assert Schedule(EIGHT_TO_NINE.days, {date(2026, 1, 1): ()}) != EIGHT_TO_NINE
    assert "75600" in repr(EIGHT_TO_NINE)


def test_zone_rules_come_from_the_pinned_package_and_never_from_the_host(tmp_path):
    tokyo = (resources.files("tzdata") / "zoneinfo" / "Asia" / "Tokyo").read_bytes()
    (tmp_path / "America").mkdir()
    (tmp_path / "America" / "New_York").write_bytes(tokyo)
    show = "print(datetime(2026, 1, 15, 17, tzinfo=UTC).astimezone(ZoneInfo('America/New_York')).hour)"
    plain = f"from datetime import *\nfrom zoneinfo import ZoneInfo\n{show}"

    def run(program):
        environment = {**os.environ, "PYTHONTZPATH": str(tmp_path)}
        found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        return int(found.stdout)

    assert run(plain) == 2, "the poison works"
    assert run("from tenderline.core import zones\n" + plain) == 12
