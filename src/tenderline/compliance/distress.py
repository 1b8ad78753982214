"""Whether words say that somebody is in distress, or pays against her will. Pure.

A false hit costs a supervisor's look; a missed one may cost a person. So the phrases are wide, nothing takes a hit
away (no negation, no context), and what a recogniser may have spelled otherwise counts. Nothing is decided by it but
that a human being looks, and that nothing is charged and nothing automatic is sent until then.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tenderline.core.errors import ConfigurationError, InvalidInputError

TEXT_LENGTH_MAX: Final = 20_000
PHRASE_WORDS_MAX: Final = 10
PHRASE_LENGTH_MAX: Final = 80
GAP: Final = "…"
"""Stands for up to three words of any kind."""
_GAP_WORDS: Final = r"(?:[^ ]+ ){0,3}"
_FORMAT_FILE: Final = "distress.toml"
Class = Literal["life", "harm", "fraud", "doubt", "own"]
ORDER: Final[tuple[Class, ...]] = ("life", "harm", "own", "fraud", "doubt")
"""The gravest first."""

# Letters that look like others, or are typed for them.
_ALIKE: Final = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"})
_LONG = re.compile(r"(.)\1+")
# As they are said and as they are written, each letter once: both sides of a comparison go through here.
_SHORT_FORMS: Final = {
    "can not": "cant", "canot": "cant", "do not": "dont", "did not": "didnt", "wil not": "wont", "i am": "im",
    "want to": "wanna", "my self": "myself", "any more": "anymore", "authorised": "authorized",
    "authorise": "authorize",
}  # fmt: skip


class InvalidPhraseError(InvalidInputError):
    """A phrase of distress has 1 to 10 words of letters or digits, at most 80 characters."""

    code = "distress.phrase"


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Phrases of one meaning in one language, with why they are here and where that comes from."""

    kind: Class = msgspec.field(name="class")
    language: Annotated[str, Meta(pattern="^[a-z]{2}$")]
    reason: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(min_length=1)]
    phrases: Annotated[list[Annotated[str, Meta(min_length=2, max_length=PHRASE_LENGTH_MAX)]], Meta(min_length=1)]


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    group: list[Group]


class Hit(msgspec.Struct, frozen=True):
    """The gravest phrase that was found: as it stands in the list, not as it was said."""

    phrase: str
    kind: Class


class UnknownPhraseError(ConfigurationError):
    """A phrase that is switched off is none of those shipped; write it as it stands in compliance/distress.toml."""

    code = "distress.phrases_off"


class Phrases:
    """The phrases of this installation: those that are shipped, without what it switched off (`off`, in every language
    that has the word), and its own. Raises `UnknownPhraseError`, `InvalidPhraseError`."""

    def __init__(self, own: Iterable[str] = (), off: Iterable[str] = ()) -> None:
        forms: dict[str, Hit] = {}
        listed = [(phrase, group.kind) for group in shipped() for phrase in group.phrases]
        away = {_pattern(phrase): phrase for phrase in off}
        if unknown := [away[form] for form in away.keys() - {_pattern(phrase) for phrase, _ in listed}]:
            raise UnknownPhraseError(f"distress.phrases_off: {min(unknown)!r} is no phrase of those that are shipped.")
        listed = [(phrase, kind) for phrase, kind in listed if _pattern(phrase) not in away]
        for phrase, kind in sorted([*listed, *((one, "own") for one in own)], key=lambda one: ORDER.index(one[1])):
            forms.setdefault(_pattern(phrase), Hit(phrase, kind))
        self._hits = list(forms.values())
        self._found = re.compile("|".join(f"(?P<p{place}> {form})" for place, form in enumerate(forms)))

    def find(self, text: str) -> Hit | None:
        """The gravest hit in a text, whoever said it; None when there is none. Never raises."""
        plain = f" {normal(text[:TEXT_LENGTH_MAX])} "
        places = set()
        begin = 0
        while (found := self._found.search(plain, begin)) is not None:
            assert found.lastgroup is not None, "every form has a name"
            places.add(int(found.lastgroup[1:]))
            begin = found.start() + 1
        return self._hits[min(places)] if places else None


@cache
def shipped() -> tuple[Group, ...]:
    """The groups that come with Tenderline."""
    text = resources.files(__package__).joinpath(_FORMAT_FILE).read_text("utf-8")
    return tuple(msgspec.convert(tomllib.loads(text), _Book).group)


def check(phrase: str) -> None:
    """Raises `InvalidPhraseError` for what could match nothing, or everything."""
    words = [one for one in phrase.split() if one != GAP]
    bad = not 0 < len(words) <= PHRASE_WORDS_MAX or len(phrase) > PHRASE_LENGTH_MAX
    if bad or len(normal(phrase.replace(GAP, " ")).replace(" ", "")) < 2:  # one letter is everywhere
        raise InvalidPhraseError(f"{phrase[:PHRASE_LENGTH_MAX]!r} is none: {InvalidPhraseError.__doc__}")


def _pattern(phrase: str) -> str:
    check(phrase)
    parts = [normal(part) for part in phrase.split(GAP)]
    return _GAP_WORDS.join(f"{re.escape(part)} " for part in parts if part).replace(r"\ ", " ")


def normal(text: str) -> str:
    """One form for what was said: lower case without accents, marks and apostrophes, digits that stand for letters
    read as these, a letter that is drawn out written once, short forms for long ones."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold().translate(_ALIKE))
    letters: list[str] = []
    for character in plain:
        category = unicodedata.category(character)
        if category[0] in "LN":
            letters.append(character)
        elif category[0] != "M" and category != "Cf" and character not in "'’‘`´ʼ":
            letters.append(" ")
    once = _LONG.sub(r"\1", "".join(letters).replace("ı", "i"))
    words = f" {' '.join(once.split())} "
    for long, short in _SHORT_FORMS.items():
        words = words.replace(f" {long} ", f" {short} ")
    return words.strip()
