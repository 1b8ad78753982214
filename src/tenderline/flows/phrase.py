"""Texts of a flow, in each of its languages, with placeholders that become typed parts of what is said.

A clip for "forty-two" and one for "four two" are two things: `{amount:money}`, `{reference:digits}`, `{count:number}`,
`{day:date}`, `{at:time}` say which is meant. `{name}` alone is said as what the variable holds. `{{` is a brace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time

from tenderline.core.money import Money
from tenderline.flows.call import Value
from tenderline.flows.spoken import PARTS_MAX, TEXT_CHARACTERS_MAX, Digits, Number, Part, Spoken, Words

KINDS = ("", "date", "digits", "money", "number", "time")
LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class InvalidTextError(ValueError):
    """A text cannot be used; the message says why."""


class UnspeakableError(ValueError):
    """A variable does not hold what its placeholder wants; a defect of the flow or of who set the variable."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A variable, and what its value is to be read as."""

    variable: str
    kind: str


class Text:
    """One text in one or more languages. It is no dataclass: the reader of parameters must ask us how to make one."""

    __slots__ = ("by_language", "written")

    def __init__(self, by_language: Mapping[str, str]) -> None:
        if not by_language:
            raise InvalidTextError("has no text in any language")
        self.written = dict(by_language)
        self.by_language = {language: _parse(language, text) for language, text in by_language.items()}

    @property
    def placeholders(self) -> frozenset[Placeholder]:
        """All of them, of every language."""
        return frozenset(one for pieces in self.by_language.values() for one in pieces if isinstance(one, Placeholder))

    @property
    def variables(self) -> frozenset[str]:
        """All that its placeholders name."""
        return frozenset(one.variable for one in self.placeholders)

    def words(self, language: str) -> tuple[str, ...]:
        """What it says in a language besides its placeholders, as it will be asked of a mouth."""
        return tuple(one for one in self.by_language.get(language, ()) if isinstance(one, str))

    def language_for(self, wanted: str) -> str:
        """The nearest there is: `es-MX` is served by `es`; what nobody wrote, by the first language."""
        return nearest(wanted, tuple(self.by_language))

    def spoken(self, language: str, variables: Mapping[str, Value]) -> Spoken:
        """The utterance; a variable that holds nothing is left out. Raises `UnspeakableError`."""
        found = self.language_for(language)
        parts = [_part(piece, variables) for piece in self.by_language[found]]
        return Spoken(found, tuple(part for part in parts if part is not None))


def text_of(value: object, language: str) -> Text:
    """A text as it is written in a flow: a string in the flow's own `language`, or a table of languages."""
    if isinstance(value, str):
        return Text({language: value})
    if isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
        return Text(value)
    raise InvalidTextError('is no text; write "…" or { en = "…", es = "…" }')


def nearest(wanted: str, languages: tuple[str, ...]) -> str:
    """Of these languages, the one for somebody who wants that one; the first when none is near."""
    if wanted in languages:
        return wanted
    root = wanted.partition("-")[0]
    return next((one for one in languages if one.partition("-")[0] == root), languages[0])


def _parse(language: str, text: str) -> tuple[str | Placeholder, ...]:
    if not LANGUAGE.fullmatch(language):
        raise InvalidTextError(f"{language!r} is no language; write en, es, fr-CA …")
    if not text.strip():
        raise InvalidTextError(f"is empty in {language!r}")
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidTextError(f"is longer than {TEXT_CHARACTERS_MAX} characters in {language!r}")
    pieces: list[str | Placeholder] = []
    words, end = "", 0
    for found in _PIECE.finditer(text):
        words, end = words + text[end : found.start()], found.end()
        if found.group() in ("{{", "}}"):
            words += found.group()[0]
            continue
        pieces += [words] if _is_said(words) else []
        pieces.append(_placeholder(found))
        words = ""
    words += text[end:]
    pieces += [words] if _is_said(words) else []
    if len(pieces) > PARTS_MAX:
        raise InvalidTextError(f"has more than {PARTS_MAX} parts in {language!r}")
    return tuple(" ".join(one.split()) if isinstance(one, str) else one for one in pieces)


def _is_said(words: str) -> bool:
    """A full stop behind a placeholder is nothing that anybody hears."""
    return any(character.isalnum() for character in words)


def _placeholder(found: re.Match[str]) -> Placeholder:
    if found[1] is None:
        raise InvalidTextError(f"has a lone {found.group()!r}; a brace that is meant is written twice")
    variable, colon, kind = found[1].partition(":")
    if not _NAME.fullmatch(variable):
        raise InvalidTextError(f"{found.group()} names no variable; write {{amount}} or {{amount:money}}")
    if kind not in KINDS or (colon and not kind):
        raise InvalidTextError(f"{found.group()} has an unknown kind; there are {', '.join(filter(None, KINDS))}")
    return Placeholder(variable, kind)


def _part(piece: str | Placeholder, variables: Mapping[str, Value]) -> Part | None:
    if isinstance(piece, str):
        return Words(piece)
    if piece.variable not in variables:
        raise UnspeakableError(f"the variable {piece.variable!r} is not set")
    value = variables[piece.variable]
    if value is None or value == "":
        return None
    part = _typed(piece.kind, value)
    if part is None:
        raise UnspeakableError(f"the variable {piece.variable!r} holds no {piece.kind or 'value that can be said'}")
    return part


def is_sayable(placeholder: Placeholder, value: Value) -> bool:
    """Whether a variable that holds such a value can be said by that placeholder."""
    return value is None or value == "" or _typed(placeholder.kind, value) is not None


def _typed(kind: str, value: str | int | Money | date) -> Part | None:
    """The value as that kind; None when it is none."""
    if isinstance(value, bool):
        return None
    match kind, value:
        case "" | "money", Money():
            return value
        case "" | "number", int():
            return Number(value)
        case "number", str() if value.isascii() and value.isdigit() and len(value) <= 18:
            return Number(int(value))
        case "digits", str() | int():
            return Digits(str(value).removeprefix("+"))  # of a telephone number nobody says the plus
        case "time", datetime():
            return _clock(value)
        case "" | "date", datetime():
            return value.date()
        case "" | "date", date():
            return value
        case "", str():
            return Words(value)
        case _:
            return None


def _clock(at: datetime) -> time:
    return at.time().replace(second=0, microsecond=0)
