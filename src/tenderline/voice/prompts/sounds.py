"""Sounds of our own making: music on hold, a beep, a ring-back tone. Made once, when first heard."""

from __future__ import annotations

from functools import cache

import numpy as np

from tenderline.voice import codec
from tenderline.voice.packet import CLOCK_HZ, PCMU

NAMES = ("music", "beep", "ringback")


@cache
def ulaw(name: str) -> bytes:
    """The sound in 8 kHz mu-law."""
    match name:
        case "music":
            return codec.from_samples(_music(), PCMU)
        case "beep":
            return codec.from_samples(_tone((1000,), 0.25, 8_000), PCMU)
        case "ringback":  # North America: 440 and 480 Hz, 2 s on, 4 s off
            return codec.from_samples(np.concatenate([_tone((440, 480), 2.0, 5_000), _rest(4.0)]), PCMU)
    raise KeyError(name)


def _rest(duration_s: float) -> codec.Samples:
    return np.zeros(int(CLOCK_HZ * duration_s), dtype=np.int16)


def _tone(frequencies_hz: tuple[float, ...], duration_s: float, peak: int) -> codec.Samples:
    at = np.arange(int(CLOCK_HZ * duration_s)) / CLOCK_HZ
    wave = sum(np.sin(2 * np.pi * one * at) for one in frequencies_hz) / len(frequencies_hz)
    ramp = np.minimum(1, np.minimum(at, duration_s - at) / 0.02)
    return (wave * ramp * peak).astype(np.int16)


def _music() -> codec.Samples:
    """Four quiet chords, two and a half seconds each, that flow into each other and begin again."""
    chords_hz = ((220.0, 277.2, 329.6), (185.0, 220.0, 277.2), (293.7, 370.0, 440.0), (164.8, 207.7, 246.9))
    return np.concatenate([_tone(chord, 2.5, 3_000) for chord in chords_hz])
