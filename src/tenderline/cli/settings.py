"""`tenderline config`: the settings, where each comes from, and whether they are right."""

from __future__ import annotations

import typer

from tenderline import config_shown
from tenderline.cli import frame
from tenderline.cli.frame import Json

app = typer.Typer(no_args_is_help=True, help="Show and check the settings.")


@app.command("show")
def show(as_json: Json = False) -> None:
    """Every setting with its value and where it comes from; secrets are masked."""
    rows = config_shown.describe(frame.load())
    width = max(len(row["key"]) for row in rows)
    lines = [f"{row['key']:<{width}}  {row['value']}  ({row['source']})" for row in rows]
    frame.say(rows, as_json, "\n".join(lines))


@app.command("check")
def check() -> None:
    """Read the settings and say whether they are right."""
    frame.load()
    typer.echo("The settings are right.")


@app.command("default")
def default() -> None:
    """Print tenderline.default.toml: every key, commented."""
    typer.echo(config_shown.default_toml(), nl=False)
