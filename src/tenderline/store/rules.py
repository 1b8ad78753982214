"""The rules in force: those that are shipped, and what operators changed in them. A change binds from its commit on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from tenderline.compliance import rule_file
from tenderline.compliance.rule import Rule
from tenderline.compliance.rule_file import InvalidRuleError
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.errors import NotFoundError
from tenderline.store import audit
from tenderline.store.db import Connection, query

CHANGES_MAX = 10_000


class RuleBook:
    """What a process knows of the rules. `current` is as new as the last `refresh`."""

    def __init__(self, shipped: Ruleset) -> None:
        self._shipped = shipped
        self._number = 0
        self.current = shipped

    async def refresh(self, connection: Connection) -> Ruleset:
        """The rules as they are committed now: one look at an index, and a rebuild when something was changed."""
        number = await connection.fetchval(query("rules", "newest_change"))
        if number != self._number:
            self.current = _with_changes(self._shipped, await changes(connection), number)
            self._number = number
        return self.current

    async def as_of(self, connection: Connection, at: datetime) -> Ruleset:
        """The rules with what operators had changed by `at`. The shipped rows are those of this version."""
        made = [change for change in await changes(connection) if change.at <= at]
        return _with_changes(self._shipped, made, made[-1].number) if made else self._shipped

    async def of_version(self, connection: Connection, version: str) -> Ruleset | None:
        """The rules that a decision names by their version; None when other rows were shipped then."""
        shipped, _, number = version.partition("+")
        if shipped != self._shipped.version:
            return None
        made = [change for change in await changes(connection) if change.number <= int(number or 0)]
        return _with_changes(self._shipped, made, made[-1].number) if made else self._shipped

    def shipped(self, rule_id: str) -> list[Rule]:
        """The rows of an id that come with the product, whatever was changed in them since."""
        return [rule for rule in self._shipped.rules if rule.id == rule_id]


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What an operator did to a rule. `rows` are JSON, of `set` only."""

    number: int
    rule_id: str
    action: str
    rows: str
    by_whom: str
    why: str
    at: datetime


async def changes(connection: Connection) -> list[RuleChange]:
    """Every change, oldest first."""
    return [RuleChange(**row) for row in await connection.fetch(query("rules", "changes"), CHANGES_MAX)]


def rows_of(change: RuleChange) -> list[Rule]:
    """The rows that a change put in place; none of one that turned a rule off or took a change back.

    Raises `InvalidRuleError` when this version does not understand them.
    """
    if change.action != "set":
        return []
    return rule_file.of_rows(msgspec.json.decode(change.rows), f"change {change.number}")


def _with_changes(shipped: Ruleset, made: Sequence[RuleChange], number: int) -> Ruleset:
    newest = {change.rule_id: change for change in made}
    rows = [rule for change in newest.values() for rule in rows_of(change)]
    off = [change.rule_id for change in newest.values() if change.action == "off"]
    return shipped.changed(rows, off, f"{shipped.version}+{number}")


async def set_rule(
    connection: Connection, book: RuleBook, rows: Sequence[dict[str, Any]], *, by: str, why: str
) -> list[Rule]:
    """Puts rows (all of one id, one after the other in time) in the place of a rule, or adds them.

    Raises `InvalidRuleError`, and nothing is changed.
    """
    rules = rule_file.of_rows(rows, "the new rule")
    (rule_id,) = {rule.id for rule in rules} if len({rule.id for rule in rules}) == 1 else (None,)
    if rule_id is None:
        raise InvalidRuleError("A change is about one rule: give its rows one 'id'.")
    await _change(connection, book, rule_id, "set", rows, by=by, why=why)
    return rules


async def turn_off(connection: Connection, book: RuleBook, rule_id: str, *, by: str, why: str) -> None:
    """Leaves a rule out from now on. Raises `NotFoundError`."""
    if (await book.refresh(connection)).find(rule_id) is None:
        if book.shipped(rule_id):
            raise NotFoundError(f"The rule {rule_id!r} is turned off already.")
        raise NotFoundError(f"There is no rule {rule_id!r}; `tenderline gate rules` lists them.")
    await _change(connection, book, rule_id, "off", (), by=by, why=why)


async def as_shipped(connection: Connection, book: RuleBook, rule_id: str, *, by: str, why: str) -> None:
    """Takes back what was changed in a rule. Raises `NotFoundError` when nothing was."""
    made = [change for change in await changes(connection) if change.rule_id == rule_id]
    if not made or made[-1].action == "as_shipped":
        raise NotFoundError(f"Nothing is changed in the rule {rule_id!r}; `tenderline gate rules` lists what is.")
    await _change(connection, book, rule_id, "as_shipped", (), by=by, why=why)


async def _change(
    connection: Connection,
    book: RuleBook,
    rule_id: str,
    action: str,
    rows: Sequence[dict[str, Any]],
    *,
    by: str,
    why: str,
) -> None:
    encoded = msgspec.json.encode(rows).decode()
    await connection.execute(query("rules", "add_change"), rule_id, action, encoded, by, why)
    data = {"why": why, "rows": rows} if rows else {"why": why}
    await audit.append(
        connection,
        actor=by,
        action=f"rule.{action}",
        subject=f"rule:{rule_id}",
        data=msgspec.to_builtins(data, builtin_types=()),
    )
    await book.refresh(connection)
