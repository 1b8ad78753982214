"""What the network says in tones about a call that it cannot, or not yet, put through.

An operator often answers with a recording before or instead of the party, and three rising tones in front of it tell a
machine that nobody is there (ITU-T E.180/Q.35, "special information tone": 950, 1400 and 1800 Hz, each within 50 Hz,
330 ms within 70 ms, gaps of up to 30 ms). In North America two frequencies and two lengths of the first two tones say
why (Bellcore SR-2275, "Notes on the Networks", special information tones). Ringback, busy and congestion are told by
frequency and cadence (E.180/Q.35 and its Supplement 2 for the countries; SR-2275 for North America).

Pure: fed one frame of 20 ms after the other, no clock, bounded memory.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Final, Literal, NamedTuple

import numpy as np

from tenderline.voice import line_sound
from tenderline.voice.line_sound import FRAME_S, Sound, Wave
from tenderline.voice.packet import CLOCK_HZ

LEVEL_DBOV_MIN = -50.0
"""Tones are sent at -24 dBm0 or louder, about -27 dBov; a line may take 20 dB off that."""


class Progress(StrEnum):
    """What was heard. `SIT_VACANT`: no such number; `SIT_INTERCEPT`: out of service or changed; `SIT_NO_CIRCUIT`,
    `SIT_REORDER` and `CONGESTION`: the network, so another try may do; `SIT_UNKNOWN`: the plain tones of E.180."""

    RINGBACK = "ringback"
    BUSY = "busy"
    CONGESTION = "congestion"
    SIT_NO_CIRCUIT = "sit_no_circuit"
    SIT_INTERCEPT = "sit_intercept"
    SIT_VACANT = "sit_vacant"
    SIT_REORDER = "sit_reorder"
    SIT_UNKNOWN = "sit_unknown"

    @property
    def is_sit(self) -> bool:
        """Whether it is one of the special information tones."""
        return self.value.startswith("sit_")


_Pitch = Literal["low", "high"]
_Length = Literal["short", "long"]

_SIT_KINDS: Final[dict[tuple[tuple[_Pitch, _Length], tuple[_Pitch, _Length]], Progress]] = {
    (("high", "long"), ("high", "long")): Progress.SIT_NO_CIRCUIT,
    (("low", "long"), ("low", "long")): Progress.SIT_NO_CIRCUIT,
    (("low", "short"), ("low", "short")): Progress.SIT_INTERCEPT,
    (("high", "long"), ("low", "short")): Progress.SIT_VACANT,
    (("low", "short"), ("high", "long")): Progress.SIT_REORDER,
    (("high", "short"), ("low", "long")): Progress.SIT_REORDER,
}
"""SR-2275: the first and the second tone; the other two combinations are reserved. The third is always low and long."""

_SIT_FIRST_HZ: Final[dict[_Pitch, float]] = {"low": 913.8, "high": 985.2}
_SIT_SECOND_HZ: Final[dict[_Pitch, float]] = {"low": 1_370.6, "high": 1_428.5}
_SIT_THIRD_HZ: Final = 1_776.7
_SIT_BANDS_HZ: Final = ((882, 1_020), (1_323, 1_479), (1_715, 1_887))
"""E.180's, and 2 % on either side for a recording that plays too slow or too fast."""
_SIT_PITCH_OFF_SHARE_MAX: Final = 0.018
_SIT_TONE_S: Final = (0.2, 0.46)
_SIT_SHORT_S_MAX: Final = 0.312
_SIT_LONG_S_MIN: Final = 0.342
_SIT_THIRD_S_MIN: Final = 0.23
_SIT_GAP_FRAMES_MAX: Final = 4
_SIT_LEVELS_APART_DB_MAX: Final = 6.0
_WANDER_HZ_MAX: Final = 30.0

_RING_ON_S: Final = (0.65, 2.4)
_RING_OFF_S_MIN: Final = 1.0
_BUSY_S: Final = (0.33, 0.68)
_CONGESTION_S: Final = (0.14, 0.32)
_BURSTS_KEPT: Final = 3
_PROGRESS_SHARE_MIN: Final = 0.75
_LINES_FRAMES_MAX: Final = 10
_LINES_FRAMES_MIN: Final = 6
_LINES_SHARE_MIN: Final = 0.75
_WEAKER_LINE_SHARE_MIN: Final = 0.12
_LINE_OFF_HZ_MAX: Final = 14.0

_Lines = Literal["one", "ring pair", "busy pair"]


class _Steady(NamedTuple):
    """A steady tone that ended; `gap_frames` between it and the one before."""

    hz: float
    duration_s: float
    level_dbov: float
    gap_frames: int


class _Burst(NamedTuple):
    """A piece of ringback, busy or congestion tone, and the silence before it."""

    lines: _Lines
    on_s: float
    off_before_s: float


class CallProgress:
    """Listens to one line. `heard` is the best knowledge so far; special information tones are final."""

    def __init__(self) -> None:
        self.heard: Progress | None = None
        self._sit, self._cadence = _SitEar(), _CadenceEar()

    def feed(self, frame: bytes, payload_type: int) -> Progress | None:
        """Takes the next 20 ms in G.711 (payload type 0 or 8) and says what was heard so far."""
        if self.heard is not None and self.heard.is_sit:
            return self.heard
        samples = line_sound.samples_of(frame, payload_type)
        return self.feed_sound(line_sound.sound_of(samples), samples)

    def feed_sound(self, sound: Sound, samples: Wave) -> Progress | None:
        """The same for a frame that was looked at already, so that two listeners share that work."""
        if self.heard is not None and self.heard.is_sit:
            return self.heard
        found = self._sit.feed(sound) or self._cadence.feed(sound, samples)
        # A line that rang may turn busy; one that is busy does not ring.
        if found is not None and (found is not Progress.RINGBACK or self.heard is None):
            self.heard = found
        return self.heard


class _SitEar:
    """Keeps the last two steady tones and the one that sounds now."""

    def __init__(self) -> None:
        self._ended: deque[_Steady] = deque(maxlen=2)
        self._gap_frames = self._frames = 0
        self._hz_sum = self._loudest_dbov = self._duration_frames = 0.0

    def feed(self, sound: Sound) -> Progress | None:
        """The kind, once, in the middle of the third tone."""
        steady = sound.is_tone and sound.level_dbov > LEVEL_DBOV_MIN
        if steady and self._frames and abs(sound.peak_hz - self._hz_sum / self._frames) > _WANDER_HZ_MAX:
            self._end(mixed_after=False)
        if not steady:
            self._end(mixed_after=sound.level_dbov > LEVEL_DBOV_MIN)
            self._gap_frames = min(self._gap_frames + 1, _SIT_GAP_FRAMES_MAX + 1)
            return None
        if self._frames == 0:
            self._loudest_dbov = sound.level_dbov
        self._frames += 1
        self._hz_sum += sound.peak_hz
        # A frame that the tone fills only in part is quieter: it counts for that part.
        self._loudest_dbov = max(self._loudest_dbov, sound.level_dbov)
        self._duration_frames += min(1.0, 10 ** ((sound.level_dbov - self._loudest_dbov) / 10))
        if self._duration_frames * FRAME_S >= _SIT_THIRD_S_MIN and len(self._ended) == 2:
            return self._kind()
        return None

    def _end(self, *, mixed_after: bool) -> None:
        if self._frames == 0:
            return
        if self._frames > 2:
            mixed_frames = 0.5 * (mixed_after + (self._gap_frames == 1))
            duration_s = (self._duration_frames + mixed_frames) * FRAME_S
            hz = self._hz_sum / self._frames
            self._ended.append(_Steady(hz, duration_s, self._loudest_dbov, self._gap_frames))
            self._gap_frames = 0
        else:
            self._gap_frames = min(self._gap_frames + self._frames, _SIT_GAP_FRAMES_MAX + 1)
        self._frames, self._hz_sum, self._duration_frames = 0, 0.0, 0.0

    def _kind(self) -> Progress | None:
        first, second = self._ended
        third = _Steady(self._hz_sum / self._frames, _SIT_TONE_S[0], self._loudest_dbov, self._gap_frames)
        levels = [one.level_dbov for one in (first, second, third)]
        for one, (lowest_hz, highest_hz) in zip((first, second, third), _SIT_BANDS_HZ, strict=True):
            if not (lowest_hz <= one.hz <= highest_hz and _SIT_TONE_S[0] <= one.duration_s <= _SIT_TONE_S[1]):
                return None
        if max(second.gap_frames, third.gap_frames) > _SIT_GAP_FRAMES_MAX:
            return None
        if max(levels) - min(levels) > _SIT_LEVELS_APART_DB_MAX:
            return None
        # The third tone has one frequency only: it tells how much too fast or too slow the recording runs.
        speed = third.hz / _SIT_THIRD_HZ
        pitches = _pitch(first.hz / speed, _SIT_FIRST_HZ), _pitch(second.hz / speed, _SIT_SECOND_HZ)
        lengths = _length(first.duration_s), _length(second.duration_s)
        if pitches[0] is None or pitches[1] is None or lengths[0] is None or lengths[1] is None:
            return Progress.SIT_UNKNOWN
        return _SIT_KINDS.get(((pitches[0], lengths[0]), (pitches[1], lengths[1])), Progress.SIT_UNKNOWN)


def _pitch(hz: float, nominal_hz: dict[_Pitch, float]) -> _Pitch | None:
    pitch = min(nominal_hz, key=lambda one: abs(hz - nominal_hz[one]))
    return pitch if abs(hz / nominal_hz[pitch] - 1) <= _SIT_PITCH_OFF_SHARE_MAX else None


def _length(duration_s: float) -> _Length | None:
    if duration_s <= _SIT_SHORT_S_MAX:
        return "short"
    return "long" if duration_s >= _SIT_LONG_S_MIN else None


class _CadenceEar:
    """Keeps the last bursts of a progress tone, and samples of the beginning of the one that sounds now."""

    def __init__(self) -> None:
        self._bursts: deque[_Burst] = deque(maxlen=_BURSTS_KEPT)
        self._on_frames = self._off_frames = self._off_before_frames = 0
        self._samples: list[Wave] = []

    def feed(self, sound: Sound, samples: Wave) -> Progress | None:
        """What the last bursts are, when one of them, or the pause after it, was just completed."""
        if sound.level_dbov > LEVEL_DBOV_MIN and sound.progress_share >= _PROGRESS_SHARE_MIN:
            if self._on_frames == 0:
                self._off_before_frames = self._off_frames
            # A frame that was lost in the middle of a tone is no pause.
            self._on_frames = min(self._on_frames + 1 + (self._off_frames if self._on_frames else 0), 1_000)
            self._off_frames = 0
            if len(self._samples) < _LINES_FRAMES_MAX:
                self._samples.append(samples)
            return None
        self._off_frames = min(self._off_frames + 1, 1_000)
        if self._on_frames and self._off_frames == 2:
            return self._end()
        if self._bursts and self._off_frames * FRAME_S >= _RING_OFF_S_MIN:
            last = self._bursts.pop()
            self._bursts.clear()
            if last.lines != "busy pair" and _RING_ON_S[0] <= last.on_s <= _RING_ON_S[1]:
                return Progress.RINGBACK
        return None

    def _end(self) -> Progress | None:
        lines = _lines(self._samples)
        on_s, off_s = self._on_frames * FRAME_S, self._off_before_frames * FRAME_S
        self._samples, self._on_frames = [], 0
        if lines is None or (self._bursts and self._bursts[-1].lines != lines):
            self._bursts.clear()
        if lines is None:
            return None
        self._bursts.append(_Burst(lines, on_s, off_s))
        if lines != "ring pair":
            if self._last_are(2, _BUSY_S):
                return Progress.BUSY
            if self._last_are(3, _CONGESTION_S):
                return Progress.CONGESTION
        return None

    def _last_are(self, count: int, within_s: tuple[float, float]) -> bool:
        last = list(self._bursts)[-count:]
        spans = [one.on_s for one in last] + [one.off_before_s for one in last[1:]]
        return len(last) == count and all(within_s[0] <= one <= within_s[1] for one in spans)


def _lines(frames: list[Wave]) -> _Lines | None:
    """Which frequencies the beginning of a burst consists of, and of nothing else; 200 ms tell 40 Hz apart."""
    if len(frames) < _LINES_FRAMES_MIN:
        return None
    samples = np.concatenate(frames)
    power = np.abs(np.fft.rfft(samples * np.hanning(samples.size), 2 * samples.size)) ** 2
    bin_hz = CLOCK_HZ / (2 * samples.size)
    whole = float(power[int(200 / bin_hz) :].sum()) + 1e-9
    power[: int(200 / bin_hz)] = 0
    found: list[tuple[float, float]] = []
    for _ in range(2):
        peak = int(power.argmax())
        near = slice(max(0, peak - round(18 / bin_hz)), peak + round(18 / bin_hz) + 1)
        found.append((peak * bin_hz, float(power[near].sum()) / whole))
        power[near] = 0
    (hz, share), (other_hz, other_share) = found
    if share >= _LINES_SHARE_MIN and 395 <= hz <= 455:
        return "one"
    if share + other_share < _LINES_SHARE_MIN or other_share < _WEAKER_LINE_SHARE_MIN:
        return None
    low_hz, high_hz = sorted((hz, other_hz))
    pairs_hz: dict[_Lines, tuple[int, int]] = {"ring pair": (440, 480), "busy pair": (480, 620)}
    for name, (low, high) in pairs_hz.items():
        if abs(low_hz - low) <= _LINE_OFF_HZ_MAX and abs(high_hz - high) <= _LINE_OFF_HZ_MAX:
            return name
    return None
