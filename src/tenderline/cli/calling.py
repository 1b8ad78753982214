"""`tenderline calling`: calls that we make: what is said in them or who speaks, and one of them planned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(no_args_is_help=True, help="Calls that we make: calling campaigns, and planned calls.")

Name = Annotated[str, typer.Argument(help="Small letters, digits and _.", show_default=False)]


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Every calling campaign."""

    async def show(services: Services) -> None:
        from tenderline.store import calling_campaigns

        async with services.pool.acquire() as connection:
            found = await calling_campaigns.every(connection)
        values = [
            {
                "name": one.name,
                "flow": one.flow,
                "machineFlow": one.machine_flow,
                "queue": one.queue,
                "callerId": one.caller_id,
                "purpose": one.purpose,
                "enabled": one.enabled,
            }
            for one in found
        ]
        rows = [("name", "who speaks", "caller id", "purpose", "rings", "")]
        rows += [
            (
                one.name,
                f"flow {one.flow}" if one.flow else f"agents of {one.queue}",
                one.caller_id,
                one.purpose,
                f"{one.ring_s} s",
                "" if one.enabled else "switched off",
            )
            for one in found
        ]
        none = "There is none yet; `tenderline calling set NAME --caller-id NUMBER --purpose servicing …` makes one."
        frame.say(values, as_json, frame.table(rows) if found else none)

    frame.with_services(show)


@app.command("set")
def put(
    name: Name,
    caller_id: Annotated[str, typer.Option(help="One of voice.caller_ids.")],
    purpose: Annotated[str, typer.Option(help="As the gate knows it: servicing, first_party_recovery, …")],
    flow: Annotated[str | None, typer.Option(help="What whoever answers hears.")] = None,
    machine_flow: Annotated[str | None, typer.Option(help="What an answering machine is told.")] = None,
    queue: Annotated[str | None, typer.Option(help="Or: agents of this queue call.")] = None,
    language: Annotated[str, typer.Option(help="What is spoken first: en, es.")] = "en",
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "USD",
    fund: Annotated[str | None, typer.Option(help="Where gifts of these calls go.")] = None,
    ring_s: Annotated[int, typer.Option(help="Seconds that it rings.", min=15, max=90)] = 25,
    enabled: Annotated[bool, typer.Option("--on/--off", help="Whether its calls are made.")] = True,
) -> None:
    """Make a calling campaign, or change it."""

    async def do(services: Services) -> None:
        from tenderline.campaigns import calling
        from tenderline.flows import fitness
        from tenderline.store.calling_campaigns import CallingCampaign

        wanted = CallingCampaign(
            name=name,
            caller_id=caller_id,
            purpose=purpose,
            flow=flow,
            machine_flow=machine_flow,
            queue=queue,
            language=language,
            currency=currency.upper(),
            fund=fund,
            ring_s=ring_s,
            enabled=enabled,
        )
        async with services.pool.acquire() as connection, connection.transaction():
            for one in (flow, machine_flow):
                if one is not None:
                    await fitness.require(connection, one, purpose=purpose)
            await calling.put(services, connection, wanted, by=frame.actor())
        typer.echo(f"{name}: {f'flow {flow}' if flow else f'agents of {queue}'}, shown as {caller_id}.")

    frame.with_services(do)


@app.command("plan")
def plan(
    campaign: Name,
    number: Annotated[str, typer.Argument(help="Whom to call: E.164, or as dialled at home.", show_default=False)],
    in_minutes: Annotated[int, typer.Option(help="Not before so many minutes from now.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Plan one call; the gate says now whether and when, and decides when it is due."""

    async def do(services: Services) -> None:
        from tenderline.campaigns import calling

        due_at = datetime.now(UTC) + timedelta(minutes=in_minutes)
        async with services.pool.acquire() as connection, connection.transaction():
            planned = await calling.plan(
                services, connection, campaign=campaign, number=number, by=frame.actor(), due_at=due_at
            )
        due = planned.due_at.isoformat(timespec="seconds")
        words = f"Due at {due}." if planned.why is None else f"Not called: {planned.why}."
        value = {"id": str(planned.id), "dueAt": due, "why": planned.why}
        frame.say(value, as_json, words)

    frame.with_services(do)
