"""Tones for tests that measure what was heard: made, written as a file for a browser's microphone, and found again."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from tenderline.voice import codec
from tenderline.voice.packet import CLOCK_HZ, PCMU

ON_S, OFF_S = 0.25, 0.15
LOUD_SHARE = 0.3


def ulaw(frequency_hz: float, duration_s: float) -> bytes:
    """A steady tone in mu-law at 8 kHz."""
    at = np.arange(int(duration_s * CLOCK_HZ)) / CLOCK_HZ
    return codec.from_samples((np.sin(2 * np.pi * frequency_hz * at) * LOUD_SHARE * 32_767).astype(np.int16), PCMU)


def write_beeps(path: Path, frequency_hz: float, *, duration_s: float = 8.0) -> None:
    """A WAV file of beeps, with pauses as speech has them: a browser takes a steady tone for noise."""
    rate_hz = 48_000
    at = np.arange(int(duration_s * rate_hz)) / rate_hz
    on = (at % (ON_S + OFF_S)) < ON_S
    samples = (np.sin(2 * np.pi * frequency_hz * at) * on * LOUD_SHARE * 32_767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


def share_of(heard: bytes, frequency_hz: float, *, width_hz: float = 25.0) -> float:
    """How much of the power of this sound (mu-law, 8 kHz) is at this frequency; 0 of silence."""
    samples = codec.to_samples(bytes(heard), PCMU).astype(float)
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    if power.sum() < 1e9:
        return 0.0
    found = np.fft.rfftfreq(len(samples), 1 / CLOCK_HZ)
    return float(power[np.abs(found - frequency_hz) <= width_hz].sum() / power.sum())


def loudness(heard: bytes) -> float:
    """Root mean square of this sound, 1.0 being the loudest."""
    samples = codec.to_samples(bytes(heard), PCMU).astype(float) / 32_768
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
