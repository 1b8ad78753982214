"""Spanish as spoken in Latin America: numbers agree with what they count ("veintiún dólares", "doscientas libras")."""

from __future__ import annotations

from datetime import date, time
from typing import Literal

from tenderline.core.money import Money
from tenderline.voice.prompts.currency import exponent

Form = Literal["alone", "masculine", "feminine"]
"""Alone it is "uno"; before a noun "un" or "una"."""

ONES = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
]
TENS = ["", "", "", *["treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"]]
HUNDREDS = [
    "",
    "ciento",
    "doscientos",
    "trescientos",
    "cuatrocientos",
    "quinientos",
    "seiscientos",
    "setecientos",
    "ochocientos",
    "novecientos",
]
MONTHS = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
]
WEEKDAYS = ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"]
CURRENCIES: dict[str, tuple[str, str, str, str, Form]] = {
    "USD": ("dólar", "dólares", "centavo", "centavos", "masculine"),
    "CAD": ("dólar canadiense", "dólares canadienses", "centavo", "centavos", "masculine"),
    "AUD": ("dólar australiano", "dólares australianos", "centavo", "centavos", "masculine"),
    "EUR": ("euro", "euros", "céntimo", "céntimos", "masculine"),
    "GBP": ("libra", "libras", "penique", "peniques", "feminine"),
    "MXN": ("peso", "pesos", "centavo", "centavos", "masculine"),
    "JPY": ("yen", "yenes", "", "", "masculine"),
}
VALUE_MAX = 10**12 - 1


def below_100(value: int, form: Form = "alone") -> str:
    """One clip for each number below a hundred, in each form that it has."""
    word = ONES[value] if value < 30 else TENS[value // 10] + (f" y {ONES[value % 10]}" if value % 10 else "")
    if not word.endswith("uno") or form == "alone":
        return word
    if form == "feminine":
        return word[:-1] + "a"
    return "veintiún" if value == 21 else word[:-1]


def number(value: int, form: Form = "alone") -> list[str]:
    """A whole number from 0 to 999,999,999,999; a thousand millions are "mil millones"."""
    assert 0 <= value <= VALUE_MAX, "a number has a bound"
    words: list[str] = []
    if value >= 10**6:
        millions, value = divmod(value, 10**6)
        words = ["un", "millón"] if millions == 1 else [*_below_million(millions, "masculine"), "millones"]
        if not value:
            return words
    return words + _below_million(value, form)


def _below_million(value: int, form: Form) -> list[str]:
    thousands, rest = divmod(value, 1000)
    words = ["mil"] if thousands == 1 else []
    if thousands > 1:
        words = [*_below_1000(thousands, "feminine" if form == "feminine" else "masculine"), "mil"]
    return words + _below_1000(rest, form) if rest or not words else words


def _below_1000(value: int, form: Form) -> list[str]:
    if value == 100:
        return ["cien"]
    words = []
    if value > 100:
        hundred = HUNDREDS[value // 100]
        words = [hundred[:-2] + "as" if form == "feminine" and value >= 200 else hundred]
    return [*words, below_100(value % 100, form)] if value % 100 or not words else words


def money(amount: Money) -> list[str]:
    """ "veinticinco dólares con diez centavos"; whole millions are "un millón de dólares"."""
    whole, part = divmod(amount.minor, 10 ** exponent(amount.currency))
    names = CURRENCIES.get(amount.currency)
    if names is None:
        point = ["punto", *digits(f"{part:0{exponent(amount.currency)}d}")] if part else []
        return [*number(whole), *point, *digits(amount.currency)]
    one, many, one_part, many_parts, form = names
    words: list[str] = []
    if whole or not part:
        of = ["de"] if whole and whole % 10**6 == 0 else []
        words = [*number(whole, form), *of, one if whole == 1 else many]
    if part:
        joint = ["con"] if words else []
        words += [*joint, *number(part, "masculine"), one_part if part == 1 else many_parts]
    return words


def digits(characters: str) -> list[str]:
    """One after the other; what is neither digit nor letter is left out."""
    return [ONES[int(one)] if one.isdigit() else one.upper() for one in characters if one.isascii() and one.isalnum()]


def day(value: date) -> list[str]:
    """ "el tres de mayo de dos mil veintiséis"."""
    first = "primero" if value.day == 1 else below_100(value.day)
    return ["el", first, "de", MONTHS[value.month - 1], "de", *number(value.year)]


def clock(value: time) -> list[str]:
    """ "las nueve y treinta de la mañana"."""
    hour = value.hour % 12 or 12
    part = "de la mañana" if value.hour < 12 else "de la tarde" if value.hour < 19 else "de la noche"
    minutes = ["y", below_100(value.minute)] if value.minute else []
    return ["la" if hour == 1 else "las", below_100(hour, "feminine"), *minutes, part]


def clips() -> list[str]:
    """Every text that the functions above may give."""
    forms: tuple[Form, ...] = ("alone", "masculine", "feminine")
    below = [below_100(n, form) for n in range(100) for form in forms]
    hundreds = [word for one in HUNDREDS if one for word in (one, one[:-2] + "as")]
    names = [name for row in CURRENCIES.values() for name in row[:4] if name]
    joints = ["cien", "mil", "millón", "millones", "de", "con", "punto", "el", "primero", "la", "las", "y"]
    parts = ["de la mañana", "de la tarde", "de la noche"]
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    every = [*below, *hundreds, *names, *joints, *parts, *letters, *MONTHS, *WEEKDAYS]
    return list(dict.fromkeys(one for one in every if one != "cienas"))
