"""Money: whole minor units with a known currency, or a clear refusal."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.core.money import AMOUNT_MINOR_MAX, InvalidMoneyError, Money


@pytest.mark.parametrize("currency", ["", "US", "XXZ", "usdd", None, 840, "U\x00D"])
def test_an_unknown_currency_is_refused(currency):
    with pytest.raises(InvalidMoneyError, match="currency"):
        Money.parse(100, currency)


@pytest.mark.parametrize("minor", [0, -1, AMOUNT_MINOR_MAX + 1, 1.5, "100", None, True])
def test_an_amount_that_is_not_a_whole_sane_number_is_refused(minor):
    with pytest.raises(InvalidMoneyError):
        Money.parse(minor, "USD")


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "shown"),
    [
        (2500, "usd", "en_US", "$25.00"),
        (2500, "EUR", "de_DE", "25,00\xa0€"),
        (2500, "JPY", "en_US", "¥2,500"),
        (2500, "BHD", "en_US", "BHD2.500"),
        (2500, "USD", "xx-nonsense", "$25.00"),
    ],
)
def test_money_is_written_as_its_currency_and_locale_want(minor, currency, locale, shown):
    assert Money.parse(minor, currency).format(locale) == shown


@given(st.one_of(st.integers(), st.text(), st.none(), st.floats()), st.one_of(st.text(), st.integers(), st.none()))
def test_no_input_raises_anything_but_the_named_error(minor, currency):
    with contextlib.suppress(InvalidMoneyError):
        Money.parse(minor, currency).format()


@given(st.integers(1, AMOUNT_MINOR_MAX), st.sampled_from(["USD", "EUR", "JPY", "BHD", "ISK"]))
def test_what_is_written_plainly_is_read_as_the_same_money(minor, currency):
    money = Money.parse(minor, currency)
    assert Money.read(money.plain(), currency) == money


@pytest.mark.parametrize(
    ("text", "currency"),
    [("", "USD"), ("1,50", "USD"), ("1.505", "USD"), ("1.5", "JPY"), ("-1", "USD"), ("1e3", "USD"), ("٣", "USD"),
     ("0", "USD"), ("0.00", "USD"), ("1.", "USD"), ("9" * 14, "USD"), ("5", "XXZ"), (" 5", "USD")],
)  # fmt: skip
def test_what_is_not_an_amount_is_refused_with_how_to_write_it(text, currency):
    with pytest.raises(InvalidMoneyError):
        Money.read(text, currency)
