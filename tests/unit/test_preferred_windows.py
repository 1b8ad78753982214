"""When a donor likes to be called: read as CRMs write it, and a wish only."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core.preferred_windows import first_in, read

ZONES = ["America/New_York", "Europe/Paris", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns"]
TEXTS = ["weekdays 18:00-20:00", "Mon-Fri 9am-12pm", "Saturday mornings", "evenings", "Sun 14.30 to 16.00"]
WEEKDAYS = frozenset(range(5))


@pytest.mark.parametrize(
    ("text", "days", "begin", "end"),
    [
        ("weekdays 18:00-20:00", WEEKDAYS, time(18), time(20)),
        ("Mon-Fri 9am-12pm", WEEKDAYS, time(9), time(12)),
        ("Saturday mornings", frozenset([5]), time(9), time(12)),
        ("Evenings", frozenset(range(7)), time(17), time(20)),
        ("fri – mon 10 to 11:30", frozenset([4, 5, 6, 0]), time(10), time(11, 30)),
        ("weekends", frozenset([5, 6]), time(9), time(20)),
    ],
)
def test_windows_are_read_as_crms_write_them(text, days, begin, end):
    found = read(text)
    assert found is not None
    assert (found.days, found.begin, found.end) == (days, begin, end)


@pytest.mark.parametrize("text", ["", "any time", "25:00-26:00", "20:00-18:00", "call my wife", "13pm-14pm"])
def test_what_is_no_window_narrows_nothing(text):
    assert read(text) is None
    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert first_in([text], "Europe/Paris", now, now + timedelta(days=9)) is None


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading(text):
    read(text)


@given(
    st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3),
    st.sampled_from(ZONES),
    st.integers(0, 365 * 24 * 60),
    st.integers(1, 30 * 24),
)
def test_the_first_instant_lies_in_a_window_and_between_begin_and_end(texts, zone, minutes, hours):
    begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    end = begin + timedelta(hours=hours)
    found = first_in(texts, zone, begin, end)
    if found is None:
        assert hours < 9 * 24, "each window opens within nine days"
        return
    assert begin <= found < end
    there = found.astimezone(ZoneInfo(zone))
    windows = [read(text) for text in texts]
    assert any(there.weekday() in one.days and one.begin <= there.time() < one.end for one in windows)
