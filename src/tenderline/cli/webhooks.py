"""`tenderline webhooks`: who is told what happened here, how far each message got, and what was missed again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenderline.app import Services
    from tenderline.store.db import Connection

app = typer.Typer(no_args_is_help=True, help="Signed webhooks to other systems: receivers, messages, replay.")

LISTED_DEFAULT = 50
STATES = ("waiting", "delivered", "failed")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

EndpointId = Annotated[UUID, typer.Argument(help="As `tenderline webhooks list` shows it.", show_default=False)]


def _change(change: Callable[[Connection], Awaitable[str]]) -> None:
    """Changes something in one transaction, and says what was done."""

    async def do(services: Services) -> None:
        async with services.pool.acquire() as connection, connection.transaction():
            done = await change(connection)
        typer.echo(done)

    frame.with_services(do)


def _say_secret(endpoint_id: UUID, secret: str, as_json: bool) -> None:
    text = f"endpoint  {endpoint_id}\nsecret    {secret}\nIt is shown once; the receiver checks signatures with it."
    frame.say({"endpoint": str(endpoint_id), "secret": secret}, as_json, text)


@app.command("add")
def add(
    url: Annotated[str, typer.Argument(help="https://… that takes a POST.", show_default=False)],
    events: Annotated[
        str, typer.Option("--events", help="Such as contact.opted_out, parted by commas; left out: all.")
    ] = "",
    for_flows: Annotated[
        str | None, typer.Option("--for-flows", help="Tell it nothing; steps `webhook` of flows ask it by this name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell another system from now on, or let flows ask it. Its signing secret is shown once."""

    async def do(services: Services) -> None:
        from tenderline.outgoing import register

        names = [one.strip() for one in events.split(",") if one.strip()]
        if for_flows is not None and (names or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", for_flows)):
            raise typer.BadParameter("--for-flows takes a name such as crm_check, and no --events")
        endpoint_id, secret = await register.add(services, url, names, by=frame.actor(), asked_as=for_flows)
        _say_secret(endpoint_id, secret, as_json)

    frame.with_services(do)


@app.command("list")
def list_endpoints(as_json: Json = False) -> None:
    """Everybody who is told, and what waits or failed."""

    async def show(services: Services) -> None:
        from tenderline.desk import told

        async with services.pool.acquire() as connection:
            found = await told.read_receivers(connection)
        values = [
            {
                "endpoint": str(one.id),
                "url": one.address,
                "events": one.events,
                "state": one.state,
                "waiting": one.waiting,
                "failed": one.failed,
                "createdAt": one.created_at.isoformat(),
                "failingSince": one.failing_since and one.failing_since.isoformat(),
                "disabledAt": one.disabled_at and one.disabled_at.isoformat(),
                "disabledWhy": one.disabled_why,
            }
            for one in found
        ]
        rows = [("endpoint", "address", "events", "waiting", "failed", "state", "")]
        rows += [
            (
                str(one.id),
                one.address,
                " ".join(one.events),
                str(one.waiting),
                str(one.failed),
                one.state,
                f"{frame.disabled(one.disabled_at)}: {one.disabled_why}" if one.disabled_at else "",
            )
            for one in found
        ]
        none = "Nobody is told yet; `tenderline webhooks add https://…` adds somebody."
        frame.say(values, as_json, frame.table(rows) if found else none)

    frame.with_services(show)


@app.command("rotate-secret")
def rotate_secret(endpoint_id: EndpointId, as_json: Json = False) -> None:
    """Give an endpoint a new secret, shown once; for a day the old one signs beside it."""

    async def do(services: Services) -> None:
        from tenderline.outgoing import register

        _say_secret(endpoint_id, await register.rotate_secret(services, endpoint_id, by=frame.actor()), as_json)

    frame.with_services(do)


@app.command("disable")
def disable(endpoint_id: EndpointId, why: Annotated[str, typer.Option("--why", help="For the audit log.")]) -> None:
    """Tell an endpoint nothing more; what is on its way to it counts as missed."""
    reason = frame.reason(why)

    async def change(connection: Connection) -> str:
        from tenderline.store import webhook_endpoints

        await webhook_endpoints.disable(connection, endpoint_id, why=reason, by=frame.actor())
        return f"{endpoint_id} is told nothing more."

    _change(change)


@app.command("enable")
def enable(endpoint_id: EndpointId) -> None:
    """Tell an endpoint again that was disabled; `tenderline webhooks replay` tells it what it missed."""

    async def change(connection: Connection) -> str:
        from tenderline.store import webhook_endpoints

        await webhook_endpoints.enable(connection, endpoint_id, by=frame.actor())
        return f"{endpoint_id} is told again from now on; `tenderline webhooks replay` tells it what it missed."

    _change(change)


@app.command("remove")
def remove(endpoint_id: EndpointId) -> None:
    """Forget an endpoint, with everything it was sent."""

    async def change(connection: Connection) -> str:
        from tenderline.store import webhook_endpoints

        await webhook_endpoints.remove(connection, endpoint_id, by=frame.actor())
        return f"{endpoint_id} is gone, with what it was sent."

    _change(change)


@app.command("deliveries")
def list_deliveries(
    state: Annotated[str | None, typer.Option(help=f"Only those {', '.join(STATES)}.")] = None,
    endpoint: Annotated[UUID | None, typer.Option(help="Only those to this endpoint.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = LISTED_DEFAULT,
    as_json: Json = False,
) -> None:
    """The newest messages, and how far each got."""
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"--state is one of {', '.join(STATES)}")

    async def show(services: Services) -> None:
        from tenderline.desk import told

        async with services.pool.acquire() as connection:
            found, _ = await told.read_messages(connection, state=state, endpoint_id=endpoint, limit=limit)
        values = [
            {
                "delivery": str(one.id),
                "webhookId": one.webhook_id,
                "endpoint": str(one.endpoint_id),
                "event": one.event,
                "state": one.state,
                "tries": one.tries,
                "lastStatus": one.last_status,
                "why": one.why,
                "createdAt": one.created_at.isoformat(),
                "nextTryAt": one.next_try_at and one.next_try_at.isoformat(),
            }
            for one in found
        ]
        rows = [("delivery", "written", "event", "to", "state", "tries", "answer", "next try", "")]
        rows += [
            (
                str(one.id),
                f"{one.created_at:%Y-%m-%d %H:%M}",
                one.event,
                one.address,
                one.state,
                str(one.tries),
                str(one.last_status or "–"),
                f"{one.next_try_at:%Y-%m-%d %H:%M}" if one.next_try_at else "–",
                one.why or "",
            )
            for one in found
        ]
        frame.say(values, as_json, frame.table(rows) if found else "Nothing was sent yet.")

    frame.with_services(show)


@app.command("replay")
def replay(
    since: Annotated[
        str | None, typer.Option(help="An instant (2026-11-21T08:00Z), a day, or a span such as 90m, 6h, 2d.")
    ] = None,
    endpoint: Annotated[UUID | None, typer.Option(help="Only to this endpoint; left out: to all.")] = None,
    delivery: Annotated[UUID | None, typer.Option(help="This message alone.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was delivered.")] = False,
    as_json: Json = False,
) -> None:
    """Send what was missed again, each message under the webhook-id it had."""
    if (since is None) == (delivery is None) or (endpoint is not None and delivery is not None):
        raise typer.BadParameter("say --since (and --endpoint, if you like), or --delivery alone")
    at = _instant(since) if since is not None else None

    async def do(services: Services) -> None:
        from tenderline.core.errors import InvalidInputError
        from tenderline.store import webhook_replay

        by = frame.actor()
        async with services.pool.acquire() as connection, connection.transaction():
            if at is not None:
                count = await webhook_replay.replay(connection, at, endpoint_id=endpoint, again=again, by=by)
            else:
                assert delivery is not None
                count = len(await webhook_replay.replay_chosen(connection, [delivery], again=again, by=by))
                if not count:
                    raise InvalidInputError(await webhook_replay.why_not(connection, delivery))
        more = " That is as many as go at once: do it again." if count >= webhook_replay.REPLAYED_MAX else ""
        one = "message goes" if count == 1 else "messages go"
        frame.say({"replayed": count}, as_json, f"{count} {one} out again; a worker sends them.{more}")

    frame.with_services(do)


def _instant(text: str) -> datetime:
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isascii() and number.isdecimal() and len(number) <= 6:
        return datetime.now(UTC) - timedelta(**{_UNITS[unit]: int(number)})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write --since as 2026-11-21T08:00Z, 2026-11-21 or 6h") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@app.command("test")
def send_test(endpoint_id: EndpointId, as_json: Json = False) -> None:
    """Send a signed message that tells nothing, once, and say what came of it."""

    async def do(services: Services) -> None:
        from tenderline.core.standard_webhooks import message_name
        from tenderline.outgoing.delivery import Deliveries
        from tenderline.store import webhook_endpoints

        async with services.pool.acquire() as connection:
            await webhook_endpoints.get(connection, endpoint_id)
        deliveries = Deliveries(services)
        try:
            due, answer = await deliveries.test(endpoint_id)
        finally:
            await deliveries.close()
        name = message_name(due.message_id)
        values = {"webhookId": name, "ok": answer.ok, "status": answer.status, "why": answer.why}
        text = f"{name}: it answered {answer.status}." if answer.ok else f"{name}: {answer.why}."
        frame.say(values, as_json, text)
        if not answer.ok:
            raise typer.Exit(frame.EXIT_FAILED)

    frame.with_services(do)
