"""Settings of machine detection, each with its unit and why it is what it is."""

from __future__ import annotations

import msgspec


class Cadence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How somebody who answers is told from a machine. Seconds count from the answer unless it says otherwise.

    The defaults were chosen on one half of made samples and measured on the other: docs/reference/machine-detection.md.
    """

    holdoff_s: float = 0.2
    """What begins and ends so soon is no word: switching clicks."""
    initial_silence_s: float = 3.5
    """Nobody spoke for so long after the answer: `silence`."""
    word_s_min: float = 0.08
    """A sound that is shorter is no word: clicks, crackling."""
    between_words_s: float = 0.06
    """A pause of this length ends a word; shorter ones are inside it."""
    silence_after_s: float = 1.1
    """Who stops for so long after a greeting waits for an answer: `person`. Federal rules give a caller two seconds
    from the end of the greeting (16 CFR 310.4(b)(4)(iii)), so it must stay well below."""
    greeting_s_max: float = 6.4
    """A greeting that is longer, from its first to its last word, is a machine's."""
    words_max: int = 20
    """A greeting with more words is a machine's. Words of fluent speech run together: real ones are more."""
    analysis_s_max: float = 11.0
    """By then it is decided, for a person if nothing says otherwise."""
    above_noise_db: float = 9.0
    """By how much sound must stand out from the line's noise."""
    level_dbov_min: float = -48.0
    """What is quieter is never a voice, however quiet the line."""
    beep_s_min: float = 0.12
    """A single steady tone of this length is a machine's beep (or a fax)."""
    greeting_over_silence_s: float = 2.0
    """After `machine`: so long a silence ends its greeting when no beep was heard."""
    greeting_over_s_max: float = 60.0
    """After `machine`: when its greeting is not over by then, counted from the answer, we stop waiting."""

    def __post_init__(self) -> None:
        spans = (self.word_s_min, self.between_words_s, self.silence_after_s, self.greeting_s_max, self.beep_s_min)
        if min(*spans, self.initial_silence_s, self.greeting_over_silence_s) <= 0 or self.holdoff_s < 0:
            raise ValueError("spans of time must be longer than nothing")
        if not self.initial_silence_s <= self.analysis_s_max <= 60:
            raise ValueError("analysis_s_max must be from initial_silence_s up to 60 seconds")
        if self.words_max < 1:
            raise ValueError("words_max must be 1 or more")
