"""Reading the rule files into rows that `decide` can ask quickly, refusing any row it does not understand."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, fields
from datetime import date, time
from enum import StrEnum
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from tenderline.core.errors import ConfigurationError

RULES_PACKAGE = "tenderline.compliance.rules"


class RuleKind(StrEnum):
    """What a rule looks at."""

    OPTED_OUT = "opted_out"
    SETTLED = "settled"
    CLOSED = "closed"
    PROCESSING = "processing"
    HELD = "held"
    DISTRESS = "distress"
    UNUSABLE_ADDRESS = "unusable_address"
    UNREAD_NEWS = "unread_news"
    HOURS = "hours"
    CAP = "cap"


DEFERRING = frozenset(
    {RuleKind.PROCESSING, RuleKind.HELD, RuleKind.DISTRESS, RuleKind.UNREAD_NEWS, RuleKind.HOURS, RuleKind.CAP}
)
"""The kinds that put a contact off."""
DENYING = frozenset({RuleKind.OPTED_OUT, RuleKind.SETTLED, RuleKind.CLOSED, RuleKind.UNUSABLE_ADDRESS, RuleKind.HOURS})
"""The kinds that refuse it for good; hours do so when nobody knows where the person's day is."""

_NEEDS: dict[RuleKind, frozenset[str]] = {
    RuleKind.PROCESSING: frozenset({"again_after_s"}),
    RuleKind.HELD: frozenset({"again_after_s"}),
    RuleKind.UNREAD_NEWS: frozenset({"again_after_s"}),
    RuleKind.HOURS: frozenset({"opens", "closes"}),
    RuleKind.CAP: frozenset({"window_s"}),
}


class InvalidRuleError(ConfigurationError):
    """A compliance rule cannot be used; the message names the file, the rule and what is wrong."""

    code = "invalid_rule"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. `effective_to` is exclusive; empty `channels` or `purposes` mean all."""

    id: str
    kind: RuleKind
    why: str
    source: str
    confidence: str
    effective_from: date
    effective_to: date | None = None
    channels: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    opens: time | None = None
    closes: time | None = None
    window_s: int | None = None
    again_after_s: int | None = None

    def binds(self, day: date, channel: str, purpose: str) -> bool:
        """Whether this row is in force for such a contact on that day (UTC)."""
        return (
            self.effective_from <= day
            and (self.effective_to is None or day < self.effective_to)
            and (not self.channels or channel in self.channels)
            and (not self.purposes or purpose in self.purposes)
        )


@dataclass(frozen=True, slots=True)
class Binding:
    """The rules in force for one kind of contact on one day, sorted once into what each can answer."""

    ids: tuple[str, ...]
    denying: tuple[Rule, ...]
    deferring: tuple[Rule, ...]


class Ruleset:
    """All rules, with a version that names exactly these rows."""

    def __init__(self, rules: tuple[Rule, ...], version: str) -> None:
        self.rules = rules
        self.version = version
        self._by_contact = lru_cache(maxsize=512)(self._select)

    def binding(self, day: date, channel: str, purpose: str) -> Binding:
        """The rules in force for such a contact, in the order of the files."""
        return self._by_contact(day, channel, purpose)

    def _select(self, day: date, channel: str, purpose: str) -> Binding:
        rules = tuple(rule for rule in self.rules if rule.binds(day, channel, purpose))
        return Binding(
            ids=tuple(rule.id for rule in rules),
            denying=tuple(rule for rule in rules if rule.kind in DENYING),
            deferring=tuple(rule for rule in rules if rule.kind in DEFERRING),
        )

    def find(self, rule_id: str) -> Rule | None:
        """The row of that id, for explaining a decision."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)


def parse(texts: dict[str, str]) -> Ruleset:
    """The rules of the named TOML texts; raises `InvalidRuleError` naming the file, the rule and the reason."""
    rules: list[Rule] = []
    seen: set[str] = set()
    for name, text in sorted(texts.items()):
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidRuleError(f"{name} is not valid TOML: {error}") from error
        if unknown := set(document) - {"rule"}:
            raise InvalidRuleError(f"{name}: unknown table {sorted(unknown)[0]!r}; rules are written as [[rule]]")
        for row in document.get("rule", []):
            rule = _rule(name, row)
            if rule.id in seen:
                raise InvalidRuleError(f"{name}: the rule id {rule.id!r} is used twice")
            seen.add(rule.id)
            rules.append(rule)
    digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in sorted(texts.items())).encode())
    return Ruleset(tuple(rules), digest.hexdigest()[:12])


def _rule(name: str, row: dict[str, Any]) -> Rule:
    where = f"{name}: rule {row.get('id', '(without an id)')!r}"
    known = {field.name for field in fields(Rule)}
    if unknown := set(row) - known:
        raise InvalidRuleError(f"{where} has an unknown key {sorted(unknown)[0]!r}")
    try:
        kind = RuleKind(row.get("kind", ""))
    except ValueError:
        raise InvalidRuleError(f"{where} has an unknown kind {row.get('kind')!r}") from None
    required = {"id", "why", "source", "confidence", "effective_from"} | _NEEDS.get(kind, frozenset())
    if missing := required - set(row):
        raise InvalidRuleError(f"{where} lacks {sorted(missing)[0]!r}")
    values: dict[str, Any] = {**row, "kind": kind}
    values.update({key: tuple(row[key]) for key in ("channels", "purposes") if key in row})
    rule = Rule(**values)
    if rule.opens is not None and rule.closes is not None and rule.opens >= rule.closes:
        raise InvalidRuleError(f"{where} can never open: {rule.opens} is not before {rule.closes}")
    if rule.window_s is not None and rule.window_s <= 0:
        raise InvalidRuleError(f"{where} needs a window of one second or more")
    return rule


@cache
def shipped() -> Ruleset:
    """The rules that come with the product."""
    folder = resources.files(RULES_PACKAGE)
    return parse({entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")})
