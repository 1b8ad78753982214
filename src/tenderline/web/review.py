"""What payers wrote that a person must read, and what follows: contacts go on, or stop for good."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import NotFoundError, TenderlineError
from tenderline.desk import review as desk
from tenderline.people import consent
from tenderline.recovery import cases as recovery
from tenderline.recovery import review
from tenderline.store import events, people, reviews
from tenderline.store.db import Connection
from tenderline.store.explanations import KINDS
from tenderline.store.reviews import Written
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import PERMISSION, session_of, shell

AnyRequest = Request[Any, Any, Any]
GO_ON, OPT_OUT = "go_on", "opt_out"


class AlreadyReadError(TenderlineError):
    """Somebody else has read this already; the list shows what still waits."""

    code = "reply.already_read"
    status = 409


class WroteAgainError(TenderlineError):
    """She wrote again since this page was made; read that first."""

    code = "reply.wrote_again"
    status = 409


class NoAddressToSilenceError(TenderlineError):
    """No address of hers is known to which her word could belong; hold her case instead."""

    code = "reply.no_address"
    status = 409


@get("/review", include_in_schema=False)
async def show_review(request: AnyRequest) -> Response[str]:
    """Everybody whose words wait, the longest first."""
    async with (
        services_of(request).pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await desk.read_list(connection)
    return page(
        "review.html", found=found, may_decide=session_of(request).user.may(Permission.REVIEW), **shell(request)
    )


@post("/review/{person_id:uuid}/go-on", include_in_schema=False, opt={PERMISSION: Permission.REVIEW})
async def go_on(request: AnyRequest, person_id: FromPath[UUID]) -> Redirect:
    """It was read, and contacts go on."""
    return await _decide(request, person_id, GO_ON)


@post("/review/{person_id:uuid}/opt-out", include_in_schema=False, opt={PERMISSION: Permission.REVIEW})
async def opt_out(request: AnyRequest, person_id: FromPath[UUID]) -> Redirect:
    """It was read, and it means stop: on every channel, from the instant it was written."""
    return await _decide(request, person_id, OPT_OUT)


async def _decide(request: AnyRequest, person_id: UUID, decision: str) -> Redirect:
    services = services_of(request)
    form = await request.form()
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        if await people.find(connection, person_id) is None:
            raise NotFoundError("There is no person of this id; the list shows whose words wait.")
        person = await people.lock(connection, person_id)
        if person.review_at is None:
            raise AlreadyReadError()
        newest = await _newest(connection, person_id)
        if form.get("seen", "") != (str(newest.id) if newest else ""):
            raise WroteAgainError()
        if decision == OPT_OUT:
            await _silence(connection, person_id, newest, by=by)
        practice = recovery.practice_of(services)
        await review.has_been_read(connection, practice, person_id, by=by, decision=decision)
    await events.hint(services.pool)
    return Redirect(path="/review", status_code=303)


async def _newest(connection: Connection, person_id: UUID) -> Written | None:
    written = await reviews.written(connection, [person_id], 1)
    return written[person_id][0] if person_id in written else None


async def _silence(connection: Connection, person_id: UUID, said: Written | None, *, by: str) -> None:
    """Her word holds for every address of the kind she wrote from: which one it was is not kept with the message."""
    points = await people.contact_points(connection, person_id)
    channel = said.channel if said else next((one for one in ("sms", "email") if _of_kind(points, one)), "")
    addresses = _of_kind(points, channel) if channel else []
    if not addresses:
        raise NoAddressToSilenceError()
    for address in addresses:
        await consent.opt_out(
            connection,
            person_id,
            channel=channel,
            address=address,
            how=f"reply, read by {by}",
            evidence=said.text if said else "",
            at=said.at if said else None,
        )


def _of_kind(points: list[people.ContactPoint], channel: str) -> list[str]:
    kind = KINDS.get(channel)
    return [point.value for point in points if point.kind == kind]
