"""`tenderline telephone`: the agents' telephones, which may register and take calls of queues."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(no_args_is_help=True, help="Telephones of agents: make, list and shut them out.")


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Every telephone, with its queues."""

    async def show(services: Services) -> None:
        from tenderline.store import lines

        async with services.pool.acquire() as connection:
            found = await lines.telephones(connection)
        values = [{"name": one.name, "queues": one.queues, "enabled": one.enabled} for one in found]
        rows = [("name", "queues", "")]
        rows += [(one.name, " ".join(one.queues), "" if one.enabled else "disabled") for one in found]
        none = "There is no telephone yet; `tenderline telephone add NAME --queue general` makes one."
        frame.say(values, as_json, frame.table(rows) if found else none)

    frame.with_services(show)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Its user name: letters, digits, dots.", show_default=False)],
    queues: Annotated[list[str], typer.Option("--queue", help="A queue whose calls it takes; may be given often.")],
    as_json: Json = False,
) -> None:
    """Make a telephone, or give it a new password; the password is shown once."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}", name):
        raise typer.BadParameter("a name has letters, digits, dots and hyphens, 40 at most")

    async def do(services: Services) -> None:
        from tenderline.core import telephone_password
        from tenderline.store import lines

        password = secrets.token_urlsafe(15)
        async with services.pool.acquire() as connection, connection.transaction():
            await lines.put_telephone(
                connection,
                name,
                ha1_md5=telephone_password.ha1(name, password, "MD5"),
                ha1_sha256=telephone_password.ha1(name, password, "SHA-256"),
                queues=queues,
                by=frame.actor(),
            )
        voice = services.settings.voice
        server = f"{voice.advertised_host or voice.bind_host}:{voice.sip_port}"
        text = f"server    {server} (UDP)\nuser      {name}\npassword  {password}"
        frame.say({"server": server, "user": name, "password": password}, as_json, text)

    frame.with_services(do)


@app.command()
def disable(name: Annotated[str, typer.Argument(show_default=False)]) -> None:
    """It may not register any more."""

    async def do(services: Services) -> None:
        from tenderline.store import lines

        async with services.pool.acquire() as connection, connection.transaction():
            there = await lines.disable_telephone(connection, name, by=frame.actor())
        if not there:
            raise typer.BadParameter(f"no telephone {name!r} may register")
        typer.echo(f"{name} may not register any more.")

    frame.with_services(do)
