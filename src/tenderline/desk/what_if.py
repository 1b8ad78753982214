"""Asking the gate about a contact that nobody has planned: whom, by what, why, when, by whose clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from tenderline.compliance.rule import CHANNELS
from tenderline.core.errors import NotFoundError
from tenderline.core.hours import zone
from tenderline.desk import questions, words
from tenderline.desk.questions import InvalidQuestionError
from tenderline.store import people, places
from tenderline.store.db import Connection
from tenderline.store.explanations import KINDS, Question
from tenderline.store.places import Defaults

ZONES_OFFERED: Final = 8


@dataclass(frozen=True, slots=True)
class Asking:
    """A person about whom may be asked. `zones` are the first of those she may be in."""

    person_id: UUID
    name: str
    channels: tuple[str, ...]
    zones: tuple[str, ...]
    zone_count: int


async def read_asking(connection: Connection, person_id: UUID, defaults: Defaults) -> Asking:
    """Whom, and by what she can be reached. Raises `NotFoundError`."""
    person = await people.find(connection, person_id)
    if person is None:
        raise NotFoundError("There is no person of this id; the page of a case leads to its payer.")
    kinds = {point.kind for point in await people.contact_points(connection, person_id)}
    place = await places.of_person(connection, person_id, defaults)
    return Asking(
        person_id,
        words.short_name(person.name),
        tuple(channel for channel in CHANNELS if KINDS[channel] in kinds),
        place.zones[:ZONES_OFFERED],
        len(place.zones),
    )


def question_of(asking: Asking, *, channel: str, purpose: str, at: str, clock: str, case_id: UUID | None) -> Question:
    """What a form asks: a wall clock reading without an offset, and by which clock. Empty is now.

    Raises `InvalidInputError` naming what is wrong.
    """
    if channel not in asking.channels:
        raise InvalidQuestionError(f"The person has no address that {channel[:40]!r} reaches; choose another channel.")
    return questions.of(
        channel=channel,
        purpose=purpose,
        at=_instant(at.strip(), clock, asking.zones) if at.strip() else None,
        person_id=asking.person_id,
        case_id=case_id,
    )


def _instant(text: str, clock: str, zones: tuple[str, ...]) -> datetime:
    if clock not in ("UTC", *zones):
        raise InvalidQuestionError("Choose by which clock the time is meant.")
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidQuestionError(f"{text[:40]!r} is no date and time; write it as 2026-11-21T20:55.") from None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC if clock == "UTC" else zone(clock))
