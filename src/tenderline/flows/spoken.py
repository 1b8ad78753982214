"""What a call says, as plain data: words and typed values in one language. Whoever has a mouth turns it into sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time

from tenderline.core.money import Money

PARTS_MAX = 200
TEXT_CHARACTERS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Words:
    """Text to be read out as it is written; the name of a recorded clip is derived from it."""

    text: str


@dataclass(frozen=True, slots=True)
class Digits:
    """Read one by one: an account's number, the last four of a card, a reference (letters and digits)."""

    characters: str


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number: "forty-two"."""

    value: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence, in milliseconds."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording by the name of its file, without the ending: `music`, `tone`."""

    name: str


Part = Words | Digits | Number | Money | date | time | Pause | Sound


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance. `language` is a BCP 47 tag of which a prompt pack exists, such as `en` or `es`."""

    language: str
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        assert len(self.parts) <= PARTS_MAX, "an utterance has a bound"


def spoken(language: str, *parts: Part) -> Spoken:
    """An utterance of its parts."""
    return Spoken(language, tuple(parts))


def said(language: str, texts: Sequence[str]) -> Spoken:
    """An utterance of plain words only."""
    return Spoken(language, tuple(Words(text) for text in texts))
