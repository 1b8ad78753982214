"""G.711 by ITU-T's tables: mu-law and A-law to 16-bit samples and back, and straight from one to the other."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tenderline.voice.packet import PCMA, PCMU

Samples = NDArray[np.int16]

SILENCE: Final = {PCMU: 0xFF, PCMA: 0xD5}
_BIAS = 132
_CLIP = 32_635


def _ulaw_value(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS) << ((code & 0x70) >> 4)
    return _BIAS - magnitude if code & 0x80 else magnitude - _BIAS


def _alaw_value(code: int) -> int:
    code ^= 0x55
    segment = (code & 0x70) >> 4
    magnitude = ((code & 0x0F) << 4) + (8 if segment == 0 else 0x108)
    if segment > 1:
        magnitude <<= segment - 1
    return magnitude if code & 0x80 else -magnitude


def _ulaw_code(value: int) -> int:
    sign = 0x80 if value < 0 else 0
    magnitude = min(abs(value), _CLIP) + _BIAS
    segment = magnitude.bit_length() - 8
    return ~(sign | (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)) & 0xFF


def _alaw_code(value: int) -> int:
    sign = 0x80 if value >= 0 else 0
    magnitude = min(value if value >= 0 else -value - 1, 0x7FFF)
    segment = max(0, magnitude.bit_length() - 8)
    shift = 4 if segment == 0 else segment + 3
    return (sign | (segment << 4) | ((magnitude >> shift) & 0x0F)) ^ 0x55


_ULAW: Final = np.array([_ulaw_value(code) for code in range(256)], dtype=np.int16)
_ALAW: Final = np.array([_alaw_value(code) for code in range(256)], dtype=np.int16)
_TO_ULAW: Final = np.array([_ulaw_code(value) for value in range(-32_768, 32_768)], dtype=np.uint8)
_TO_ALAW: Final = np.array([_alaw_code(value) for value in range(-32_768, 32_768)], dtype=np.uint8)
_ULAW_TO_ALAW: Final = bytes(_alaw_code(_ulaw_value(code)) for code in range(256))
_ALAW_TO_ULAW: Final = bytes(_ulaw_code(_alaw_value(code)) for code in range(256))


def to_samples(payload: bytes, payload_type: int) -> Samples:
    """16-bit samples at 8 kHz of a payload in G.711; `payload_type` is 0 (mu-law) or 8 (A-law)."""
    table = _ULAW if payload_type == PCMU else _ALAW
    samples: Samples = table[np.frombuffer(payload, dtype=np.uint8)]
    return samples


def from_samples(samples: Samples, payload_type: int) -> bytes:
    """The payload of 16-bit samples at 8 kHz."""
    table = _TO_ULAW if payload_type == PCMU else _TO_ALAW
    return bytes(table[samples.astype(np.int32) + 32_768])


def convert(payload: bytes, from_type: int, to_type: int) -> bytes:
    """From one law to the other; the very same bytes when they are the same."""
    if from_type == to_type:
        return payload
    return payload.translate(_ULAW_TO_ALAW if from_type == PCMU else _ALAW_TO_ULAW)
