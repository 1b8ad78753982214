"""`tenderline flow`: checks call flows before anybody hears them, draws them, and puts them in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

app = typer.Typer(no_args_is_help=True, help="Call flows: check, show, draw and put them in.")

Flows = Annotated[list[str], typer.Argument(help="Files, or names of flows that are shipped.", show_default=False)]
One = Annotated[str, typer.Argument(help="A file, or the name of a flow that is shipped.", show_default=False)]


def _text(what: str) -> tuple[str, str]:
    from tenderline.flows import shipped

    found = shipped.texts().get(what)
    if found is not None:
        return f"{what}.toml", found
    try:
        return what, Path(what).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(sorted(shipped.texts()))
        raise typer.BadParameter(f"{what} cannot be read ({error}); shipped are: {names}") from None


@app.command()
def check(flows: Flows, as_json: Json = False) -> None:
    """Name every fault with its line and node. What would be spoken by a machine's voice is listed too."""
    from tenderline.flows import check as checking

    found, machine = [], []
    for one in flows:
        file, text = _text(one)
        faults = checking.text(file, text)
        found += [(file, fault) for fault in faults]
        if not faults:
            machine += _synthesised(file, text)
    values = {
        "faults": [{"file": file, "line": one.line, "node": one.node, "what": one.what} for file, one in found],
        "synthesised": [{"file": file, "language": language, "text": said} for file, language, said in machine],
    }
    lines = [fault.text(file) for file, fault in found] or [f"{len(flows)} checked, no fault"]
    if machine and not found:
        lines.append(f"{len(machine)} texts have no recording and are spoken by espeak-ng (--json lists them)")
    frame.say(values, as_json, "\n".join(lines))
    if found:
        raise typer.Exit(frame.EXIT_FAILED)


def _synthesised(file: str, text: str) -> list[tuple[str, str, str]]:
    from tenderline.flows import load, phrase
    from tenderline.flows.spoken import Words, said
    from tenderline.voice.prompts.pack import Prompts

    prompts, flow = Prompts(frame.load().settings.data_dir), load.read(file, text)
    found = []
    for node in flow.nodes.values():
        for wording in node.step.texts().values():
            for language in flow.languages:
                words = [one.text for one in phrase.spoken(wording, language, {}).parts if isinstance(one, Words)]
                found += [(file, language, one) for one in prompts.missing(said(language, words))]
    return list(dict.fromkeys(found))


@app.command()
def show(flow: One) -> None:
    """The flow as a text: each step, and where its exits lead."""
    from tenderline.flows import draw, load

    typer.echo(draw.text(load.read(*_text(flow))))


@app.command("draw")
def draw_it(
    flow: One, to: Annotated[Path | None, typer.Option(help="The file to write; else standard output.")] = None
) -> None:
    """The flow as a picture (SVG)."""
    from tenderline.flows import draw, load

    picture = draw.svg(load.read(*_text(flow)))
    if to is None:
        typer.echo(picture)
    else:
        to.write_text(picture, "utf-8")
        typer.echo(f"{to} is written.")


def call(
    flow: One,
    script: Annotated[
        Path, typer.Argument(help="A TOML file: what the caller does and must hear.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Call a flow by a script, on real SIP and RTP, without a database; exit code 1 when it did not go as it says."""
    from tenderline.flows import check as checking
    from tenderline.flows import load
    from tenderline.voice import trial

    name, text = _text(flow)
    if faults := checking.text(name, text):
        typer.echo("\n".join(one.text(name) for one in faults), err=True)
        raise typer.Exit(frame.EXIT_FAILED)
    read = trial.read(*_text(str(script)))
    settings = frame.load().settings
    failed: list[bool] = []

    async def do() -> None:
        report = await trial.run(load.read(name, text), read, settings.data_dir, scripts_dir=script.parent)
        lines = [f"way    {' > '.join(report.nodes)}", *(f"asked  {one}" for one in report.asked)]
        lines.append("It went as the script says." if report.ok else f"It failed: {report.why}")
        values = {"ok": report.ok, "why": report.why, "nodes": report.nodes, "asked": report.asked}
        frame.say(values, as_json, "\n".join(lines))
        failed.append(not report.ok)

    frame.run(do())
    if failed[0]:
        raise typer.Exit(frame.EXIT_FAILED)


@app.command()
def put(file: Annotated[Path, typer.Argument(show_default=False)]) -> None:
    """Put a flow in, as its newest version; calls that last keep theirs. A flow with a fault is refused."""

    async def do(services: Services) -> None:
        from tenderline.flows import check as checking
        from tenderline.flows import load
        from tenderline.store import lines

        name, text = _text(str(file))
        if faults := checking.text(name, text):
            typer.echo("\n".join(one.text(name) for one in faults), err=True)
            raise typer.Exit(frame.EXIT_FAILED)
        flow = load.read(name, text)
        async with services.pool.acquire() as connection, connection.transaction():
            version = await lines.put_flow(connection, flow.name, text, by=frame.actor())
        typer.echo(f"{flow.name} has version {version} now.")

    frame.with_services(do)
