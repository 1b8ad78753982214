"""The full number spoken to its caller: clips of single digits, put together inside the child.

The parent gets sound, a part at a time, and plays it to the caller's leg only; the digits themselves never leave. The
sound is card data as much as the digits are, which is why four digits are read back unless the policy asks for all.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Sequence
from typing import Final

from tenderline.cardholder import wire
from tenderline.cardholder.digits import Digits

_SILENCE: Final = 0xFF
_GAP_SAMPLES: Final = 640  # 80 ms between two digits
_GROUP_GAP_SAMPLES: Final = 3_200  # 400 ms between two groups
# As they are printed on the card: 4-6-5 on one of 15 digits, fours elsewhere.
_GROUPS_OF_15: Final = frozenset({4, 10})
_FOURS: Final = frozenset({4, 8, 12, 16})
_AMEX_DIGITS: Final = 15
_ZERO: Final = ord("0")


class Clips:
    """Ten clips in mu-law, one for each digit, and the memory in which they are put together."""

    def __init__(self) -> None:
        self._clips = [bytearray() for _ in range(wire.DIGIT_CLIPS)]
        self._part = bytearray(1 + wire.SOUND_BYTES_MAX)
        self._used_bytes = 1

    def add(self, digit: int, sound: bytes | bytearray) -> None:
        """Appends to the clip of a digit."""
        clip = self._clips[digit]
        if len(clip) + len(sound) > wire.CLIP_BYTES_MAX:
            raise ValueError
        clip += sound

    def send(self, link: socket.socket, digits: Digits | None) -> None:
        """Sends the digits as sound, in whole frames, and then that this was all."""
        if digits is not None and all(self._clips):
            view = digits.view()
            stops: Sequence[int] | frozenset[int] = _GROUPS_OF_15 if len(view) == _AMEX_DIGITS else _FOURS
            total_bytes = 0
            for at in range(len(view)):
                gap = _GROUP_GAP_SAMPLES if at in stops else _GAP_SAMPLES if at else 0
                self._silence(link, gap)
                clip = self._clips[view[at] - _ZERO]
                self._append(link, clip)
                total_bytes += gap + len(clip)
            self._silence(link, -total_bytes % wire.FRAME_BYTES)
            self._flush(link)
        link.send(wire.SOUND_ENDS)

    def wipe(self) -> None:
        """Forgets which digits were spoken."""
        whole = (ctypes.c_char * len(self._part)).from_buffer(self._part)
        ctypes.memset(ctypes.addressof(whole), 0, len(self._part))
        self._used_bytes = 1

    def _silence(self, link: socket.socket, samples: int) -> None:
        self._append(link, bytes((_SILENCE,)) * samples)

    def _append(self, link: socket.socket, sound: bytes | bytearray) -> None:
        source = memoryview(sound)
        while len(source):
            size_bytes = min(len(source), len(self._part) - self._used_bytes)
            self._part[self._used_bytes : self._used_bytes + size_bytes] = source[:size_bytes]
            self._used_bytes += size_bytes
            source = source[size_bytes:]
            if self._used_bytes == len(self._part):
                self._flush(link)

    def _flush(self, link: socket.socket) -> None:
        if self._used_bytes > 1:
            self._part[:1] = wire.SOUND
            link.send(memoryview(self._part)[: self._used_bytes])
        self.wipe()
