"""The demo finds somebody by day and somebody by night at every hour, as the rules have it: on Sundays, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tenderline.compliance.facts import PersonFacts
from tenderline.core import phone
from tenderline.demo import stage
from tenderline.demo.daytime import is_hour_of


@pytest.mark.parametrize("monday", [datetime(2026, 6, 15, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC)])
def test_at_every_quarter_of_an_hour_it_is_day_somewhere_and_night_somewhere(monkeypatch, monday):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return instant.astimezone(tz)

    monkeypatch.setattr(stage, "datetime", Clock)
    numbers = stage.Numbers()
    for quarter in range(7 * 24 * 4):
        instant = monday + timedelta(minutes=15 * quarter + 7)
        for by_day, (_, number) in ((True, numbers.by_day()), (False, numbers.by_night())):
            person = PersonFacts(zones=phone.zones(number), regions=phone.regions(number))
            assert is_hour_of(person, instant) is by_day, (instant, number)
