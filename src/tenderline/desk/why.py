"""Why a contact was allowed, put off or refused, as plain data: for the command, the screens and the API alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from tenderline.compliance.decide import NO_ZONE
from tenderline.compliance.explain import Explanation, Says, Verdict
from tenderline.compliance.facts import NO_END, Allow, Defer, PastContact
from tenderline.compliance.rule import RuleKind
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.zones import Evidence
from tenderline.desk import rule_words, words
from tenderline.desk.attempts import RuleSaid, rule_said
from tenderline.desk.board import EventLine, event_lines
from tenderline.store import board, decisions, explanations, people
from tenderline.store.db import Connection
from tenderline.store.decisions import KeptAttempt
from tenderline.store.explanations import Facts, Listed, Question, Said
from tenderline.store.gate import TZDATA_VERSION, DecisionRecord
from tenderline.store.places import Defaults
from tenderline.store.rules import RuleBook

CONTACTS_SHOWN: Final = 5
ZONES_SHOWN: Final = 6
Answer = Literal["allow", "defer", "deny"]
# What a program switches on; the first is the word of the integrations that this was written for.
REASONS: Final = {
    RuleKind.HOURS: "outside_jurisdiction_hours",
    RuleKind.OPTED_OUT: "opted_out",
    RuleKind.DNC: "on_do_not_contact_list",
    RuleKind.CONSENT: "consent_missing",
    RuleKind.CAP: "contact_cap_reached",
    RuleKind.QUIET_AFTER: "quiet_period",
    RuleKind.BAN: "banned",
    RuleKind.SETTLED: "already_paid",
    RuleKind.CLOSED: "matter_closed",
    RuleKind.PROCESSING: "payment_processing",
    RuleKind.HELD: "held_for_review",
    RuleKind.DISTRESS: "distress_hold",
    RuleKind.PAUSED: "paused",
    RuleKind.DECLINED: "channel_declined",
    RuleKind.UNREAD_NEWS: "unread_news",
    RuleKind.UNUSABLE_ADDRESS: "address_unusable",
    RuleKind.CONFIRMATION: "confirmation_not_due",
}
UNKNOWN_ZONE: Final = "unknown_time_zone"
SAYS: Final[dict[Says, str]] = {"denies": "no", "defers": "not now", "lifted": "lifted", "content": "yes"}


@dataclass(frozen=True, slots=True)
class VerdictView:
    """What one rule said, with what it rests on."""

    id: str
    code: RuleKind
    kind: str
    says: Says
    why: str
    source: str
    confidence: str
    note: str | None
    jurisdiction: str | None
    looked_at: str
    until: datetime | None

    @property
    def said(self) -> str:
        """Its answer in a word or two."""
        return SAYS[self.says]


@dataclass(frozen=True, slots=True)
class FactLine:
    """One fact that was used."""

    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """An answer of the gate with everything it rests on."""

    channel: str
    purpose: str
    at: datetime
    is_past: bool
    name: str | None
    address: str | None
    is_known: bool
    """Whether anybody is known by the address."""
    answer: Answer
    until: datetime | None
    why: str | None
    rules: tuple[str, ...]
    """Those that said no, the loudest first; of an answer that allows, all that were asked."""
    local_times: tuple[tuple[str, datetime], ...]
    verdicts: tuple[VerdictView, ...]
    facts: tuple[FactLine, ...]
    only_now: tuple[str, ...]
    ruleset: str
    tzdata: str

    @property
    def reason(self) -> str | None:
        """Why not, in a word for programs; None when it is allowed."""
        if self.answer == "allow":
            return None
        if self.why == NO_ZONE:
            return UNKNOWN_ZONE
        return next(REASONS[one.code] for one in self.verdicts if one.id == self.rules[0])

    @property
    def said_no(self) -> tuple[VerdictView, ...]:
        """The rules that refuse it or put it off."""
        return tuple(one for one in self.verdicts if one.says in ("denies", "defers"))

    @property
    def local(self) -> tuple[str, ...]:
        """The instant by each wall clock: `20:55:03 Fri 20 Nov 2026 EST in America/New_York`."""
        return tuple(f"{at:%H:%M:%S %a %-d %b %Y %Z} in {zone}" for zone, at in self.local_times)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What the gate wrote down when it was asked. For `allow`, `rules` are all that were asked; else those that said
    no."""

    answer: str
    at: datetime
    until: datetime | None
    why: str | None
    rules: tuple[RuleSaid, ...]
    facts: tuple[FactLine, ...]
    ruleset: str
    tzdata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptWhy:
    """A contact, what was decided about it and when, and the same question asked again."""

    attempt: KeptAttempt
    address: str | None
    person_name: str
    kept: KeptAnswer | None
    again: Why | None
    differs: bool
    """Asked again, the gate would answer otherwise: something it looked at is not kept."""
    same_rules: bool
    at_end: datetime | None
    timeline: tuple[EventLine, ...]


async def ask(connection: Connection, book: RuleBook, defaults: Defaults, question: Question) -> Why:
    """The gate's answer to a question, with what it rests on. Read it in one transaction."""
    target = await explanations.find_target(connection, question)
    told = await explanations.facts(connection, book, defaults, question, target)
    return view(told, question.channel, question.purpose, told.explain(question))


async def of_attempt(
    connection: Connection, book: RuleBook, defaults: Defaults, attempt_id: UUID, *, lease_s: float
) -> AttemptWhy | None:
    """Why an attempt was, or was not, made; None when there is no such attempt. Read it in one transaction."""
    kept = await decisions.attempt(connection, attempt_id)
    if kept is None:
        return None
    record = kept.record()
    again = await decisions.ask_again(connection, book, defaults, kept, lease_s=lease_s)
    rules = await book.refresh(connection)
    if record is not None:
        rules = await book.of_version(connection, record.ruleset) or await book.as_of(connection, record.at)
    told = view(again.facts, kept.channel, kept.purpose, again.explanation, again.at_end) if again else None
    name = (await people.get(connection, kept.person_id)).name
    return AttemptWhy(
        attempt=kept,
        address=words.mask_address(kept.address_kind, kept.address),
        person_name=words.short_name(name),
        kept=_kept(record, rules) if record else None,
        again=told,
        differs=record is not None and told is not None and told.answer != record.answer,
        same_rules=again is None or again.same_rules,
        at_end=again.at_end if again else None,
        timeline=event_lines(await board.events_of_attempt(connection, kept.person_id, kept.id)),
    )


def _kept(record: DecisionRecord, rules: Ruleset) -> KeptAnswer:
    facts = [
        FactLine("Zones", _zones(tuple(record.zones), record.evidence)),
        FactLine("Regions", ", ".join(record.regions) or "none known"),
        FactLine("Agreements", ", ".join(record.consents) or "none stood"),
        FactLine("Contacts before", ", ".join(map(words.instant, record.contacts)) or "none that a cap looks at"),
        FactLine("Opted out", words.instant(record.opted_out_at) if record.opted_out_at else "no"),
    ]
    return KeptAnswer(
        answer=record.answer,
        at=record.at,
        until=record.until,
        why=record.why,
        rules=tuple(rule_said(rules, rule_id, record.at.date()) for rule_id in record.rules),
        facts=tuple(facts),
        ruleset=record.ruleset,
        tzdata=record.tzdata,
    )


def view(told: Facts, channel: str, purpose: str, explained: Explanation, at: datetime | None = None) -> Why:
    """An explanation for people and programs."""
    decision, at = explained.decision, at or told.at
    return Why(
        channel=channel,
        purpose=purpose,
        at=at,
        is_past=at < told.now,
        name=words.short_name(told.target.name) if told.target.person_id else None,
        address=words.mask_address(told.target.kind, told.target.address),
        is_known=told.target.person_id is not None,
        answer="allow" if isinstance(decision, Allow) else "defer" if isinstance(decision, Defer) else "deny",
        until=decision.until if isinstance(decision, Defer) else None,
        why=None if isinstance(decision, Allow) else decision.why,
        rules=decision.rules,
        local_times=explained.local_times,
        verdicts=tuple(map(_verdict, explained.verdicts)),
        facts=tuple(_facts(told)),
        only_now=told.only_now,
        ruleset=explained.ruleset,
        tzdata=TZDATA_VERSION,
    )


def _verdict(verdict: Verdict) -> VerdictView:
    row = verdict.rule.row
    return VerdictView(
        id=row.id,
        code=row.kind,
        kind=rule_words.kind(row.kind),
        says=verdict.says,
        why=row.why,
        source=row.source,
        confidence=row.confidence,
        note=row.note,
        jurisdiction=row.jurisdiction,
        looked_at=words.plain(verdict.looked_at),
        until=verdict.until,
    )


def _facts(told: Facts) -> list[FactLine]:
    history, person = told.history, told.person
    lines = [
        FactLine("Zones", _zones(told.place.zones, told.place.evidence)),
        FactLine("Regions", ", ".join(told.place.regions) or "none known: only what binds everywhere is asked"),
        FactLine("Refusals", "; ".join(map(_said, told.refusals)) or "none stands"),
        FactLine("Agreements", "; ".join(map(_said, told.agreements)) or "none stands for this address"),
        FactLine("Do-not-contact lists", "; ".join(map(_listed, told.lists)) or "on none"),
        FactLine("Contacts before", _contacts(history.contacts)),
        FactLine("Address", "can be used" if told.point.usable else f"cannot be used: {_why_not(told)}"),
    ]
    if not told.target.person_id:
        return [FactLine("Person", "nobody is known by this address"), *lines]
    states = {
        "it is paid": history.settled,
        "it is over": history.closed,
        "a payment is on its way": history.processing,
        "held until somebody has looked": history.held,
        "news that is not read yet": history.unread_news,
    }
    calm = "open, not held" if history.debt else "no case was named; nothing holds the person"
    lines.append(FactLine("Matter", ", ".join(name for name, is_so in states.items() if is_so) or calm))
    if person.distress_until is not None:
        endless = person.distress_until.year >= NO_END
        lines.append(
            FactLine("Distress", "without an end" if endless else f"until {words.instant(person.distress_until)}")
        )
    if person.paused_until is not None and person.paused_until > told.at:
        lines.append(FactLine("Paused by the payer", f"until {words.instant(person.paused_until)}"))
    if person.declined_channels:
        lines.append(FactLine("Not wanted", ", ".join(map(words.channel, sorted(person.declined_channels)))))
    if history.own_act_at is not None:
        lines.append(FactLine("Answers an act of", words.instant(history.own_act_at)))
    return lines


def _why_not(told: Facts) -> str:
    return words.plain(told.point.why_not) if told.point.why_not else "no reason was kept"


def _zones(zones: tuple[str, ...], evidence: str | None) -> str:
    if not zones:
        return "none known"
    shown = ", ".join(zones[:ZONES_SHOWN])
    if len(zones) > ZONES_SHOWN:
        shown += f" and {len(zones) - ZONES_SHOWN} more"
    known = evidence in tuple(Evidence)
    return f"{shown} ({words.EVIDENCE[Evidence(evidence)]})" if known and evidence else shown


def _said(one: Said) -> str:
    text = f"{one.consent_class} by " if one.consent_class else ""
    text += f"{words.channel(one.channel)}, {words.instant(one.at)}, {one.how}"
    if one.expires_at is not None:
        text += f", until {words.instant(one.expires_at)}"
    return text + (f": “{words.short(words.plain(one.evidence))}”" if one.evidence else "")


def _listed(one: Listed) -> str:
    text = f"{one.list} (from {words.plain(one.source)}, since {words.instant(one.added_at)}"
    return f"{text}, until {words.instant(one.expires_at)})" if one.expires_at else f"{text})"


def _contacts(contacts: tuple[PastContact, ...]) -> str:
    if not contacts:
        return "none that a cap looks at"
    newest = sorted(contacts, key=lambda one: one.at, reverse=True)
    shown = ", ".join(f"{words.channel(one.channel)} {words.instant(one.at)}" for one in newest[:CONTACTS_SHOWN])
    more = len(newest) - CONTACTS_SHOWN
    return f"{len(newest)}: {shown}{f' and {more} more' if more > 0 else ''}"
