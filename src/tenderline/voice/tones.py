"""Key tones inside the audio (ITU-T Q.23): found, kept from agents and recordings, and read as keys where they must be.

Some gateways play the beginning of a tone before they send the event for it. So whatever goes on to an agent or into a
recording is held back for three frames, and a frame that sounds like a key is silenced together with those before it.
Frames of all legs of one slot are looked at together: alone each would cost four times as much.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tenderline.voice import codec
from tenderline.voice.packet import CLOCK_HZ, FRAME_SAMPLES

LOOK_BACK_FRAMES = 3
QUIET_AFTER_FRAMES = 2
KEYS = ("123A", "456B", "789C", "*0#D")

_LOW: Final = (697, 770, 852, 941)
_HIGH: Final = (1209, 1336, 1477, 1633)
_MATRIX: Final = np.exp(
    -2j * np.pi * np.outer((*_LOW, *_HIGH), np.arange(FRAME_SAMPLES)) / CLOCK_HZ, dtype=np.complex64
).T
_TONES_SHARE_MIN = 0.7
"""Of a frame's energy; speech that holds both tones of a key so purely is rare (measured: 0 in 243 frames)."""
_EACH_SHARE_MIN = 0.1
_MEAN_SQUARE_MIN = 4e4
_TABLES: Final = {pt: codec.to_samples(bytes(range(256)), pt).astype(np.float32) for pt in (0, 8)}


def find(frames: list[bytes], payload_types: list[int]) -> list[str | None]:
    """For each frame of 160 bytes the key that it sounds like, or None."""
    codes = np.frombuffer(b"".join(frames), dtype=np.uint8).reshape(-1, FRAME_SAMPLES)
    if all(one == payload_types[0] for one in payload_types):
        samples = _TABLES[payload_types[0]][codes]
    else:
        law = np.array(payload_types)[:, None]
        samples = np.where(law == 0, _TABLES[0][codes], _TABLES[8][codes])
    energy = np.einsum("ij,ij->i", samples, samples) + 1e-9
    found: list[str | None] = [None] * len(frames)
    loud = np.flatnonzero(energy > _MEAN_SQUARE_MIN * FRAME_SAMPLES)
    if not loud.size:
        return found
    spectrum: NDArray[np.complex64] = samples[loud] @ _MATRIX
    power = (spectrum.real**2 + spectrum.imag**2) * (2 / FRAME_SAMPLES) / energy[loud, None]
    low, high = power[:, :4], power[:, 4:]
    lowest, highest = low.max(1), high.max(1)
    is_key = (lowest + highest > _TONES_SHARE_MIN) & (np.minimum(lowest, highest) > _EACH_SHARE_MIN)
    for index in np.flatnonzero(is_key):
        found[int(loud[index])] = KEYS[int(low[index].argmax())][int(high[index].argmax())]
    return found


class Guard:
    """The last frames of one leg, held back until it is known that no key sounds in them."""

    def __init__(self, silence: bytes) -> None:
        self._silence = silence
        self._held = deque([silence] * LOOK_BACK_FRAMES, maxlen=LOOK_BACK_FRAMES)
        self._quiet_frames = 0
        self.silenced_frames = 0

    def pass_on(self, frame: bytes) -> bytes:
        """Takes a frame and gives the one of 60 ms before."""
        oldest = self._held[0]
        if self._quiet_frames > 0:
            self._quiet_frames -= 1
            frame = self._silence
            self.silenced_frames += 1
        self._held.append(frame)
        return oldest

    def heard(self, key: str | None) -> None:
        """What the frame that was passed last sounded like."""
        if key is not None:
            self.clear()
            self._quiet_frames = QUIET_AFTER_FRAMES
            self.silenced_frames += LOOK_BACK_FRAMES

    def clear(self) -> None:
        """What is held back is silence now: nothing from before goes on."""
        for index in range(LOOK_BACK_FRAMES):
            self._held[index] = self._silence


class ToneKeys:
    """Presses read from the audio, for a line that sends no events: two frames of one key, then a frame without it."""

    FRAMES_MIN = 2

    def __init__(self) -> None:
        self._key: str | None = None
        self._frames = 0

    def heard(self, key: str | None) -> str | None:
        """The key, once for each press."""
        if key != self._key:
            self._key, self._frames = key, 1
        else:
            self._frames += 1
        return key if key is not None and self._frames == self.FRAMES_MIN else None
