"""Why a contact was made or not, and whether one could be: the gate's answers with every rule and fact behind them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get
from litestar.params import FromPath

from tenderline.compliance.facts import Purpose
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.desk import what_if, why
from tenderline.desk.what_if import Asking
from tenderline.store.db import Connection
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import shell

AnyRequest = Request[Any, Any, Any]
PURPOSE_DEFAULT: Final = Purpose.FIRST_PARTY_RECOVERY


@get("/attempts/{attempt_id:uuid}/why", include_in_schema=False)
async def show_why(request: AnyRequest, attempt_id: FromPath[UUID]) -> Response[str]:
    """What was decided about a contact and when, and the same question asked again."""
    services = services_of(request)
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await why.of_attempt(
            connection, services.book, services.defaults, attempt_id, lease_s=services.settings.worker.lease_s
        )
    if found is None:
        raise NotFoundError("There is no contact of this id; the list of contacts leads to those there are.")
    return page("why.html", found=found, why=found.again, **shell(request))


@get("/people/{person_id:uuid}/ask", include_in_schema=False)
async def show_ask(request: AnyRequest, person_id: FromPath[UUID]) -> Response[str]:
    """A form that asks the gate about any contact to somebody, and the answer to what was asked."""
    services = services_of(request)
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        asking = await what_if.read_asking(connection, person_id, services.defaults)
        said = _said(request, asking)
        case_id = _case_id(request)
        problem, found = None, None
        if asking.channels and "channel" in request.query_params:
            try:
                found = await _answer(request, connection, asking, said, case_id)
            except InvalidInputError as error:
                problem = error.detail
    return page(
        "ask.html",
        status=422 if problem else 200,
        asking=asking,
        said=said,
        case_id=case_id,
        why=found,
        problem=problem,
        purposes=tuple(Purpose),
        **shell(request),
    )


async def _answer(
    request: AnyRequest, connection: Connection, asking: Asking, said: dict[str, str], case_id: UUID | None
) -> why.Why:
    services = services_of(request)
    question = what_if.question_of(asking, **said, case_id=case_id)
    return await why.ask(connection, services.book, services.defaults, question)


def _said(request: AnyRequest, asking: Asking) -> dict[str, str]:
    """What the form says, or begins with."""
    query = request.query_params
    return {
        "channel": query.get("channel", asking.channels[0] if asking.channels else ""),
        "purpose": query.get("purpose", PURPOSE_DEFAULT),
        "at": query.get("at", ""),
        "clock": query.get("clock", asking.zones[0] if asking.zones else "UTC"),
    }


def _case_id(request: AnyRequest) -> UUID | None:
    text = request.query_params.get("case")
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("There is no case of this id; the list of cases leads to those there are.") from None
