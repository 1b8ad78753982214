"""Looks for key tones in the frames of all legs of one slot at once, after the slot has been sent."""

from __future__ import annotations

from typing import Protocol

from tenderline.voice import tones


class Watched(Protocol):
    """A leg, as far as the watch knows it."""

    payload_type: int

    def tone_heard(self, key: str | None) -> None:
        """What its last frame sounded like."""
        ...


class ToneWatch:
    """Collects frames during a slot; `look` is called when the slot is done."""

    def __init__(self) -> None:
        self._legs: list[Watched] = []
        self._frames: list[bytes] = []

    def look_at(self, leg: Watched, frame: bytes) -> None:
        """This frame of this leg is looked at with the others."""
        self._legs.append(leg)
        self._frames.append(frame)

    def look(self) -> None:
        """Tells every leg what its frame sounded like."""
        if not self._legs:
            return
        legs, frames = self._legs, self._frames
        self._legs, self._frames = [], []
        for leg, key in zip(legs, tones.find(frames, [leg.payload_type for leg in legs]), strict=True):
            leg.tone_heard(key)
