"""The board as plain data: what there is of everything, what just happened, and what waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from tenderline.compliance.ruleset import Ruleset
from tenderline.desk import attempts, words
from tenderline.desk.attempts import AttemptView
from tenderline.store import board as rows
from tenderline.store.board import CaseRow, EventRow
from tenderline.store.db import Connection

EVENTS_SHOWN = 20
CASES_SHOWN = 15
ATTEMPTS_SHOWN = 15
PAGE_SIZE = 50

CASE_STATES: Final = ("open", "held", "recovered", "stopped", "exhausted")
ATTEMPT_STATES: Final = ("planned", "leased", "accepted", "delivered", "failed", "suppressed", "in_doubt")
_GROUPS: Final = {
    "Cases": (*(("cases", state) for state in CASE_STATES), ("people", "review")),
    "Contacts": tuple(("attempts", state) for state in ATTEMPT_STATES),
    "Webhooks and jobs": (("inbox", "unread"), ("inbox", "dead"), ("jobs", "dead"), ("scans", "found")),
    "Money": (("money", "unmatched"),),
}
_LABELS: Final = {
    ("inbox", "dead"): "dead webhooks",
    ("jobs", "dead"): "dead jobs",
    ("people", "review"): "to be read",
    ("scans", "found"): "card data found",
    ("money", "unmatched"): "unmatched",
}
# Numbers that ask for somebody's attention as soon as they are not zero.
_NEEDS_LOOK: Final = frozenset(
    {
        ("cases", "held"),
        ("attempts", "in_doubt"),
        ("inbox", "dead"),
        ("jobs", "dead"),
        ("people", "review"),
        ("scans", "found"),
        ("money", "unmatched"),
    }
)

_ONLY_WHEN_THERE: Final = frozenset({("scans", "found")})


@dataclass(frozen=True, slots=True)
class Tile:
    """One number, and which rows it counts."""

    what: str
    state: str
    label: str
    count: int
    needs_look: bool


@dataclass(frozen=True, slots=True)
class TileGroup:
    """Numbers of one kind."""

    label: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class EventLine:
    """Something that happened."""

    id: UUID
    at: datetime
    kind: str
    case_id: UUID | None
    attempt_id: UUID | None
    person_name: str | None
    sentence: str


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A case in a list; what others wrote is cut to fit."""

    id: UUID
    person_name: str
    amount: str
    reason: str
    state: str
    held_why: str | None
    held_by: str | None
    attempt_count: int
    opened_at: datetime
    opted_out: bool
    next_channel: str | None
    next_state: str | None
    next_due_at: datetime | None
    next_why: str | None


@dataclass(frozen=True, slots=True)
class Board:
    """Everything on the board."""

    groups: tuple[TileGroup, ...]
    events: tuple[EventLine, ...]
    cases: tuple[CaseLine, ...]
    attempts: tuple[AttemptView, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever received here."""
        return not self.events and not any(tile.count for group in self.groups for tile in group.tiles)


@dataclass(frozen=True, slots=True)
class CasePage:
    """A page of cases; `next_before` leads to the next one."""

    cases: tuple[CaseLine, ...]
    next_before: tuple[datetime, UUID] | None


@dataclass(frozen=True, slots=True)
class AttemptPage:
    """A page of attempts; `next_before` leads to the next one."""

    attempts: tuple[AttemptView, ...]
    next_before: UUID | None


def _tile(what: str, state: str, count: int) -> Tile:
    label = _LABELS.get((what, state), words.state_name(state))
    return Tile(what, state, label, count, count > 0 and (what, state) in _NEEDS_LOOK)


def _groups(counts: dict[tuple[str, str], int]) -> tuple[TileGroup, ...]:
    return tuple(
        TileGroup(
            label,
            tuple(
                _tile(what, state, count)
                for what, state in wanted
                if (count := counts.get((what, state), 0)) or (what, state) not in _ONLY_WHEN_THERE
            ),
        )
        for label, wanted in _GROUPS.items()
    )


def event_lines(found: Sequence[EventRow]) -> tuple[EventLine, ...]:
    """Events for people, in full."""
    return tuple(
        EventLine(
            row.id,
            row.at,
            row.kind,
            row.case_id,
            row.attempt_id,
            row.person_name,
            f"{row.kind}, written by a newer version" if row.sentence is None else words.sentence(row.sentence),
        )
        for row in found
    )


def _short_event_lines(found: Sequence[EventRow]) -> tuple[EventLine, ...]:
    return tuple(
        replace(
            line,
            person_name=line.person_name and words.short_name(line.person_name),
            sentence=words.short(line.sentence),
        )
        for line in event_lines(found)
    )


def _case_lines(found: Sequence[CaseRow]) -> tuple[CaseLine, ...]:
    return tuple(
        CaseLine(
            id=row.id,
            person_name=words.short_name(row.person_name),
            amount=words.amount(row.amount_minor, row.currency),
            reason=words.reason(row.reason),
            state=row.state,
            held_why=words.short(words.plain(row.held_why)) if row.held_why else None,
            held_by=row.held_by,
            attempt_count=row.attempt_count,
            opened_at=row.opened_at,
            opted_out=row.opted_out_at is not None,
            next_channel=row.next_channel,
            next_state=row.next_state,
            next_due_at=row.next_due_at,
            next_why=words.short(words.plain(row.next_why)) if row.next_why else None,
        )
        for row in found
    )


async def read_board(connection: Connection, rules: Ruleset) -> Board:
    """The whole board. Read it in one transaction, so that its numbers and its rows agree."""
    return Board(
        groups=_groups(await rows.counts(connection)),
        events=_short_event_lines(await rows.newest_events(connection, EVENTS_SHOWN)),
        cases=_case_lines(await rows.newest_cases(connection, CASES_SHOWN)),
        attempts=tuple(attempts.views(await rows.newest_attempts(connection, ATTEMPTS_SHOWN), rules)),
    )


async def list_cases(connection: Connection, *, state: str | None, before: tuple[datetime, UUID] | None) -> CasePage:
    """A page of cases, newest first."""
    found = await rows.cases(connection, state=state, before=before, limit=PAGE_SIZE + 1)
    shown = found[:PAGE_SIZE]
    last = shown[-1] if len(found) > PAGE_SIZE else None
    return CasePage(_case_lines(shown), (last.opened_at, last.id) if last else None)


async def list_attempts(
    connection: Connection, rules: Ruleset, *, state: str | None, before: UUID | None
) -> AttemptPage:
    """A page of attempts, newest first."""
    found = await rows.attempts(connection, state=state, before=before, limit=PAGE_SIZE + 1)
    shown = found[:PAGE_SIZE]
    return AttemptPage(tuple(attempts.views(shown, rules)), shown[-1].id if len(found) > PAGE_SIZE else None)
