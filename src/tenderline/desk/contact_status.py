"""Whether somebody may be contacted now, and from when: what another system asks before it contacts anybody itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from tenderline.compliance import business_days
from tenderline.compliance.facts import Purpose
from tenderline.desk import why
from tenderline.desk.why import Why
from tenderline.store import explanations, people
from tenderline.store.db import Connection
from tenderline.store.explanations import Facts, Question
from tenderline.store.places import Defaults
from tenderline.store.rules import RuleBook

CHANNELS: Final = {people.PHONE: ("sms", "voice_live", "voice_artificial"), people.EMAIL: ("email",)}


@dataclass(frozen=True, slots=True)
class OptOut:
    """The refusal that stands, and the clock that the law sets; ours is honoured the instant it is known."""

    since: datetime
    channel: str
    how: str
    last_day: date
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ContactStatus:
    """What may be said to one address. Of the person behind it nothing is told but her refusal."""

    is_known: bool
    opt_out: OptOut | None
    at: datetime
    channels: tuple[Why, ...]

    def next_allowed_at(self, one: Why) -> datetime | None:
        """From when a channel may be used, by what is known now; None for never."""
        return self.at if one.answer == "allow" else one.until


async def read_status(
    connection: Connection, book: RuleBook, defaults: Defaults, *, kind: str, address: str, purpose: Purpose
) -> ContactStatus:
    """The status of an address in one form. Read it in one transaction."""
    asked = [Question(channel=channel, purpose=purpose, address=address) for channel in CHANNELS[kind]]
    target = await explanations.find_target(connection, asked[0])
    told = [await explanations.facts(connection, book, defaults, question, target) for question in asked]
    return ContactStatus(
        is_known=target.person_id is not None,
        opt_out=_opt_out(told[0]),
        at=told[0].at,
        channels=tuple(
            why.view(facts, question.channel, purpose, facts.explain(question))
            for question, facts in zip(asked, told, strict=True)
        ),
    )


def _opt_out(told: Facts) -> OptOut | None:
    if not told.refusals:
        return None
    oldest = told.refusals[0]
    last_day, due_at = business_days.due(oldest.at, told.place.zones)
    return OptOut(oldest.at, oldest.channel, oldest.how, last_day, due_at)
