"""English as it is spoken in the United States: values as the texts of clips. 145 is "one hundred forty-five"."""

from __future__ import annotations

from datetime import date, time

from tenderline.core.money import Money
from tenderline.voice.prompts.currency import exponent

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["", "", *["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty-first",
    "twenty-second",
    "twenty-third",
    "twenty-fourth",
    "twenty-fifth",
    "twenty-sixth",
    "twenty-seventh",
    "twenty-eighth",
    "twenty-ninth",
    "thirtieth",
    "thirty-first",
]
CURRENCIES = {
    "USD": ("dollar", "dollars", "cent", "cents"),
    "CAD": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "AUD": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "MXN": ("Mexican peso", "Mexican pesos", "centavo", "centavos"),
    "JPY": ("yen", "yen", "", ""),
}
_GROUPS = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"))
VALUE_MAX = 10**12 - 1


def below_100(value: int) -> str:
    """One clip for each number below a hundred: they sound better whole."""
    if value < 20:
        return ONES[value]
    return TENS[value // 10] + (f"-{ONES[value % 10]}" if value % 10 else "")


def number(value: int) -> list[str]:
    """A whole number from 0 to 999,999,999,999."""
    assert 0 <= value <= VALUE_MAX, "a number has a bound"
    words: list[str] = []
    for size, name in _GROUPS:
        if value >= size:
            words += [*_below_1000(value // size), name]
            value %= size
    return words + _below_1000(value) if value or not words else words


def _below_1000(value: int) -> list[str]:
    words = [ONES[value // 100], "hundred"] if value >= 100 else []
    return [*words, below_100(value % 100)] if value % 100 or not words else words


def money(amount: Money) -> list[str]:
    """ "twenty-five dollars and ten cents"; a currency without names by its letters."""
    whole, part = divmod(amount.minor, 10 ** exponent(amount.currency))
    names = CURRENCIES.get(amount.currency)
    if names is None:
        point = ["point", *digits(f"{part:0{exponent(amount.currency)}d}")] if part else []
        return [*number(whole), *point, *digits(amount.currency)]
    one, many, one_part, many_parts = names
    words = [*number(whole), one if whole == 1 else many] if whole or not part else []
    if part:
        words += [*(["and"] if words else []), *number(part), one_part if part == 1 else many_parts]
    return words


def digits(characters: str) -> list[str]:
    """One after the other; what is neither digit nor letter is left out."""
    return [ONES[int(one)] if one.isdigit() else one.upper() for one in characters if one.isascii() and one.isalnum()]


def day(value: date) -> list[str]:
    """ "May third, twenty twenty-six"."""
    return [MONTHS[value.month - 1], ORDINALS[value.day - 1], *year(value.year)]


def year(value: int) -> list[str]:
    """In two halves where that is how it is said."""
    high, low = divmod(value, 100)
    if not 1000 <= value < 10_000 or value % 1000 < 10:
        return number(value)
    if low == 0:
        return [below_100(high), "hundred"]
    return [below_100(high), *(["oh"] if low < 10 else []), below_100(low)]


def clock(value: time) -> list[str]:
    """ "nine thirty A M"."""
    hour = value.hour % 12 or 12
    minute = [below_100(value.minute)] if value.minute >= 10 else ["oh", ONES[value.minute]] if value.minute else []
    return [below_100(hour), *(minute or ["o'clock"]), "A M" if value.hour < 12 else "P M"]


def clips() -> list[str]:
    """Every text that the functions above may give."""
    names = [name for four in CURRENCIES.values() for name in four if name]
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    joints = ["hundred", "thousand", "million", "billion", "and", "point", "oh", "o'clock", "A M", "P M"]
    return list(
        dict.fromkeys([*(below_100(n) for n in range(100)), *joints, *names, *letters, *MONTHS, *WEEKDAYS, *ORDINALS])
    )
