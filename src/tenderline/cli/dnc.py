"""`tenderline dnc`: do-not-contact lists are read in, shown, asked about an address, and taken back."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services
    from tenderline.people.dnc_import import Ask, Report
    from tenderline.people.dnc_reader import Reject

app = typer.Typer(no_args_is_help=True, help="Do-not-contact lists: import, list, check, remove.")

REJECTS_KEPT_MAX = 100_000
REASONS_SHOWN_MAX = 10

ListName = Annotated[
    str, typer.Option("--list", help="internal, national, tps, wireless, reassigned, or a rule's own.")
]
Why = Annotated[str, typer.Option("--why", help="The reason, for the audit log.")]
Address = Annotated[str, typer.Argument(help="A telephone number or an e-mail address.", show_default=False)]


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or text, in any usual encoding and shape.", show_default=False)],
    name: ListName,
    channels: Annotated[
        str, typer.Option(help="Only these, parted by commas: voice, voice_live, voice_artificial, sms, email, push.")
    ] = "",
    expires_days: Annotated[
        int | None, typer.Option(help="Entries end after so many days; left out: they stay until they are replaced.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Country of numbers without a country code; left out: compliance.default_region.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Whose list it is; left out: the region.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="The file is all there is: what this source brought before goes.")
    ] = False,
    may_shrink: Annotated[
        bool, typer.Option("--may-shrink", help="With --replace: also when less than half would be left.")
    ] = False,
    column: Annotated[
        str | None, typer.Option(help="Which columns to read, by heading or number: phone,email.")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="Where bad lines go; left out: FILE.rejects.csv.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read it all and say what would change.")] = False,
    as_json: Json = False,
) -> None:
    """Read a list in: all of it or nothing, with every bad line reported."""
    beside = rejects or file.with_name(f"{file.name}.rejects.csv")

    async def do(services: Services) -> None:
        from tenderline.people import dnc_import

        ask = dnc_import.Ask(
            list=name,
            region=region or services.settings.compliance.default_region,
            by=frame.actor(),
            source=source,
            channels=[one.strip() for one in channels.split(",") if one.strip()],
            expires_days=expires_days,
            replace=replace,
            may_shrink=may_shrink,
            column=column,
            dry_run=dry_run,
        )
        written, report = await _read_in(services, ask, file, beside)
        frame.say(_for_programs(report, written), as_json, _for_people(report, written))

    frame.with_services(do)


async def _read_in(services: Services, ask: Ask, file: Path, beside: Path) -> tuple[Rejects, Report]:
    from tenderline.people import dnc_import

    async with services.pool.acquire() as connection:
        rules = await services.book.refresh(connection)
    dnc_import.wanted_of(ask, rules)  # before anything is opened
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(file.open("rb"))
            size_bytes = os.fstat(opened.fileno()).st_size
        except OSError as error:
            raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
        written = stack.enter_context(Rejects(beside))
        on_read = stack.enter_context(_progress(file.name, size_bytes))
        report = await dnc_import.read_in(
            services.pool, opened, ask, rules, file_name=file.name, on_reject=written.add, on_read=on_read
        )
    return written, report


class Rejects:
    """The file of bad lines, made with the first of them, and readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: TextIO | None = None

    def __enter__(self) -> Rejects:
        try:
            self.path.unlink(missing_ok=True)  # it tells of an earlier reading
        except OSError as error:
            raise typer.BadParameter(f"{self.path} cannot be written: {error.strerror}; use --rejects") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, reject: Reject) -> None:
        """Writes one down, up to a bound; counts all."""
        self.count += 1
        if self._file is None:
            self._file = self._open()
        if self.count <= REJECTS_KEPT_MAX:
            csv.writer(self._file).writerow((reject.line, reject.reason, reject.text))
        elif self.count == REJECTS_KEPT_MAX + 1:
            csv.writer(self._file).writerow(("", f"Only the first {REJECTS_KEPT_MAX} are listed.", ""))

    def _open(self) -> TextIO:
        from tenderline.core.errors import InvalidInputError

        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise InvalidInputError(f"{self.path} cannot be written: {error.strerror}; use --rejects.") from None
        opened = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        csv.writer(opened).writerow(("line", "reason", "text"))
        return opened


@contextmanager
def _progress(name: str, size_bytes: int) -> Iterator[Callable[[int], None] | None]:
    """A bar in a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(name), total=size_bytes)

        def on_read(so_far: int) -> None:
            bar.update(task, completed=so_far)
            if so_far >= size_bytes:
                bar.update(task, description="putting it in force", total=None)

        yield on_read


def _for_programs(report: Report, written: Rejects) -> dict[str, Any]:
    return {
        "list": report.list,
        "source": report.source,
        "lines": report.lines,
        "accepted": report.accepted,
        "rejected": report.rejected,
        "duplicates": report.duplicates,
        "added": report.changed.added,
        "renewed": report.changed.renewed,
        "removed": report.changed.removed,
        "entries": report.changed.entries,
        "reasons": report.reasons,
        "rejectsFile": str(written.path) if written.count else None,
        "sha256": report.sha256,
        "dryRun": report.dry_run,
        "askedByRules": report.asked_by_rules,
    }


def _for_people(report: Report, written: Rejects) -> str:
    changed = report.changed
    would = "would be" if report.dry_run else "are"
    renewed = "" if changed.renewed is None else f", {changed.renewed:,} renewed"
    lines = [
        f"{report.lines:,} lines read ({report.encoding}, {report.columns}): {report.accepted:,} taken, of these "
        f"{report.duplicates:,} more than once; {report.rejected:,} rejected.",
        f"On {report.list} from {report.source} {would} now {changed.entries:,}: "
        f"{changed.added:,} new{renewed}, {changed.removed:,} removed.",
    ]
    lines += [f"  {count:,} × {reason}" for reason, count in list(report.reasons.items())[:REASONS_SHOWN_MAX]]
    if written.count:
        lines.append(f"Rejected lines, each with its number and reason: {written.path}")
    if not report.asked_by_rules:
        lines.append(f"No rule asks for the list {report.list}: it keeps no contact back until one does.")
    if report.dry_run:
        lines.append("Nothing was changed.")
    return "\n".join(lines)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Every list with its entries, and how old each copy is."""

    async def show(services: Services) -> None:
        from tenderline.desk import do_not_contact

        async with services.pool.acquire() as connection:
            rules = await services.book.refresh(connection)
            found = await do_not_contact.read_lists(connection, rules)
        values = [
            {
                "list": one.name,
                "source": one.source,
                "entries": one.entries,
                "refreshedAt": _instant(one.refreshed_at),
                "endsAt": _instant(one.ends_at),
                "file": one.file_name,
                "tooOld": one.is_too_old,
                "askedByRules": one.asked_by_rules,
            }
            for one in found
        ]
        rows = [("list", "source", "entries", "read in", "ends", "")]
        rows += [
            (one.name, one.source or "", f"{one.entries:,}", _day(one.refreshed_at), _day(one.ends_at), one.remark)
            for one in found
        ]
        frame.say(values, as_json, frame.table(rows))

    frame.with_services(show)


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "never"


@app.command("check")
def check(address: Address, as_json: Json = False) -> None:
    """Say on which lists a number or an e-mail address stands."""

    async def show(services: Services) -> None:
        from tenderline.people import dnc_reader
        from tenderline.store import dnc

        value = dnc_reader.normalise(address, services.settings.compliance.default_region)
        async with services.pool.acquire() as connection:
            found = await dnc.of_value(connection, value)
        values = [
            {
                "list": one.list,
                "source": one.source,
                "channels": one.channels,
                "addedAt": one.added_at.isoformat(),
                "expiresAt": _instant(one.expires_at),
                "inForce": not one.is_over,
            }
            for one in found
        ]
        rows = [("list", "source", "channels", "since", "until", "")]
        rows += [
            (
                one.list,
                one.source,
                " ".join(one.channels) or "all",
                _day(one.added_at),
                _day(one.expires_at),
                "over" if one.is_over else "",
            )
            for one in found
        ]
        frame.say(
            {"value": value, "entries": values}, as_json, frame.table(rows) if found else f"{value} is on no list."
        )

    frame.with_services(show)


@app.command("remove")
def remove(
    name: ListName,
    why: Why,
    address: Annotated[str | None, typer.Argument(help="A number or an e-mail address.", show_default=False)] = None,
    source: Annotated[str | None, typer.Option(help="Instead of an address: everything this source brought.")] = None,
) -> None:
    """Take an address off a list, or everything that one source brought to it. Contacts may go there again."""
    if (address is None) == (source is None):
        raise typer.BadParameter("name an address, or a whole --source")
    reason = frame.reason(why)

    async def do(services: Services) -> None:
        from tenderline.compliance import dnc_lists
        from tenderline.desk import words
        from tenderline.people import dnc_reader
        from tenderline.store import dnc

        by = frame.actor()
        async with services.pool.acquire() as connection, connection.transaction():
            if address is not None:
                value = dnc_reader.normalise(address, services.settings.compliance.default_region)
                shown = words.plain(value)
                await dnc.remove(connection, name, value, shown=shown, by=by, why=reason)
                done = f"{value} is off the list {name}."
            else:
                assert source is not None
                if name == dnc_lists.INTERNAL:
                    raise dnc_lists.ListKeptError()
                count = await dnc.remove_source(connection, name, source, by=by, why=reason)
                done = f"{count:,} entries of {source} are off the list {name}."
        typer.echo(done)

    frame.with_services(do)
