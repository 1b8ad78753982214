"""Where keyed digits lie: buffers of a fixed size that nothing prints, copies or stores, and that are really wiped.

A `str` or `bytes` cannot be overwritten: `del` leaves it in the heap until something else needs the room, and every
log line, f-string and traceback makes another. So a digit goes straight into its place in a bytearray that is never
resized, and leaves only as a view for the one request that needs it. PCI DSS 4.0.1, requirements 3.3.1 (the code is
not kept after authorisation) and 3.4.1 (at most the first and the last digits are shown).
"""

from __future__ import annotations

import ctypes
import hmac
from typing import Final, NoReturn, final

from tenderline.core.errors import TenderlineError

PREFIX_DIGITS_MAX: Final = 8  # the issuer's part of a number, ISO/IEC 7812-1 (2017)
NUMBER_DIGITS_MIN: Final = 12  # the shortest number of any brand; a code or an expiry is shorter
LAST_DIGITS: Final = 4
_ZERO: Final = ord("0")


class CardDataRefused(TenderlineError, TypeError):
    """Card data is not copied, stored, compared by value, listed or printed; use the methods of Digits instead."""

    code = "card_data_refused"


class Undisclosed:
    """Refuses every way in which Python would copy an object or show what it holds, also to a debugger's repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: not shown>"

    def __format__(self, format_spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        raise CardDataRefused

    def __ne__(self, other: object) -> bool:
        raise CardDataRefused

    def __hash__(self) -> int:
        raise CardDataRefused

    def __copy__(self) -> NoReturn:
        raise CardDataRefused

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise CardDataRefused

    def __getstate__(self) -> NoReturn:
        raise CardDataRefused

    def __reduce__(self) -> NoReturn:
        raise CardDataRefused

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise CardDataRefused

    def __iter__(self) -> NoReturn:
        raise CardDataRefused


@final
class Digits(Undisclosed):
    """Up to `capacity` keyed digits as ASCII, so that a request's body takes them as they are."""

    __slots__ = ("_buffer", "_closed", "_length")

    def __init__(self, capacity: int) -> None:
        self._buffer = bytearray(capacity)
        self._length = 0
        self._closed = False

    def __len__(self) -> int:
        return self._length

    def push(self, code: int) -> bool:
        """Takes one digit; False when it is none, when there is no room, or after `wipe`."""
        if self._closed or self._length == len(self._buffer) or not 0 <= code <= 9:
            return False
        self._buffer[self._length] = _ZERO + code
        self._length += 1
        return True

    def clear(self) -> None:
        """Forgets the digits, and takes new ones."""
        size_bytes = len(self._buffer)
        ctypes.memset((ctypes.c_char * size_bytes).from_buffer(self._buffer), 0, size_bytes)
        self._length = 0

    def wipe(self) -> None:
        """Forgets the digits for good: a key that comes late finds no place."""
        self.clear()
        self._closed = True

    def digit(self, at: int) -> int:
        """One digit, 0 to 9; negative places count from the end."""
        place = at if at >= 0 else self._length + at
        if not 0 <= place < self._length:
            raise CardDataRefused
        return self._buffer[place] - _ZERO

    def prefix(self, count: int) -> int:
        """The first digits as a number, for finding the brand: never more than the issuer's part."""
        if not 0 < count <= min(PREFIX_DIGITS_MAX, self._length):
            raise CardDataRefused
        value = 0
        for at in range(count):
            value = value * 10 + self.digit(at)
        return value

    def pair(self, at: int) -> int:
        """Two digits as a number: a month or a year."""
        return self.digit(at) * 10 + self.digit(at + 1)

    def last_four(self) -> str:
        """What may be shown and spoken of a number (PCI DSS 3.4.1). Refused for anything as short as a code."""
        if self._length < NUMBER_DIGITS_MIN:
            raise CardDataRefused
        return "".join(chr(_ZERO + self.digit(at)) for at in range(-LAST_DIGITS, 0))

    def compare(self, other: Digits) -> bool:
        """Whether both hold the same digits, in a time that does not tell where they differ or how many there are.

        Whole buffers are compared: unused places are zero, which no digit is.
        """
        return hmac.compare_digest(self._buffer, other._buffer)

    def view(self) -> memoryview:
        """The digits in place, read-only, for building a request's body. It shows zeros once they are wiped."""
        return memoryview(self._buffer).toreadonly()[: self._length]


def luhn_ok(digits: Digits) -> bool:
    """The checksum of ISO/IEC 7812-1, annex B. `core.pan` has it for text, which card data never is."""
    total = 0
    for position in range(len(digits)):
        value = digits.digit(-1 - position)
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return len(digits) > 0 and total % 10 == 0
