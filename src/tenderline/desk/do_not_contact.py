"""The do-not-contact lists as people look at them: how much is on each, how old the copy is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tenderline.compliance import dnc_lists
from tenderline.compliance.dnc_lists import ListKind
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.clock import utc_now
from tenderline.store import dnc
from tenderline.store.db import Connection
from tenderline.store.dnc import ListRow


@dataclass(frozen=True, slots=True)
class ListView:
    """What one source brought to a list; `source` None: nothing is on it yet."""

    name: str
    what: str
    basis: str
    source: str | None
    entries: int
    refreshed_at: datetime | None
    refreshed_by: str | None
    file_name: str | None
    ends_at: datetime | None
    age_days: int | None
    age_max_days: int | None
    is_too_old: bool
    is_over: bool
    asked_by_rules: bool

    @property
    def remark(self) -> str:
        """What somebody should know or do, in a few words; empty when all is well."""
        if self.is_over:
            return "every entry has ended: import it again"
        if self.is_too_old:
            return f"too old: import it again, {self.age_max_days} days are allowed"
        if self.source is None:
            return "empty"
        return "" if self.asked_by_rules else "no rule asks for it"


async def read_lists(connection: Connection, rules: Ruleset) -> list[ListView]:
    """Every list that there is or could be, each source of it on its own."""
    asked = {name for rule in rules.rules for name in rule.row.lists}
    now = utc_now()
    by_name: dict[str, list[ListRow]] = {name: [] for name in (*dnc_lists.KINDS, *sorted(asked - {*dnc_lists.KINDS}))}
    for row in await dnc.lists(connection):
        by_name.setdefault(row.list, []).append(row)
    found: list[ListView] = []
    for name, rows in by_name.items():
        kind = dnc_lists.KINDS.get(name) or ListKind(name, "A list of this installation's own")
        found += [_view(kind, row, name in asked, now) for row in rows] or [_view(kind, None, name in asked, now)]
    return found


def _view(kind: ListKind, row: ListRow | None, asked: bool, now: datetime) -> ListView:
    refreshed_at = row.refreshed_at if row else None
    return ListView(
        name=kind.name,
        what=kind.what,
        basis=kind.source,
        source=row.source if row else None,
        entries=row.entries if row else 0,
        refreshed_at=refreshed_at,
        refreshed_by=row.refreshed_by if row else None,
        file_name=row.file_name if row else None,
        ends_at=row.ends_at if row else None,
        age_days=(now - refreshed_at).days if refreshed_at else None,
        age_max_days=kind.age_max_days,
        is_too_old=row is not None and dnc_lists.is_too_old(kind, refreshed_at, now),
        is_over=row is not None and row.entries > 0 and row.ends_at is not None and row.ends_at <= now,
        asked_by_rules=asked,
    )
