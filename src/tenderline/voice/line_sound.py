"""What one 20 ms frame of a line sounds like: how loud, and whether a single tone holds all of it.

One product of 160 samples with a fixed matrix is a windowed Fourier transform of only the bins that matter; with numpy
it costs a third of a general transform of that length. What a frame sounds like is all that the cadence of a call
needs; frequencies are measured exactly by whoever kept the samples of a whole tone.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tenderline.voice import codec
from tenderline.voice.packet import CLOCK_HZ, FRAME_MS, FRAME_SAMPLES, PCMA, PCMU

FRAME_S = FRAME_MS / 1_000
SILENT_DBOV = -100.0
"""Said of a frame without any sound. dBov are decibels below a square wave at full scale (ITU-T G.100.1)."""
TONE_SHARE_MIN = 0.8
"""From this share of a frame's energy around its highest peak on, it is taken for one tone."""

Wave = NDArray[np.float32]

_BIN_HZ: Final = CLOCK_HZ // FRAME_SAMPLES
_LOWEST_BIN: Final = 200 // _BIN_HZ  # mains hum and its first harmonics are below
_HIGHEST_BIN: Final = 3_400 // _BIN_HZ
_BINS: Final = _HIGHEST_BIN - _LOWEST_BIN + 1
_NEAR_BINS: Final = 2
_PROGRESS: Final = slice(350 // _BIN_HZ - _LOWEST_BIN, 700 // _BIN_HZ - _LOWEST_BIN + 1)
_FULL_SCALE: Final = 32_768
_TABLES: Final = {law: codec.to_samples(bytes(range(256)), law).astype(np.float32) for law in (PCMU, PCMA)}


def _matrix() -> Wave:
    """Cosines, then sines, under a Hann window; scaled so that squares add up to the mean square of the samples."""
    window = np.hanning(FRAME_SAMPLES + 1)[:-1]
    turns = np.outer(np.arange(FRAME_SAMPLES), np.arange(_LOWEST_BIN, _HIGHEST_BIN + 1)) / FRAME_SAMPLES
    scale = math.sqrt(2 / (FRAME_SAMPLES * float(np.sum(window**2)))) / _FULL_SCALE
    waves = np.hstack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)])
    matrix: Wave = (window[:, None] * waves * scale).astype(np.float32)
    return matrix


_MATRIX: Final = _matrix()


class Sound(NamedTuple):
    """One frame. `tone_share` is how much of its energy is within 100 Hz of `peak_hz`, the strongest frequency;
    `progress_share` how much is between 350 and 700 Hz, where ringback and busy tones are."""

    level_dbov: float
    peak_hz: float
    tone_share: float
    progress_share: float

    @property
    def is_tone(self) -> bool:
        """Whether one tone holds nearly all of it."""
        return self.tone_share >= TONE_SHARE_MIN


SILENT: Final = Sound(SILENT_DBOV, 0.0, 0.0, 0.0)


def samples_of(frame: bytes, payload_type: int) -> Wave:
    """160 samples; a frame that is shorter goes on with silence, what is longer is cut."""
    if len(frame) != FRAME_SAMPLES:
        quiet = codec.SILENCE[PCMA if payload_type == PCMA else PCMU]
        frame = frame[:FRAME_SAMPLES].ljust(FRAME_SAMPLES, bytes([quiet]))
    table = _TABLES[PCMA if payload_type == PCMA else PCMU]
    samples: Wave = table.take(np.frombuffer(frame, dtype=np.uint8))
    return samples


def sound_of(samples: Wave) -> Sound:
    """What 160 samples sound like between 200 and 3400 Hz."""
    parts = samples @ _MATRIX
    parts *= parts
    power = parts[:_BINS] + parts[_BINS:]
    energy = float(np.add.reduce(power))
    if energy < 1e-10:
        return SILENT
    peak = int(power.argmax())
    first = max(0, peak - _NEAR_BINS)
    near = power[first : peak + _NEAR_BINS + 1].tolist()
    peak_hz = _BIN_HZ * (_LOWEST_BIN + peak + _between(near, peak - first))
    progress = float(np.add.reduce(power[_PROGRESS]))
    return Sound(10 * math.log10(energy), peak_hz, sum(near) / energy, progress / energy)


def _between(near: list[float], middle: int) -> float:
    """How far, in bins, the peak is beside its bin: from the larger neighbour, exact for a tone under a Hann window."""
    left = math.sqrt(near[middle - 1]) if middle > 0 else 0.0
    right = math.sqrt(near[middle + 1]) if middle + 1 < len(near) else 0.0
    top = math.sqrt(near[middle])
    if right >= left:
        return (2 * right - top) / (right + top) if 2 * right > top else 0.0
    return -((2 * left - top) / (left + top)) if 2 * left > top else 0.0
