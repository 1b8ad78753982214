"""Key tones in a recording or in captured packets (ITU-T Q.23): whoever hears them knows the card number.

Not the detector that keeps tones out of recordings while they are made (`voice/tones.py`): a search that shares its
blind spots would prove nothing. This one has time, so it looks at overlapping windows, and at quieter tones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 8_000
WINDOW_SAMPLES: Final = 240  # 30 ms: a tone lasts 40 ms or more (ITU-T Q.24)
HOP_SAMPLES: Final = 80
RUN_PRESSES_MIN: Final = 4
RUN_GAP_MAX_MS: Final = 5_000
"""Presses further apart belong to different runs: nobody takes so long between the digits of a card."""
_PRESS_WINDOWS_MIN: Final = 2
_LOW_HZ: Final = (697, 770, 852, 941)
_HIGH_HZ: Final = (1209, 1336, 1477, 1633)
_TONES_SHARE_MIN: Final = 0.75
_EACH_SHARE_MIN: Final = 0.08
_MEAN_SQUARE_MIN: Final = 2.5e3
"""An RMS of 50; a telephone's tones have some thousands, and what keeps them out of recordings begins at 200."""
_RELEASED_WINDOWS_MIN: Final = 2
_MATRIX: Final = np.exp(
    -2j * np.pi * np.outer((*_LOW_HZ, *_HIGH_HZ), np.arange(WINDOW_SAMPLES)) / RATE_HZ, dtype=np.complex64
).T


def _ulaw_sample(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 132) << ((code & 0x70) >> 4)
    return 132 - magnitude if code & 0x80 else magnitude - 132


def _alaw_sample(code: int) -> int:
    code ^= 0x55
    exponent, mantissa = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = (mantissa + 0x108) << (exponent - 1) if exponent else mantissa + 8
    return magnitude if code & 0x80 else -magnitude


ULAW: Final = np.array([_ulaw_sample(code) for code in range(256)], dtype=np.float32)
ALAW: Final = np.array([_alaw_sample(code) for code in range(256)], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Run:
    """Several presses in a row; which keys they were is not kept."""

    from_ms: int
    until_ms: int
    presses: int


class Listener:
    """One channel, heard piece by piece. `law` is how its bytes sound (ITU-T G.711)."""

    def __init__(self, law: NDArray[np.float32] = ULAW) -> None:
        self._law = law
        self._rest = b""
        self._at_samples = 0
        self._key: int | None = None
        self._windows = 0
        self._silent = _RELEASED_WINDOWS_MIN
        self._held: int | None = None
        self._run: Run | None = None
        self.runs: list[Run] = []

    def hear(self, sound: bytes) -> None:
        """The next piece of the channel."""
        data = self._rest + sound
        count = (len(data) - WINDOW_SAMPLES) // HOP_SAMPLES + 1 if len(data) >= WINDOW_SAMPLES else 0
        if count > 0:
            samples = self._law[np.frombuffer(data, dtype=np.uint8)]
            windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES][:count]
            for key in _keys(windows):
                self._window(int(key))
        self._rest = data[count * HOP_SAMPLES :]

    def end(self) -> list[Run]:
        """Nothing comes any more: every run there was."""
        self._close()
        return self.runs

    def _window(self, key: int) -> None:
        self._windows = self._windows + 1 if key == self._key else 1
        self._key = key
        self._silent = 0 if key >= 0 else self._silent + 1
        if self._silent >= _RELEASED_WINDOWS_MIN:
            self._held = None
        if key >= 0 and self._windows == _PRESS_WINDOWS_MIN and key != self._held:
            self._held = key
            self._press(self._at_samples * 1_000 // RATE_HZ)
        self._at_samples += HOP_SAMPLES

    def _press(self, at_ms: int) -> None:
        if self._run is not None and at_ms - self._run.until_ms <= RUN_GAP_MAX_MS:
            self._run = Run(self._run.from_ms, at_ms, self._run.presses + 1)
        else:
            self._close()
            self._run = Run(at_ms, at_ms, 1)

    def _close(self) -> None:
        if self._run is not None and self._run.presses >= RUN_PRESSES_MIN:
            self.runs.append(self._run)
        self._run = None


def _keys(windows: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each window the key that sounds in it, or -1."""
    energy = np.einsum("ij,ij->i", windows, windows) + 1e-9
    spectrum = windows @ _MATRIX
    power = (spectrum.real**2 + spectrum.imag**2) * (2 / WINDOW_SAMPLES) / energy[:, None]
    low, high = power[:, :4], power[:, 4:]
    lowest, highest = low.max(1), high.max(1)
    is_key = (
        (energy > _MEAN_SQUARE_MIN * WINDOW_SAMPLES)
        & (lowest + highest > _TONES_SHARE_MIN)
        & (np.minimum(lowest, highest) > _EACH_SHARE_MIN)
    )
    return np.where(is_key, low.argmax(1) * 4 + high.argmax(1), -1)
