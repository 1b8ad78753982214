"""An attempt as people see it: where it stands, and what the gate said about it, rule by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from tenderline.compliance.ruleset import Ruleset
from tenderline.desk import words
from tenderline.store.board import AttemptRow

NOT_IN_FORCE = "This rule is not part of the rules in force now."
# Said by the gate itself, outside the rule files.
_TOO_LATE = "OWN-TOO-LATE"


class _Record(msgspec.Struct, frozen=True):
    """What the gate wrote down of its last answer."""

    answer: Literal["allow", "defer", "deny"]
    rules: tuple[str, ...]
    at: datetime
    ruleset: str = ""
    tzdata: str = ""
    zones: tuple[str, ...] = ()
    until: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class RuleSaid:
    """A rule that was asked, in words, with what it rests on."""

    id: str
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class DecisionView:
    """The gate's last answer. For `allow`, `rules` are all that were asked; else those that said no."""

    answer: Literal["allow", "defer", "deny"]
    at: datetime
    until: datetime | None
    why: str | None
    rules: tuple[RuleSaid, ...]
    ruleset: str
    is_current_ruleset: bool
    """False when the rules were changed since: their wording may have changed too."""
    tzdata: str
    zones: tuple[str, ...]

    @property
    def rule_ids(self) -> str:
        """The names of the rules, in one line."""
        return ", ".join(rule.id for rule in self.rules)


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt. `address` is masked, `person_name` cut to fit a list."""

    id: UUID
    case_id: UUID | None
    channel: str
    state: str
    due_at: datetime
    tries: int
    provider: str | None
    why: str | None
    updated_at: datetime
    person_name: str
    address: str | None
    decision: DecisionView | None


def rule_said(rules: Ruleset, rule_id: str, on: date | None = None) -> RuleSaid:
    """A rule of a decision in words: the row in force on that date, else the newest."""
    if rule_id == _TOO_LATE:
        return RuleSaid(rule_id, "it is too late for this contact", "own rule: a contact has a last useful instant")
    rule = rules.find(rule_id, on)
    return RuleSaid(rule_id, rule.why, rule.source) if rule else RuleSaid(rule_id, NOT_IN_FORCE, "")


def decision_view(record: str | None, rules: Ruleset) -> DecisionView | None:
    """The stored JSON of a decision with the wording of its rules; None when the gate was not asked yet."""
    if record is None:
        return None
    try:
        read = msgspec.json.decode(record, type=_Record)
    except msgspec.ValidationError:
        return None  # written by a newer version; its own screens can read it
    return DecisionView(
        answer=read.answer,
        at=read.at,
        until=read.until,
        why=read.why,
        rules=tuple(rule_said(rules, rule_id, read.at.date()) for rule_id in read.rules),
        ruleset=read.ruleset,
        is_current_ruleset=read.ruleset == rules.version,
        tzdata=read.tzdata,
        zones=read.zones,
    )


def views(rows: Sequence[AttemptRow], rules: Ruleset) -> list[AttemptView]:
    """Rows of attempts for people."""
    return [
        AttemptView(
            id=row.id,
            case_id=row.case_id,
            channel=row.channel,
            state=row.state,
            due_at=row.due_at,
            tries=row.tries,
            provider=row.provider,
            why=words.plain(row.why) if row.why else None,
            updated_at=row.updated_at,
            person_name=words.short_name(row.person_name),
            address=words.mask_address(row.address_kind, row.address),
            decision=decision_view(row.decision, rules),
        )
        for row in rows
    ]
