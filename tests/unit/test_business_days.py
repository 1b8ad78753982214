"""The ten business days within which an opt-out must be honoured."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from tenderline.compliance import business_days


@pytest.mark.parametrize(
    ("received", "due"),
    [
        (date(2026, 6, 30), date(2026, 7, 15)),
        (date(2026, 12, 18), date(2027, 1, 5)),
        (date(2026, 11, 20), date(2026, 12, 7)),
    ],
)
def test_ten_business_days_leave_out_weekends_and_federal_holidays(received, due):
    assert business_days.after(received) == due


def test_a_word_of_a_saturday_is_due_as_one_of_the_friday_before():
    assert business_days.after(date(2026, 11, 21)) == business_days.after(date(2026, 11, 20))


def test_the_clock_ends_with_the_last_day_by_the_zone_in_which_that_is_first():
    received = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)  # the evening of 30 June in New York, 1 July in London
    assert business_days.due(received, ("America/New_York",)) == (
        date(2026, 7, 15),
        datetime(2026, 7, 16, 4, tzinfo=UTC),
    )
    assert business_days.due(received, ("Europe/London", "America/New_York"))[0] == date(2026, 7, 15)
    assert business_days.due(received)[0] == date(2026, 7, 16)
