"""What a person meant who wrote back. A STOP that is missed is the worst mistake here, so doubt silences us.

Words of a definitive revocation: 47 CFR 64.1200(a)(10); other wording counts when a reasonable person would read it so.
STOPALL, OPTOUT, REMOVE, ARRÊT and TD come from the carriers' lists (AWS, Twilio); ALTO, BAJA and NO MÁS are their
Spanish. A whole message is compared without accents, marks and spaces, so `S.T.O.P!!` and `“Arrêt”` are read too;
a keyword with other words behind it counts as well (`STOP please`): exact matching is a known failure of others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Final


class ReplyKind(StrEnum):
    """What a reply does: silence us, lift an earlier STOP, ask who we are, hold us until somebody read it, or nothing."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    HELP = "help"
    UNCLEAR = "unclear"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Reply:
    """How a text was read. `matched` are the words that decided; `needs_review`: a person should look at it too."""

    kind: ReplyKind
    matched: str | None = None
    needs_review: bool = False


TEXT_LENGTH_MAX: Final = 20_000

_OPT_OUT: Final = (
    *("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"),
    *("stop all", "optout", "stopall", "remove"),
    *("arret", "td"),
    *("alto", "baja", "no mas"),
)
_OPT_IN: Final = frozenset({"start", "yes", "unstop"})
_HELP: Final = frozenset({"help", "info"})
_OPT_OUT_JOINED: Final = {word.replace(" ", ""): word for word in _OPT_OUT}
_OPT_OUT_STARTS: Final = tuple(tuple(word.split()) for word in sorted(_OPT_OUT, key=len, reverse=True))

# Words before or behind a keyword that leave its meaning alone.
_POLITE: Final = frozenset(
    "please pls plz kindly just ok okay hi hello hey hola bonjour thanks thank you thx gracias merci favor por svp "
    "it this that now all me my everything immediately".split()
)
# A keyword that only opens a sentence about something else. Such a text holds us and waits for a person.
_OTHER_SENSE: Final = {
    "stop": frozenset("by in over at off here there".split()),
    "end": frozenset("of by in on at date up".split()),
    "td": frozenset("bank ameritrade canada visa account card".split()),
    "cancel": frozenset(["culture"]),
    "quit": frozenset("smoking my".split()),
    "remove": frozenset("the old that".split()),
}
# Clear words anywhere in a text: at least they hold us. `end`, `td`, `alto`, `baja` inside a sentence mean anything.
_STRONG: Final = frozenset({"stop", "stopall", "optout", "unsubscribe", "revoke", "cancel", "arret"})
_NEGATION = re.compile(
    r"\b(?:dont|do not|didnt|did not|never|wont|will not|not|cant|cannot|no need to)\b(?: \w+){0,2} "
    r"(?:stop|cancel|unsubscribe|opt out|remove|quit|revoke|end)"
)
_MESSAGES = (
    r"(?:text|txt|sms|call|messag|msg|mail|email|e mail|contact|bother|harass|send|writ|phon|spam|ring|reach)\w*"
)
_PHRASES: Final = tuple(
    re.compile(rf"\b(?:{pattern})\b")
    for pattern in (
        rf"stop (?:\w+ ){{0,3}}{_MESSAGES}",
        r"unsubscribe",
        r"(?:remove|delete|take) me\b|remove (?:my|this) (?:number|phone|name|email|address)|take my \w+ off",
        rf"(?:do not|dont|never|no) (?:\w+ ){{0,2}}{_MESSAGES} (?:me|us|this)|(?:do not|dont|never) contact",
        r"wrong (?:number|person|phone)",
        r"opt (?:me )?out",
        r"leave me alone|lose my number",
        r"no more (?:\w+ )?(?:texts?|calls?|messages?|emails?|sms)",
        r"no me (?:llam|escrib|mand|envi|contact)\w+|numero equivocado|(?:deje|dejen|deja) de \w+",
        r"(?:faux|mauvais) numero|arretez|arreter|desabonne\w*|desinscri\w*|ne me (?:contact|appel|ecri)\w+",
    )
)
_ENDINGS: Final = frozenset({"stop", "unsubscribe", "optout", "stopall"})
_NOUN_STOPS: Final = frozenset("bus truck pit full train tram rest door non last next the a one".split())


def read_reply(text: str) -> Reply:
    """Reads one incoming text, whoever it came from. Pure; never raises.

    `YES` lifts a STOP only when it answers no other question: the caller knows whether one is open.
    """
    tokens = _words(text[:TEXT_LENGTH_MAX])
    joined = "".join(tokens)
    if joined in _OPT_OUT_JOINED:
        return Reply(ReplyKind.OPT_OUT, _OPT_OUT_JOINED[joined])
    if joined in _OPT_IN:
        return Reply(ReplyKind.OPT_IN, joined)
    if joined in _HELP:
        return Reply(ReplyKind.HELP, joined)
    found = _sentence(tokens)
    if found.kind is ReplyKind.OTHER and len(text) > TEXT_LENGTH_MAX:
        return Reply(ReplyKind.UNCLEAR, needs_review=True)
    return found


def _sentence(tokens: Sequence[str]) -> Reply:
    polite = sum(1 for _ in takewhile(_POLITE.__contains__, tokens))
    opening = _opening(tokens[polite:])
    if opening is not None and opening.kind is ReplyKind.OPT_OUT:
        return opening
    spaced = " ".join(tokens)
    negated = _NEGATION.search(spaced)
    rest = _NEGATION.sub(" ", spaced) if negated else spaced
    for phrase in _PHRASES:
        found = phrase.search(rest)
        if found:
            return Reply(ReplyKind.OPT_OUT, found.group(), needs_review=True)
    if opening is not None:
        return opening
    if negated:
        return Reply(ReplyKind.OTHER, negated.group(), needs_review=True)
    if len(tokens) > 1 and tokens[-1] in _ENDINGS and tokens[-2] not in _NOUN_STOPS:
        return Reply(ReplyKind.OPT_OUT, tokens[-1], needs_review=True)
    strong = next((token for token in tokens if token in _STRONG), None)
    if strong is not None:
        return Reply(ReplyKind.UNCLEAR, strong, needs_review=True)
    return Reply(ReplyKind.OTHER)


def _opening(tokens: Sequence[str]) -> Reply | None:
    """A keyword at the start of a text, with what follows it."""
    for keyword in _OPT_OUT_STARTS:
        if tuple(tokens[: len(keyword)]) == keyword:
            word, rest = " ".join(keyword), tokens[len(keyword) :]
            if rest and rest[0] in _OTHER_SENSE.get(word, ()):
                return Reply(ReplyKind.UNCLEAR, word, needs_review=True)
            return Reply(ReplyKind.OPT_OUT, word, needs_review=not all(token in _POLITE for token in rest))
    return None


def _words(text: str) -> list[str]:
    """Lower-case words without accents: NFKC turns fullwidth and circled letters plain, marks and emoji part words.

    Apostrophes and invisible characters vanish instead, so that `don't` stays one word and a zero-width space inside STOP is read.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("ı", "i")
    letters: list[str] = []
    for character in unicodedata.normalize("NFKD", plain):
        category = unicodedata.category(character)
        if category[0] in "LN":
            letters.append(character)
        elif category[0] != "M" and category != "Cf" and character not in "'’‘`´ʼ":
            letters.append(" ")
    return "".join(letters).split()
