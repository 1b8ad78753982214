"""The rule book as plain data: every rule with what it asks, what it rests on, and who changed it and why."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from tenderline.compliance import regions, rule_text
from tenderline.compliance.facts import Purpose
from tenderline.compliance.rule import CHANNELS, Rule, RuleKind
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError
from tenderline.desk import rule_words
from tenderline.desk.rule_words import Week
from tenderline.store import rules as store
from tenderline.store.db import Connection
from tenderline.store.gate import TZDATA_VERSION
from tenderline.store.rules import RuleBook, RuleChange

State = Literal["in_force", "not_in_force", "off"]
PICTURE_CHANNEL: Final = "sms"
PICTURE_PURPOSE: Final = Purpose.FIRST_PARTY_RECOVERY


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rules are wanted; None for all."""

    region: str | None = None
    purpose: Purpose | None = None
    channel: str | None = None
    kind: RuleKind | None = None

    def wants(self, rule: Rule) -> bool:
        """Whether a rule binds such a contact."""
        row = rule.row
        return (
            (self.purpose is None or not row.purposes or self.purpose in row.purposes)
            and (self.channel is None or not row.channels or self.channel in row.channels)
            and (self.kind is None or rule.kind is self.kind)
            and (self.region is None or row.jurisdiction in (None, *regions.jurisdictions((self.region,))))
        )


def filter_of(
    *, region: str | None = None, purpose: str | None = None, channel: str | None = None, kind: str | None = None
) -> Filter:
    """A filter of words, of which an empty one wants all; raises `InvalidInputError` naming one that is not known."""
    region = region.strip().upper() if region else None
    if region and not regions.is_known(region):
        raise InvalidInputError(f"There is no region {region!r}; write US, US-FL, US-NY-NYC, GB or EU.")
    if channel and channel not in CHANNELS:
        raise InvalidInputError(f"There is no channel {channel!r}; there is {', '.join(CHANNELS)}.")
    if purpose and purpose not in tuple(Purpose):
        raise InvalidInputError(f"There is no purpose {purpose!r}; there is {', '.join(Purpose)}.")
    if kind and kind not in tuple(RuleKind):
        raise InvalidInputError(f"There is no kind of rule {kind!r}; there is {', '.join(RuleKind)}.")
    return Filter(region, Purpose(purpose) if purpose else None, channel or None, RuleKind(kind) if kind else None)


@dataclass(frozen=True, slots=True)
class ChangeView:
    """What an operator did to a rule."""

    number: int
    action: str
    by: str
    why: str
    at: datetime
    text: str = ""
    """The rows that were put in place, as TOML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    """A row of the book in words."""

    id: str
    kind: RuleKind
    kind_words: str
    jurisdiction: str | None
    why: str
    channels: tuple[str, ...]
    purposes: tuple[str, ...]
    binds: str
    detail: str
    lifted_by: str
    source: str
    confidence: str
    note: str | None
    since: date
    until: date | None
    force: str
    state: State
    place: str
    """The file and the line of it, or the change that put it in place."""
    changed: ChangeView | None
    week: Week | None
    """Of a rule of hours, Monday first, by the clocks that it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookView:
    """The rules that a filter wants, and the hours that those of them leave open together."""

    filter: Filter
    on: date
    rules: tuple[RuleView, ...]
    total: int
    regions: tuple[str, ...]
    """The places that have rules of their own."""
    week: Week
    week_channel: str
    week_purpose: str
    week_rules: int
    elsewhere: tuple[str, ...]
    """Rules of hours that go by the clock of a place, not the person's: they narrow the week further."""
    version: str
    tzdata: str

    def of_state(self, state: State) -> tuple[RuleView, ...]:
        """Those in force, those that are not (yet, or any more), or those that an operator turned off."""
        return tuple(rule for rule in self.rules if rule.state == state)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePage:
    """One rule with all its rows and everything that was done to it."""

    id: str
    rows: tuple[RuleView, ...]
    text: str
    """As TOML: what is in force, or what is shipped when it is turned off."""
    is_off: bool
    is_shipped: bool
    is_changed: bool
    history: tuple[ChangeView, ...]
    newest: int
    """The number of the newest change of it; 0 when there was none."""


async def read_book(connection: Connection, book: RuleBook, wanted: Filter, on: date | None = None) -> BookView:
    """The book as it stands."""
    rules = await book.refresh(connection)
    return _book(rules, wanted, on, await _newest_changes(connection), book)


def read_shipped(rules: Ruleset, wanted: Filter) -> BookView:
    """The book as it is shipped."""
    return _book(rules, wanted, None, {}, None)


async def read_rule(connection: Connection, book: RuleBook, rule_id: str) -> RulePage | None:
    """One rule; None when there is and was none of that id."""
    rules = await book.refresh(connection)
    made = [change for change in await store.changes(connection) if change.rule_id == rule_id]
    there = [rule for rule in rules.rules if rule.id == rule_id]
    shipped = book.shipped(rule_id)
    if not (there or shipped or made):
        return None
    newest = made[-1] if made else None
    is_off = newest is not None and newest.action == "off"
    shown = there or shipped or _rows_before(made)
    today = utc_now().date()
    changed = _change(newest) if newest is not None and newest.action != "as_shipped" else None
    return RulePage(
        id=rule_id,
        rows=tuple(_view(rule, today, changed, is_off=not there) for rule in shown),
        text=rule_text.as_toml(rule.row for rule in shown),
        is_off=is_off,
        is_shipped=bool(shipped),
        is_changed=changed is not None,
        history=tuple(_change(change) for change in reversed(made)),
        newest=newest.number if newest else 0,
    )


def _rows_before(made: Sequence[RuleChange]) -> list[Rule]:
    """The last rows of an operator's own rule that is gone."""
    return next((rows for change in reversed(made) if (rows := store.rows_of(change))), [])


def differences(before: str, after: str) -> tuple[tuple[str, str], ...]:
    """(sign, line) of a change: `-` for what goes, `+` for what comes, a space for what stays."""
    old, new = before.splitlines(), after.splitlines()
    lines = list(difflib.unified_diff(old, new, n=len(old) + len(new), lineterm=""))[3:]  # after its own heading
    return tuple((line[0], line[1:]) for line in lines)


async def _newest_changes(connection: Connection) -> dict[str, RuleChange]:
    newest = {change.rule_id: change for change in await store.changes(connection)}
    return {rule_id: change for rule_id, change in newest.items() if change.action != "as_shipped"}


def _change(change: RuleChange) -> ChangeView:
    text = rule_text.as_toml(rule.row for rule in store.rows_of(change))
    return ChangeView(change.number, change.action, change.by_whom, change.why, change.at, text)


def _book(
    rules: Ruleset, wanted: Filter, on: date | None, changes: dict[str, RuleChange], book: RuleBook | None
) -> BookView:
    day = on or utc_now().date()
    views = [
        _view(rule, day, _change(changes[rule.id]) if rule.id in changes else None, is_off=False)
        for rule in rules.rules
        if wanted.wants(rule)
    ]
    for rule_id, change in changes.items():
        if change.action == "off" and book is not None:
            views += [
                _view(rule, day, _change(change), is_off=True) for rule in book.shipped(rule_id) if wanted.wants(rule)
            ]
    channel, purpose = wanted.channel or PICTURE_CHANNEL, wanted.purpose or PICTURE_PURPOSE
    where = regions.jurisdictions((wanted.region,)) if wanted.region else frozenset[str]()
    hours = [
        rule
        for rule in rules.rules
        if rule.schedule is not None and rule.in_force(day, day) and rule.binds(channel, purpose, where)
    ]
    own_clock = [rule for rule in hours if rule.by_recipient]
    return BookView(
        filter=wanted,
        on=day,
        rules=tuple(sorted(views, key=lambda one: (one.jurisdiction is not None, one.jurisdiction or ""))),
        total=len(rules.rules),
        regions=_regions(rules.rules),
        week=rule_words.shared([rule_words.week_of(rule) for rule in own_clock]),
        week_channel=channel,
        week_purpose=purpose,
        week_rules=len(own_clock),
        elsewhere=tuple(f"{rule.id}: {rule_words.detail(rule)}" for rule in hours if rule.fixed_zones),
        version=rules.version,
        tzdata=TZDATA_VERSION,
    )


def _regions(rules: Iterable[Rule]) -> tuple[str, ...]:
    return tuple(sorted({rule.row.jurisdiction for rule in rules if rule.row.jurisdiction is not None}))


def _view(rule: Rule, on: date, changed: ChangeView | None, *, is_off: bool) -> RuleView:
    row = rule.row
    state: State = "off" if is_off else "in_force" if rule.in_force(on, on) else "not_in_force"
    return RuleView(
        id=rule.id,
        kind=rule.kind,
        kind_words=rule_words.kind(rule.kind),
        jurisdiction=row.jurisdiction,
        why=row.why,
        channels=row.channels,
        purposes=row.purposes,
        binds=rule_words.binds(rule),
        detail=rule_words.detail(rule),
        lifted_by=rule_words.lifted_by(rule),
        source=row.source,
        confidence=row.confidence,
        note=row.note,
        since=row.effective_from,
        until=row.effective_to,
        force="turned off" if is_off else rule_words.in_force(rule, on),
        state=state,
        place=rule.place,
        changed=changed,
        week=rule_words.week_of(rule) if rule.schedule is not None else None,
    )
