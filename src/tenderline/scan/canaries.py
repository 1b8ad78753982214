"""Exact values that a test used, looked for in every encoding. They are never shown: a finding names their line."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tenderline.core.errors import InvalidInputError
from tenderline.scan.patterns import DIGITS_MIN, Hit

COUNT_MAX: Final = 200
LENGTH_MAX: Final = 200
LENGTH_MIN: Final = 3
ANYWHERE_LENGTH_MIN: Final = 6
"""Shorter values stand in every megabyte of bytes by chance: they are looked for as whole words, and in texts only."""
_GROUPS: Final = ((4, 4, 4, 4, 4), (4, 6, 5), (4, 6, 4))
_WORDS: Final = (
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
)


@dataclass(frozen=True, slots=True)
class _Written:
    """One way to write one value."""

    line: int
    how: str
    digits: str
    needle: bytes


class Canaries:
    """The values, in all the ways that are looked for."""

    def __init__(self, values: list[str]) -> None:
        self.count = len(values)
        self._anywhere: list[_Written] = []
        self._as_words: list[tuple[_Written, re.Pattern[bytes]]] = []
        for line, value in enumerate(values, 1):
            if len(value) >= ANYWHERE_LENGTH_MIN:
                self._anywhere += _every_way(line, value)
            else:
                one = _Written(line, "as a word", "", value.encode())
                pattern = re.compile(rb"(?<![A-Za-z0-9.])" + re.escape(one.needle) + rb"(?![A-Za-z0-9])")
                self._as_words.append((one, pattern))

    @property
    def has_short(self) -> bool:
        """Whether some are only looked for in texts."""
        return bool(self._as_words)

    def find(self, data: bytes, *, as_text: bool) -> Iterator[Hit]:
        """Wherever one of them stands in `data`."""
        lower = data.lower() if as_text else b""
        for one in self._anywhere:
            place = lower if one.how == "words" else data
            at = place.find(one.needle)
            while at >= 0:
                yield Hit(at, at + len(one.needle), f"canary {one.line}, {one.how}", one.digits)
                at = place.find(one.needle, at + len(one.needle))
        if as_text:
            for one, pattern in self._as_words:
                for found in pattern.finditer(data):
                    yield Hit(found.start(), found.end(), f"canary {one.line}, {one.how}", one.digits)

    def hide(self, text: str) -> str:
        """`text` without any of them, for names of files and keys of rows."""
        for one in (*self._anywhere, *(written for written, _ in self._as_words)):
            text = text.replace(one.needle.decode("utf-8", "replace"), "…")
        return text


def read(text: str) -> Canaries:
    """One value a line; raises `InvalidInputError` without ever naming a value."""
    values = [line.strip() for line in text.splitlines() if line.strip()]
    if not values or len(values) > COUNT_MAX:
        raise InvalidInputError(f"Write 1 to {COUNT_MAX} canaries, one on each line.")
    for line, value in enumerate(values, 1):
        if not LENGTH_MIN <= len(value) <= LENGTH_MAX:
            raise InvalidInputError(f"Canary {line} needs {LENGTH_MIN} to {LENGTH_MAX} characters.")
    return Canaries(values)


def _every_way(line: int, value: str) -> list[_Written]:
    is_number = value.isascii() and value.isdecimal()
    digits = value if is_number and len(value) >= DIGITS_MIN else ""
    ways: dict[bytes, str] = {}
    texts = {value: ""}
    if is_number and len(value) >= DIGITS_MIN:
        for lengths in _GROUPS:
            for between in " -.":
                texts.setdefault(_grouped(value, lengths, between), " in groups")
        texts |= {between.join(value): " in groups" for between in " -"}
    for text, how in texts.items():
        plain = text.encode()
        ways.setdefault(plain, f"plain{how}")
        ways.setdefault(text.encode("utf-16-le"), f"UTF-16{how}")
        ways.setdefault(text.encode("utf-16-be"), f"UTF-16{how}")
        ways.setdefault(text.encode("utf-32-le"), f"UTF-32{how}")
        for core in _base64_cores(plain):
            ways.setdefault(core, f"base64{how}")
    ways.setdefault(value.encode().hex().encode(), "hexadecimal")
    ways.setdefault(value.encode().hex().upper().encode(), "hexadecimal")
    if is_number and len(value) >= DIGITS_MIN:
        # Two digits a byte, from the left or from the right: pages of random bytes hold card numbers so by chance,
        # and never a certain one.
        for packed in (value + "f" * (len(value) % 2), "0" * (len(value) % 2) + value):
            ways.setdefault(bytes.fromhex(packed), "packed BCD")
        for words in _WORDS:
            for between in (" ", ", ", "-"):
                ways.setdefault(between.join(words[int(digit)] for digit in value).encode(), "words")
    return [_Written(line, how, digits, needle) for needle, how in ways.items()]


def _grouped(digits: str, lengths: tuple[int, ...], between: str) -> str:
    parts, at = [], 0
    for length in lengths:
        parts.append(digits[at : at + length])
        at += length
    return between.join(one for one in (*parts, digits[at:]) if one)


def _base64_cores(plain: bytes) -> set[bytes]:
    """The letters that are the same whatever stands before and after: one of three, by where the value begins."""
    cores: set[bytes] = set()
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(bytes(shift) + plain + bytes(2))
            first = (8 * shift + 5) // 6
            core = whole[first : (8 * (shift + len(plain))) // 6]
            if len(core) >= ANYWHERE_LENGTH_MIN + 1:
                cores.add(core)
    return cores
