"""Reading rule files, refusing any row that is not understood, with the file and the line of it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import time
from itertools import combinations, pairwise
from typing import Any

import msgspec

from tenderline.compliance import regions
from tenderline.compliance.facts import ConsentClass, Purpose
from tenderline.compliance.hours import WEEKDAYS, Hours, weekly
from tenderline.compliance.rule import CHANNELS, Cap, Row, Rule, RuleKind, Span
from tenderline.core import zones
from tenderline.core.errors import ConfigurationError
from tenderline.core.hours import DAY_S, Window, Windows

ROWS_MAX = 2_000
_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*rule[ \t]*\]\]", re.MULTILINE)
_AT = re.compile(r" - at `\$\.?(.+?)`$")

_CAP_KEYS = frozenset({"count", "key", "counts"})
# What a kind must have, and what only it may have.
_NEEDS: dict[RuleKind, frozenset[str]] = {
    RuleKind.PROCESSING: frozenset({"again_after_s"}),
    RuleKind.HELD: frozenset({"again_after_s"}),
    RuleKind.UNREAD_NEWS: frozenset({"again_after_s"}),
    RuleKind.CONFIRMATION: frozenset({"lifted_by_own_act_s"}),
    RuleKind.HOURS: frozenset({"hours"}),
    RuleKind.CAP: _CAP_KEYS,
    RuleKind.QUIET_AFTER: frozenset({"after", "quiet_d", "key"}),
    RuleKind.CONSENT: frozenset({"classes"}),
    RuleKind.DNC: frozenset({"lists"}),
    RuleKind.PRACTICE: frozenset({"how"}),
}
_MAY: dict[RuleKind, frozenset[str]] = {
    RuleKind.OPTED_OUT: frozenset({"except_channels_other_than_its_own"}),
    RuleKind.HOURS: frozenset({"holidays", "zone", "lifted_by_own_act_s"}),
    RuleKind.CAP: frozenset({"window_h", "window_d", "window", "counted_channels", "counted_purposes"}),
    RuleKind.QUIET_AFTER: frozenset({"window", "counted_channels", "counted_purposes"}),
}
_COMMON = frozenset(
    {"id", "kind", "why", "source", "confidence", "effective_from", "effective_to", "jurisdiction", "purposes"}
    | {"channels", "note", "lifted_by"}
)


class InvalidRuleError(ConfigurationError):
    """A compliance rule cannot be used; the message names the file, the line, the rule and what is wrong."""

    code = "invalid_rule"


def read(name: str, text: str) -> list[Rule]:
    """The rules of one TOML text; raises `InvalidRuleError` for the first that cannot be used."""
    rules: list[Rule] = []
    for found in check(name, text):
        if isinstance(found, InvalidRuleError):
            raise found
        rules.append(found)
    return rules


def check(name: str, text: str) -> Iterator[Rule | InvalidRuleError]:
    """Every row of a text: the rule, or what is wrong with it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        yield InvalidRuleError(f"{name} is not valid TOML: {error}")
        return
    if unknown := sorted(set(document) - {"rule"}):
        yield InvalidRuleError(f"{name}: unknown table {unknown[0]!r}; rules are written as [[rule]]")
    rows = document.get("rule", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        yield InvalidRuleError(f"{name}: rules are written as [[rule]]")
        return
    if len(rows) > ROWS_MAX:
        yield InvalidRuleError(f"{name} has {len(rows)} rules; at most {ROWS_MAX} are read")
        return
    lines = [text.count("\n", 0, header.start()) + 1 for header in _HEADER.finditer(text)]
    for number, row in enumerate(rows):
        place = f"{name}:{lines[number]}" if number < len(lines) else name
        try:
            yield of_row(row, place)
        except InvalidRuleError as error:
            yield error


def of_row(row: dict[str, Any], place: str) -> Rule:
    """A rule of its keys and values (TOML's own types, or JSON's); raises `InvalidRuleError` naming `place`."""
    where = f"{place}: rule {row.get('id', '(without an id)')!r}"
    try:
        read_row = msgspec.convert(msgspec.to_builtins(row), Row)
    except msgspec.ValidationError as error:
        raise InvalidRuleError(f"{where}: {_plain(str(error))}") from None
    _check_keys(where, row, read_row)
    _check_words(where, read_row)
    fixed, by_recipient = _zones(where, read_row)
    return Rule(
        row=read_row,
        place=place,
        schedule=_schedule(where, read_row) if read_row.kind is RuleKind.HOURS else None,
        fixed_zones=fixed,
        by_recipient=by_recipient,
        cap=_cap(where, read_row),
    )


def of_rows(rows: Sequence[dict[str, Any]], place: str) -> list[Rule]:
    """Rules of their keys and values, of one id only when their dates do not overlap."""
    rules = [of_row(row, place) for row in rows]
    for one, other in combinations(rules, 2):
        if one.id == other.id and together(one, other):
            raise InvalidRuleError(f"{place}: two rows of {one.id!r} are in force together; end one before the other")
    return rules


def together(one: Rule, other: Rule) -> bool:
    """Whether there is a date on which both are in force."""
    first, second = sorted((one.row, other.row), key=lambda row: row.effective_from)
    return first.effective_to is None or second.effective_from < first.effective_to


def _plain(message: str) -> str:
    at = _AT.search(message)
    return f"{at.group(1)}: {message[: at.start()]}" if at else message


def _check_keys(where: str, written: dict[str, Any], row: Row) -> None:
    needs = _NEEDS.get(row.kind, frozenset())
    if missing := sorted(needs - set(written)):
        raise InvalidRuleError(f"{where} lacks {missing[0]!r}, which a rule of kind {row.kind.value!r} needs")
    if odd := sorted(set(written) - _COMMON - needs - _MAY.get(row.kind, frozenset())):
        raise InvalidRuleError(f"{where} has {odd[0]!r}, which means nothing in a rule of kind {row.kind.value!r}")
    if row.effective_to is not None and row.effective_to <= row.effective_from:
        raise InvalidRuleError(f"{where} is never in force: it ends on {row.effective_to} (exclusive)")


def _check_words(where: str, row: Row) -> None:
    known: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
        "purposes": (row.purposes + row.counted_purposes, frozenset(Purpose)),
        "channels": (row.channels + row.counted_channels, frozenset(CHANNELS)),
        "consent classes": (row.classes + row.lifted_by, frozenset(ConsentClass)),
    }
    for what, (named, words) in known.items():
        if unknown := [word for word in named if word not in words]:
            raise InvalidRuleError(f"{where}: {unknown[0]!r} is none of the {what} {', '.join(sorted(words))}")
    if row.jurisdiction is not None and not regions.is_known(row.jurisdiction):
        raise InvalidRuleError(f"{where}: {row.jurisdiction!r} is no jurisdiction that is known; write US, US-FL, GB …")


def _zones(where: str, row: Row) -> tuple[tuple[str, ...], bool]:
    named = [part.strip() for part in row.zone.split("+")]
    fixed = tuple(part for part in named if part != "recipient")
    for zone in fixed:
        if not zones.is_known(zone):
            raise InvalidRuleError(f"{where}: {zone!r} is no time zone; write a name like 'America/Chicago'")
    return fixed, "recipient" in named


def _schedule(where: str, row: Row) -> Hours:
    spans: list[tuple[int, Window]] = []
    for entry in row.hours:
        span = _local_span(where, entry)
        spans += [(weekday, span) for weekday in _days(where, entry.days)]
    week = weekly(spans)
    for weekday, day in zip(WEEKDAYS, week, strict=True):
        for (_, closes), (opens, _) in pairwise(day):
            if opens < closes:
                raise InvalidRuleError(f"{where}: two spans of {weekday} overlap")
    if not any(week):
        raise InvalidRuleError(f"{where} can never open: it names no hours")
    on_holidays: Windows | None = None
    if row.holidays != "as_usual":
        if row.jurisdiction is None:
            raise InvalidRuleError(f"{where}: whose holidays? A rule with 'holidays' needs a 'jurisdiction'")
        on_holidays = () if row.holidays == "closed" else week[_days(where, row.holidays)[0]]
    return Hours(week, on_holidays, row.jurisdiction or "")


def _local_span(where: str, entry: Span) -> Window:
    opens_s = _second(entry.opens)
    closes_s = _second(entry.closes) or DAY_S
    if opens_s >= closes_s:
        raise InvalidRuleError(f"{where} can never open on {entry.days}: {entry.opens} is not before {entry.closes}")
    return opens_s, closes_s


def _second(at: time) -> int:
    return at.hour * 3600 + at.minute * 60 + at.second


def _days(where: str, text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first not in WEEKDAYS or (last and last not in WEEKDAYS):
            raise InvalidRuleError(f"{where}: {text!r} names no days; write 'mon-fri' or 'sat,sun'")
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        if end < start:
            raise InvalidRuleError(f"{where}: {text!r} runs backwards; a week begins on Monday")
        found += range(start, end + 1)
    if len(set(found)) != len(found):
        raise InvalidRuleError(f"{where}: {text!r} names a day twice")
    return found


def _cap(where: str, row: Row) -> Cap | None:
    channels = frozenset(row.counted_channels or row.channels or CHANNELS)
    purposes = frozenset(row.counted_purposes)
    if row.kind is RuleKind.QUIET_AFTER:
        assert row.after is not None
        assert row.quiet_d is not None
        assert row.key is not None
        by_date = row.window == "local_date"
        return Cap(1, row.key, row.after, channels, purposes, row.quiet_d * DAY_S, by_local_date=by_date)
    if row.kind is not RuleKind.CAP:
        return None
    assert row.count is not None
    assert row.key is not None
    assert row.counts is not None
    if (row.window_h is None) == (row.window_d is None):
        raise InvalidRuleError(f"{where} needs a window: either 'window_h' or 'window_d'")
    if row.window == "local_date" and row.window_d is None:
        raise InvalidRuleError(f"{where}: a window of local dates is given in days, by 'window_d'")
    window_s = row.window_h * 3600 if row.window_h is not None else (row.window_d or 0) * DAY_S
    return Cap(row.count, row.key, row.counts, channels, purposes, window_s, by_local_date=row.window == "local_date")
