"""`tenderline simulate`: what a policy would do to the people of a file, by the real gate over a virtual clock."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services
    from tenderline.compliance.ruleset import Ruleset
    from tenderline.recovery.preflight.run import Outcome, Rehearsal

CHUNK_LINES = 2_000
DAYS_MAX = 366
REJECTS_MAX = 1_000
REJECTS_SHOWN_MAX = 5
BAR_WIDTH = 40

_played: dict[str, Any] = {}  # what a child process plays: set before it is forked


def simulate(
    contacts: Annotated[Path | None, typer.Option(help="CSV file of people; its first line names the columns.")] = None,
    days: Annotated[int, typer.Option(min=1, max=DAYS_MAX, help="How long to play.")] = 60,
    policy: Annotated[str, typer.Option(help="'default', or a policy file.")] = "default",
    purpose: Annotated[str, typer.Option(help="Why they would be contacted.")] = "first_party_recovery",
    start: Annotated[str | None, typer.Option(help="When it begins (default: now), as 2026-11-20T17:00:00Z.")] = None,
    sample: Annotated[int, typer.Option(min=0, max=1_000_000, help="Play so many people who are made up.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes to play in.")] = min(os.cpu_count() or 1, 8),
    svg: Annotated[Path | None, typer.Option(help="Draw it into this file.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Write lines that cannot be read into this file.")] = None,
    operator_rules: Annotated[
        bool, typer.Option("--operator-rules", help="Also what operators changed in the rules, from the database.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rehearse a policy: who would be contacted when, and which rule would hold or refuse it. Nothing is sent."""
    if (contacts is None) == (sample == 0):
        raise typer.BadParameter("name either --contacts FILE or --sample COUNT")
    rehearsal = _rehearsal(days, policy, purpose, start)
    if operator_rules:
        rehearsal = dataclasses.replace(rehearsal, rules=_rules_in_force())
    from tenderline.recovery.preflight import audience

    if contacts is None:
        rows = audience.sample(sample, rehearsal.start)
        outcome, wrong = _play(rehearsal, rows, workers)
    else:
        try:
            with contacts.open(encoding="utf-8-sig", newline="") as file:
                outcome, wrong = _play(rehearsal, audience.rows_of(file), workers)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise typer.BadParameter(f"{contacts} cannot be read: {error}") from None
    if rejects is not None:
        rejects.write_text("\n".join(wrong) + ("\n" if wrong else ""), "utf-8")
    if svg is not None:
        from tenderline.recovery.preflight import drawing

        svg.write_text(drawing.svg(outcome, f"Rehearsal of {rehearsal.policy.label}, {days} days"), "utf-8")
    frame.say(_values(rehearsal, outcome, wrong), as_json, _text(rehearsal, outcome, wrong))


def _rehearsal(days: int, policy: str, purpose: str, start: str | None) -> Rehearsal:
    from tenderline.compliance import ruleset
    from tenderline.compliance.facts import Purpose
    from tenderline.recovery import policy as policies
    from tenderline.recovery.preflight.run import Rehearsal

    if purpose not in frozenset(Purpose):
        raise typer.BadParameter(f"{purpose!r} is no purpose; there are {', '.join(Purpose)}")
    try:
        at = datetime.fromisoformat(start) if start else datetime.now(UTC).replace(second=0, microsecond=0)
    except ValueError:
        raise typer.BadParameter(f"{start!r} is no instant; write 2026-11-20T17:00:00Z") from None
    try:
        played = policies.default() if policy == "default" else policies.parse(policy, Path(policy).read_text("utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"the policy cannot be read: {error}") from None
    compliance = frame.load().settings.compliance
    return Rehearsal(
        policy=played,
        rules=ruleset.shipped(*compliance.presets),
        purpose=Purpose(purpose),
        start=(at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC),
        days=days,
        default_zone=compliance.default_zone,
        default_region=compliance.default_region,
    )


def _rules_in_force() -> Ruleset:
    """The shipped rules with what operators changed. The database is closed again before anything is played."""
    found: list[Ruleset] = []

    async def read(services: Services) -> None:
        async with services.pool.acquire() as connection:
            found.append(await services.book.refresh(connection))

    frame.with_services(read)
    return found[0]


def _play(rehearsal: Rehearsal, rows: Iterator[list[str]], workers: int) -> tuple[Outcome, list[str]]:
    from tenderline.recovery.preflight import audience
    from tenderline.recovery.preflight.run import Outcome

    columns = audience.columns_of(next(rows, []))
    _played.update(rehearsal=rehearsal, columns=columns)
    outcome = Outcome()
    wrong: list[str] = []
    numbered = zip(itertools.count(2, CHUNK_LINES), _chunks(rows), strict=False)
    with multiprocessing.get_context("fork").Pool(workers) as pool, _progress() as step:
        for part, unread, lines in pool.imap_unordered(_play_chunk, numbered):
            outcome.add(part)
            wrong += unread[: max(0, REJECTS_MAX - len(wrong))]
            step(lines)
    return outcome, sorted(wrong, key=lambda line: int(line.split()[1].rstrip(":")))


def _play_chunk(numbered: tuple[int, list[list[str]]]) -> tuple[Outcome, list[str], int]:
    from tenderline.recovery.preflight import audience, run

    first_line, rows = numbered
    rehearsal: Rehearsal = _played["rehearsal"]
    unread: list[str] = []
    region = rehearsal.default_region or "US"

    def readable() -> Iterator[audience.Contact]:
        for one in audience.read(rows, _played["columns"], first_line=first_line, default_region=region):
            if isinstance(one, audience.UnreadableLineError):
                unread.append(one.detail)
            else:
                yield one

    return run.play(rehearsal, readable()), unread, len(rows)


def _chunks(rows: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    source = iter(rows)
    while chunk := list(itertools.islice(source, CHUNK_LINES)):
        yield chunk


class _progress:  # used as a function
    """How many lines were played, on a terminal; silent elsewhere."""

    def __enter__(self) -> Any:
        self._count = 0
        self._seen = sys.stderr.isatty()
        return self._step

    def __exit__(self, *_: object) -> None:
        if self._seen:
            sys.stderr.write("\r" + " " * BAR_WIDTH + "\r")

    def _step(self, lines: int) -> None:
        self._count += lines
        if self._seen:
            sys.stderr.write(f"\rplayed {self._count:,} people")
            sys.stderr.flush()


def _values(rehearsal: Rehearsal, outcome: Outcome, wrong: list[str]) -> dict[str, Any]:
    return {
        "policy": rehearsal.policy.label,
        "ruleset": rehearsal.rules.version,
        "start": rehearsal.start.isoformat(),
        "days": rehearsal.days,
        "people": outcome.people,
        "unreadable_lines": len(wrong),
        "contacts": outcome.sent,
        "after_the_last_day": outcome.later,
        "by_day": dict(sorted(outcome.by_day.items())),
        "by_local_hour": {f"{day} {hour:02}": count for (day, hour), count in sorted(outcome.by_local_hour.items())},
        "by_channel": dict(outcome.by_channel),
        "by_step": dict(sorted(outcome.by_step.items())),
        "held_by": dict(outcome.held_by.most_common()),
        "refused_by": dict(outcome.refused_by.most_common()),
        "contacts_of_a_person": dict(sorted(outcome.contacts_of_a_person.items())),
        "hours_held": dict(sorted(outcome.waited_h.items())),
    }


def _text(rehearsal: Rehearsal, outcome: Outcome, wrong: list[str]) -> str:
    hours: dict[str, int] = {f"{hour:02}:00": 0 for hour in range(24)}
    for (_, hour), count in outcome.by_local_hour.items():
        hours[f"{hour:02}:00"] += count
    parts = [
        f"{rehearsal.policy.label} from {rehearsal.start:%Y-%m-%d %H:%M} UTC, {rehearsal.days} days, "
        f"rules {rehearsal.rules.version}: {outcome.sent:,} contacts to {outcome.people:,} people.",
        _bars("By hour where the person is", hours),
        _bars("By channel", dict(outcome.by_channel.most_common())),
        _bars(
            "Contacts of one person", {str(count): many for count, many in sorted(outcome.contacts_of_a_person.items())}
        ),
        _bars("Put off by", dict(outcome.held_by.most_common(15))),
        _bars("Refused by", dict(outcome.refused_by.most_common(15))),
    ]
    if outcome.later:
        parts.append(f"{outcome.later:,} more would leave after the last day.")
    if wrong:
        shown = "\n".join(f"  {line}" for line in wrong[:REJECTS_SHOWN_MAX])
        parts.append(f"{len(wrong):,} lines cannot be read (--rejects FILE writes them down):\n{shown}")
    return "\n\n".join(part for part in parts if part)


def _bars(title: str, counts: dict[str, int]) -> str:
    if not any(counts.values()):
        return ""
    most = max(counts.values())
    width = max(map(len, counts))
    lines = [
        f"  {name:<{width}}  {'█' * round(BAR_WIDTH * count / most):<{BAR_WIDTH}} {count:,}"
        for name, count in counts.items()
    ]
    return "\n".join([title, *lines])
