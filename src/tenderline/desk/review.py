"""What payers wrote that somebody must read, as plain data: who, since when, in what words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tenderline.desk import words
from tenderline.store import reviews
from tenderline.store.db import Connection

PEOPLE_SHOWN: Final = 50
MESSAGES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class MessageLine:
    """A message of hers, without what its reader need not see."""

    at: datetime
    channel: str
    text: str
    is_news: bool
    """It came since the wait began, or began it."""


@dataclass(frozen=True, slots=True)
class ReplyToRead:
    """Somebody whose words wait. `seen` names the newest of them."""

    person_id: UUID
    name: str
    since: datetime
    opted_out_at: datetime | None
    case_id: UUID | None
    seen: UUID | None
    messages: tuple[MessageLine, ...]


@dataclass(frozen=True, slots=True)
class ReviewList:
    """Those who have waited longest; `total` counts the others too."""

    total: int
    people: tuple[ReplyToRead, ...]


async def read_list(connection: Connection) -> ReviewList:
    """The list. Read it in one transaction."""
    waiting = await reviews.waiting(connection, PEOPLE_SHOWN)
    written = await reviews.written(connection, [one.person_id for one in waiting], MESSAGES_SHOWN)
    return ReviewList(
        await reviews.count(connection),
        tuple(_reply(one, written.get(one.person_id, [])) for one in waiting),
    )


def _reply(one: reviews.Waiting, written: list[reviews.Written]) -> ReplyToRead:
    # The wait begins in the transaction that reads the message, a moment after the message is told.
    before = [message for message in written if message.at < one.since]
    first_news = before[0].at if before else one.since
    return ReplyToRead(
        person_id=one.person_id,
        name=words.short_name(one.name),
        since=one.since,
        opted_out_at=one.opted_out_at,
        case_id=one.case_id,
        seen=written[0].id if written else None,
        messages=tuple(
            MessageLine(message.at, words.channel(message.channel), words.plain(message.text), message.at >= first_news)
            for message in written
        ),
    )
