"""Planning contacts through the gate: each is due when the rules will let it pass, as far as that can be known now.

It is the first of two askings: the claim asks again, over the facts of that moment. What is refused already now is kept
too, suppressed and with its rules, so that somebody who wonders why nothing was sent finds the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from tenderline.compliance import plan as planning
from tenderline.compliance.facts import Deny, PastContact
from tenderline.compliance.plan import Choice, Chosen
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.events import AttemptPlanned, AttemptSuppressed, Event
from tenderline.core.ids import uuid7
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


@dataclass(frozen=True, slots=True)
class _Asked:
    person: Any
    place: Place
    rules: Ruleset
    facts: dict[tuple[UUID, UUID | None, str], Any]
    contacts: tuple[PastContact, ...]

    def choice(self, one: Planned) -> Choice:
        """A planned contact as the gate is asked about it."""
        fact = self.facts[one.contact_point_id, one.case_id, one.channel]
        attempt = {"case_id": one.case_id, "subject": one.subject, "own_act_at": one.own_act_at}
        history = msgspec.structs.replace(
            history_facts(self.person, fact, attempt, self.contacts),
            held=False,  # what stands in the way for the moment is asked again when the contact is due
            processing=False,
            unread_news=False,
        )
        return Choice(
            channel=one.channel,
            purpose=one.purpose,
            point=point_facts(one.contact_point_id, fact),
            history=history,
            consents=consents_of(fact["consents"], one.due_at),
            due_at=one.due_at,
            not_after=one.not_after,
        )

    def with_answer(self, one: Planned, chosen: Chosen) -> Planned:
        """The contact as it is to be kept."""
        fact = self.facts[one.contact_point_id, one.case_id, one.channel]
        decision = written(
            chosen.answer,
            one.due_at,
            self.rules,
            self.place,
            consents=consents_of(fact["consents"], one.due_at),
            contacts=self.contacts,
            opted_out_at=self.person["opted_out_at"],
        )
        why = chosen.answer.why if isinstance(chosen.answer, Deny) else None
        return msgspec.structs.replace(one, due_at=chosen.due_at, decision=decision, why=why, id=uuid7())


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
    choices = [[asked.choice(one) for one in step] for step in steps]
    found = planning.plan(choices, person_facts(asked.person, asked.place), asked.rules)
    kept = [
        asked.with_answer(step[chosen.place], chosen)
        for step, chosen in zip(steps, found, strict=True)
        if chosen is not None
    ]
    ids = await attempts.add(connection, kept)
    await events.append(
        connection, [_told(one, attempt_id, payment_id) for one, attempt_id in zip(kept, ids, strict=True)]
    )
    return kept


async def ask(connection: Connection, book: RuleBook, defaults: Defaults, wanted: Planned) -> Planned:
    """The same for one contact that a person is going to make by hand: the answer, of which nothing is kept."""
    asked = await _ask_about(connection, book, defaults, wanted.person_id, [wanted])
    (chosen,) = planning.plan([[asked.choice(wanted)]], person_facts(asked.person, asked.place), asked.rules)
    assert chosen is not None, "one choice gives one answer"
    return asked.with_answer(wanted, chosen)


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
    return _Asked(person, where[person_id], rules, facts, contacts.get(person_id, ()))


def _told(one: Planned, attempt_id: UUID, payment_id: UUID | None) -> Event:
    about = {"person_id": one.person_id, "payment_id": payment_id, "case_id": one.case_id, "attempt_id": attempt_id}
    if one.why is None:
        return AttemptPlanned(**about, channel=one.channel, due=one.due_at.isoformat(timespec="seconds"))
    assert one.decision is not None
    rules = msgspec.json.decode(one.decision)["rules"]
    return AttemptSuppressed(**about, channel=one.channel, why=one.why, rules=rules)
