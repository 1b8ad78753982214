"""Whether a person or a machine answered, told by the cadence of the first words, and when a machine's greeting ends.

A person says little and waits; a machine goes on. Nothing of what is said is understood or kept: only loudness and
single tones are looked at. Who is taken for a machine hears nothing from us, which is worse than a message that begins
over a greeting, so whatever is not clear is a person. Pure: fed one frame of 20 ms after the other, no clock, bounded
memory.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from tenderline.voice import line_sound
from tenderline.voice.cadence import Cadence
from tenderline.voice.line_sound import FRAME_S, Sound

Verdict = Literal["person", "machine", "silence"]
GreetingEnd = Literal["beep", "silence", "time"]

_FLOOR_FRAMES: Final = 50
"""The quietest frame of the last second is the noise of the line: no speech goes on so long without a dip."""
_FLOOR_GUESSED_FRAMES: Final = 30
_FLOOR_AT_FIRST_DBOV: Final = -60.0
"""Guessed until the line was heard for 0.6 s, since some speak at once."""
_FLOOR_DBOV_MAX: Final = -36.0
"""A line that is noisier cannot be told from speech by loudness."""
_TONE_HZ: Final = (400.0, 2_150.0)
"""Beeps are up to 2000 Hz; a fax that answers sends 2100 Hz (ITU-T T.30), one that calls 1100 Hz."""
_PROGRESS_HZ_MAX: Final = 500.0
"""Below is ringback: a switchboard that answered is ringing somebody, and that is no machine's beep yet."""
_WANDER_HZ_MAX: Final = 15.0
_TONE_LEVELS_APART_DB_MAX: Final = 4.0
_SPEECH_SPREAD_DB_MIN: Final = 1.3
"""Standard deviation of a word's loudness; white noise has 0.6 dB, hum and tones have less."""
_WORD_TONE_SHARE_MAX: Final = 0.7


class AnswerWatch:
    """Fed from the answer on. `verdict` and `reason` (a plain phrase) once decided; after `machine`, `greeting_over`
    says what ended its greeting. `beeped`: a beep was heard, which after `person` means that it was a machine."""

    def __init__(self, cadence: Cadence | None = None) -> None:
        self._cadence = cadence or Cadence()
        self.verdict: Verdict | None = None
        self.reason = ""
        self.greeting_over: GreetingEnd | None = None
        self.frames = 0
        self._words, self._tone = _Words(self._cadence), _Tone(self._cadence)

    @property
    def beeped(self) -> bool:
        """Whether a beep was heard at any time."""
        return self._tone.beeped

    def feed(self, frame: bytes, payload_type: int) -> Verdict | None:
        """Takes the next 20 ms in G.711 (payload type 0 or 8); the verdict, once there is one."""
        return self.feed_sound(line_sound.sound_of(line_sound.samples_of(frame, payload_type)))

    def feed_sound(self, sound: Sound) -> Verdict | None:
        """The same for a frame that was looked at already, so that two listeners share that work."""
        self.frames += 1
        self._tone.feed(sound)
        self._words.feed(sound, in_tone=self._tone.is_steady)
        if self.verdict is None:
            self._decide()
        elif self.verdict == "machine" and self.greeting_over is None:
            self.greeting_over = self._end_of_greeting()
        return self.verdict

    def _decide(self) -> None:
        cadence, words, now_s = self._cadence, self._words, self.frames * FRAME_S
        if self._tone.beeped:
            self._say("machine", "a steady tone was heard")
        elif words.count > cadence.words_max:
            self._say("machine", f"more than {cadence.words_max} words without waiting for an answer")
        elif words.greeting_s > cadence.greeting_s_max:
            self._say("machine", f"spoke for more than {cadence.greeting_s_max:g} seconds without waiting")
        elif words.count and words.quiet_s >= cadence.silence_after_s:
            self._say("person", f"spoke for {words.greeting_s:.1f} seconds and then waited")
        elif not words.count and words.quiet_s >= cadence.initial_silence_s:
            self._say("silence", f"nobody spoke for {cadence.initial_silence_s:g} seconds")
        elif now_s >= cadence.analysis_s_max:
            if words.count or words.in_word:
                self._say("person", "not clear in time, so a person is assumed")
            else:
                self._say("silence", f"no words within {cadence.analysis_s_max:g} seconds")

    def _say(self, verdict: Verdict, reason: str) -> None:
        self.verdict, self.reason = verdict, reason

    def _end_of_greeting(self) -> GreetingEnd | None:
        if self._tone.ended or (self._tone.beeped and not self._tone.is_steady):
            return "beep"
        if self._words.quiet_s >= self._cadence.greeting_over_silence_s and not self._tone.is_steady:
            return "silence"
        return "time" if self.frames * FRAME_S >= self._cadence.greeting_over_s_max else None


class _Tone:
    """The steady tone that sounds now, if there is one."""

    def __init__(self, cadence: Cadence) -> None:
        self._frames_min = max(2, round(cadence.beep_s_min / FRAME_S))
        self._level_dbov_min = cadence.level_dbov_min
        self._frames = self._missed_frames = 0
        self._hz = self._level_dbov = 0.0
        self.beeped = False
        self.is_steady = False
        self.ended = False

    def feed(self, sound: Sound) -> None:
        """`is_steady` while a tone is long enough for a beep, `ended` in the frame after it."""
        was_steady = self.is_steady
        usable = sound.is_tone and sound.level_dbov > self._level_dbov_min and _TONE_HZ[0] < sound.peak_hz < _TONE_HZ[1]
        if usable and self._frames and self._fits(sound):
            self._frames = min(self._frames + 1, 1_000)
            self._hz += (sound.peak_hz - self._hz) / self._frames
            self.is_steady = self._frames >= self._frames_min
            self.beeped = self.beeped or (self.is_steady and self._hz > _PROGRESS_HZ_MAX)
        else:
            self._frames, self._hz, self._level_dbov = int(usable), sound.peak_hz, sound.level_dbov
            self.is_steady = False
        self.ended = was_steady and not self.is_steady

    def _fits(self, sound: Sound) -> bool:
        if abs(sound.peak_hz - self._hz) > _WANDER_HZ_MAX:
            return False
        if self._frames == 1:
            # A tone begins anywhere in its first frame.
            self._level_dbov = max(self._level_dbov, sound.level_dbov)
            return True
        return abs(sound.level_dbov - self._level_dbov) < _TONE_LEVELS_APART_DB_MAX


class _Words:
    """Counts words and pauses by loudness above the noise of the line, which is learnt as it changes."""

    def __init__(self, cadence: Cadence) -> None:
        self._cadence = cadence
        self._word_frames_min = max(1, round(cadence.word_s_min / FRAME_S))
        self._holdoff_frames = round(cadence.holdoff_s / FRAME_S)
        self._pause_frames = max(1, round(cadence.between_words_s / FRAME_S))
        self._levels_dbov: deque[float] = deque(maxlen=_FLOOR_FRAMES)
        self._frame = 0
        self._first: int | None = None
        self._last = 0
        self.count = 0
        self._forget_word()

    def _forget_word(self) -> None:
        self._begun = self._loud_until = 0
        self._loud_frames = self._tone_frames = self._weighed_frames = 0
        self._sum_db = self._sum_db_squared = 0.0
        self.in_word = False

    @property
    def greeting_s(self) -> float:
        """From the first word to the end of the last one, or to now in the middle of a word."""
        if self._first is None:
            return (self._loud_until - self._begun) * FRAME_S if self.in_word else 0.0
        return (max(self._last, self._loud_until if self.in_word else 0) - self._first) * FRAME_S

    @property
    def quiet_s(self) -> float:
        """Since the last sound that is, or may still become, a word."""
        return (self._frame - max(self._last, self._loud_until)) * FRAME_S

    def feed(self, sound: Sound, *, in_tone: bool) -> None:
        """The next frame."""
        self._frame += 1
        level_dbov = sound.level_dbov
        self._levels_dbov.append(level_dbov)
        guess_dbov = _FLOOR_AT_FIRST_DBOV if self._frame <= _FLOOR_GUESSED_FRAMES else _FLOOR_DBOV_MAX
        floor_dbov = min(guess_dbov, min(self._levels_dbov))
        if in_tone:
            self._last = self._frame if not self.count else self._last
            self._forget_word()
        elif level_dbov > max(self._cadence.level_dbov_min, floor_dbov + self._cadence.above_noise_db):
            self._loud(sound)
        elif self._loud_frames and self._frame - self._loud_until >= self._pause_frames:
            self._end_word()

    def _loud(self, sound: Sound) -> None:
        if self._loud_frames == 0:
            self._begun = self._frame - 1
        self._loud_until = self._frame
        self._loud_frames += 1
        self._tone_frames += sound.is_tone
        if self._frame > self._holdoff_frames:  # a click in the hiss of a line has the loudness of a word
            self._weighed_frames += 1
            self._sum_db += sound.level_dbov
            self._sum_db_squared += sound.level_dbov**2
        self.in_word = self._is_word()

    def _is_word(self) -> bool:
        # A click is over soon; who speaks at once goes on.
        if self._loud_until <= self._holdoff_frames or self._loud_frames < self._word_frames_min:
            return False
        if self._tone_frames > _WORD_TONE_SHARE_MAX * self._loud_frames:
            return False
        frames = self._weighed_frames
        return self._sum_db_squared / frames - (self._sum_db / frames) ** 2 >= _SPEECH_SPREAD_DB_MIN**2

    def _end_word(self) -> None:
        if self.in_word:
            self.count += 1
            self._last = self._loud_until
            if self._first is None:
                self._first = self._begun
        self._forget_word()
