"""The command line: one file for each noun. Heavy imports stay inside the commands, so that help is quick.

A new command is a function in its noun's file; a new noun is a file of its own, and a line here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tenderline.cli import (
    audit,
    calling,
    client,
    dead_letters,
    dnc,
    flow,
    frame,
    gate,
    line,
    mail,
    node,
    people,
    processes,
    queue,
    scan,
    settings,
    simulate,
    telephone,
    user,
    webhooks,
)
from tenderline.core.errors import TenderlineError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it prints the values of variables, and some are secrets
    help="Takes calls, recovers failed payments by message.",
)
new = typer.Typer(no_args_is_help=True, help="Make users and API clients.")

for command in (
    processes.serve,
    processes.api,
    processes.work,
    processes.voice,
    processes.migrate,
    processes.doctor,
    dead_letters.replay,
    simulate.simulate,
    flow.call,
    processes.demo,
):
    app.command()(command)
new.command("user")(user.make)
new.command("client")(client.make)
app.add_typer(new, name="new")
app.add_typer(user.app, name="user")
app.add_typer(client.app, name="client")
app.add_typer(settings.app, name="config")
app.add_typer(audit.app, name="audit")
app.add_typer(scan.app, name="scan")
app.add_typer(mail.app, name="mail")
app.add_typer(gate.app, name="gate")
app.add_typer(dnc.app, name="dnc")
app.add_typer(flow.app, name="flow")
app.add_typer(line.app, name="line")
app.add_typer(calling.app, name="calling")
app.add_typer(node.app, name="node")
app.add_typer(people.app, name="people")
app.add_typer(telephone.app, name="telephone")
app.add_typer(queue.app, name="queue")
app.add_typer(queue.agents_app, name="agent")
app.add_typer(webhooks.app, name="webhooks")


@app.callback()
def before(
    config_file: Annotated[
        Path | None, typer.Option("--config", help="Settings file (default: tenderline.toml).")
    ] = None,
    said: Annotated[list[str] | None, typer.Option("--set", help="One setting, as key=value.")] = None,
) -> None:
    """Reads what every command understands."""
    pairs = [one.partition("=") for one in said or []]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise typer.BadParameter(f"write {wrong[0]!r} as key=value")
    frame.Said.config_file = config_file
    frame.Said.flags = {key: value for key, _, value in pairs}


def main() -> None:
    """Runs a command; our own errors are one clear line, not a traceback."""
    try:
        app()
    except TenderlineError as error:
        typer.echo(f"tenderline: {error.detail}", err=True)
        sys.exit(frame.EXIT_MISUSED if error.code == "configuration" else frame.EXIT_FAILED)
    except BaseExceptionGroup as group:
        ours, rest = group.split(TenderlineError)
        if ours is None or rest is not None:
            raise
        typer.echo(f"tenderline: {ours.exceptions[0]}", err=True)
        sys.exit(frame.EXIT_FAILED)
