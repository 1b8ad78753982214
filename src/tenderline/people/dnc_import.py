"""Reading a do-not-contact list in: from a file of any reasonable shape to entries that the gate obeys.

The file is read in parts beside the event loop and staged as it is read; only then is the list changed, in one
transaction. So memory stays flat however long the file is, and a process that dies leaves the list as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from tenderline.compliance import dnc_lists
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.people.dnc_reader import Reader, Reject
from tenderline.people.dnc_text import Source
from tenderline.store import dnc
from tenderline.store.db import Pool
from tenderline.store.dnc import Changed, Provenance, Wanted

SOURCE_LENGTH_MAX: Final = 64
FILE_NAME_LENGTH_MAX: Final = 200
AT_ONCE_MAX: Final = 2
REGION_LENGTH: Final = 2

OnReject = Callable[[Reject], None]
OnRead = Callable[[int], None]


class NothingInItError(InvalidInputError):
    """No line of it holds a number or an address that can be read; nothing was changed."""

    code = "nothing_in_it"


class ImportsBusyError(TenderlineError):
    """As many lists are being read in as this process takes at once; try again in a minute."""

    code = "imports_busy"
    status = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an operator or a program asks for. `source` names whose list it is; by default the region's."""

    list: str
    region: str
    by: str
    source: str | None = None
    channels: Sequence[str] = ()
    expires_days: int | None = None
    replace: bool = False
    may_shrink: bool = False
    column: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a file. `reasons` counts why lines were rejected; `changed` is what was done, or would be."""

    list: str
    source: str
    lines: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    columns: str
    encoding: str
    sha256: str
    changed: Changed
    dry_run: bool
    asked_by_rules: bool

    @property
    def duplicates(self) -> int:
        """Addresses that stood in the file more than once."""
        return self.accepted - self.changed.distinct


def lists_of(rules: Ruleset) -> frozenset[str]:
    """The lists that some rule in force asks for."""
    return frozenset(name for rule in rules.rules for name in rule.row.lists)


def wanted_of(ask: Ask, rules: Ruleset) -> Wanted:
    """Looks an import over before anything is read; raises an `InvalidInputError`."""
    kind = dnc_lists.require_known(ask.list, lists_of(rules))
    dnc_lists.require_allowed(kind, replace=ask.replace, expires_days=ask.expires_days)
    if len(ask.region) != REGION_LENGTH or not ask.region.isalpha() or not ask.region.isupper():
        raise InvalidInputError(f"The region {ask.region[:16]!r} is no country; write it as US or GB.")
    source = ask.region if ask.source is None else " ".join(ask.source.split())
    if not source or len(source) > SOURCE_LENGTH_MAX or not source.isprintable():
        raise InvalidInputError(f"The source needs 1 to {SOURCE_LENGTH_MAX} printable characters.")
    return Wanted(
        list=kind.name,
        source=source,
        channels=dnc_lists.channels_of(ask.channels),
        expires_days=ask.expires_days,
        replace=ask.replace,
        may_shrink=ask.may_shrink,
        by=ask.by,
    )


async def read_in(
    pool: Pool,
    file: Source,
    ask: Ask,
    rules: Ruleset,
    *,
    file_name: str | None,
    on_reject: OnReject,
    on_read: OnRead | None = None,
) -> Report:
    """Reads a file into a list, all of it or nothing. `file_name` None: single entries, which make no list newer.

    `on_reject` and `on_read` (bytes so far) are called from another thread. Raises an `InvalidInputError`.
    """
    wanted = wanted_of(ask, rules)
    reader = Reader(file, region=ask.region, column=ask.column, on_read=on_read)
    async with dnc.staging(pool) as connection:
        distinct = await dnc.stage(connection, _parts(reader, on_reject))
        if reader.accepted == 0:
            raise NothingInItError()
        provenance = (
            Provenance(file_name=file_name[-FILE_NAME_LENGTH_MAX:], sha256=reader.lines.sha256) if file_name else None
        )
        if ask.dry_run:
            changed = await dnc.would_change(connection, wanted, distinct)
        else:
            counted = {"lines": reader.line_count, "accepted": reader.accepted, "rejected": reader.rejected}
            changed = await dnc.put_in_force(connection, wanted, distinct, provenance, counted)
    assert reader.columns is not None
    return Report(
        list=wanted.list,
        source=wanted.source,
        lines=reader.line_count,
        accepted=reader.accepted,
        rejected=reader.rejected,
        reasons=dict(reader.reasons.most_common()),
        columns=reader.columns.told,
        encoding=reader.lines.encoding,
        sha256=reader.lines.sha256.hex(),
        changed=changed,
        dry_run=ask.dry_run,
        asked_by_rules=wanted.list in lists_of(rules),
    )


async def _parts(reader: Reader, on_reject: OnReject) -> AsyncIterator[bytes]:
    """What is staged, in parts. Judging one takes some 50 ms: beside the event loop, which serves others too."""
    batches = reader.batches()

    def next_part() -> bytes | None:
        batch = next(batches, None)
        if batch is None:
            return None
        for reject in batch.rejects:
            on_reject(reject)
        # Addresses in one form hold no backslash, tab or line end: COPY takes them as they are.
        return "".join(f"{value}\n" for value in batch.values).encode()

    while (part := await asyncio.to_thread(next_part)) is not None:
        if part:
            yield part


def as_file(values: Sequence[str]) -> BytesIO:
    """Single entries, one on each line, for `read_in`."""
    return BytesIO("".join(" ".join(value.split()) + "\n" for value in values).encode("utf-8", "replace"))


_under_way = 0


@contextmanager
def one_of_few() -> Iterator[None]:
    """For an edge: lists are read in by a few at a time, or uploads would take every connection of the pool.

    Raises `ImportsBusyError`.
    """
    global _under_way  # one count for each process
    if _under_way >= AT_ONCE_MAX:
        raise ImportsBusyError()
    _under_way += 1
    try:
        yield
    finally:
        _under_way -= 1
