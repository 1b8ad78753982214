"""Planning contacts through the gate: each is due when the rules will let it pass, as far as that can be known now.

It is the first of two askings: the claim asks again, over the facts of that moment. What is refused already now is kept
too, suppressed and with its rules, so that somebody who wonders why nothing was sent finds the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from tenderline.compliance.decide import decide
from tenderline.compliance.facts import Decision, Defer, Deny, PastContact
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.events import AttemptPlanned, AttemptSuppressed, Event
from tenderline.core.zones import Place
from tenderline.store import attempts, events, places
from tenderline.store.attempts import Planned
from tenderline.store.db import Connection, query
from tenderline.store.gate import (
    consents_of,
    contacts_of,
    history_facts,
    person_facts,
    point_facts,
    written,
)
from tenderline.store.places import Defaults
from tenderline.store.rules import RuleBook

TOO_LATE = Deny(("OWN-TOO-LATE",), "the rules let it pass only when it is too late for it")


@dataclass(frozen=True, slots=True)
class _Asked:
    person: Any
    place: Place
    rules: Ruleset
    facts: dict[tuple[UUID, UUID | None, str], Any]
    contacts: list[PastContact]

    def decide(self, one: Planned) -> Decision:
        """The gate's answer at the instant at which the contact is wanted, or when it opens after that."""
        fact = self.facts[one.contact_point_id, one.case_id, one.channel]
        attempt = {"case_id": one.case_id, "subject": one.subject, "own_act_at": one.own_act_at}
        history = msgspec.structs.replace(
            history_facts(self.person, fact, attempt, tuple(self.contacts)),
            held=False,  # what stands in the way for the moment is asked again when the contact is due
            processing=False,
            unread_news=False,
        )
        answer = decide(
            one.due_at,
            person_facts(self.person, self.place),
            point_facts(one.contact_point_id, fact),
            one.purpose,
            one.channel,
            history,
            consents_of(fact["consents"], one.due_at),
            self.rules,
        )
        return TOO_LATE if isinstance(answer, Defer) and answer.until >= one.not_after else answer

    def with_answer(self, one: Planned, answer: Decision) -> Planned:
        """The contact as it is to be kept."""
        fact = self.facts[one.contact_point_id, one.case_id, one.channel]
        decision = written(
            answer,
            one.due_at,
            self.rules,
            self.place,
            consents=consents_of(fact["consents"], one.due_at),
            contacts=self.contacts,
            opted_out_at=self.person["opted_out_at"],
        )
        due_at = answer.until if isinstance(answer, Defer) else one.due_at
        why = answer.why if isinstance(answer, Deny) else None
        return msgspec.structs.replace(one, due_at=due_at, decision=decision, why=why)


async def plan(
    connection: Connection,
    book: RuleBook,
    defaults: Defaults,
    person_id: UUID,
    steps: Sequence[Sequence[Planned]],
    *,
    payment_id: UUID | None = None,
) -> list[Planned]:
    """Plans contacts to one person, whose row the caller holds; of each step's choices the first that is not refused.

    Each is kept with what the gate said; those planned before it count as contacts. Returns what was kept.
    """
    wanted = [one for step in steps for one in step]
    if not wanted:
        return []
    assert all(one.person_id == person_id for one in wanted)
    asked = await _ask_about(connection, book, defaults, person_id, wanted)
    kept: list[Planned] = []
    for step in steps:
        answers = [(one, asked.decide(one)) for one in step]
        chosen = next(((one, said) for one, said in answers if not isinstance(said, Deny)), None)
        if chosen is None and answers:
            kept.append(asked.with_answer(*answers[0]))
        elif chosen is not None:
            one = asked.with_answer(*chosen)
            kept.append(one)
            asked.contacts.append(_as_contact(one, one.due_at))
    ids = await attempts.add(connection, kept)
    await events.append(
        connection, [_told(one, attempt_id, payment_id) for one, attempt_id in zip(kept, ids, strict=True)]
    )
    return kept


async def _ask_about(
    connection: Connection, book: RuleBook, defaults: Defaults, person_id: UUID, wanted: Sequence[Planned]
) -> _Asked:
    rules = await book.refresh(connection)
    person = await connection.fetchrow(query("attempts", "lock_people"), [person_id])
    assert person is not None
    rows = await connection.fetch(
        query("attempts", "facts"),
        list(range(len(wanted))),
        [person_id] * len(wanted),
        [one.contact_point_id for one in wanted],
        [one.case_id for one in wanted],
        [one.channel for one in wanted],
    )
    facts = {
        (wanted[row["n"]].contact_point_id, wanted[row["n"]].case_id, wanted[row["n"]].channel): row for row in rows
    }
    contacts = await contacts_of(connection, [person_id], rows[0]["now"] - rules.look_back)
    where = await places.of_people(connection, [person], defaults)
    return _Asked(person, where[person_id], rules, facts, list(contacts.get(person_id, ())))


def _as_contact(one: Planned, at: datetime) -> PastContact:
    return PastContact(
        at=at,
        channel=one.channel,
        purpose=one.purpose,
        number=one.contact_point_id,
        debt=one.case_id,
        subject=one.subject,
    )


def _told(one: Planned, attempt_id: UUID, payment_id: UUID | None) -> Event:
    about = {"person_id": one.person_id, "payment_id": payment_id, "case_id": one.case_id, "attempt_id": attempt_id}
    if one.why is None:
        return AttemptPlanned(**about, channel=one.channel, due=one.due_at.isoformat(timespec="seconds"))
    assert one.decision is not None
    rules = msgspec.json.decode(one.decision)["rules"]
    return AttemptSuppressed(**about, channel=one.channel, why=one.why, rules=rules)
