"""`tenderline replay`: what failed for good is listed, put back to be done again, or discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tenderline.cli import frame
from tenderline.cli.frame import Json

if TYPE_CHECKING:
    from tenderline.app import Services

ID_MAX = 2**63 - 1

RowIds = list[int] | None


def replay(
    jobs: Annotated[RowIds, typer.Option("--job", min=1, max=ID_MAX, help="Id of a parked job; repeatable.")] = None,
    webhooks: Annotated[
        RowIds, typer.Option("--webhook", min=1, max=ID_MAX, help="Id of a stored webhook; repeatable.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All parked jobs and unreadable webhooks.")] = False,
    discard: Annotated[
        RowIds, typer.Option("--discard", min=1, max=ID_MAX, help="Give up an unreadable webhook; repeatable.")
    ] = None,
    why: Annotated[str, typer.Option("--why", help="With --discard: the reason, for the audit log.")] = "",
    as_json: Json = False,
) -> None:
    """List what failed for good, put it back to be done again, or give it up."""
    if discard:
        if jobs or webhooks or everything:
            raise typer.BadParameter("--discard stands alone: replay first, then see what is left")
        _discard(discard, frame.reason(why), as_json)
    elif why:
        raise typer.BadParameter("--why belongs to --discard")
    elif jobs or webhooks or everything:
        _replay(jobs or [], webhooks or [], everything, as_json)
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    async def show(services: Services) -> None:
        from tenderline.store import inbox, jobs

        found = [
            {"job": one.id, "name": one.name, "tries": one.tries, "why": one.why}
            for one in await jobs.dead(services.pool)
        ]
        async with services.pool.acquire() as connection:
            found += [
                {"webhook": one.id, "name": one.event_type, "tries": one.tries, "why": one.why}
                for one in await inbox.dead(connection)
            ]
        lines = [" ".join(f"{key}={value}" for key, value in one.items()) for one in found]
        frame.say(found, as_json, "\n".join(lines) or "Nothing is parked.")

    frame.with_services(show)


def _replay(jobs: list[int], webhooks: list[int], everything: bool, as_json: bool) -> None:
    async def do(services: Services) -> None:
        from tenderline.store import audit, board, events, inbox
        from tenderline.store import jobs as job_store

        job_ids = [one.id for one in await job_store.dead(services.pool)] if everything else jobs
        async with services.pool.acquire() as connection, connection.transaction():
            webhook_ids = [one.id for one in await inbox.dead(connection)] if everything else webhooks
            job_ids = await board.replay_jobs(connection, job_ids)
            webhook_ids = await inbox.replay(connection, webhook_ids)
            if job_ids or webhook_ids:
                await audit.append(
                    connection,
                    actor=frame.actor(),
                    action="dead_letters.replay",
                    subject="dead_letters",
                    data={"jobs": job_ids, "webhooks": webhook_ids},
                )
        await events.hint(services.pool)
        text = f"Replayed {len(job_ids)} jobs, {len(webhook_ids)} webhooks."
        frame.say({"jobs": len(job_ids), "webhooks": len(webhook_ids)}, as_json, text)

    frame.with_services(do)


def _discard(ids: list[int], why: str, as_json: bool) -> None:
    async def do(services: Services) -> None:
        from tenderline.store import events, inbox

        async with services.pool.acquire() as connection, connection.transaction():
            await inbox.discard(connection, ids, by=frame.actor(), why=why)
        await events.hint(services.pool)
        text = f"Discarded {len(ids)} webhooks: nothing is held for them any more."
        frame.say({"discarded": sorted(set(ids))}, as_json, text)

    frame.with_services(do)
