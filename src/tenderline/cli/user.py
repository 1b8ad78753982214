"""`tenderline user` and `tenderline new user`: who can sign in to the screens, and what they may do there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenderline.app import Services
    from tenderline.store.db import Connection

app = typer.Typer(no_args_is_help=True, help="List users; change their roles and passwords; shut them out.")

Email = Annotated[str, typer.Argument(help="The address she signs in with.", show_default=False)]
ROLES = "viewer, agent, supervisor, compliance, engineer or admin"


def _change(change: Callable[[Connection], Awaitable[object]], *, done: str) -> None:
    """Changes a user, in one transaction."""

    async def do(services: Services) -> None:
        async with services.pool.acquire() as connection, connection.transaction():
            await change(connection)
        typer.echo(done)

    frame.with_services(do)


def make(
    email: Email,
    name: Annotated[str, typer.Option(help="The name colleagues see.")],
    role: Annotated[str, typer.Option(help=f"{ROLES}.")] = "agent",
) -> None:
    """Make somebody who can sign in. The password is asked for, or read from standard input."""
    password = frame.read_password()

    async def change(connection: Connection) -> None:
        from tenderline.store import access

        await access.add_user(connection, email=email, name=name, password=password, role=role, by=frame.actor())

    _change(change, done=f"{email} can sign in now.")


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Everybody who can sign in, or could."""

    async def show(services: Services) -> None:
        from tenderline.store import users

        async with services.pool.acquire() as connection:
            found = await users.list_users(connection)
        values = [
            {
                "email": one.email,
                "name": one.name,
                "role": one.role.value,
                "createdAt": one.created_at.isoformat(),
                "disabledAt": one.disabled_at and one.disabled_at.isoformat(),
            }
            for one in found
        ]
        rows = [("e-mail", "name", "role", "created", "")]
        rows += [
            (one.email, one.name, one.role.value, f"{one.created_at:%Y-%m-%d}", frame.disabled(one.disabled_at))
            for one in found
        ]
        none = "Nobody can sign in yet; make somebody with `tenderline new user`."
        frame.say(values, as_json, frame.table(rows) if found else none)

    frame.with_services(show)


@app.command("disable")
def disable(email: Email) -> None:
    """Sign somebody out everywhere, and let her in no more."""

    async def change(connection: Connection) -> None:
        from tenderline.store import access

        await access.disable_user(connection, email, by=frame.actor())

    _change(change, done=f"{email} is signed out and cannot sign in any more.")


@app.command("enable")
def enable(email: Email) -> None:
    """Let somebody in again who was shut out, with the password she had."""

    async def change(connection: Connection) -> None:
        from tenderline.store import access

        await access.enable_user(connection, email, by=frame.actor())

    _change(change, done=f"{email} can sign in again.")


@app.command("set-role")
def set_role(email: Email, role: Annotated[str, typer.Argument(help=f"{ROLES}.", show_default=False)]) -> None:
    """Give somebody another role; she has to sign in again."""

    async def change(connection: Connection) -> None:
        from tenderline.store import access

        await access.set_role(connection, email, role, by=frame.actor())

    done = f"{email} has the role {role} now, and has to sign in again."
    _change(change, done=done)


@app.command("set-password")
def set_password(email: Email) -> None:
    """Give somebody a new password, asked for or read from standard input; she has to sign in again."""
    password = frame.read_password()

    async def change(connection: Connection) -> None:
        from tenderline.store import access

        await access.set_password(connection, email, password, by=frame.actor())

    done = f"{email} has a new password, and has to sign in again."
    _change(change, done=done)
