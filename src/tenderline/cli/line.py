"""`tenderline line`: the numbers that can be called, and where each leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(no_args_is_help=True, help="Lines: which number leads to which flow.")

Number = Annotated[str, typer.Argument(help="As the trunk sends it: E.164, or an extension.", show_default=False)]


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Every line."""

    async def show(services: Services) -> None:
        from tenderline.store import lines

        async with services.pool.acquire() as connection:
            found = await lines.all_lines(connection)
        values = [
            {
                "number": one.number,
                "campaign": one.campaign,
                "flow": one.flow,
                "language": one.language,
                "currency": one.currency,
                "fund": one.fund,
                "record": one.record,
            }
            for one in found
        ]
        rows = [("number", "campaign", "flow", "language", "currency", "fund", "")]
        rows += [
            (
                one.number,
                one.campaign,
                one.flow,
                one.language,
                one.currency,
                one.fund or "",
                "recorded" if one.record else "",
            )
            for one in found
        ]
        none = "There is no line yet; `tenderline line set NUMBER --flow welcome --campaign NAME` makes one."
        frame.say(values, as_json, frame.table(rows) if found else none)

    frame.with_services(show)


@app.command("set")
def put(
    number: Number,
    flow: Annotated[str, typer.Option(help="A flow that is shipped, or that was put in.")],
    campaign: Annotated[str, typer.Option(help="What the line is for, as reports name it.")],
    language: Annotated[str, typer.Option(help="What is spoken first: en, es.")] = "en",
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "USD",
    fund: Annotated[str | None, typer.Option(help="Where gifts of this line go.")] = None,
    record: Annotated[bool, typer.Option(help="Record from the beginning; the flow must announce it.")] = False,
    look_up_by: Annotated[
        Literal["ANI", "DNIS", "none"], typer.Option(help="The number that the CRM is asked about: hers, or this one.")
    ] = "ANI",
) -> None:
    """Make a line, or change it; calls that last keep their flow."""

    async def do(services: Services) -> None:
        from tenderline.flows import fitness
        from tenderline.store import lines

        async with services.pool.acquire() as connection, connection.transaction():
            await fitness.require_for_line(connection, flow)
            await lines.put_line(
                connection,
                number=number,
                campaign=campaign,
                flow=flow,
                language=language,
                currency=currency.upper(),
                fund=fund,
                record=record,
                by=frame.actor(),
                look_up_by=look_up_by,
            )
        typer.echo(f"{number} leads to {flow}.")

    frame.with_services(do)


@app.command()
def remove(number: Number) -> None:
    """The number leads nowhere any more."""

    async def do(services: Services) -> None:
        from tenderline.store import lines

        async with services.pool.acquire() as connection, connection.transaction():
            there = await lines.remove_line(connection, number, by=frame.actor())
        if not there:
            raise typer.BadParameter(f"there is no line {number}")
        typer.echo(f"{number} leads nowhere now.")

    frame.with_services(do)
