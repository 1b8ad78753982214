"""Looks for copies of keyed digits in the memory of a process, without making one.

What is looked for is kept and compared under a mask: every byte is flipped before it is searched, so neither the needle
nor the buffer that is searched is itself a copy. A planted copy must be found, or a clean result would mean nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MASK = 0x55
_FLIP = bytes(code ^ MASK for code in range(256))
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
PIECE_BYTES = 1 << 20
OVERLAP_BYTES = 128


class Hidden:
    """Digits under the mask, to be keyed one by one and looked for in every form."""

    def __init__(self, codes: list[int]) -> None:
        self._codes = bytearray(code ^ MASK for code in codes)

    def __len__(self) -> int:
        return len(self._codes)

    def keys(self) -> Iterator[int]:
        """The keys that a caller presses."""
        for code in self._codes:
            yield code ^ MASK

    def form(self, before: str = "", after: str = "") -> bytes:
        """Masked: the digits in ASCII, and text beside them that only a request has."""
        return self._masked(before) + self._ascii() + self._masked(after)

    def forms(self) -> dict[str, bytes]:
        """Masked: in ASCII, UTF-16 and UTF-32, in groups, packed, in base64, and as a row of small numbers."""
        plain = self._ascii()
        found = {
            "ascii": plain,
            "utf-16": self._spread(plain, 2),
            "utf-32": self._spread(plain, 4),
            "numbers": bytes(self._codes),
        }
        for name, sizes in (("fours", (4, 4, 4, 4)), ("4-6-5", (4, 6, 5))):
            for gap in " -.":
                found[f"{name} by {gap!r}"] = self._grouped(plain, sizes, gap)
        for side in ("left", "right"):
            found[f"packed {side}"] = self._packed(side)
        for shift in range(3):
            found[f"base64 at {shift}"] = self._base64(shift)
        return found

    def _ascii(self) -> bytes:
        return bytes(code ^ ord("0") for code in self._codes)  # a digit's code is 0x30 with the digit in its low bits

    @staticmethod
    def _masked(text: str) -> bytes:
        return text.encode().translate(_FLIP)

    @staticmethod
    def _spread(plain: bytes, width: int) -> bytes:
        return b"".join(plain[at : at + 1] + bytes((MASK,)) * (width - 1) for at in range(len(plain)))[: 1 - width]

    def _grouped(self, plain: bytes, sizes: tuple[int, ...], gap: str) -> bytes:
        parts, at = [], 0
        for size in sizes:
            parts.append(plain[at : at + size])
            at += size
        return self._masked(gap).join(part for part in parts if part)

    def _packed(self, side: str) -> bytes:
        row = [code ^ MASK for code in self._codes]
        if len(row) % 2:
            row = [0, *row] if side == "left" else [*row, 15]
        return bytes((row[at] << 4 | row[at + 1]) ^ MASK for at in range(0, len(row), 2))

    def _base64(self, shift: int) -> bytes:
        """The part of the encoding that does not depend on what stands beside the digits; reckoned digit by digit."""
        row = [0] * shift + [code ^ MASK ^ ord("0") for code in self._codes]
        found = bytearray()
        for at in range(3 if shift else 0, len(row) - 2, 3):
            bits = row[at] << 16 | row[at + 1] << 8 | row[at + 2]
            for place in (18, 12, 6, 0):
                found.append(_BASE64[bits >> place & 63] ^ MASK)
        return bytes(found)


def copies(pid: int, forms: dict[str, bytes]) -> dict[str, int]:
    """How often each form stands in the writable memory of a process; forms that are nowhere are left out."""
    found = dict.fromkeys(forms, 0)
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for start, end in _writable(pid):
            for at in range(start, end, PIECE_BYTES):
                size = min(PIECE_BYTES + OVERLAP_BYTES, end - at)
                try:
                    piece = os.pread(memory, size, at).translate(_FLIP)
                except OSError:
                    continue  # a mapping of the kernel's own
                for name, form in forms.items():
                    place = piece.find(form)
                    while 0 <= place < PIECE_BYTES:
                        found[name] += 1
                        place = piece.find(form, place + 1)
    finally:
        os.close(memory)
    return {name: count for name, count in found.items() if count}


def _writable(pid: int) -> list[tuple[int, int]]:
    spans = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights, *_ = line.split()
        if rights.startswith("rw"):
            start, end = (int(one, 16) for one in span.split("-"))
            spans.append((start, end))
    return spans
