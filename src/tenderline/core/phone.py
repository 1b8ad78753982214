"""Telephone numbers in one form (E.164), or a reason why not: a number that cannot be dialled is never sent to."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

from tenderline.core import numbering
from tenderline.core.errors import InvalidInputError

RAW_LENGTH_MAX = 64
BARE_DIGITS_MAX = 13
"""Of a whole number without its plus: of those that are longer, cards are the most."""
_NORTH_AMERICA = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])
# ITU-T E.164 zone 1: area code and exchange begin with 2 to 9.
_NORTH_AMERICAN = re.compile(r"(\+1|1)?[ .-]?\(?([2-9][0-9]{2})\)?[ .-]?([2-9][0-9]{2})[ .-]?([0-9]{4})")
# Ofcom's National Telephone Numbering Plan; 18002 is the relay service's prefix, not a part of the number.
_BRITISH = re.compile(r"(?:0|\+44)((?!180020)[1-9][0-9]{8,9})")
_SEPARATORS = str.maketrans("", "", " -./()")


class InvalidPhoneError(InvalidInputError):
    """The telephone number cannot be dialled; write it in international form, such as +12025550123."""

    code = "invalid_phone"


@lru_cache(maxsize=65_536)
def normalise(raw: str, default_region: str | None = None) -> str:
    """`raw` as E.164. `default_region` (ISO 3166, such as US) is used only for a number without a country code.

    Raises `InvalidPhoneError` with the reason. A number that no carrier can have (an unallocated range) is refused.
    """
    number = _parsed(raw, default_region)
    if not phonenumbers.is_possible_number(number):
        raise InvalidPhoneError("The telephone number has too few or too many digits for its country.")
    if not phonenumbers.is_valid_number(number):
        raise InvalidPhoneError("The telephone number lies in a range that is not in use.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def is_whole(raw: str) -> bool:
    """Whether the digits of `raw` are a number that begins with its country code, though its plus is missing: of German
    mobile numbers one in ten passes for a card then. Cards of today are longer (Diners: 14, Amex: 15)."""
    digits = "".join(character for character in raw if character.isdecimal())
    try:
        return len(digits) <= BARE_DIGITS_MAX and bool(normalise(f"+{digits}"))
    except InvalidPhoneError:
        return False


def _parsed(raw: str, default_region: str | None) -> phonenumbers.PhoneNumber:
    if len(raw) > RAW_LENGTH_MAX:
        raise InvalidPhoneError("The telephone number is too long to be one.")
    try:
        return phonenumbers.parse(raw, default_region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise InvalidPhoneError("The telephone number has no country code; write it as +12025550123.") from error
        raise InvalidPhoneError("The telephone number cannot be read; write it as +12025550123.") from error


def listed(raw: str, default_region: str | None = None) -> str:
    """`raw` as E.164, for a do-not-contact list: by its shape alone, whether or not its range is in use today.

    A range that is opened tomorrow must not let slip who asked for silence. Common shapes take 0.5 to 1 microseconds,
    others about 15; nothing is cached, for lists hold millions. Raises `InvalidPhoneError` with the reason.
    """
    found = _NORTH_AMERICAN.fullmatch(raw)
    if found is not None and (found[1] == "+1" or default_region in _NORTH_AMERICA):
        return f"+1{found[2]}{found[3]}{found[4]}"
    if default_region == "GB" and (found := _BRITISH.fullmatch(raw.translate(_SEPARATORS))) is not None:
        return f"+44{found[1]}"
    number = _parsed(raw, default_region)
    if not phonenumbers.is_possible_number(number):
        raise InvalidPhoneError("The telephone number has too few or too many digits for its country.")
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if number.country_code == 1 and _NORTH_AMERICAN.fullmatch(e164) is None:
        raise InvalidPhoneError("No telephone number of North America begins like this one.")
    return e164


def zones(e164: str) -> tuple[str, ...]:
    """Every time zone the number may lie in, sorted; empty when nothing is known (`core.numbering`)."""
    return numbering.find(e164).zones


def regions(e164: str) -> tuple[str, ...]:
    """Every region the number may lie in, such as US and US-FL, sorted; empty when nothing is known."""
    return numbering.find(e164).regions
