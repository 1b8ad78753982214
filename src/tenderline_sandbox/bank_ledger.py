"""What the bank itself remembers: objects the Stripe server behind it does not know, and the debts they belong to."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from tenderline_sandbox.bank_debts import Debt, State
from tenderline_sandbox.bank_wire import BankError, Json

OBJECTS_MAX: Final = 5_000
DEBTS_MAX: Final = 2_000
_EXPAND_PATHS_MAX: Final = 20
_EXPAND_DEPTH_MAX: Final = 4
_CLAUSE: Final = re.compile(
    r"""(?:metadata\[(['"])(?P<key>.{1,40}?)\1\]|(?P<field>status|customer|currency))"""
    r""":(['"])(?P<value>[^'"]{1,500})\4"""
)

_T = TypeVar("_T")


class Bounded(Generic[_T]):
    """A table that forgets its oldest entry when it is full: the sandbox may run for days."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[str, _T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> _T | None:
        """The entry, or None."""
        return self._entries.get(key)

    def put(self, key: str, value: _T) -> None:
        """Adds or replaces; a replaced entry keeps its age."""
        self._entries[key] = value
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forgets one entry, if it is there."""
        self._entries.pop(key, None)

    def newest(self) -> Iterator[_T]:
        """Every entry, the last added first."""
        return iter(list(reversed(self._entries.values())))

    def clear(self) -> None:
        """Forgets all."""
        self._entries.clear()


@dataclass(frozen=True)
class Record:
    """One made-up debt: what was told of it so far, and how it stands."""

    told: Json
    debt: Debt
    state: State | None
    as_of_unix_s: int


@dataclass(frozen=True)
class _Kept:
    as_of_unix_s: int
    value: Json


class Ledger:
    """The bank's memory beside the Stripe server's; where both know an object, the server's word counts."""

    def __init__(self) -> None:
        self._objects: Bounded[_Kept] = Bounded(OBJECTS_MAX)
        self._debts: Bounded[Record] = Bounded(DEBTS_MAX)
        self._intent_of: Bounded[str] = Bounded(DEBTS_MAX)

    def keep(self, objects: Iterable[Json], as_of_unix_s: int) -> None:
        """Takes over objects as they stood at an instant; older news than what is kept changes nothing."""
        for value in objects:
            kept = self._objects.get(value["id"])
            if kept is None or kept.as_of_unix_s <= as_of_unix_s:
                self._objects.put(value["id"], _Kept(as_of_unix_s, value))

    def find(self, identity: str, kind: str | None = None) -> Json | None:
        """An object by its id (and of that kind)."""
        kept = self._objects.get(identity)
        return kept.value if kept is not None and kind in (None, kept.value["object"]) else None

    def all_of(self, kind: str) -> list[Json]:
        """Every object of a kind, the newest first."""
        return [kept.value for kept in self._objects.newest() if kept.value["object"] == kind]

    def expanded(self, value: Json, paths: Iterable[str]) -> Json:
        """A copy in which the ids that `paths` name are the objects themselves, where they are known here."""
        bounded = list(paths)[:_EXPAND_PATHS_MAX]
        for path in bounded:
            value = self._expand(value, path.split(".")[:_EXPAND_DEPTH_MAX])
        return value

    def _expand(self, value: Any, steps: list[str]) -> Any:
        if isinstance(value, list):
            return [self._expand(item, steps) for item in value]
        if not isinstance(value, dict) or not steps or steps[0] not in value:
            return value
        child = value[steps[0]]
        if isinstance(child, str):
            child = self.find(child) or child
        return {**value, steps[0]: self._expand(child, steps[1:])}

    def record(self, record: Record) -> None:
        """Remembers what was told of a debt. Older news adds words, but does not change the state."""
        before = self._debts.get(record.debt.payment_intent)
        if before is not None and (record.state is None or before.as_of_unix_s > record.as_of_unix_s):
            record = Record(record.told, record.debt, before.state, before.as_of_unix_s)
        self._debts.put(record.debt.payment_intent, record)
        for alias in (record.debt.invoice, record.debt.subscription):
            if alias:
                self._intent_of.put(alias, record.debt.payment_intent)

    def debt(self, *names: object) -> Record | None:
        """A made-up debt by the first usable name: its payment intent, its invoice or its subscription."""
        for name in names:
            if isinstance(name, str):
                return self._debts.get(name) or self._debts.get(self._intent_of.get(name) or "")
        return None

    def clear(self) -> None:
        """Forgets all."""
        self._objects.clear()
        self._debts.clear()
        self._intent_of.clear()


def matcher(query: str) -> list[tuple[str, str, str]]:
    """Stripe's search language, as far as it goes here: clauses joined by AND, as (where, key, value)."""
    clauses: list[tuple[str, str, str]] = []
    for part in re.split(r"\s+AND\s+", query.strip()):
        found = _CLAUSE.fullmatch(part)
        if found is None:
            raise BankError(400, f"The sandbox cannot search for {part[:80]!r}.", param="query")
        where = "metadata" if found["key"] else "field"
        clauses.append((where, found["key"] or found["field"], found["value"]))
    return clauses


def matches(value: Json, clauses: list[tuple[str, str, str]]) -> bool:
    """Whether an object is what the clauses look for."""
    return all(
        (value.get("metadata") or {}).get(key) == wanted if where == "metadata" else value.get(key) == wanted
        for where, key, wanted in clauses
    )
