"""`tenderline scan`: no card number stayed anywhere, and a signed report that says so."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services
    from tenderline.scan.canaries import Canaries
    from tenderline.scan.result import Place, Report

app = typer.Typer(
    invoke_without_command=True,
    help="Search for card data everywhere; 1 when some was found, 2 when something stayed unsearched.",
)

EXIT_INCOMPLETE = 2
CANARY_BYTES_MAX = 64 * 1024
SHOWN_MAX = 20


@app.callback()
def scan(
    context: typer.Context,
    only: Annotated[
        list[str] | None,
        typer.Option(help="database, files, recordings or memory; several by commas. All, if left out."),
    ] = None,
    canary: Annotated[
        Path | None,
        typer.Option(
            help="A file of values that a test used, one a line, or -; looked for, and never shown.", allow_dash=True
        ),
    ] = None,
    path: Annotated[
        list[Path] | None, typer.Option(help="A log file or folder besides data_dir; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search for card data in the database, files, recordings and memory, and write a signed report."""
    if context.invoked_subcommand is not None:
        return
    places = _places(only)
    canaries = _canaries(canary)

    async def do(services: Services) -> None:
        from tenderline.scan import run

        with _progress() as on_bytes:
            wanted = run.Wanted(
                started_by=frame.actor(), places=places, canaries=canaries, paths=path or [], on_bytes=on_bytes
            )
            done = await run.Scan(services, wanted).run()
        told = _for_programs(done.report) | {"file": str(done.file)}
        frame.say(told, as_json, _for_people(done.report, done.file))
        if done.report.verdict != "clean":
            raise typer.Exit(frame.EXIT_FAILED if done.report.findings_total else EXIT_INCOMPLETE)

    frame.with_services(do)


def _places(only: list[str] | None) -> tuple[Place, ...]:
    from tenderline.scan.result import Place

    names = {name.strip() for one in only or [] for name in one.split(",") if name.strip()}
    if unknown := names - {one.value for one in Place}:
        raise typer.BadParameter(f"{sorted(unknown)[0]!r} is none of {', '.join(Place)}")
    return tuple(one for one in Place if not names or one.value in names)


def _canaries(file: Path | None) -> Canaries | None:
    if file is None:
        return None
    from tenderline.core.errors import InvalidInputError
    from tenderline.scan import canaries

    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(CANARY_BYTES_MAX)
        else:
            with file.open("rb") as opened:
                data = opened.read(CANARY_BYTES_MAX)
        return canaries.read(data.decode())
    except OSError as error:
        raise typer.BadParameter(f"the canaries cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter("the canaries are not UTF-8") from None
    except InvalidInputError as error:
        raise typer.BadParameter(error.detail) from None


@contextmanager
def _progress() -> Iterator[Callable[[Place, int], None] | None]:
    """A line in a terminal: how far it is cannot be known before, how fast it goes can."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("searching", total=None)

        def on_bytes(place: Place, size_bytes: int) -> None:
            bar.update(task, advance=size_bytes, description=place.value)

        yield on_bytes


def _for_programs(report: Report) -> dict[str, Any]:
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(report)
    return told | {"verdict": report.verdict}


def _for_people(report: Report, file: Path) -> str:
    lines = [f"Report {file}", ""]
    for one in report.searched:
        speed = one.bytes / 1e6 / one.lasted_s if one.lasted_s else 0.0
        lines.append(
            f"  {one.place.value}: {one.count:,} {one.what}, {one.bytes / 1e6:,.1f} MB in {one.lasted_s:,.1f} s "
            f"({speed:,.0f} MB/s)"
        )
    for title, count, shown in (
        (
            "Card data",
            report.findings_total,
            [f"{_at(one.where, one.offset)}: {one.masked} {one.written}" for one in report.findings],
        ),
        ("Not searched", report.not_searched_total, [f"{one.what}: {one.why}" for one in report.not_searched]),
        ("Left out on purpose", len(report.left_out), [f"{one.what}: {one.why}" for one in report.left_out]),
        ("Let pass", len(report.passed), [f"{one.count:,} × {one.why}, in {one.where}" for one in report.passed]),
    ):
        if count:
            more = [f"  … {count - SHOWN_MAX:,} more in the report"] if count > SHOWN_MAX else []
            lines += ["", f"{title}: {count:,}", *(f"  {one}" for one in shown[:SHOWN_MAX]), *more]
    lines += ["", _VERDICTS[report.verdict]]
    return "\n".join(lines)


def _at(where: str, offset: int | None) -> str:
    return where if offset is None else f"{where}, at {offset}"


_VERDICTS = {
    "clean": "No card data was found, and everything was searched.",
    "incomplete": "No card data was found in what was searched; what was not searched is named above.",
    "found": "Card data was found. Act now: docs/how-to/scan-for-card-data.md says how.",
}


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="A report.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Hold a report against the key that signs the audit log; 1 when it was changed or signed with another key."""
    from tenderline.app import AUDIT_KEY_FILE
    from tenderline.scan import report
    from tenderline.store import audit

    settings = frame.load().settings
    try:
        if file.stat().st_size > report.BYTES_MAX:
            raise typer.BadParameter(f"{file} is larger than any report")
        data = file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    why = report.why_not_genuine(data, audit.load_public_key(settings.data_dir / AUDIT_KEY_FILE))
    found = report.read(data)
    text = (
        f"Not genuine: {why}."
        if why
        else f"Genuine: {found.verdict}, {found.started_at:%Y-%m-%d %H:%M} UTC, {found.host}."
    )
    frame.say({"genuine": why is None, "why": why, "verdict": found.verdict}, as_json, text)
    if why is not None:
        raise typer.Exit(frame.EXIT_FAILED)
