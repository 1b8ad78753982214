"""Telephone numbers in one form (E.164), or a reason why not: a number that cannot be dialled is never sent to."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from phonenumbers import timezone as _zones_of_prefix

from tenderline.core.errors import InvalidInputError

UNKNOWN_ZONE = "Etc/Unknown"
RAW_LENGTH_MAX = 64


class InvalidPhoneError(InvalidInputError):
    """The telephone number cannot be dialled; write it in international form, such as +12025550123."""

    code = "invalid_phone"


@lru_cache(maxsize=65_536)
def normalise(raw: str, default_region: str | None = None) -> str:
    """`raw` as E.164. `default_region` (ISO 3166, such as US) is used only for a number without a country code.

    Raises `InvalidPhoneError` with the reason. A number that no carrier can have (an unallocated range) is refused.
    """
    if len(raw) > RAW_LENGTH_MAX:
        raise InvalidPhoneError("The telephone number is too long to be one.")
    try:
        number = phonenumbers.parse(raw, default_region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise InvalidPhoneError("The telephone number has no country code; write it as +12025550123.") from error
        raise InvalidPhoneError("The telephone number cannot be read; write it as +12025550123.") from error
    if not phonenumbers.is_possible_number(number):
        raise InvalidPhoneError("The telephone number has too few or too many digits for its country.")
    if not phonenumbers.is_valid_number(number):
        raise InvalidPhoneError("The telephone number lies in a range that is not in use.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@lru_cache(maxsize=65_536)
def zones(e164: str) -> tuple[str, ...]:
    """Every time zone the number's prefix may lie in, sorted; empty when nothing is known.

    A number is evidence of a place, not a place: people move and numbers are ported.
    """
    number = phonenumbers.parse(e164, None)
    found: tuple[str, ...] = tuple(_zones_of_prefix.time_zones_for_number(number))
    return tuple(sorted(zone for zone in found if zone != UNKNOWN_ZONE))
