"""`tenderline node`: the voice nodes, and how one is taken out without cutting a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(no_args_is_help=True, help="Voice nodes: list them, drain one.")


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Every node that is up, drains, or went within the last hour."""

    async def show(services: Services) -> None:
        from tenderline.store import voice_nodes

        async with services.pool.acquire() as connection:
            found = await voice_nodes.all_known(connection)
        values = [
            {"id": str(one.id), "sip": one.sip_address, "state": one.state, "calls": one.calls, "max": one.calls_max}
            for one in found
        ]
        rows = [("id", "sip", "state", "calls", "room for")]
        rows += [(str(one.id), one.sip_address, one.state, str(one.calls), str(one.calls_max)) for one in found]
        frame.say(values, as_json, frame.table(rows) if found else "No voice node has run within the last hour.")

    frame.with_services(show)


@app.command()
def drain(
    node_id: Annotated[UUID, typer.Argument(metavar="ID", help="As `tenderline node list` shows it.")],
) -> None:
    """The node takes no new call within seconds; those that last go on. Stop it when `list` shows none."""

    async def do(services: Services) -> None:
        from tenderline.store import audit, voice_nodes

        async with services.pool.acquire() as connection, connection.transaction():
            if not await voice_nodes.drain(connection, node_id):
                raise typer.BadParameter(f"no node {node_id} is up")
            await audit.append(
                connection, actor=frame.actor(), action="node_drained", subject=f"voice_node:{node_id}", data={}
            )
        typer.echo(f"{node_id} takes no new calls.")

    frame.with_services(do)
