"""Sentences as somebody says them on the telephone: made by espeak-ng, in mu-law."""

from __future__ import annotations

import subprocess

import numpy as np

from tenderline.voice import codec
from tenderline.voice.packet import CLOCK_HZ, PCMU

PAUSE = b"\xff" * (CLOCK_HZ // 2)
_HEADER_BYTES = 44


def said(text: str, voice: str = "en-us", *, words_a_minute: int = 130) -> bytes:
    """With half a second of silence before and after it."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "--stdout", text]
    wav = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    rate_hz = int.from_bytes(wav[24:28], "little")
    pcm = np.frombuffer(wav[_HEADER_BYTES : len(wav) // 2 * 2], "<i2")
    places = np.arange(len(pcm) * CLOCK_HZ // rate_hz) * rate_hz / CLOCK_HZ
    samples = np.interp(places, np.arange(len(pcm)), pcm).astype(np.int16)
    return PAUSE + codec.from_samples(samples, PCMU) + PAUSE
