"""Texts with placeholders, `You give {amount:money}.`, taken apart and filled from what a call knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime

from tenderline.core.errors import InvalidInputError
from tenderline.core.money import Money
from tenderline.flows.call import Value
from tenderline.flows.spoken import TEXT_CHARACTERS_MAX, Digits, Number, Part, Spoken, Words
from tenderline.flows.step import Text

KINDS = frozenset({"text", "money", "digits", "date", "time", "number"})
_PLACE = re.compile(r"\{([^{}]*)\}")
_NAMED = re.compile(r"([a-z][a-z0-9_]{0,39})(?::([a-z]+))?")


class BadPhraseError(InvalidInputError):
    """The text cannot be said; write placeholders as {name} or {name:money}."""

    code = "bad_phrase"


def places(text: str) -> list[tuple[str, str]]:
    """(variable, kind) of each placeholder; raises `BadPhraseError` for one that is none."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise BadPhraseError(f"A text of {len(text)} characters is too long to be listened to.")
    found: list[tuple[str, str]] = []
    for inner in _PLACE.findall(text):
        match = _NAMED.fullmatch(inner)
        if match is None:
            raise BadPhraseError(f"{{{inner}}} is no placeholder; write {{name}} or {{name:money}}.")
        kind = match[2] or "text"
        if kind not in KINDS:
            raise BadPhraseError(f"{{{inner}}}: there is no kind {kind!r}; there are {', '.join(sorted(KINDS))}.")
        found.append((match[1], kind))
    if "{" in _PLACE.sub("", text) or "}" in _PLACE.sub("", text):
        raise BadPhraseError("A brace has no other one.")
    return found


def in_language(text: Text, language: str) -> str:
    """The wording for a language: the very tag, its first part, or the first one there is."""
    if isinstance(text, str):
        return text
    return text.get(language) or text.get(language.split("-")[0]) or next(iter(text.values()))


def spoken(text: Text, language: str, variables: Mapping[str, Value]) -> Spoken:
    """What is said, with the values in their places; a value that is not there is left out."""
    wording = in_language(text, language)
    parts: list[Part] = []
    at = 0
    for match in _PLACE.finditer(wording):
        if words := wording[at : match.start()].strip():
            parts.append(Words(words))
        at = match.end()
        named = _NAMED.fullmatch(match[1])
        if named is None:
            continue
        part = _part(variables.get(named[1]), named[2] or "text")
        if part is not None:
            parts.append(part)
    if words := wording[at:].strip():
        parts.append(Words(words))
    return Spoken(language, tuple(part for part in parts if not _is_only_punctuation(part)))


def _is_only_punctuation(part: Part) -> bool:
    return isinstance(part, Words) and not any(one.isalnum() for one in part.text)


def _part(value: Value, kind: str) -> Part | None:
    if value is None:
        return None
    if kind == "digits":
        return Digits(str(value))
    if kind == "time" and isinstance(value, datetime):
        return value.time()
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, Money | date):
        return value
    if kind == "number" and str(value).isdecimal():
        return Number(int(str(value)))
    return Words(str(value))
