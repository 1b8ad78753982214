"""The demo finds somebody by day and somebody by night at every hour, as the rules have it: on holidays, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tenderline.compliance.facts import PersonFacts
from tenderline.core import phone
from tenderline.demo import stage
from tenderline.demo.daytime import is_hour_of


@pytest.mark.parametrize("month", range(12))
def test_at_every_hour_of_a_year_it_is_day_somewhere_and_night_somewhere(monkeypatch, month):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return instant.astimezone(tz)

    monkeypatch.setattr(stage, "datetime", Clock)
    instant = datetime(2026, 12, 1, tzinfo=UTC) + timedelta(days=30.5 * month)
    end = instant + timedelta(days=30.5)
    while (instant := instant + timedelta(minutes=47)) < end:
        numbers = stage.Numbers()
        zone, number = numbers.by_day()
        person = PersonFacts(zones=phone.zones(number), regions=phone.regions(number))
        assert zone in person.zones
        assert 7 <= instant.astimezone(ZoneInfo(zone)).hour < 21, (instant, number)
        assert is_hour_of(person, instant + timedelta(minutes=5)), (instant, number)
        zone, number = numbers.by_night()
        there = instant.astimezone(ZoneInfo(zone))
        is_dark = there.hour >= 21 or there.hour < 9
        assert is_dark or "Australia" in zone, (instant, number)  # its holidays are closed at noon, too
