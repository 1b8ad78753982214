"""The lines of a list that somebody exported somewhere: any usual encoding, any line ends, no line without a bound.

A line is a record: an unclosed quote harms its own line and no other. The whole file is never in memory.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from tenderline.core.errors import InvalidInputError

CHUNK_BYTES: Final = 64 * 1024
LINE_CHARACTERS_MAX: Final = 16 * 1024
_NUL_SHARE: Final = 0.4  # of every other byte, in a text of digits, commas and Latin letters
_NOT_TEXT: Final = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; unpack it, or save it as CSV",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
    b"%PDF": "a PDF; export it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    codecs.BOM_UTF32_LE: "UTF-32; save it as UTF-8",
}


class UnreadableListError(InvalidInputError):
    """The file cannot be read as a list of numbers or addresses; save it as CSV in UTF-8."""

    code = "unreadable_list"


class Source(Protocol):
    """What a list is read from."""

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at the end."""


class Lines:
    """The lines of a source in batches, numbered from 1. A line that is too long comes as None."""

    def __init__(self, source: Source, *, on_read: Callable[[int], None] | None = None) -> None:
        self._source = source
        self._on_read = on_read
        self._sha256 = hashlib.sha256()
        self.bytes_read = 0
        self.encoding = "UTF-8"

    @property
    def sha256(self) -> bytes:
        """Of all bytes so far."""
        return self._sha256.digest()

    def _read(self) -> bytes:
        chunk = self._source.read(CHUNK_BYTES)
        self._sha256.update(chunk)
        self.bytes_read += len(chunk)
        if self._on_read is not None:
            self._on_read(self.bytes_read)
        return chunk

    def batches(self) -> Iterator[list[str | None]]:
        """Raises `UnreadableListError` when the source is no text."""
        first = self._read()
        name = encoding_of(first)
        self.encoding = "UTF-8" if name == "utf-8-sig" else "UTF-16"
        # What is no text in its encoding becomes U+FFFD: harmless in a name, and refused where a number should be.
        decode = codecs.getincrementaldecoder(name)("replace").decode
        text = decode(first)
        end = "\r" if "\r" in text and "\n" not in text else "\n"
        rest, too_long = "", False
        while True:
            parts = (rest + text).split(end)
            rest = parts.pop()
            lines: list[str | None] = [part if len(part) <= LINE_CHARACTERS_MAX else None for part in parts]
            if lines and too_long:
                lines[0], too_long = None, False
            if len(rest) > LINE_CHARACTERS_MAX:
                rest, too_long = "", True  # what still comes of this line is thrown away
            if lines:
                yield lines
            if not (chunk := self._read()):
                break
            text = decode(chunk)
        rest += decode(b"", True)
        if rest or too_long:
            yield [None if too_long else rest]


def encoding_of(first: bytes) -> str:
    """The codec for a text that begins like this; raises `UnreadableListError` when it is none."""
    for magic, what in _NOT_TEXT.items():
        if first.startswith(magic):
            raise UnreadableListError(f"The file is {what}.")
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = first[::2], first[1::2]
    if odd and odd.count(0) > _NUL_SHARE * len(odd):
        return "utf-16-le"
    if even and even.count(0) > _NUL_SHARE * len(even):
        return "utf-16-be"
    return "utf-8-sig"
