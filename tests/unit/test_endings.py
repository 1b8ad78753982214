"""What follows from the end of a call: at an hour that holds wherever the person may be, and always ahead."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.campaigns import calling
from tenderline.core import hours
from tenderline.desk import endings
from tenderline.desk.endings import BadInstantError
from tenderline.store.dispositions import Disposition

ZONES = ["America/New_York", "Pacific/Guam", "Europe/Berlin", "Asia/Kathmandu", "America/Los_Angeles", "Pacific/Apia"]
NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)

instants = st.integers(0, 35_000).map(lambda hour: NOW + timedelta(hours=hour))
clocks = st.lists(st.sampled_from(ZONES), unique=True, max_size=3)


@given(instants, st.integers(0, 20), st.times(), clocks)
def test_a_usual_hour_lies_ahead_and_is_reached_on_every_clock(now, after_days, at, zones):
    found = endings.usual(now, after_days, at.replace(second=0, microsecond=0), zones)
    assert now < found <= now + timedelta(days=after_days + 4)
    for name in zones:
        there = found.astimezone(hours.zone(name))
        assert there.date() >= (now.astimezone(hours.zone(name)) + timedelta(days=after_days)).date()


@given(instants, st.integers(0, 20), st.integers(8, 20), st.sampled_from(ZONES))
def test_with_one_clock_it_is_exactly_that_hour(now, after_days, hour, zone):
    found = endings.usual(now, after_days, time(hour), [zone]).astimezone(hours.zone(zone))
    assert (found.hour, found.minute) == (hour, 0)


def test_the_sentence_says_the_day_and_the_hour_there():
    wanted = Disposition(code="x", title="X", next_action="callback", after_days=2, local_time=time(10))
    found = endings.next_of(wanted, NOW, ["America/New_York"])
    assert found.words == "A call on Sun 22 Nov, 10:00 local time, if the gate lets it pass."
    assert found.at == datetime(2026, 11, 22, 15, tzinfo=UTC)
    two = endings.next_of(wanted, NOW, ["America/New_York", "America/Chicago"])
    assert "10:00 to 11:00 local time" in two.words
    assert "the local time is not known" in endings.next_of(wanted, NOW, []).words


@pytest.mark.parametrize("days", [-1, 40])
def test_an_hour_that_is_past_or_far_is_refused(days):
    wanted = Disposition(code="x", title="X", next_action="promise", after_days=7, local_time=time(9))
    with pytest.raises(BadInstantError):
        endings.next_of(wanted, NOW, ["Europe/Berlin"], wanted=NOW.replace(tzinfo=None) + timedelta(days=days))


@pytest.mark.parametrize("when", [datetime(1, 1, 1), datetime(9999, 12, 31, 23)])  # noqa: DTZ001  # her own clock
@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/Los_Angeles"])
def test_the_ends_of_the_calendar_are_refused_as_well(when, zone):
    wanted = Disposition(code="x", title="X", next_action="callback", after_days=7, local_time=time(9))
    with pytest.raises(BadInstantError):
        endings.next_of(wanted, NOW, [zone], wanted=when)


@given(instants, st.integers(0, 31), st.times(), clocks)
def test_every_disposition_that_can_be_made_can_be_shown_and_chosen(now, after_days, at, zones):
    wanted = Disposition(code="x", title="X", next_action="callback", after_days=after_days, local_time=at)
    found = endings.next_of(wanted, now, zones)
    assert now < found.at < now + calling.VALID_MAX


@given(st.text(max_size=30))
def test_whatever_stands_in_the_field_is_an_instant_or_refused(text):
    try:
        found = endings.read_instant(text)
    except BadInstantError:
        return
    assert found is None or found.tzinfo is None
