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

from tenderline.compliance.near_misses import keyword_meant


class ReplyKind(StrEnum):
    """What a reply does: silences us, lifts a STOP, asks who we are, holds us until somebody read it, or nothing."""

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


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_OPT_OUT: Final = (
    *("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"),
    *("stop all", "optout", "stopall", "remove"),
    *("arret", "td"),
    *("alto", "baja", "no mas"),
)
_OPT_IN: Final = frozenset({"start", "yes", "unstop"})
_HELP: Final = frozenset({"help", "info", "ayuda", "aide"})
_OPT_OUT_JOINED: Final = {word.replace(" ", ""): word for word in _OPT_OUT}
_OPT_OUT_STARTS: Final = tuple(tuple(word.split()) for word in sorted(_OPT_OUT, key=len, reverse=True))

# Words before or behind a keyword that leave its meaning alone.
_GREETING: Final = _set(
    "please pls plz kindly just ok okay hi hello hey hola bonjour thanks thank you thx por favor svp sil vous plait"
)
_POLITE: Final = _GREETING | _set("it this that now all me my everything immediately gracias merci")
# A keyword that only opens a sentence about something else. Such a text holds us and waits for a person.
_OTHER_SENSE: Final = {
    "stop": _set("by in over off here there"),
    "end": _set("of by in on at date up"),
    "td": _set("bank ameritrade canada visa account card"),
    "cancel": frozenset(["culture"]),
    "quit": _set("smoking my"),
    "remove": _set("the old that"),
}
# Clear words anywhere in a text: at least they hold us. `end`, `td`, `alto`, `baja` inside a sentence mean anything.
_STRONG: Final = frozenset({"stop", "stopall", "optout", "unsubscribe", "revoke", "cancel", "arret"})
# Only what nobody can say who wants out: "why don't you stop" and "you never stop" are not in here.
_NEGATION = re.compile(
    r"\b(?:dont|do not|didnt|did not|no need to)(?: (?:ever|please|want to|want you to|mean to|need to|have to))? "
    r"(?:stop|cancel|unsubscribe|opt out|remove|quit|revoke|end)\b"
)
_MESSAGES = (
    r"(?:text|txt|sms|call|messag|msg|mail|email|e mail|contact|bother|harass|send|writ|phon|spam|ring|reach)\w*"
)
_PHRASES: Final = tuple(
    re.compile(rf"\b(?:{pattern})\b")
    for pattern in (
        rf"stop (?!by|in|over|off|here|there)(?:\w+ ){{0,3}}{_MESSAGES}",
        r"unsubscribe",
        r"(?:remove|delete|take) me\b|remove (?:my|this) (?:number|phone|name|email|address)|take my \w+ off",
        rf"(?:do not|dont|never) (?:ever |please |you )?{_MESSAGES}(?: (?:me|us|my|this|again|anymore|any|here)|$)",
        r"(?:do not|dont|never) contact",
        r"wrong (?:number|person|phone)",
        r"opt (?:me )?out",
        r"leave me alone|lose my number",
        r"no more (?:\w+ )?(?:texts?|calls?|messages?|emails?|sms)",
        r"no me (?:llam|escrib|mand|envi|contact|molest)\w+|numero equivocado|(?:deje|dejen|deja) de \w+",
        r"(?:quit|borr|elimin|sac)\w*me de (?:la|su|esta|sus) (?:lista|base|sistema)",
        r"no (?:quiero|deseo) (?:mas )?mensajes",
        r"ya no (?:quiero|deseo) \w+|no mas (?:mensajes|llamadas|correos)|darme de baja|da(?:r|me) de baja",
        r"(?:faux|mauvais) numero|arretez|arreter|desabonne\w*|desinscri\w*|ne (?:me |m)?(?:contact|appel|ecri)\w+",
        r"(?:retirez|supprimez|enlevez|effacez) (?:moi|mon|mes)|plus de (?:messages?|sms|mails?|courriels?|appels?)",
        r"laissez moi tranquille|cessez de \w+",
    )
)
_SIGNS: Final = frozenset("🛑⛔🚫")
_ENDINGS: Final = frozenset({"stop", "unsubscribe", "optout", "stopall"})
_NOUN_STOPS: Final = _set("bus truck pit full train tram rest door non last next the a one")


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
    if found.kind is ReplyKind.OTHER and (meant := keyword_meant(tokens)) is not None:
        return Reply(ReplyKind.OPT_OUT, meant, needs_review=True)
    if found.kind is ReplyKind.OTHER and (len(text) > TEXT_LENGTH_MAX or not _SIGNS.isdisjoint(text)):
        return Reply(ReplyKind.UNCLEAR, needs_review=True)
    return found


def _sentence(tokens: Sequence[str]) -> Reply:
    greeting = sum(1 for _ in takewhile(_GREETING.__contains__, tokens))
    opening = _opening(tokens[greeting:])
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
    left = rest.split()
    if len(left) > 1 and left[-1] in _ENDINGS and left[-2] not in _NOUN_STOPS:
        return Reply(ReplyKind.OPT_OUT, left[-1], needs_review=True)
    strong = next((token for token in left if token in _STRONG), None)
    if strong is not None:
        return Reply(ReplyKind.UNCLEAR, strong, needs_review=True)
    if negated:
        return Reply(ReplyKind.OTHER, negated.group(), needs_review=True)
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

    Apostrophes and invisible characters vanish instead: `don't` stays one word, and a zero-width space hides nothing.
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
