"""Keywords with a slip of the finger in them: STPO, UNSUSCRIBE, ST0P.

A reasonable person reads them as what was meant, so a short text that begins with one silences. Words that are words
themselves (shop, step, also) are not slips, and the short keywords `end` and `td` have too many neighbours to guess at.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_WORDS: Final = ("stop", "stopall", "unsubscribe", "cancel", "revoke", "remove", "optout", "quit", "arret")
_TWO_SLIPS: Final = frozenset({"unsubscribe"})
"""Long enough that two slips leave no doubt."""
_LOOKS_LIKE: Final = str.maketrans("0134578", "oleastb")
_FIRST_SLIP_MAX: Final = 3
"""Words of a text that may be read so: in a longer one a slip is one word among others."""
# Words one slip away from a keyword, in the languages that are read here.
_REAL: Final = frozenset(
    (
        *("shop", "step", "slop", "stow", "stoop", "stops", "store", "stock", "stomp", "strop", "sop", "top", "tops"),
        *("atop", "spot", "scop", "swop", "atop", "setup", "stone", "stood", "story", "storm", "soup", "snop"),
        *("quiet", "quick", "quite", "quilt", "quip", "quid", "suit", "unit", "quiz", "quirt", "quint", "quits"),
        *("cancer", "canal", "cancels", "candle", "cable", "canel", "cance"),
        *("evoke", "revoked", "revokes", "provoke", "invoke", "removed", "removes", "remote", "remover", "reprove"),
        *("move", "revolve", "revive", "retire", "outlet", "layout", "arrest", "caret", "carets", "arete", "arrets"),
        *("subscribe", "stopped", "start", "stat", "stay", "star", "stor", "sport", "spit", "sit", "shot", "slot"),
        *("unsubscribed", "unsubscriber"),
    )
)


def keyword_meant(tokens: list[str]) -> str | None:
    """The keyword that a short text slipped at; None when it is a word of its own or near none."""
    if not 0 < len(tokens) <= _FIRST_SLIP_MAX:
        return None
    return _meant(tokens[0])


@lru_cache(maxsize=4_096)
def _meant(token: str) -> str | None:
    plain = token.translate(_LOOKS_LIKE) if any(character.isalpha() for character in token) else token
    if plain in _WORDS:
        return plain  # written with figures: ST0P
    if plain in _REAL or not plain.isalpha():
        return None
    for word in _WORDS:
        slips = 2 if word in _TWO_SLIPS else 1
        if abs(len(plain) - len(word)) <= slips and _distance(plain, word) <= slips:
            return word
    return None


def _distance(one: str, other: str) -> int:
    """How many letters were missed, added, changed or swapped with their neighbour (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        two_before, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, two_before[j - 2] + 1)
            row.append(cost)
    return row[-1]
