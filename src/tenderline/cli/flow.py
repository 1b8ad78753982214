"""`tenderline flow`: whether a call flow is right, what it looks like, and which version lines lead to; and a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services
    from tenderline.flows.graph import Flow

app = typer.Typer(no_args_is_help=True, help="Call flows: check, draw, show, put in.")

Source = Annotated[str, typer.Argument(help="A file (TOML), or the name of a shipped flow.", show_default=False)]


@app.command("check")
def check(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Files (TOML) or names of shipped flows; all that are shipped when none is given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove flows before a caller walks them; every fault is named with its line."""
    from tenderline.flows import shipped
    from tenderline.flows.check import check_text

    faults: list[dict[str, Any]] = []
    lines: list[str] = []
    looked: list[dict[str, Any]] = []
    for source in files or shipped.names():
        file, text = _read(source)
        flow, found = check_text(file, text)
        faults += [{"file": one.file, "line": one.line, "node": one.node or None, "detail": one.said} for one in found]
        lines += map(str, found)
        if flow is not None:
            looked.append({"file": file, "name": flow.name, "version": flow.version, "nodes": len(flow.nodes)})
            if not found:
                machine = _synthesised(flow)
                looked[-1]["synthesised"] = machine
                lines.append(f"{file}: all is well: {len(flow.nodes)} nodes, version {flow.version}")
                if machine:
                    lines.append(f"{file}: {len(machine)} texts without a recording, said by espeak-ng (see --json)")
    frame.say({"flows": looked, "faults": faults}, as_json, "\n".join(lines))
    if faults:
        raise typer.Exit(frame.EXIT_FAILED)


@app.command("draw")
def draw(
    source: Source,
    svg: Annotated[Path, typer.Option("--svg", help="The file to write.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Draw a flow as SVG; one with faults too, as far as it can be read."""
    from tenderline.flows import draw as drawing

    flow = _flow(source)
    picture = drawing.svg(flow)
    try:
        svg.write_text(picture, "utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{svg} cannot be written: {error.strerror}") from None
    values = {"name": flow.name, "version": flow.version, "svg": str(svg)}
    frame.say(values, as_json, f"{flow.name}, version {flow.version}, is drawn in {svg}.")


@app.command("show")
def show(source: Source, as_json: Json = False) -> None:
    """Show a flow as a tree."""
    from tenderline.flows import draw as drawing

    flow = _flow(source)
    values = {
        "name": flow.name,
        "title": flow.title,
        "version": flow.version,
        "languages": flow.languages,
        "start": flow.start,
        "onError": flow.on_error,
        "nodes": [
            {"name": node.name, "step": node.step, "line": node.line, "exits": dict(node.exits)}
            for node in flow.nodes.values()
        ],
    }
    frame.say(values, as_json, drawing.tree(flow).rstrip("\n"))


@app.command("put")
def put(file: Annotated[Path, typer.Argument(help="TOML.", show_default=False)]) -> None:
    """Put a flow in, as its newest version; calls that last keep theirs. A flow with a fault is refused."""
    from tenderline.flows.check import check_text

    source, text = _read(str(file))
    flow, faults = check_text(source, text)
    if flow is None or faults:
        typer.echo("\n".join(map(str, faults)), err=True)
        raise typer.Exit(frame.EXIT_FAILED)
    name = flow.name

    async def do(services: Services) -> None:
        from tenderline.flows import fitness
        from tenderline.store import lines

        async with services.pool.acquire() as connection, connection.transaction():
            await fitness.require_to_replace(connection, flow)
            version = await lines.put_flow(connection, name, text, by=frame.actor())
        typer.echo(f"{name} has version {version} now.")

    frame.with_services(do)


def call(
    source: Source,
    script: Annotated[Path, typer.Argument(help="TOML: what the caller does and must hear.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Call a flow by a script, on real SIP and RTP, without a database; exit code 1 when it did not go as it says."""
    from tenderline.flows.check import checked
    from tenderline.voice import trial

    flow, read = checked(*_read(source)), trial.read(*_read(str(script)))
    settings = frame.load().settings
    failed: list[bool] = []

    async def do() -> None:
        report = await trial.run(flow, read, settings.data_dir, scripts_dir=script.parent)
        lines = [f"way    {' > '.join(report.nodes)}", *(f"asked  {one}" for one in report.asked)]
        lines.append("It went as the script says." if report.ok else f"It failed: {report.why}")
        values = {"ok": report.ok, "why": report.why, "nodes": report.nodes, "asked": report.asked}
        frame.say(values, as_json, "\n".join(lines))
        failed.append(not report.ok)

    frame.run(do())
    if failed[0]:
        raise typer.Exit(frame.EXIT_FAILED)


def _synthesised(flow: Flow) -> list[dict[str, str]]:
    """Texts that neither the pack nor the operator's recordings have."""
    from tenderline.flows.check import words_of
    from tenderline.flows.spoken import said
    from tenderline.voice.prompts.pack import Prompts, clip_name

    prompts = Prompts(frame.load().settings.data_dir)
    return [
        {"language": language, "text": text, "recording": f"{clip_name(text)}.wav"}
        for language, texts in words_of(flow).items()
        for text in prompts.missing(said(language, texts))
    ]


def _flow(source: str) -> Flow:
    """A flow as far as it can be read; without any, its faults and exit code 1."""
    from tenderline.flows.load import read

    flow, faults = read(*_read(source))
    if flow is None:
        typer.echo("\n".join(map(str, faults)), err=True)
        raise typer.Exit(frame.EXIT_FAILED)
    return flow


def _read(source: str) -> tuple[str, str]:
    """A file's name and text; a file goes before a shipped flow of that name."""
    from tenderline.flows import shipped
    from tenderline.flows.load import FLOW_BYTES_MAX

    file = Path(source)
    if not file.exists() and source in shipped.names():
        return f"{source}.toml", shipped.text(source)
    try:
        with file.open("rb") as opened:
            body = opened.read(FLOW_BYTES_MAX + 1)
        if len(body) > FLOW_BYTES_MAX:
            raise typer.BadParameter(f"{file} is larger than {FLOW_BYTES_MAX} bytes; is it a flow?")
        return str(file), body.decode()
    except FileNotFoundError:
        names = ", ".join(shipped.names())
        raise typer.BadParameter(f"there is no file {source}, and no shipped flow of that name ({names})") from None
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8; is it a flow?") from None
