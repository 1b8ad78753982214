"""What a recogniser wrote of a call: read for words of distress, kept only where the settings say so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from tenderline.app import Services
from tenderline.core.pan import mask_card_numbers
from tenderline.people import distress
from tenderline.people.distress import Reported
from tenderline.store import holds
from tenderline.store.db import Connection

UTTERANCES_MAX: Final = 100
TEXT_LENGTH_MAX: Final = 2_000
MASKED: Final = "[digits removed]"
# Recognisers write a card as digits, in groups, or as words, and not always right: eight in a row are enough.
_DIGITS = re.compile(r"\d(?:[\s.,-]{0,3}\d){7,}")
_WORDS: Final = "|".join(
    (
        *("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "double", "triple"),
        *("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
        *("zéro", "un", "deux", "trois", "quatre", "cinq", "sept", "huit", "neuf"),
    )
)
_SPOKEN = re.compile(rf"\b(?:{_WORDS})(?:[\s.,-]+(?:{_WORDS})){{7,}}\b", re.IGNORECASE)


class Utterance(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What somebody on the call said. `isFinal` false: the recogniser may still change its mind."""

    participant: Literal["caller", "agent", "external"] = "caller"
    text: Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
    at: datetime
    is_final: bool = True


def without_digits(text: str) -> str:
    """The text without what may be a card number, also of one that was misheard or spelled out."""
    return _SPOKEN.sub(MASKED, _DIGITS.sub(MASKED, mask_card_numbers(text)))


def is_kept(services: Services, said: Utterance) -> bool:
    """Whether the words are written down, whatever they say."""
    return said.is_final and services.settings.distress.transcripts_kept_days > 0


async def take(
    services: Services,
    connection: Connection,
    conversation_id: UUID,
    utterances: Sequence[Utterance],
    *,
    by: str,
    source: distress.Source = "transcript",
) -> Reported | None:
    """Reads what was said, in the caller's transaction. Raises `NotFoundError`.

    A recogniser cuts where somebody breathes, so what one participant said is read as one. Agents' own words are not:
    they say "fraud" and "error" all day.
    """
    said: dict[str, list[str]] = {}
    for one in utterances:
        if one.participant != "agent":
            said.setdefault(one.participant, []).append(one.text)
    found: Reported | None = None
    for texts in said.values():
        words = [" ".join(texts), *texts]
        for text in words:
            done = await distress.read_words(services, connection, conversation_id, text, source=source, by=by)
            if done is not None:
                found = found or done
                break
    for one in utterances:
        if is_kept(services, one) and (text := without_digits(one.text).strip()):
            await holds.keep_line(connection, conversation_id, participant=one.participant, text=text, at=one.at)
    return found
