"""The command line. Heavy imports stay inside the commands, so that help is quick."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenderline import config, logs
from tenderline.core.errors import TenderlineError

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it prints the values of variables, and some are secrets
    help="Recovers failed payments by message.",
)
config_app = typer.Typer(no_args_is_help=True, help="Show and check the settings.")
audit_app = typer.Typer(no_args_is_help=True, help="The tamper-evident log.")
new_app = typer.Typer(no_args_is_help=True, help="Make users and API clients.")
app.add_typer(config_app, name="config")
app.add_typer(audit_app, name="audit")
app.add_typer(new_app, name="new")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

EXIT_FAILED = 1
EXIT_MISUSED = 2


class _State:
    """What was said before the command's name."""

    config_file: Path | None = None
    flags: dict[str, Any] = {}  # noqa: RUF012  # replaced, never changed

    @classmethod
    def arguments(cls) -> list[str]:
        """The same words again, for a child process."""
        said = ["--config", str(cls.config_file)] if cls.config_file else []
        return said + [part for key, value in cls.flags.items() for part in ("--set", f"{key}={value}")]


@app.callback()
def before(
    config_file: Annotated[
        Path | None, typer.Option("--config", help="Settings file (default: tenderline.toml).")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="One setting, as key=value.")] = None,
) -> None:
    """Reads what every command understands."""
    _State.config_file = config_file
    pairs = [one.partition("=") for one in settings or []]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise typer.BadParameter(f"write {wrong[0]!r} as key=value")
    _State.flags = {key: value for key, _, value in pairs}


def _load() -> config.Loaded:
    loaded = config.load(_State.flags, config_file=_State.config_file)
    logs.configure(loaded.settings.log_level)
    return loaded


def _run(work: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(work)


def _say(lines: Any, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(lines, default=str) if as_json else text)


@app.command()
def serve() -> None:
    """Run everything on this machine: database (embedded unless database_url is set), API, screens and worker."""
    from tenderline.serve import run_everything, stop_on_signals

    settings = _load().settings

    async def everything() -> None:
        async def ready(_: str) -> None:
            typer.echo(f"Tenderline runs on {settings.public_url} (Ctrl-C stops it)")

        await run_everything(
            settings, stop=stop_on_signals(), environment=os.environ, arguments=_State.arguments(), prepare=ready
        )

    _run(everything())


@app.command()
def api() -> None:
    """Run one API process: webhooks, JSON API and screens."""
    from tenderline.serve import run_api

    settings = _load().settings
    _run(run_api(settings, _database_url(settings)))


@app.command()
def work() -> None:
    """Run one worker process: it reads webhooks, asks the gate, sends messages and follows them."""
    from tenderline.serve import run_worker

    settings = _load().settings
    _run(run_worker(settings, _database_url(settings)))


def _database_url(settings: config.Settings) -> str:
    from tenderline.core.errors import ConfigurationError

    if settings.database_url is None:
        raise ConfigurationError("database_url is not set; `tenderline serve` runs a database of its own.")
    return settings.database_url.get_secret_value()


async def _with_services(work: Any) -> Any:
    from tenderline.app import open_services
    from tenderline.serve import database

    settings = _load().settings
    async with database(settings) as url, open_services(settings, url) as services:
        return await work(services)


@app.command()
def migrate(as_json: Json = False) -> None:
    """Bring the database's schema up to this version."""

    async def migrate_it() -> None:
        from tenderline.serve import database
        from tenderline.store import db

        async with database(_load().settings) as url:
            applied = await db.migrate(url)
        _say({"applied": applied}, as_json, "\n".join(applied) or "The schema is up to date.")

    _run(migrate_it())


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check database, clock, mail server, gateway and carrier, and say what to do about each failing line."""
    from tenderline import doctor as surgery

    settings = _load().settings

    async def examine() -> None:
        findings = await surgery.examine(settings)
        if as_json:
            typer.echo(json.dumps([finding.as_dict() for finding in findings]))
        else:
            for finding in findings:
                mark = {"ok": "✓", "failed": "✗", "off": "–"}[finding.state]
                typer.echo(f"{mark} {finding.part:<10} {finding.found}")
                if finding.remedy:
                    typer.echo(f"{'':<13}→ {finding.remedy}")
        if any(finding.state == "failed" for finding in findings):
            raise typer.Exit(EXIT_FAILED)

    _run(examine())


@app.command()
def replay(
    jobs: Annotated[list[int] | None, typer.Option("--job", help="Id of a parked job; may be given often.")] = None,
    webhooks: Annotated[list[int] | None, typer.Option("--webhook", help="Id of a stored webhook.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All parked jobs and unreadable webhooks.")] = False,
    as_json: Json = False,
) -> None:
    """List what failed for good, or put it back to be done again."""

    async def do(services: Services) -> None:
        from tenderline.store import audit, inbox
        from tenderline.store import jobs as job_store

        dead_jobs = await job_store.dead(services.pool)
        async with services.pool.acquire() as connection:
            dead_webhooks = await inbox.dead(connection)
        if not (jobs or webhooks or everything):
            found = [{"job": one.id, "name": one.name, "tries": one.tries, "why": one.why} for one in dead_jobs]
            found += [{"webhook": one.id, "name": one.event_type, "tries": one.tries, "why": one.why}
                      for one in dead_webhooks]  # fmt: skip
            lines = [" ".join(f"{key}={value}" for key, value in one.items()) for one in found]
            _say(found, as_json, "\n".join(lines) or "Nothing is parked.")
            return
        job_ids = [one.id for one in dead_jobs] if everything else jobs or []
        webhook_ids = [one.id for one in dead_webhooks] if everything else webhooks or []
        await job_store.replay(services.pool, job_ids)
        async with services.pool.acquire() as connection, connection.transaction():
            count = await inbox.replay(connection, webhook_ids)
            data = {"jobs": job_ids, "webhooks": webhook_ids}
            await audit.append(connection, actor="cli", action="replay", subject="dead letters", data=data)
        _say({"jobs": len(job_ids), "webhooks": count}, as_json, f"Replayed {len(job_ids)} jobs, {count} webhooks.")

    _run(_with_services(do))


@config_app.command("show")
def config_show(as_json: Json = False) -> None:
    """Every setting with its value and where it comes from; secrets are masked."""
    loaded = _load()
    rows = config.describe(loaded)
    width = max(len(row["key"]) for row in rows)
    _say(rows, as_json, "\n".join(f"{row['key']:<{width}}  {row['value']}  ({row['source']})" for row in rows))


@config_app.command("check")
def config_check() -> None:
    """Read the settings and say whether they are right."""
    _load()
    typer.echo("The settings are right.")


@config_app.command("default")
def config_default() -> None:
    """Print tenderline.default.toml: every key, commented."""
    typer.echo(config.default_toml(), nl=False)


@audit_app.command("verify")
def audit_verify(as_json: Json = False) -> None:
    """Walk the whole chain and hold it against the signed heads; names the first bad row."""

    async def verify(services: Services) -> None:
        from tenderline.store import audit

        heads = audit.read_heads(services.audit_head_file)
        key = audit.load_public_key(services.audit_key_file)
        verdict = await audit.verify(services.pool, heads, key)
        text = f"{verdict.why} ({verdict.rows} rows, {len(heads)} signed heads)"
        _say({"rows": verdict.rows, "badNumber": verdict.bad_number, "why": verdict.why}, as_json, text)
        if verdict.bad_number is not None:
            raise typer.Exit(EXIT_FAILED)

    _run(_with_services(verify))


@new_app.command("user")
def new_user(
    email: str,
    name: Annotated[str, typer.Option(help="The name colleagues see.")],
    role: Annotated[str, typer.Option(help="viewer, agent, supervisor, compliance, engineer or admin.")] = "agent",
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, help="12 characters or more.")] = "",
) -> None:
    """Make somebody who can sign in."""

    async def make(services: Services) -> None:
        from tenderline.store import audit, users

        async with services.pool.acquire() as connection, connection.transaction():
            user_id = await users.create_user(connection, email=email, name=name, password=password, role=role)
            subject = f"user:{user_id}"
            await audit.append(connection, actor="cli", action="user.create", subject=subject, data={"role": role})
        typer.echo(f"{email} can sign in now.")

    _run(_with_services(make))


@new_app.command("client")
def new_client(
    name: str,
    scopes: Annotated[list[str], typer.Option("--scope", help="Such as outbound:read; may be given often.")],
    as_json: Json = False,
) -> None:
    """Make an API client; its secret is shown once."""

    async def make(services: Services) -> None:
        from tenderline.store import audit, oauth

        async with services.pool.acquire() as connection, connection.transaction():
            client_id, secret = await oauth.create_client(connection, name=name, scopes=scopes)
            subject = f"client:{client_id}"
            await audit.append(
                connection, actor="cli", action="client.create", subject=subject, data={"scopes": scopes}
            )
        _say(
            {"clientId": client_id, "clientSecret": secret},
            as_json,
            f"client id      {client_id}\nclient secret  {secret}",
        )

    _run(_with_services(make))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Play the scenarios to the end, report, and stop.")] = False,
    as_json: Json = False,
    port: Annotated[int, typer.Option(help="Port of the product; 0 takes a free one.")] = 0,
) -> None:
    """The whole product with a simulated bank, carrier and mailbox."""
    from tenderline.demo import show

    logs.configure("error")
    raise typer.Exit(asyncio.run(show.run(once=once, as_json=as_json, port=port)))


def main() -> None:
    """Runs a command; our own errors are one clear line, not a traceback."""
    try:
        app()
    except TenderlineError as error:
        typer.echo(f"tenderline: {error.detail}", err=True)
        sys.exit(EXIT_MISUSED if error.code == "configuration" else EXIT_FAILED)
    except BaseExceptionGroup as group:
        ours, rest = group.split(TenderlineError)
        if ours is None or rest is not None:
            raise
        typer.echo(f"tenderline: {ours.exceptions[0]}", err=True)
        sys.exit(EXIT_FAILED)
