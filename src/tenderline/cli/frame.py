"""What every command stands in: the settings, an event loop, the database, and how it answers."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenderline import config, logs

if TYPE_CHECKING:
    from tenderline.app import Services

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

EXIT_FAILED = 1
EXIT_MISUSED = 2
PASSWORD_BYTES_MAX = 8 * 1024
WHY_LENGTH_MAX = 200


class Said:
    """What was said before the command's name."""

    config_file: Path | None = None
    flags: dict[str, Any] = {}  # noqa: RUF012  # replaced, never changed

    @classmethod
    def arguments(cls) -> list[str]:
        """The same words again, for a child process."""
        said = ["--config", str(cls.config_file)] if cls.config_file else []
        return said + [part for key, value in cls.flags.items() for part in ("--set", f"{key}={value}")]


def load() -> config.Loaded:
    """The settings, with what was said on the command line over them."""
    loaded = config.load(Said.flags, config_file=Said.config_file)
    logs.configure(loaded.settings.log_level)
    return loaded


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs a command's work to its end."""
    import uvloop

    uvloop.run(work)


def with_services(work: Callable[[Services], Awaitable[None]]) -> None:
    """Runs what needs the database, once its schema is known to be this version's."""

    async def opened() -> None:
        from tenderline.app import open_services
        from tenderline.serve import database
        from tenderline.store import db

        settings = load().settings
        async with database(settings) as url, open_services(settings, url) as services:
            await db.require_current_schema(services.pool)
            await work(services)

    run(opened())


def say(values: Any, as_json: bool, text: str) -> None:
    """The answer: for a program, or for a person."""
    typer.echo(json.dumps(values, default=str) if as_json else text)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as columns; the first is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def disabled(at: datetime | None) -> str:
    """The last column of a list of those who may get in."""
    return f"disabled since {at:%Y-%m-%d}" if at else ""


def actor() -> str:
    """Who is at the keyboard, for the audit log: the account of this machine that runs the command."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container may run under a number that has no name
        return f"cli:uid {os.getuid()}"


def reason(why: str) -> str:
    """A reason as the audit log keeps it."""
    text = " ".join(why.split())
    if not text or len(text) > WHY_LENGTH_MAX or not text.isprintable():
        raise typer.BadParameter(f"say why in 1 to {WHY_LENGTH_MAX} printable characters, with --why")
    return text


def read_password() -> str:
    """Typed twice without echo at a terminal, else one line of standard input. Never an argument: those are seen by
    everybody on the machine, and kept by the shell."""
    if sys.stdin.isatty():
        typed: str = typer.prompt("Password (12 characters or more)", hide_input=True, confirmation_prompt=True)
        return typed
    try:
        return sys.stdin.buffer.readline(PASSWORD_BYTES_MAX).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise typer.BadParameter("the password on standard input is not UTF-8") from None
