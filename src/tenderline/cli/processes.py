"""Commands that run the product, prepare its database, or examine it."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Annotated

import typer

from tenderline import config, logs
from tenderline.cli import frame
from tenderline.cli.frame import Json


def serve() -> None:
    """Run everything on this machine: database (embedded unless database_url is set), API, screens and worker."""
    from tenderline.serve import run_everything, stop_on_signals

    settings = frame.load().settings

    async def everything() -> None:
        def ready() -> None:
            typer.echo(f"Tenderline runs on {settings.public_url} (Ctrl-C stops it)")

        await run_everything(
            settings, stop=stop_on_signals(), environment=os.environ, arguments=frame.Said.arguments(), ready=ready
        )

    frame.run(everything())


def api() -> None:
    """Run one API process: webhooks, JSON API and screens."""
    from tenderline.serve import run_api

    settings = frame.load().settings
    frame.run(run_api(settings, _database_url(settings)))


def work() -> None:
    """Run one worker process: it reads webhooks, asks the gate, sends messages and follows them."""
    from tenderline.serve import run_worker

    settings = frame.load().settings
    frame.run(run_worker(settings, _database_url(settings)))


def voice() -> None:
    """Run one voice node: it answers calls, runs their flows and records what may be recorded."""
    from tenderline.serve import run_voice

    settings = frame.load().settings
    frame.run(run_voice(settings, _database_url(settings)))


def _database_url(settings: config.Settings) -> str:
    from tenderline.core.errors import ConfigurationError

    if settings.database_url is None:
        raise ConfigurationError("database_url is not set; `tenderline serve` runs a database of its own.")
    return settings.database_url.get_secret_value()


def migrate(as_json: Json = False) -> None:
    """Bring the database's schema up to this version."""

    async def migrate_it() -> None:
        from tenderline.serve import database
        from tenderline.store import db

        async with database(frame.load().settings) as url:
            applied = await db.migrate(url)
        frame.say({"applied": applied}, as_json, "\n".join(applied) or "The schema is up to date.")

    frame.run(migrate_it())


def doctor(as_json: Json = False) -> None:
    """Check database, clock, mail server, gateway and carrier, and say what to do about each failing line."""
    from tenderline import doctor as surgery

    settings = frame.load().settings

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
            raise typer.Exit(frame.EXIT_FAILED)

    frame.run(examine())


def demo(
    once: Annotated[bool, typer.Option("--once", help="Play the scenarios to the end, report, and stop.")] = False,
    as_json: Json = False,
    port: Annotated[int, typer.Option(help="Port of the product; 0 takes a free one.")] = 0,
) -> None:
    """The whole product with a simulated bank, carrier and mailbox."""
    from tenderline.demo import show

    logs.configure("error")
    raise typer.Exit(asyncio.run(show.run(once=once, as_json=as_json, port=port)))
