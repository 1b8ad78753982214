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
# Recognisers write a card as digits, in groups, in pairs or as words, not always right, and cut it where one breathes:
# so three in a row are enough, and an utterance that is nothing else is one whatever its length.
_WORDS: Final = "|".join(
    (
        *("zero", "oh", "o", "nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
        *("twenty", "thirty", "fou?rty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand"),
        *("double", "triple", "cero", "uno", "una", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
        *("diez", "once", "doce", "trece", "catorce", "quince", "dieci[a-zéó]+", "veint[eiéó][a-zéó]*", "treinta"),
        *("cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa", "cien", "ciento", "mil", "doble"),
        *("z[eé]ro", "une?", "deux", "trois", "quatre", "cinq", "sept", "huit", "neuf", "dix", "onze", "douze"),
        *("treize", "quatorze", "quinze", "seize", "vingts?", "trente", "quarante", "cinquante", "soixante"),
        *("septante", "[ho][uc]i?tante", "nonante", "cents?", "mille"),
    )
)
_UNIT: Final = rf"(?:\d|\b(?:{_WORDS})\b)"
_BETWEEN: Final = r"(?:[\W_]|\b(?:and|then|uh|um|er|erm|y|et|eh|euh)\b)*"
_RUN = re.compile(rf"{_UNIT}(?:{_BETWEEN}{_UNIT}){{2,}}", re.IGNORECASE)
_NOTHING_ELSE = re.compile(rf"{_BETWEEN}{_UNIT}(?:{_BETWEEN}{_UNIT})*{_BETWEEN}", re.IGNORECASE)


class Utterance(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What somebody on the call said. `isFinal` false: the recogniser may still change its mind."""

    participant: Literal["caller", "agent", "external"] = "caller"
    text: Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
    at: datetime
    is_final: bool = True


def without_digits(texts: Sequence[str]) -> list[str]:
    """What one participant said, one after the other, without what may be a part of a card number; also of one that was
    misheard, spelled out, or cut in between."""
    whole = "\n".join(" ".join(mask_card_numbers(one).split()) for one in texts)
    masked = _RUN.sub(lambda run: "\n".join(MASKED if part else "" for part in run[0].split("\n")), whole)
    return [MASKED if _NOTHING_ELSE.fullmatch(one) else one for one in masked.split("\n")]


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
    await _keep(connection, conversation_id, [one for one in utterances if is_kept(services, one)])
    return found


async def _keep(connection: Connection, conversation_id: UUID, utterances: Sequence[Utterance]) -> None:
    for participant in dict.fromkeys(one.participant for one in utterances):
        theirs = [one for one in utterances if one.participant == participant]
        for one, text in zip(theirs, without_digits([one.text for one in theirs]), strict=True):
            if text:
                await holds.keep_line(connection, conversation_id, participant=participant, text=text, at=one.at)
