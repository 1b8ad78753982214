"""A card is good through the last day of its month, everywhere on earth."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.card_calls import digits
from tenderline.cardholder.expiry import Expiry, last_date_on_earth, read_expiry


@pytest.mark.parametrize(
    ("keyed", "today", "read"),
    [
        ("1126", date(2026, 11, 30), Expiry(11, 2026)),
        ("1126", date(2026, 11, 1), Expiry(11, 2026)),
        ("1126", date(2026, 12, 1), "expired"),
        ("1226", date(2027, 1, 1), "expired"),
        ("0127", date(2026, 12, 31), Expiry(1, 2027)),
        ("0228", date(2028, 2, 29), Expiry(2, 2028)),
        ("1146", date(2026, 11, 30), Expiry(11, 2046)),
        ("1246", date(2026, 11, 30), "wrong"),
        ("1199", date(2026, 11, 30), "wrong"),
        ("0026", date(2026, 11, 30), "wrong"),
        ("1326", date(2026, 11, 30), "wrong"),
        ("0001", date(2026, 11, 30), "wrong"),
        ("1225", date(2026, 11, 30), "expired"),
        ("0101", date(2098, 6, 1), Expiry(1, 2101)),
        ("126", date(2026, 1, 1), "wrong"),
        ("1", date(2026, 1, 1), "wrong"),
        ("", date(2026, 1, 1), "wrong"),
    ],
)
def test_an_expiry_is_read(keyed, today, read):
    assert read_expiry(digits(keyed, 4), today) == read


@given(st.text("0123456789", max_size=4), st.dates(date(2020, 1, 1), date(2150, 1, 1)))
def test_what_is_accepted_lies_between_this_month_and_twenty_years_ahead(keyed, today):
    read = read_expiry(digits(keyed, 4), today)
    if isinstance(read, Expiry):
        assert f"{read.month:02d}{read.year % 100:02d}" == keyed
        assert (today.year, today.month) <= (read.year, read.month) <= (today.year + 20, today.month)


def test_today_is_the_date_where_the_month_ends_last():
    assert last_date_on_earth(datetime(2026, 12, 1, 11, 59, tzinfo=UTC)) == date(2026, 11, 30)
    assert last_date_on_earth(datetime(2026, 12, 1, 12, 0, tzinfo=UTC)) == date(2026, 12, 1)
    assert last_date_on_earth() <= datetime.now(UTC).date()
