"""How many parts a text message is billed as: carriers tell it in every answer, and a demo should tell the truth.

Alphabet and sizes are those of 3GPP TS 23.038 (GSM 7-bit default alphabet) and TS 23.040 (concatenated messages).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("^{}\\[~]|€\f")

SEPTETS_SINGLE_MAX: Final = 160
SEPTETS_PART_MAX: Final = 153
UCS2_UNITS_SINGLE_MAX: Final = 70
UCS2_UNITS_PART_MAX: Final = 67
_BEYOND_BMP: Final = 0xFFFF


def segments(text: str) -> int:
    """The number of parts `text` takes; an empty text takes one."""
    if all(char in _BASIC or char in _EXTENDED for char in text):
        return _packed((1 if char in _BASIC else 2 for char in text), SEPTETS_SINGLE_MAX, SEPTETS_PART_MAX)
    return _packed((2 if ord(char) > _BEYOND_BMP else 1 for char in text), UCS2_UNITS_SINGLE_MAX, UCS2_UNITS_PART_MAX)


def _packed(sizes: Iterable[int], single_max: int, part_max: int) -> int:
    """Fills parts in order; a character of two units never lies across two of them."""
    widths = list(sizes)
    if sum(widths) <= single_max:
        return 1
    parts, filled = 1, 0
    for width in widths:
        if filled + width > part_max:
            parts, filled = parts + 1, 0
        filled += width
    return parts
