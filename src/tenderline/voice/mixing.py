"""Several voices as one, and who hears whom on a call: two who talk, and whoever monitors them.

A mix is made when a leg asks for its next frame, from the frames that the others have at that instant: there is no
clock here, no buffer that could hold something back, and no work while nobody monitors.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol
from uuid import UUID

import numpy as np

from tenderline.voice import codec
from tenderline.voice.leg import Leg, Sound
from tenderline.voice.packet import FRAME_SAMPLES, PCMU

Mode = Literal["listen", "whisper", "join"]

SILENCE: Final = bytes([codec.SILENCE[PCMU]]) * FRAME_SAMPLES


def _sums() -> tuple[bytes, ...]:
    values = codec.to_samples(bytes(range(256)), PCMU).astype(np.int32)
    sums = np.clip(values[:, None] + values[None, :], -32_768, 32_767)
    return tuple(codec.from_samples(row.astype(np.int16), PCMU) for row in sums)


_SUMS: Final = _sums()
"""In mu-law, what two samples together sound like: 64 KB, instead of going by 16 bits and back in each frame."""


def mix(one: bytes, other: bytes) -> bytes:
    """Two frames in mu-law as one; too loud is cut off. Silence changes nothing."""
    if one == SILENCE:
        return other
    if other == SILENCE:
        return one
    return bytes([_SUMS[a][b] for a, b in zip(one, other, strict=True)])


class Mix:
    """What several say, without those who are masked."""

    payload_type: Final = PCMU
    masked: Final = False

    def __init__(self, *sounds: Sound) -> None:
        self._sounds = sounds

    @property
    def heard(self) -> bytes:
        """The frame of this instant."""
        found = SILENCE
        for sound in self._sounds:
            if not sound.masked:
                found = mix(found, codec.convert(sound.heard, sound.payload_type, PCMU))
        return found


class Ear:
    """What whoever monitors hears: the caller and what she is told, or the one who talks with her. Nothing while she
    keys a card in: that is looked at in each frame, whatever the mode of the payment."""

    payload_type: Final = PCMU

    def __init__(self, caller: Leg, other: Sound | None) -> None:
        self._caller, self._other = caller, other

    @property
    def masked(self) -> bool:
        """Whether a card is being keyed in."""
        return self._caller.secret or self._caller.masked

    @property
    def heard(self) -> bytes:
        """The frame of this instant."""
        if self.masked:
            return SILENCE
        caller, other = self._caller, self._other
        told = caller.told if other is None else (SILENCE if other.masked else other.heard)
        law = caller.payload_type if other is None else other.payload_type
        return mix(codec.convert(caller.heard, caller.payload_type, PCMU), codec.convert(told, law, PCMU))


class Listening(Protocol):
    """Whoever monitors: her leg, and what she may."""

    @property
    def leg(self) -> Leg: ...
    @property
    def mode(self) -> Mode: ...


class Wiring:
    """Who hears whom on one call. `agent` is whom a whisper is for."""

    def __init__(self, caller: Leg) -> None:
        self._caller = caller
        self._pair: tuple[Leg, Leg] | None = None
        self._agent: Leg | None = None
        self._listening: dict[UUID, Listening] = {}

    def join(self, one: Leg, other: Leg, *, agent: Leg) -> None:
        """These two hear each other from here on, and nobody else does, but for those who monitor."""
        self.part()
        self._pair, self._agent = (one, other), agent
        self._wire()

    def part(self) -> None:
        """Nobody hears anybody any more."""
        for leg in self._pair or ():
            leg.peer = None
        self._pair = self._agent = None
        self._wire()

    def listen(self, id: UUID, who: Listening) -> None:
        """Somebody monitors from here on, or does so in another mode."""
        self._listening[id] = who
        self._wire()

    def stop(self, id: UUID) -> None:
        """She does not any more."""
        gone = self._listening.pop(id, None)
        if gone is not None:
            gone.leg.peer = None
        self._wire()

    def _wire(self) -> None:
        self._caller.is_listened_to = bool(self._listening)
        if self._pair is not None:
            one, other = self._pair
            one.peer, other.peer = self._for(one, other), self._for(other, one)
        for who in self._listening.values():
            who.leg.peer = Ear(self._caller, self._with_her(who.mode))

    def _for(self, leg: Leg, other: Leg) -> Sound:
        more = [who.leg for who in self._listening.values() if self._reaches(who.mode, leg)]
        return Mix(other, *more) if more else other

    def _reaches(self, mode: Mode, leg: Leg) -> bool:
        return mode == "join" or (mode == "whisper" and leg is self._agent)

    def _with_her(self, mode: Mode) -> Leg | None:
        """In `join` the caller is told what the monitor says: she hears the agent alone, not herself."""
        if mode != "join" or self._pair is None or self._caller not in self._pair:
            return None
        one, other = self._pair
        return other if one is self._caller else one
