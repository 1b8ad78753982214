"""Finding card numbers where none may be, so a body that holds one is refused and a log line is masked.

A run of digits counts only with a known issuer prefix, that issuer's length and a right Luhn sum: of random 16-digit
ids one in ten passes Luhn alone. Lengths and prefixes: ISO/IEC 7812 ranges as the card schemes publish them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from tenderline.core.errors import InvalidInputError

# (first, last, digits compared, lengths)
_ISSUER_RANGES: Final = (
    (4, 4, 1, (13, 16, 19)),
    (51, 55, 2, (16,)),
    (2221, 2720, 4, (16,)),
    (34, 34, 2, (15,)),
    (37, 37, 2, (15,)),
    (6011, 6011, 4, (16, 17, 18, 19)),
    (644, 649, 3, (16, 17, 18, 19)),
    (65, 65, 2, (16, 17, 18, 19)),
    (300, 305, 3, (14, 16, 17, 18, 19)),
    (36, 36, 2, (14, 15, 16, 17, 18, 19)),
    (38, 39, 2, (14, 16, 17, 18, 19)),
    (3528, 3589, 4, (16, 17, 18, 19)),
    (62, 62, 2, (16, 17, 18, 19)),
    (81, 81, 2, (16, 17, 18, 19)),
    (50, 50, 2, (16, 17, 18, 19)),
    (56, 58, 2, (16, 17, 18, 19)),
    (63, 63, 2, (16, 17, 18, 19)),
    (67, 67, 2, (16, 17, 18, 19)),
    (60, 60, 2, (16,)),
    (82, 82, 2, (16,)),
    (2200, 2204, 4, (16, 17, 18, 19)),
)
_BEGINNINGS: Final = frozenset(
    str(number)[:2].encode()
    for first, last, compared, _ in _ISSUER_RANGES
    for number in (range(first, last + 1) if compared > 1 else range(first * 10, last * 10 + 10))
)
# Digits in one run, or in groups parted by single spaces, dots or dashes. Letters and underscores beside a run make it
# part of an identifier (a gateway's object id), which is not a card number. A plus before at most 15 digits makes a
# telephone number (ITU-T E.164): one German mobile number in ten has a Visa's prefix and passes Luhn.
_CANDIDATE = re.compile(
    rb"(?<![0-9A-Za-z_.])(?!(?<=\+)[0-9](?:[ .-]?[0-9]){12,14}(?![ .-]?[0-9]))"
    rb"[0-9](?:[ .-]?[0-9]){12,18}(?![0-9A-Za-z_])"
)
# In what somebody wrote also among other digits: an amount before the number, an expiry or a code right behind it.
_WRITTEN = re.compile(
    rb"(?<![0-9A-Za-z_.-])(?!(?<=\+)[0-9](?:[ .-]?[0-9]){12,14}(?![ .-]?[0-9]))(?=([0-9](?:[ .-]?[0-9]){13,18}))"
)
_WRITTEN_LENGTHS: Final = range(14, 20)
_SEPARATORS = re.compile(rb"[ .-]")
# Digits as JSON escapes (\u0034) would slip past the pattern.
_ESCAPED_DIGIT = re.compile(rb"\\u00(3[0-9])")
_DIGITS_ALIKE: Final = bytes.maketrans(b"0123456789", b"0" * 10)
_RUN: Final = b"0" * 13  # the shortest card number
MASK: Final = "[card number removed]"


def luhn_ok(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: the checksum of every card number but UnionPay's oldest."""
    total = 0
    for position, character in enumerate(reversed(digits)):
        value = ord(character) - 48
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def may_begin_card_number(digits: bytes) -> bool:
    """Whether any issuer's numbers begin so; of one digit alone nothing is known. Quick, for whoever asks often."""
    return len(digits) < 2 or digits in _BEGINNINGS


def is_card_number(digits: str) -> bool:
    """Whether bare digits are a card number: known issuer, the issuer's length, right Luhn sum."""
    length = len(digits)
    return any(
        length in lengths and first <= int(digits[:compared]) <= last
        for first, last, compared, lengths in _ISSUER_RANGES
    ) and luhn_ok(digits)


def holds_card_number(body: bytes) -> bool:
    """Whether `body` holds a card number anywhere: as a number, inside a string, grouped or JSON-escaped."""
    if b"\\u003" in body:
        body = _ESCAPED_DIGIT.sub(lambda found: bytes([int(found[1], 16)]), body)
    if _RUN not in body.translate(_DIGITS_ALIKE, b" .-"):
        return False  # nearly every body: no thirteen digits in a row, however they are parted
    return any(
        is_card_number(_SEPARATORS.sub(b"", found.group()).decode("ascii")) for found in _CANDIDATE.finditer(body)
    )


def is_written_in(text: str) -> bool:
    """Whether somebody wrote a card number into a text: in whichever digits and spaces, also with an expiry or a code
    right behind it."""
    folded = text if text.isascii() else "".join(_ascii_digit(one) for one in unicodedata.normalize("NFKC", text))
    body = " ".join(folded.split()).encode("utf-8", "replace")
    if holds_card_number(body):
        return True
    runs = (_SEPARATORS.sub(b"", found[1]).decode("ascii") for found in _WRITTEN.finditer(body))
    return any(is_card_number(run[:length]) for run in runs for length in _WRITTEN_LENGTHS if length <= len(run))


def _ascii_digit(character: str) -> str:
    return str(unicodedata.decimal(character, character))


def require_no_card(text: str) -> None:
    """Raises `InvalidInputError` for a text that somebody wrote a card number into."""
    if is_written_in(text):
        raise InvalidInputError("What you wrote holds a card number, which may be kept nowhere; leave it out.")


def mask_card_numbers(text: str) -> str:
    """`text` with every card number replaced by `MASK`; the last net under log lines and error messages."""
    if not any(character.isdigit() for character in text):
        return text

    def replace(found: re.Match[bytes]) -> bytes:
        digits = _SEPARATORS.sub(b"", found.group()).decode("ascii")
        return MASK.encode() if is_card_number(digits) else found.group()

    return _CANDIDATE.sub(replace, text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
