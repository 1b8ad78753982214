"""`tenderline queue`: queues and skills; `tenderline agent`: who serves them, and what each agent does now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services
    from tenderline.store.agents import Agent
    from tenderline.store.db import Connection

app = typer.Typer(no_args_is_help=True, help="Queues: how long callers wait for whom.")
agents_app = typer.Typer(no_args_is_help=True, help="Agents: who serves which queue, with which skills.")

Name = Annotated[str, typer.Argument(show_default=False)]


def _ring(text: str) -> dict[str, object]:
    """`30:min=2,drop=legacy,join=general` as a ring has it."""
    after, _, rest = text.partition(":")
    ring: dict[str, object] = {"afterS": float(after) if after.replace(".", "", 1).isdecimal() else after}
    lists: dict[str, list[str]] = {"drop": [], "join": []}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key == "min" and value.isdecimal():
            ring["proficiencyMin"] = int(value)
        elif key in lists and value:
            lists[key].append(value)
        else:
            raise typer.BadParameter(f"{part!r} is none of min=1…5, drop=SKILL, join=QUEUE", param_hint="--ring")
    return {**ring, "skillsDropped": lists["drop"], "queuesJoined": lists["join"]}


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Every queue, with its rings."""

    async def show(services: Services) -> None:
        import msgspec

        from tenderline.store import queues

        async with services.pool.acquire() as connection:
            found = await queues.every(connection)
        rows = [("name", "title", "rings", "wrap-up", "service level", "callback")]
        for one in found:
            rings = " ".join(f"{ring.after_s:g}s" for ring in one.rings) or "0s"
            level = f"{one.service_level_percent} % in {one.service_level_s} s"
            callback = "" if one.callback_after_s is None else f"from {one.callback_after_s} s on"
            rows.append((one.name, one.title, rings, f"{one.wrap_up_s} s", level, callback))
        none = "There is no queue yet; `tenderline queue set NAME` makes one."
        frame.say(msgspec.to_builtins(found), as_json, frame.table(rows) if found else none)

    frame.with_services(show)


@app.command("set")
def put(
    name: Name,
    title: Annotated[str | None, typer.Option(help="As the screens show it.")] = None,
    ring: Annotated[
        list[str] | None, typer.Option("--ring", help="0:min=4 or 30:drop=SKILL,join=QUEUE; in order, from 0 on.")
    ] = None,
    tier: Annotated[list[str] | None, typer.Option("--tier", help="TIER=STEPS, each like a minute of waiting.")] = None,
    wrap_up_s: Annotated[int, typer.Option(min=0, max=3600)] = 0,
    service_level_s: Annotated[int, typer.Option(min=1, max=3600)] = 20,
    service_level_percent: Annotated[int, typer.Option(min=1, max=100)] = 80,
    wait_max_s: Annotated[int | None, typer.Option(min=5, max=7200)] = None,
    callback_after_s: Annotated[
        int | None, typer.Option(min=0, max=7200, help="A place may be kept from then on.")
    ] = None,
    last_agent_wait_s: Annotated[
        int, typer.Option(min=0, max=300, help="Wait so long for the agent of last time.")
    ] = 0,
) -> None:
    """Make a queue, or change it; what is not given is as usual."""
    pairs = [one.partition("=") for one in tier or []]
    if wrong := [key for key, _, value in pairs if not value.isdecimal() or int(value) > 10]:
        raise typer.BadParameter(f"write {wrong[0]}=0 to {wrong[0]}=10", param_hint="--tier")
    rings = [_ring(one) for one in ring or []]

    async def do(services: Services) -> None:
        import msgspec

        from tenderline.core.queue_rings import Name as QueueName
        from tenderline.core.queue_rings import Ring
        from tenderline.store import queues, waiting

        try:
            wanted = queues.Queue(
                name=msgspec.convert(name, QueueName),
                title=title or name,
                rings=msgspec.convert(rings, tuple[Ring, ...]),
                tiers={key: int(value) for key, _, value in pairs},
                wrap_up_s=wrap_up_s,
                service_level_s=service_level_s,
                service_level_percent=service_level_percent,
                wait_max_s=wait_max_s,
                callback_after_s=callback_after_s,
                last_agent_wait_s=last_agent_wait_s,
            )
        except msgspec.ValidationError as error:
            raise typer.BadParameter(str(error)) from None
        async with services.pool.acquire() as connection, connection.transaction():
            await queues.put(connection, wanted, by=frame.actor())
            await waiting.hint(connection)
        typer.echo(f"{name} is a queue.")

    frame.with_services(do)


@app.command()
def remove(name: Name) -> None:
    """Delete a queue that nothing uses; what uses it is told."""

    async def do(services: Services) -> None:
        from tenderline.flows import queues_named

        async with services.pool.acquire() as connection, connection.transaction():
            await queues_named.remove_queue(connection, name, by=frame.actor())
        typer.echo(f"{name} is no queue any more.")

    frame.with_services(do)


@app.command()
def skill(name: Name, title: Annotated[str, typer.Option(help="As the screens show it.")] = "") -> None:
    """Make a skill that agents may have."""

    async def do(services: Services) -> None:
        from tenderline.store import queues

        async with services.pool.acquire() as connection, connection.transaction():
            await queues.put_skill(connection, name, title, by=frame.actor())
        typer.echo(f"{name} is a skill.")

    frame.with_services(do)


@agents_app.command("list")
def list_agents(as_json: Json = False) -> None:
    """Every agent, and what she does now."""

    async def show(services: Services) -> None:
        from tenderline.store import agents

        async with services.pool.acquire() as connection:
            found = await agents.every(connection)
        rows = [("name", "telephone", "queues", "skills", "state", "")]
        values = []
        for one in found:
            skills = " ".join(f"{name}:{level}" for name, level in sorted(one.skills.items()))
            shown = "" if one.enabled else "disabled"
            rows.append((one.name, one.telephone or "", " ".join(one.queues), skills, one.state, shown))
            values.append({"id": str(one.id), "name": one.name, "queues": one.queues, "state": one.state})
        none = "There is no agent yet; `tenderline telephone add NAME --queue general` makes one."
        frame.say(values, as_json, frame.table(rows) if found else none)

    frame.with_services(show)


@agents_app.command()
def assign(
    name: Name,
    queues: Annotated[list[str] | None, typer.Option("--queue", help="May be given often.")] = None,
    skills: Annotated[list[str] | None, typer.Option("--skill", help="SKILL=1 to SKILL=5; may be given often.")] = None,
) -> None:
    """Say which queues an agent serves and what she is good at; what is not given is taken away."""
    pairs = [one.partition("=") for one in skills or []]
    if wrong := [key for key, _, value in pairs if value not in tuple("12345")]:
        raise typer.BadParameter(f"write {wrong[0]}=1 to {wrong[0]}=5", param_hint="--skill")

    async def do(services: Services) -> None:
        from tenderline.store import agents, waiting

        async with services.pool.acquire() as connection, connection.transaction():
            one = await _named(connection, name)
            levels = {key: int(value) for key, _, value in pairs}
            await agents.assign(connection, one.id, of_queues=queues or [], skills=levels, by=frame.actor())
            await waiting.hint(connection)
        typer.echo(f"{name} serves {', '.join(queues or []) or 'no queue'}.")

    frame.with_services(do)


@agents_app.command()
def state(name: Name, state: Annotated[str, typer.Argument(help="available, away, offline or distress")]) -> None:
    """Say what an agent does; on a call it counts from the call's end on."""
    if state not in ("available", "away", "offline", "distress"):
        raise typer.BadParameter(f"{state!r} is none of available, away, offline, distress")

    async def do(services: Services) -> None:
        from tenderline.store import presence, waiting

        async with services.pool.acquire() as connection, connection.transaction():
            one = await _named(connection, name)
            now = await presence.say(connection, one.id, state, reason=None, by=frame.actor())  # type: ignore[arg-type]
            await waiting.hint(connection)
        typer.echo(f"{name} is {now}.")

    frame.with_services(do)


async def _named(connection: Connection, name: str) -> Agent:
    from tenderline.store import agents

    found = next((one for one in await agents.every(connection) if one.name == name), None)
    if found is None:
        raise typer.BadParameter(f"there is no agent {name!r}; `tenderline agent list` shows them")
    return found
