"""Card numbers in bytes of any kind: pages of a database, logs, memory.

`core/pan.py` judges a request and must never refuse an honest one; this search judges what lies there and must miss
nothing. So letters beside the digits do not excuse them here (in a jsonb value on disk the name stands right before the
number), and what is no card number in spite of its digits is told by narrow rules, each of which is counted.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import phonenumbers

from tenderline.core.pan import is_card_number, may_begin_card_number

DIGITS_MIN: Final = 13
DIGITS_MAX: Final = 19
HIT_BYTES_MAX: Final = 1_024
"""Longer than any way of writing a card number that is looked for."""

_ZEROS: Final = b"0" * DIGITS_MIN
_JOINED: Final = bytes.maketrans(b"0123456789", b"0" * 10)
_ALIKE: Final = bytes.maketrans(b"0123456789 .-", b"0" * 13)
_WIDE: Final = {"UTF-16": (2, b"0\0" * (DIGITS_MIN - 1)), "UTF-32": (4, b"0\0\0\0" * (DIGITS_MIN - 1))}
_RUN: Final = re.compile(rb"[0-9][0-9 .\-]{12,}")
_WIDE_RUN: Final = {2: re.compile(rb"(?:0\0){12,}0"), 4: re.compile(rb"(?:0\0\0\0){12,}0")}
_GROUP: Final = re.compile(rb"[0-9]+")
_HEX_BEFORE: Final = re.compile(rb"(?:[0-9a-f]*|[0-9A-F]*)\Z")
_HEX_AFTER: Final = re.compile(rb"(?:[0-9a-f]+|[0-9A-F]+)")
_HEX_LENGTH_MIN: Final = 24
_HEX_LETTERS_MIN: Final = 2
_UUID: Final = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
_NEAR: Final = 160
# Base64 of digits and their separators: each of four letters can only be one of a few, whichever three bytes they are.
_BASE64: Final = re.compile(rb"(?:[MNOIL][CDSTijyz][AEIMQUYcgk04][w-z0-5gtu](?:\r?\n)?){3,}")
_BASE64_TAIL: Final = re.compile(rb"(?:[A-Za-z0-9+/_-]{4}){1,2}\Z")
_BASE64_HEAD: Final = re.compile(rb"[A-Za-z0-9+/_-]{1,8}")
_ONE_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")
_LINE_ENDS: Final = re.compile(rb"[\r\n]")
_ESCAPED: Final = re.compile(rb"(?:\\u003[0-9]){13,}")
_HEX_DIGITS: Final = re.compile(rb"(?:3[0-9]){13,}")
_NUMBER_WORDS: Final = {
    "zero": "0", "oh": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "cero": "0", "uno": "1", "dos": "2", "tres": "3", "cuatro": "4", "cinco": "5",
    "seis": "6", "siete": "7", "ocho": "8", "nueve": "9",
}  # fmt: skip
_BETWEEN_WORDS: Final = b" \t\r\n,.;-"
_WORDS: Final = re.compile(
    rb"(?<![a-z0-9])(?:(?:" + "|".join(_NUMBER_WORDS).encode() + rb")(?:[ \t\r\n,.;-]{1,3}|(?![a-z0-9]))){13,40}"
)
_ONE_WORD: Final = re.compile(rb"[a-z]+")
# Nearly no text has so many letters in a row of which none is b, j, k, l, m, p, q or y.
_WORD_LIKE: Final = bytes(
    48 if one in "".join(_NUMBER_WORDS).encode() + _BETWEEN_WORDS else 95 for one in bytes(range(256)).lower()
)
_WORD_RUN: Final = b"0" * 48
# What a byte may be, one bit for each: the four letters of encoded digits, a hexadecimal 3, a digit.
_LETTERS: Final = (b"MNOIL", b"CDSTijyz", b"AEIMQUYcgk04", b"wxyz012345gtu", b"3", b"0123456789")
_KINDS: Final = bytes(sum((one in kind) << bit for bit, kind in enumerate(_LETTERS)) for one in range(256))
_SPOKEN_GROUPS: Final = frozenset({(4, 6, 5), (4, 6, 4), (4, 3, 3, 3), (6, 13), (4, 4, 5), (8, 8)})


@dataclass(frozen=True, slots=True)
class Hit:
    """Something in a piece of bytes: from where to where, how it is written, and its digits, which go no further."""

    start: int
    end: int
    written: str
    digits: str
    excuse: str | None = None
    """Why it is none after all; such a hit is counted and not reported."""

    @property
    def masked(self) -> str:
        """As much as may be shown: the first six and the last four (PCI DSS 3.4.1)."""
        return mask(self.digits)


def mask(digits: str) -> str:
    """The first six and the last four of a card number."""
    return f"{digits[:6]}…{digits[-4:]}" if len(digits) >= DIGITS_MIN else "…"


def find(data: bytes, *, as_text: bool = False) -> Iterator[Hit]:
    """Every card number in `data`. `as_text` also understands numbers spelled in words, and any grouping."""
    if _ZEROS in data.translate(_JOINED, b" .-"):
        for run in _RUN.finditer(data):
            yield from _in_run(data, run.start(), run.group(), as_text=as_text)
    if b"\0" in data:
        yield from _wide(data)
    has_base64, has_hexadecimal = _encoded(data)
    if has_base64:
        for found in _BASE64.finditer(data):
            yield from _in_base64(data, found)
    if b"\\u003" in data:
        for found in _ESCAPED.finditer(data):
            yield from _as_digits(found, found.group()[5::6], "JSON escapes")
    if has_hexadecimal:
        for found in _HEX_DIGITS.finditer(data):
            yield from _as_digits(found, found.group()[1::2], "hexadecimal")
    if as_text:
        yield from _in_words(data)


def _encoded(data: bytes) -> tuple[bool, bool]:
    """Whether digits in base64 or in hexadecimal may be there: looking closely is forty times as slow."""
    kinds = np.frombuffer(data.translate(_KINDS), dtype=np.uint8)
    if len(kinds) < 2 * DIGITS_MIN:
        return True, False
    four = kinds[:-3] & (kinds[1:-2] >> 1) & (kinds[2:-1] >> 2) & (kinds[3:] >> 3) & 1
    two = (kinds[:-1] >> 4) & (kinds[1:] >> 5)
    pairs = two[:-2] & two[2:]
    pairs = pairs[:-4] & pairs[4:]
    return bool((four[:-4] & four[4:]).any()), bool((pairs[:-8] & pairs[8:]).any())


def _as_digits(found: re.Match[bytes], digits: bytes, written: str) -> Iterator[Hit]:
    text = digits.decode("ascii")
    if len(text) <= DIGITS_MAX and is_card_number(text):
        yield Hit(found.start(), found.end(), written, text)


def _in_run(data: bytes, start: int, run: bytes, *, as_text: bool) -> Iterator[Hit]:
    """Card numbers in a stretch of digits and separators: whole groups, each parted from the next by one character."""
    groups = [one.span() for one in _GROUP.finditer(run)]
    for first, (at, until) in enumerate(groups):
        if not may_begin_card_number(run[at : min(at + 2, until)]):
            continue
        length = 0
        for last in range(first, len(groups)):
            if last > first and groups[last][0] - groups[last - 1][1] != 1:
                break
            length += groups[last][1] - groups[last][0]
            if length > DIGITS_MAX:
                break
            if length < DIGITS_MIN:
                continue
            chosen = groups[first : last + 1]
            digits = b"".join(run[begin:end] for begin, end in chosen).decode("ascii")
            if not is_card_number(digits) or not _is_shaped(run, chosen, as_text=as_text):
                continue
            if not as_text and _is_of_a_list(groups, first, last):
                continue
            begin, end = start + chosen[0][0], start + chosen[-1][1]
            written = "digits" if len(chosen) == 1 else "digits in groups"
            yield Hit(begin, end, written, digits, _excuse(data, begin, end, digits))


def _is_shaped(run: bytes, groups: list[tuple[int, int]], *, as_text: bool) -> bool:
    """Whether somebody would group a card number like this; columns of a table are digits and spaces, too."""
    if len(groups) == 1:
        return True
    parts = {run[end : end + 1] for _, end in groups[:-1]}
    lengths = tuple(end - begin for begin, end in groups)
    if b"." in parts:
        return len(groups) > 2 and len(parts) == 1 and len(set(lengths[:-1])) == 1
    if as_text or lengths in _SPOKEN_GROUPS:
        return True
    return lengths[0] <= 4 and len(set(lengths[:-1])) == 1 and lengths[-1] <= lengths[0] and len(parts) == 1


def _is_of_a_list(groups: list[tuple[int, int]], first: int, last: int) -> bool:
    """Whether these short groups are only some of a longer list of numbers, such as the bytes of a parse tree."""
    if groups[first][1] - groups[first][0] > 3:
        return False
    before = first > 0 and groups[first][0] - groups[first - 1][1] == 1
    return before or (last + 1 < len(groups) and groups[last + 1][0] - groups[last][1] == 1)


def _excuse(data: bytes, begin: int, end: int, digits: str) -> str | None:
    """Why these digits are no card number in spite of their prefix and sum; None when nothing speaks for them."""
    before, after = data[max(0, begin - _NEAR) : begin], data[end : end + _NEAR]
    if before[-1:] == b"." and before[-2:-1].isdigit():
        return "digits behind a decimal point"
    if len(digits) <= 15 and before[-1:] == b"+":
        return "a telephone number with its plus"
    if len(digits) == DIGITS_MIN and _is_telephone_number(digits):
        return "thirteen digits that are a telephone number of their country"
    near = before + data[begin:end] + after
    if any(one.start() <= len(before) and one.end() >= len(near) - len(after) for one in _UUID.finditer(near)):
        return "part of a UUID"
    left, right = _HEX_BEFORE.search(before), _HEX_AFTER.match(after)
    around = (left.group() if left else b"") + (right.group() if right else b"")
    letters = sum(not 48 <= one <= 57 for one in around)
    if len(around) + end - begin >= _HEX_LENGTH_MIN and letters >= _HEX_LETTERS_MIN:
        return "part of a hexadecimal digest"
    return None


def _is_telephone_number(digits: str) -> bool:
    """Thirteen digits are a Visa number of the last century or a German mobile number of today (ITU-T E.164)."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}"))
    except phonenumbers.NumberParseException:
        return False


def _wide(data: bytes) -> Iterator[Hit]:
    """Numbers in UTF-16 and UTF-32, either order of bytes; Python and JavaScript keep some strings so in memory."""
    alike = data.translate(_ALIKE)
    for written, (stride, beginning) in _WIDE.items():
        if beginning not in alike:
            continue
        for found in _WIDE_RUN[stride].finditer(alike):
            narrow = data[found.start() : found.end() : stride]
            for run in _RUN.finditer(narrow):
                for hit in _in_run(narrow, run.start(), run.group(), as_text=True):
                    begin, end = (found.start() + at * stride for at in (hit.start, hit.end))
                    plus = (
                        hit.start == 0 and data[begin - stride : begin - stride + 1] == b"+" and len(hit.digits) <= 15
                    )
                    yield Hit(
                        begin, end, written, hit.digits, "a telephone number with its plus" if plus else hit.excuse
                    )


def _in_base64(data: bytes, found: re.Match[bytes]) -> Iterator[Hit]:
    """Decodes what looks like encoded digits, with the letters around it."""
    begin, end = found.span()
    before = _BASE64_TAIL.search(_LINE_ENDS.sub(b"", data[max(0, begin - 12) : begin]))
    after = _BASE64_HEAD.match(_LINE_ENDS.sub(b"", data[end : end + 12]))
    letters = (
        (before.group() if before else b"") + _LINE_ENDS.sub(b"", found.group()) + (after.group() if after else b"")
    )
    letters = letters.translate(_ONE_ALPHABET)
    try:
        plain = base64.b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + b"=" * (-len(letters) % 4))
    except (binascii.Error, ValueError):
        return
    for run in _RUN.finditer(plain):
        for hit in _in_run(plain, run.start(), run.group(), as_text=False):
            yield Hit(found.start(), found.end(), "base64", hit.digits, hit.excuse)


def _in_words(data: bytes) -> Iterator[Hit]:
    """Thirteen digits in a row, spelled in English or Spanish, are reported whatever their sum: people misspeak."""
    if _WORD_RUN not in data.translate(_WORD_LIKE):
        return
    for found in _WORDS.finditer(data.lower()):
        digits = "".join(_NUMBER_WORDS[one.group().decode()] for one in _ONE_WORD.finditer(found.group()))
        yield Hit(found.start(), found.end(), "words", digits)
