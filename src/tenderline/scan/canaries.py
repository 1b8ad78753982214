"""Exact values that a test used, looked for in every encoding. They are never shown: a finding names their line."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tenderline.core.errors import InvalidInputError
from tenderline.scan.patterns import DIGITS_MIN, Hit

COUNT_MAX: Final = 200
LENGTH_MAX: Final = 200
LENGTH_MIN: Final = 3
ANYWHERE_LENGTH_MIN: Final = 6
"""Shorter values stand in every megabyte of bytes by chance: they are looked for as whole words, and in texts only."""
_PREFIX_BYTES: Final = ANYWHERE_LENGTH_MIN
_HASH_BITS: Final = 20
_PACKED_DISTINCT_MIN: Final = 3
"""Fewer different bytes are no sign of a number: 4242… packed is the letter B, eight times."""
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


class _Needles:
    """Some hundred ways of writing, looked for at once: the first bytes of each are marked in a table, by their hash,
    and only where the table has a mark is anything compared."""

    def __init__(self, ways: list[_Written]) -> None:
        self._of_prefix: dict[bytes, list[_Written]] = {}
        self._marked = np.zeros(1 << _HASH_BITS, dtype=bool)
        for one in ways:
            prefix = one.needle[:_PREFIX_BYTES]
            self._of_prefix.setdefault(prefix, []).append(one)
            self._marked[_hashes(prefix)] = True

    def find(self, data: bytes) -> Iterator[Hit]:
        """Each of them, wherever it stands; none twice in the same bytes."""
        if len(data) < _PREFIX_BYTES or not self._of_prefix or data.count(0) == len(data):
            return
        behind: dict[bytes, int] = {}
        for at in np.flatnonzero(self._marked[_hashes(data)]).tolist():
            for one in self._of_prefix.get(data[at : at + _PREFIX_BYTES], ()):
                if at >= behind.get(one.needle, 0) and data.startswith(one.needle, at):
                    behind[one.needle] = at + len(one.needle)
                    yield Hit(at, at + len(one.needle), f"canary {one.line}, {one.how}", one.digits)


def _hashes(data: bytes) -> NDArray[np.uint32]:
    """Of the six bytes from each place on."""
    single = np.frombuffer(data, dtype=np.uint8).astype(np.uint32)
    double = single[:-1] | single[1:] << np.uint32(8)
    head = double[:-4] | double[2:-2] << np.uint32(16)
    mixed = head * np.uint32(0x9E3779B1) ^ double[4:] * np.uint32(0x85EBCA77)
    found: NDArray[np.uint32] = mixed >> np.uint32(32 - _HASH_BITS)
    return found


class Canaries:
    """The values, in all the ways that are looked for."""

    def __init__(self, values: list[str]) -> None:
        self.count = len(values)
        anywhere: list[_Written] = []
        self._as_words: list[tuple[_Written, re.Pattern[bytes]]] = []
        for line, value in enumerate(values, 1):
            if len(value) >= ANYWHERE_LENGTH_MIN:
                anywhere += _every_way(line, value)
            else:
                one = _Written(line, "as a word", "", value.encode())
                pattern = re.compile(rb"(?<![A-Za-z0-9.])" + re.escape(one.needle) + rb"(?![A-Za-z0-9])")
                self._as_words.append((one, pattern))
        self._anywhere = anywhere
        self._bytes = _Needles([one for one in anywhere if one.how != "words"])
        self._words = _Needles([one for one in anywhere if one.how == "words"])

    @property
    def has_short(self) -> bool:
        """Whether some are only looked for in texts."""
        return bool(self._as_words)

    def find(self, data: bytes, *, as_text: bool) -> Iterator[Hit]:
        """Wherever one of them stands in `data`."""
        yield from self._bytes.find(data)
        if as_text:
            yield from self._words.find(data.lower())
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
            if len(set(bytes.fromhex(packed))) >= _PACKED_DISTINCT_MIN:
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
