"""A decision that was kept, and the same question asked again: over the facts as they were then, by the rules of then.

What the gate wrote down beside its answer (place, refusal, what held the contact) is taken from there; the rest comes
from what is kept with its instants (`store.explanations`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from tenderline.compliance.decide import family_of
from tenderline.compliance.explain import Explanation
from tenderline.compliance.facts import Allow, Purpose
from tenderline.compliance.rule import RuleKind
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.zones import Evidence, Place
from tenderline.store import explanations
from tenderline.store.db import Connection, query
from tenderline.store.explanations import Facts, Question, Target
from tenderline.store.gate import DecisionRecord
from tenderline.store.places import Defaults
from tenderline.store.rules import RuleBook


@dataclass(frozen=True, slots=True)
class KeptAttempt:
    """An attempt with what the gate wrote down of its last answer; `decision` is JSON."""

    id: UUID
    person_id: UUID
    case_id: UUID | None
    channel: str
    purpose: str
    contact_point_id: UUID
    state: str
    due_at: datetime
    created_at: datetime
    contacted_at: datetime | None
    handed_over_at: datetime | None
    provider: str | None
    why: str | None
    decision: str | None
    subject: str | None
    own_act_at: datetime | None
    tries: int
    address_kind: str | None
    address: str | None

    def record(self) -> DecisionRecord | None:
        """What was written down; None when the gate was not asked yet, or a newer version wrote it."""
        if self.decision is None:
            return None
        try:
            return msgspec.json.decode(self.decision, type=DecisionRecord)
        except msgspec.ValidationError:
            return None


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """The same question over what is kept. `at_end` when the answer came from the end of the lease."""

    facts: Facts
    explanation: Explanation
    same_rules: bool
    """The rules are exactly those of then; else today's rows with the operators' changes of then."""
    at_end: datetime | None = None


async def attempt(connection: Connection, attempt_id: UUID) -> KeptAttempt | None:
    """The attempt of an id; None when there is none."""
    row = await connection.fetchrow(query("explanations", "attempt"), attempt_id)
    return KeptAttempt(**row) if row else None


async def ask_again(
    connection: Connection, book: RuleBook, defaults: Defaults, kept: KeptAttempt, *, lease_s: float
) -> AskedAgain | None:
    """The kept decision made again; one that was not made yet is asked for the instant at which it is due.

    None when the attempt's address is gone: its payments turned out to be another person's.
    """
    if kept.address_kind is None or kept.address is None:
        return None
    record = kept.record()
    question = Question(
        channel=kept.channel,
        purpose=Purpose(kept.purpose),
        at=record.at if record else kept.due_at,
        person_id=kept.person_id,
        address=kept.address,
        case_id=kept.case_id,
        subject=kept.subject,
        own_act_at=kept.own_act_at,
    )
    target = Target(kept.address_kind, kept.address, kept.person_id, kept.contact_point_id)
    if record is None:
        told = await explanations.facts(connection, book, defaults, question, target)
        return AskedAgain(told, told.explain(question), same_rules=True)
    then = await book.of_version(connection, record.ruleset)
    rules = then or await book.as_of(connection, record.at)
    told = await explanations.facts(connection, book, defaults, question, target, place=_place(record), rules=rules)
    told = _with_record(told, record, rules, kept.channel)
    answer = told.explain(question)
    if isinstance(answer.decision, Allow) and record.answer != "allow":
        # A contact may leave at any instant of its lease, so the gate asks for its end too.
        end = record.at + timedelta(seconds=lease_s)
        later = told.explain(question, end)
        if not isinstance(later.decision, Allow):
            return AskedAgain(told, later, then is not None, end)
    return AskedAgain(told, answer, then is not None)


def _place(record: DecisionRecord) -> Place:
    evidence = record.evidence if record.evidence in tuple(Evidence) else Evidence.NONE
    return Place(tuple(record.zones), tuple(record.regions), Evidence(evidence or Evidence.NONE))


def _with_record(told: Facts, record: DecisionRecord, rules: Ruleset, channel: str) -> Facts:
    """The facts with what the answer itself tells of them.

    Who was allowed was held by nothing; of who was not, the rules that said no say what stood in the way.
    """
    named = [] if record.answer == "allow" else [rules.find(rule_id) for rule_id in record.rules]
    kinds = {rule.kind for rule in named if rule is not None}
    in_distress, paused = RuleKind.DISTRESS in kinds, RuleKind.PAUSED in kinds
    return replace(
        told,
        person=msgspec.structs.replace(
            told.person,
            opted_out_at=record.opted_out_at,
            opted_out_channels=told.person.opted_out_channels if record.opted_out_at else frozenset(),
            distress_until=(told.person.distress_until or record.until) if in_distress else None,
            paused_until=(told.person.paused_until or record.until) if paused else None,
            declined_channels=frozenset({family_of(channel)}) if RuleKind.DECLINED in kinds else frozenset(),
        ),
        point=msgspec.structs.replace(
            told.point,
            usable=RuleKind.UNUSABLE_ADDRESS not in kinds,
            why_not=told.point.why_not if RuleKind.UNUSABLE_ADDRESS in kinds else None,
        ),
        history=msgspec.structs.replace(
            told.history,
            settled=RuleKind.SETTLED in kinds,
            closed=RuleKind.CLOSED in kinds,
            processing=RuleKind.PROCESSING in kinds,
            held=RuleKind.HELD in kinds,
            unread_news=RuleKind.UNREAD_NEWS in kinds,
        ),
        only_now=tuple(one for one in told.only_now if one == explanations.LISTS),
    )
