"""How facts are worded for people who need not see everything: addresses masked, no digit runs, instants readable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers

from tenderline.core.errors import InvalidInputError
from tenderline.core.money import Money
from tenderline.core.pan import mask_card_numbers
from tenderline.core.reasons import FailureReason
from tenderline.core.zones import Evidence

DOTS = "•••"
UNKNOWN_PAYER: Final = "Unknown payer"
NAME_CHARACTERS_MAX: Final = 80
"""Of a name in a list. Whole it stands on the page of its case."""
TEXT_CHARACTERS_MAX: Final = 160
_MARKS_MAX: Final = 4
"""Marks on one letter: no script needs more, and a tower of them covers the rows above and below."""
CHANNELS: Final = {
    "sms": "SMS",
    "email": "E-mail",
    "push": "Push",
    "voice": "Calls",
    "voice_live": "Call by an agent",
    "voice_artificial": "Recorded call",
}
EVIDENCE: Final = {
    Evidence.SELF_STATED: "as told by the payer",
    Evidence.ADDRESS: "by the address",
    Evidence.ADDRESS_AND_NUMBER: "by the address and the number, which disagree",
    Evidence.NUMBER: "by the number",
    Evidence.COUNTRY: "by the country",
    Evidence.DEFAULT: "by the default of this installation",
    Evidence.NONE: "by nothing that is known",
}
"""What it rests on that somebody is in a place."""
STATE_NAMES: Final = {"leased": "being sent"}
_CODE = re.compile(r"\b(?:" + "|".join(code for code in FailureReason if "_" in code) + r")\b")
_PHONE = re.compile(r"\+[0-9]{7,15}(?![0-9])")
_EMAIL = re.compile(r"[^\s@<>()\"',;:]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_DIGIT_RUN = re.compile(r"[0-9]{8,}([0-9]{4})")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}"  # day and minute
    r"(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})"  # seconds, offset
)


def mask_phone(number: str) -> str:
    """`+1 202 ••• 0143`: enough to tell two numbers apart, too little to call."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return DOTS
    national = phonenumbers.national_significant_number(parsed)
    if len(national) < 9:
        return f"+{parsed.country_code} {DOTS} {national[-2:]}"
    return f"+{parsed.country_code} {national[:3]} {DOTS} {national[-4:]}"


def mask_email(address: str) -> str:
    """`a•••@example.org`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}{DOTS}@{domain}"


def mask_address(kind: str | None, value: str | None) -> str | None:
    """An address of a known kind, masked; of another kind, hidden."""
    if value is None:
        return None
    match kind:
        case "phone":
            return mask_phone(value)
        case "email":
            return mask_email(value)
        case _:
            return DOTS


def plain(text: str) -> str:
    """A sentence that may quote a provider or a payer, without what the reader need not see."""
    text = _INSTANT.sub(lambda found: short_instant(datetime.fromisoformat(found[0])), text)
    text = _EMAIL.sub(lambda found: mask_email(found[0]), mask_card_numbers(text))
    text = _PHONE.sub(lambda found: mask_phone(found[0]), text)
    return _DIGIT_RUN.sub(lambda found: f"…{found[1]}", text)


def sentence(text: str) -> str:
    """The sentence of an event: `plain`, with codes and channels as people write them."""
    head, space, rest = text.partition(" ")
    text = _CODE.sub(lambda found: reason(found[0]), f"{CHANNELS.get(head, head)}{space}{rest}")
    return plain(text)


def short(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """`text` as it fits a list: cut with an ellipsis, without towers of accents."""
    text = text if text.isascii() else "".join(islice(_without_towers(text), characters_max + 1))
    return text if len(text) <= characters_max else f"{text[: characters_max - 1].rstrip()}…"


def _without_towers(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks <= _MARKS_MAX:
            yield character


def short_name(name: str | None) -> str:
    """A payer's name as it fits a list."""
    return short(name or UNKNOWN_PAYER, NAME_CHARACTERS_MAX)


def channel(code: str) -> str:
    """`SMS` for `sms`."""
    return CHANNELS.get(code, code)


def state_name(state: str) -> str:
    """`being sent` for `leased`: what a state means to somebody who does not run the machine."""
    return STATE_NAMES.get(state, reason(state))


def short_instant(at: datetime) -> str:
    """`21 Nov 14:05 UTC`."""
    return f"{at.astimezone(UTC):%-d %b %H:%M} UTC"


def instant(at: datetime) -> str:
    """`21 Nov 2026 14:05:09 UTC`: a decision may hang on the second."""
    return f"{at.astimezone(UTC):%-d %b %Y %H:%M:%S} UTC"


def amount(minor: int | None, currency: str | None) -> str:
    """`$25.00`, or what was given when it is not usable."""
    try:
        return Money.parse(minor, currency).format()
    except InvalidInputError:
        return "amount not known" if minor is None else f"{minor} {currency or '?'}"


def reason(code: str) -> str:
    """`insufficient funds` for `insufficient_funds`."""
    return code.replace("_", " ")


def local_time(at: datetime, zones: Sequence[str]) -> str | None:
    """The wall clock in every zone the person may be in: `07:32`, or `07:32 to 10:32`; None when no zone is known."""
    local: list[datetime] = []
    for name in zones:
        try:
            local.append(at.astimezone(ZoneInfo(name)).replace(tzinfo=None))
        except (ZoneInfoNotFoundError, ValueError):
            continue
    if not local:
        return None
    first, last = min(local), max(local)
    return f"{first:%H:%M}" if first == last else f"{first:%H:%M} to {last:%H:%M}"
