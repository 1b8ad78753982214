"""`tenderline client` and `tenderline new client`: the programs that may use the API, and their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(no_args_is_help=True, help="List API clients; change their secrets; shut them out.")

ClientId = Annotated[str, typer.Argument(help="As `tenderline client list` shows it.", show_default=False)]


def _say_secret(client_id: str, secret: str, as_json: bool) -> None:
    text = f"client id      {client_id}\nclient secret  {secret}"
    frame.say({"clientId": client_id, "clientSecret": secret}, as_json, text)


def make(
    name: str,
    scopes: Annotated[list[str], typer.Option("--scope", help="Such as outbound:read; may be given often.")],
    as_json: Json = False,
) -> None:
    """Make an API client; its secret is shown once."""

    async def do(services: Services) -> None:
        from tenderline.store import access

        async with services.pool.acquire() as connection, connection.transaction():
            client_id, secret = await access.add_client(connection, name=name, scopes=scopes, by=frame.actor())
        _say_secret(client_id, secret, as_json)

    frame.with_services(do)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Every client with its scopes, oldest first; secrets are not kept, so none is shown."""

    async def show(services: Services) -> None:
        from tenderline.store import oauth

        async with services.pool.acquire() as connection:
            found = await oauth.list_clients(connection)
        values = [
            {
                "clientId": one.id,
                "name": one.name,
                "scopes": one.scopes,
                "createdAt": one.created_at.isoformat(),
                "disabledAt": one.disabled_at and one.disabled_at.isoformat(),
            }
            for one in found
        ]
        rows = [("client id", "name", "scopes", "created", "")]
        rows += [
            (one.id, one.name, " ".join(one.scopes), f"{one.created_at:%Y-%m-%d}", frame.disabled(one.disabled_at))
            for one in found
        ]
        none = "There is no client yet; make one with `tenderline new client`."
        frame.say(values, as_json, frame.table(rows) if found else none)

    frame.with_services(show)


@app.command("disable")
def disable(client_id: ClientId) -> None:
    """Give a client no more tokens, and end those it holds at once."""

    async def do(services: Services) -> None:
        from tenderline.store import access

        async with services.pool.acquire() as connection, connection.transaction():
            await access.disable_client(connection, client_id, by=frame.actor())
        typer.echo(f"{client_id} is shut out; its tokens are worth nothing any more.")

    frame.with_services(do)


@app.command("enable")
def enable(client_id: ClientId) -> None:
    """Let a client in again that was shut out, with the secret it had."""

    async def do(services: Services) -> None:
        from tenderline.store import access

        async with services.pool.acquire() as connection, connection.transaction():
            await access.enable_client(connection, client_id, by=frame.actor())
        typer.echo(f"{client_id} may ask for tokens again.")

    frame.with_services(do)


@app.command("rotate-secret")
def rotate_secret(client_id: ClientId, as_json: Json = False) -> None:
    """Give a client a new secret, shown once; the old one and every token are worth nothing at once."""

    async def do(services: Services) -> None:
        from tenderline.store import access

        async with services.pool.acquire() as connection, connection.transaction():
            secret = await access.rotate_secret(connection, client_id, by=frame.actor())
        _say_secret(client_id, secret, as_json)

    frame.with_services(do)
