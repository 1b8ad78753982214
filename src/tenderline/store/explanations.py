"""The facts of any contact, made or imagined, at any instant: what the gate would be told, read without a lock.

Of the past, what is kept with its instants is as of then: refusals and agreements (the consent rows are append-only),
contacts, do-not-contact entries, payments, and the rules. The rest is known only as it stands now, and is named so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from tenderline.compliance import explain as gate
from tenderline.compliance.explain import Explanation
from tenderline.compliance.facts import Consent, ContactPointFacts, History, PersonFacts, Purpose
from tenderline.compliance.rule import CHANNELS
from tenderline.compliance.ruleset import Ruleset
from tenderline.core import zones
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.zones import Place
from tenderline.store import people, places
from tenderline.store.db import Connection, query
from tenderline.store.gate import consents_of, contacts_of, history_facts, person_facts, point_facts
from tenderline.store.places import Defaults
from tenderline.store.rules import RuleBook

SHOWN_MAX = 50
"""Of refusals, agreements and lists of one address."""
KINDS = {channel: channel if channel in ("email", "push") else people.PHONE for channel in CHANNELS}
"""What kind of address a channel reaches."""
_VOICE = frozenset({"voice_live", "voice_artificial"})

PLACE = "where the person may be"
HOLDS = "holds: of the case, for distress, for a reply that must be read; pauses and channels that she declined"
PAYMENT = "a payment on its way"
NEWS = "webhooks that are not read yet"
ADDRESS = "whether the address can be used"
LISTS = "do-not-contact lists: what was taken off since is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether a person, or whoever is behind an address, may be contacted. `at` is None for now."""

    channel: str
    purpose: Purpose
    at: datetime | None = None
    person_id: UUID | None = None
    address: str | None = None
    """E.164, or an e-mail address in lower case."""
    case_id: UUID | None = None
    subject: str | None = None
    own_act_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a question is about, as far as anybody is known. Without a person, only what the address itself tells."""

    kind: str
    address: str
    person_id: UUID | None = None
    contact_point_id: UUID | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A word of hers that stood: a refusal, or an agreement with its class."""

    channel: str
    how: str
    evidence: str | None
    at: datetime
    consent_class: str | None = None
    purposes: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A do-not-contact list on which the address stood."""

    list: str
    source: str
    added_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the gate would be told, and where the parts come from."""

    at: datetime
    now: datetime
    target: Target
    person: PersonFacts
    point: ContactPointFacts
    history: History
    consents: tuple[Consent, ...]
    place: Place
    rules: Ruleset
    refusals: tuple[Said, ...] = ()
    agreements: tuple[Said, ...] = ()
    lists: tuple[Listed, ...] = ()
    only_now: tuple[str, ...] = ()
    """What is known only as it stands now, although the question is about the past."""

    def explain(self, question: Question, at: datetime | None = None) -> Explanation:
        """The gate's answer with all that it rests on."""
        return gate.explain(
            at or self.at,
            self.person,
            self.point,
            question.purpose,
            question.channel,
            self.history,
            self.consents,
            self.rules,
        )


class NoAddressError(InvalidInputError):
    """The person has no address that this channel reaches; ask about another channel."""

    code = "no_address"


async def find_target(connection: Connection, question: Question) -> Target:
    """Whom a question is about. Raises `NotFoundError` or `NoAddressError`.

    Of a person's addresses the oldest that can be used is taken. An address of nobody is a target too.
    """
    kind = KINDS[question.channel]
    if question.person_id is None:
        assert question.address is not None, "a question is about a person or an address"
        found = await people.find_by_address(connection, kind, question.address)
        if found is None:
            return Target(kind, question.address)
        return await _of_person(connection, found[0], kind, question.address)
    return await _of_person(connection, question.person_id, kind, question.address)


async def _of_person(connection: Connection, person_id: UUID, kind: str, address: str | None) -> Target:
    row = await connection.fetchrow(query("explanations", "person"), person_id)
    if row is None:
        raise NotFoundError("There is no person of this id; the page of a case leads to its payer.")
    points = [
        one
        for one in await people.contact_points(connection, person_id)
        if one.kind == kind and address in (None, one.value)
    ]
    if not points:
        raise NoAddressError()
    chosen = next((one for one in points if one.usable), points[0])
    return Target(kind, chosen.value, person_id, chosen.id, row["name"])


async def facts(
    connection: Connection,
    book: RuleBook,
    defaults: Defaults,
    question: Question,
    target: Target,
    *,
    place: Place | None = None,
    rules: Ruleset | None = None,
) -> Facts:
    """What the gate would be told. `place` and `rules` are given when they were kept with a decision.

    Read it in one transaction, so that the parts agree.
    """
    now: datetime = await connection.fetchval(query("explanations", "now"))
    at = question.at or now
    if rules is None:
        rules = await book.as_of(connection, at) if at < now else await book.refresh(connection)
    lists = await _lists(connection, target.address, question.channel, at)
    if target.person_id is None or target.contact_point_id is None:
        return await _of_nobody(connection, question, target, defaults, rules, lists, at=at, now=now)
    person = await connection.fetchrow(query("explanations", "person"), target.person_id)
    assert person is not None
    fact = await _fact(connection, question, target)
    found = place or await places.of_person(connection, target.person_id, defaults)
    contacts = await contacts_of(connection, [target.person_id], at - rules.look_back, at if at < now else None)
    told = Facts(
        at=at,
        now=now,
        target=target,
        person=person_facts(person, found),
        point=point_facts(target.contact_point_id, fact),
        history=history_facts(person, fact, _matter(question), contacts.get(target.person_id, ())),
        consents=consents_of(fact["consents"], at),
        place=found,
        rules=rules,
        refusals=await _refusals(connection, target.person_id, at),
        agreements=await _agreements(connection, target.person_id, target.address, at),
        lists=lists,
    )
    return await _as_of_then(connection, question, told, place is not None) if at < now else told


def _matter(question: Question) -> dict[str, Any]:
    return {"case_id": question.case_id, "subject": question.subject, "own_act_at": question.own_act_at}


async def _fact(connection: Connection, question: Question, target: Target) -> Any:
    """The row that the claim itself reads."""
    (fact,) = await connection.fetch(
        query("attempts", "facts"),
        [0],
        [target.person_id],
        [target.contact_point_id],
        [question.case_id],
        [question.channel],
    )
    if question.case_id is not None and fact["case_state"] is None:
        raise NotFoundError("This person has no case of this id; the list of cases leads to those there are.")
    return fact


async def _of_nobody(
    connection: Connection,
    question: Question,
    target: Target,
    defaults: Defaults,
    rules: Ruleset,
    lists: tuple[Listed, ...],
    *,
    at: datetime,
    now: datetime,
) -> Facts:
    """Of an address that nobody is known by: where its number may lie, on which lists it stands, nothing else."""
    if question.case_id is not None:
        raise NotFoundError("Nobody with this address has a case of this id; leave the case out.")
    numbers = [target.address] if target.kind == people.PHONE else []
    place = zones.locate(None, None, numbers, defaults.zone, defaults.region)
    unread = await connection.fetchval(query("explanations", "unread_about"), target.address)
    return Facts(
        at=at,
        now=now,
        target=target,
        person=PersonFacts(zones=place.zones, regions=place.regions),
        point=ContactPointFacts(lists=tuple(one.list for one in lists)),
        history=History(unread_news=unread, own_act_at=question.own_act_at),
        consents=(),
        place=place,
        rules=rules,
        lists=lists,
        only_now=(PLACE, NEWS, LISTS) if at < now else (),
    )


async def _as_of_then(connection: Connection, question: Question, told: Facts, place_was_kept: bool) -> Facts:
    """The same facts with what is kept with its instants as it was then."""
    target = told.target
    opted_out_at = told.refusals[0].at if told.refusals else None
    history = told.history
    if question.case_id is not None:
        row = await connection.fetchrow(query("explanations", "matter"), target.person_id, question.case_id)
        assert row is not None
        history = msgspec.structs.replace(
            history,
            settled=history.settled and _had_happened(row["settled_at"] or row["closed_at"], told.at),
            closed=history.closed and _had_happened(row["stopped_at"] or row["closed_at"], told.at),
        )
    return replace(
        told,
        person=msgspec.structs.replace(
            told.person,
            opted_out_at=opted_out_at,
            opted_out_channels=frozenset(one.channel for one in told.refusals),
        ),
        point=msgspec.structs.replace(told.point, lists=tuple(one.list for one in told.lists)),
        history=history,
        consents=tuple(
            Consent(
                one.consent_class or "",
                _VOICE if one.channel == "voice" else frozenset({one.channel}),
                frozenset(one.purposes),
                one.at,
            )
            for one in told.agreements
        ),
        only_now=(*(() if place_was_kept else (PLACE,)), HOLDS, PAYMENT, NEWS, ADDRESS, LISTS),
    )


def _had_happened(since: datetime | None, at: datetime) -> bool:
    """Whether it had by then; what has happened at an instant that is not known counts as always."""
    return since is None or since <= at


async def _refusals(connection: Connection, person_id: UUID, at: datetime) -> tuple[Said, ...]:
    rows = await connection.fetch(query("explanations", "refusals"), person_id, at, SHOWN_MAX)
    return tuple(Said(row["channel"], row["how"], row["evidence"], row["at"]) for row in rows)


async def _agreements(connection: Connection, person_id: UUID, address: str, at: datetime) -> tuple[Said, ...]:
    rows = await connection.fetch(query("explanations", "agreements"), person_id, address, at, SHOWN_MAX)
    return tuple(Said(**{**row, "purposes": tuple(row["purposes"])}) for row in rows)


async def _lists(connection: Connection, address: str, channel: str, at: datetime) -> tuple[Listed, ...]:
    rows = await connection.fetch(query("explanations", "lists"), address, channel, at, SHOWN_MAX)
    return tuple(Listed(**row) for row in rows)
