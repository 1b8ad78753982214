"""`tenderline gate`: the rules in force, whether they are right, why a contact may leave or not, changes."""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from tenderline.cli import frame, gate_words
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services
    from tenderline.compliance.rule_check import Finding
    from tenderline.store.db import Connection, Pool

app = typer.Typer(no_args_is_help=True, help="The rules before every contact: check, list, explain, change.")

RULE_FILE_BYTES_MAX = 1024 * 1024

Why = Annotated[str, typer.Option("--why", help="The reason, for the audit log.", show_default=False)]
RuleId = Annotated[str, typer.Argument(help="As `tenderline gate rules` shows it.", show_default=False)]


@app.command("check")
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Rule files (TOML) to look over as well.")] = None,
    as_json: Json = False,
) -> None:
    """Look all rules over: the shipped rows, the presets, what was changed in the database, and given files."""
    from tenderline.compliance import rule_check

    findings = list(rule_check.check_shipped())
    looked = [
        f"{rule_check.count(rule_check.shipped_texts())} shipped rows",
        f"{rule_check.count(rule_check.preset_texts())} rows of presets",
    ]
    for file in files or []:
        text = _read(file)
        findings += rule_check.check_file(str(file), text)
        looked.append(f"{rule_check.count({str(file): text})} rows of {file}")
    skipped = ""

    async def look_at_changes() -> None:
        nonlocal skipped
        skipped = await _check_database(findings, looked)

    frame.run(look_at_changes())
    values = {
        "looked": looked,
        "notLookedAt": skipped or None,
        "errors": [{"place": one.place, "detail": one.said} for one in findings],
    }
    lines = [str(one) for one in findings] or [f"All is well: {', '.join(looked)}."]
    frame.say(values, as_json, "\n".join([*lines, *([skipped] if skipped else [])]))
    if findings:
        raise typer.Exit(frame.EXIT_FAILED)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            body = opened.read(RULE_FILE_BYTES_MAX + 1)
        if len(body) > RULE_FILE_BYTES_MAX:
            raise typer.BadParameter(f"{file} is larger than {RULE_FILE_BYTES_MAX} bytes; is it a rule file?")
        return body.decode()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8; is it a rule file?") from None


async def _check_database(findings: list[Finding], looked: list[str]) -> str:
    """Adds what is wrong with the operators' changes; why they were not looked at, when they were not."""
    from tenderline.core.errors import TenderlineError
    from tenderline.serve import database
    from tenderline.store import db
    from tenderline.store.embedded import EmbeddedPostgres

    settings = frame.load().settings
    if settings.database_url is None and not EmbeddedPostgres(settings.data_dir).cluster_dir.exists():
        return "Changes of operators were not looked at: there is no database yet."
    try:
        async with AsyncExitStack() as stack:
            url = await stack.enter_async_context(database(settings))
            pool = await stack.enter_async_context(db.open_pool(url, size_max=1))
            await db.require_current_schema(pool)
            await _check_changes(pool, settings.compliance.presets, findings, looked)
    except TenderlineError as error:
        return f"Changes of operators were not looked at: {error.detail}"
    return ""


async def _check_changes(pool: Pool, presets: Sequence[str], findings: list[Finding], looked: list[str]) -> None:
    from tenderline.compliance import rule_check
    from tenderline.compliance.rule_file import InvalidRuleError
    from tenderline.compliance.ruleset import shipped
    from tenderline.core.errors import NotFoundError
    from tenderline.store import rules

    try:
        shipped(*presets)
    except NotFoundError as error:
        findings.append(rule_check.Finding("compliance.presets", error.detail))
    except InvalidRuleError:
        pass  # it stands among the findings already
    async with pool.acquire() as connection:
        made = await rules.changes(connection)
    in_force = {change.rule_id: change for change in made}.values()
    for change in in_force:
        try:
            rules.rows_of(change)
        except InvalidRuleError as error:
            found = rule_check.finding(error)
            remedy = f"`tenderline gate as-shipped {change.rule_id}` takes it back"
            findings.append(rule_check.Finding(found.place, f"{found.said}; {remedy}"))
    looked.append(f"{len(in_force)} rules that operators changed")


@app.command("rules")
def list_rules(
    region: Annotated[str | None, typer.Option(help="Only what binds there, such as US-FL or GB.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Only what binds this purpose.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only what binds this channel.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as hours or cap.")] = None,
    shipped: Annotated[bool, typer.Option("--shipped", help="As shipped, without asking the database.")] = False,
    as_json: Json = False,
) -> None:
    """List the rules in force: what each asks, what it rests on, who changed it."""
    from tenderline.desk import rule_book

    wanted = rule_book.filter_of(region=region, purpose=purpose, channel=channel, kind=kind)

    def show(book: rule_book.BookView) -> None:
        frame.say(gate_words.rules_for_programs(book), as_json, gate_words.rules_for_people(book))

    if shipped:
        from tenderline.compliance import ruleset

        presets = frame.load().settings.compliance.presets
        show(rule_book.read_shipped(ruleset.shipped(*presets), wanted))
        return

    async def read(services: Services) -> None:
        async with services.pool.acquire() as connection, connection.transaction(readonly=True):
            show(await rule_book.read_book(connection, services.book, wanted))

    frame.with_services(read)


@app.command("explain")
def explain(
    person: Annotated[UUID | None, typer.Option(help="Id of a person.")] = None,
    address: Annotated[str | None, typer.Option(help="A telephone number or an e-mail address.")] = None,
    attempt: Annotated[UUID | None, typer.Option(help="Id of a contact that was planned or made.")] = None,
    channel: Annotated[str | None, typer.Option(help="sms, email, voice_live, voice_artificial or push.")] = None,
    purpose: Annotated[str, typer.Option(help="Why she would be contacted.")] = "first_party_recovery",
    at: Annotated[str | None, typer.Option(help="An instant, such as 2026-11-21T20:55-05:00; left out: now.")] = None,
    case: Annotated[UUID | None, typer.Option(help="Id of the case that it would be about.")] = None,
    as_json: Json = False,
) -> None:
    """Say why a contact, made or imagined, may or may not leave: every rule, its source, the facts, the versions."""
    if sum(one is not None for one in (person, address, attempt)) != 1:
        raise typer.BadParameter("name one of --person, --address and --attempt")
    if attempt is not None:
        if channel or at or case:
            raise typer.BadParameter("--attempt stands alone: channel, instant and case are its own")
        _explain_attempt(attempt, as_json)
        return
    from tenderline.desk import questions, why

    async def do(services: Services) -> None:
        question = questions.of(
            channel=channel,
            purpose=purpose,
            at=at,
            person_id=person,
            address=address,
            case_id=case,
            region=services.settings.compliance.default_region,
        )
        async with (
            services.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            found = await why.ask(connection, services.book, services.defaults, question)
        frame.say(gate_words.why_for_programs(found), as_json, gate_words.why_for_people(found))

    frame.with_services(do)


def _explain_attempt(attempt_id: UUID, as_json: bool) -> None:
    from tenderline.core.errors import NotFoundError
    from tenderline.desk import why

    async def do(services: Services) -> None:
        lease_s = services.settings.worker.lease_s
        async with (
            services.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            found = await why.of_attempt(connection, services.book, services.defaults, attempt_id, lease_s=lease_s)
        if found is None:
            raise NotFoundError(f"There is no contact {attempt_id}; the page of a case lists its contacts.")
        frame.say(gate_words.attempt_for_programs(found), as_json, gate_words.attempt_for_people(found))

    frame.with_services(do)


def _change(change: Callable[[Services, Connection, str], Awaitable[str]]) -> None:
    """Changes a rule in one transaction, and says what was done."""

    async def do(services: Services) -> None:
        async with services.pool.acquire() as connection, connection.transaction():
            done = await change(services, connection, frame.actor())
        typer.echo(done)

    frame.with_services(do)


@app.command("set")
def set_rules(
    file: Annotated[Path, typer.Argument(help="A rule file (TOML); each id in it replaces or adds that rule.")],
    why: Why,
) -> None:
    """Put the rules of a file in force: in the place of those of the same id, or beside the others."""
    reason = frame.reason(why)
    text = _read(file)

    async def change(services: Services, connection: Connection, by: str) -> str:
        from tenderline.compliance import rule_check
        from tenderline.compliance.rule_file import InvalidRuleError
        from tenderline.store import rules

        if findings := list(rule_check.check_file(str(file), text)):
            raise InvalidRuleError("\n".join(map(str, findings)))
        by_id: dict[str, list[dict[str, Any]]] = {}
        for row in tomllib.loads(text).get("rule", []):
            by_id.setdefault(row["id"], []).append(row)
        if not by_id:
            raise InvalidRuleError(f"{file}: there is no rule in it; rules are written as [[rule]]")
        for rows in by_id.values():
            await rules.set_rule(connection, services.book, rows, by=by, why=reason)
        return f"In force from now on: {', '.join(by_id)}."

    _change(change)


@app.command("off")
def turn_off(rule_id: RuleId, why: Why) -> None:
    """Leave a rule out from now on. What it kept back may leave: the responsibility is yours."""
    reason = frame.reason(why)

    async def change(services: Services, connection: Connection, by: str) -> str:
        from tenderline.store import rules

        await rules.turn_off(connection, services.book, rule_id, by=by, why=reason)
        return f"{rule_id} is not asked any more; `tenderline gate as-shipped {rule_id}` brings it back."

    _change(change)


@app.command("as-shipped")
def as_shipped(rule_id: RuleId, why: Why) -> None:
    """Take back what was changed in a rule; one that does not come with the product goes."""
    reason = frame.reason(why)

    async def change(services: Services, connection: Connection, by: str) -> str:
        from tenderline.store import rules

        await rules.as_shipped(connection, services.book, rule_id, by=by, why=reason)
        if services.book.shipped(rule_id):
            return f"{rule_id} is in force as it is shipped."
        return f"{rule_id} does not come with the product: it is gone."

    _change(change)
