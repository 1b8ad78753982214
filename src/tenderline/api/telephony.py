"""Lines and conversations: which number leads to which flow, and what happened on a call, part by part."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, delete, get, put
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_204_NO_CONTENT

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.money import Money
from tenderline.flows import fitness
from tenderline.store import conversations, lines, recordings
from tenderline.store.conversations import Conversation
from tenderline.store.lines import Line

READ_SCOPE: Final = "contactcenter:read"
WRITE_SCOPE: Final = "integration:all"
CALLS_MAX: Final = 100

NumberText = Annotated[str, msgspec.Meta(pattern=r"^\+?[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class LineSettings(_Json, frozen=True, forbid_unknown_fields=True):
    """Where a number leads. `record` records from the first second: then the flow must announce it.
    `lookUpBy`: which number the CRM is asked about, the caller's (ANI), this one (DNIS), or none."""

    campaign: Words
    flow: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
    language: Annotated[str, msgspec.Meta(pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")] = "en"
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    fund: Words | None = None
    record: bool = False
    look_up_by: Literal["ANI", "DNIS", "none"] = "ANI"


class LineEntity(_Json, frozen=True):
    """A number that can be called."""

    number: str
    campaign: str
    flow: str
    language: str
    currency: str
    fund: str | None
    record: bool
    look_up_by: str
    updated_at: datetime


class LineList(_Json, frozen=True):
    """Every line, by number."""

    entities: list[LineEntity]


class ParticipantEntity(_Json, frozen=True):
    """Somebody who was on the call: caller, agent or external."""

    id: UUID
    purpose: str
    address: str | None
    joined_at: datetime
    left_at: datetime | None


class SegmentEntity(_Json, frozen=True):
    """A part of the call."""

    kind: str
    detail: str
    started_at: datetime
    ended_at: datetime | None


class StepEntity(_Json, frozen=True):
    """A step of the flow that the call took, and the exit by which it left."""

    node: str
    step: str
    entered_at: datetime
    left_at: datetime | None
    exit: str | None


class ConversationSummary(_Json, frozen=True):
    """A call in a list. `endedBy` is caller, flow or system."""

    id: UUID
    direction: str
    caller: str | None
    called: str
    campaign: str | None
    flow: str | None
    flow_version: int | None
    person_id: UUID | None
    attestation: str | None
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    why: str | None


class ConversationList(_Json, frozen=True):
    """Live calls, then the newest."""

    entities: list[ConversationSummary]


class ConversationEntity(_Json, frozen=True):
    """One call with everything that is kept of it; recordings are listened to on its page."""

    summary: ConversationSummary
    participants: list[ParticipantEntity]
    segments: list[SegmentEntity]
    steps: list[StepEntity]
    recordings: list[UUID]


def _line(one: Line) -> LineEntity:
    return LineEntity(
        number=one.number,
        campaign=one.campaign,
        flow=one.flow,
        language=one.language,
        currency=one.currency,
        fund=one.fund,
        record=one.record,
        look_up_by=one.look_up_by,
        updated_at=one.updated_at,
    )


def _summary(one: Conversation) -> ConversationSummary:
    names = ConversationSummary.__struct_fields__
    return ConversationSummary(**{name: getattr(one, name) for name in names})


@get(
    "/api/v2/telephony/lines",
    opt={SCOPE: READ_SCOPE},
    operation_id="getTelephonyLines",
    summary="Every number that can be called",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
)
async def list_lines(request: Request[Any, Any, Any]) -> LineList:
    """By number."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return LineList(entities=[_line(one) for one in await lines.all_lines(connection)])


@put(
    "/api/v2/telephony/lines/{number:str}",
    opt={SCOPE: WRITE_SCOPE},
    operation_id="putTelephonyLine",
    summary="Lead a number to a flow",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 404, 413, 422, 429),
)
async def put_line(request: Request[Any, Any, Any], number: FromPath[str], data: JSONBody[LineSettings]) -> LineEntity:
    """Makes the line, or changes it; calls that last keep their flow. Audited."""
    services: Services = request.app.state.services
    try:
        checked = msgspec.convert(number, NumberText)
    except msgspec.ValidationError:
        raise InvalidInputError("Write the number as the trunk sends it: +18005550123, or an extension.") from None
    currency = Money.parse(1, data.currency).currency
    async with services.pool.acquire() as connection, connection.transaction():
        await fitness.require_for_line(connection, data.flow)
        await lines.put_line(
            connection,
            number=checked,
            campaign=data.campaign,
            flow=data.flow,
            language=data.language,
            currency=currency,
            fund=data.fund,
            record=data.record,
            by=f"client:{grant_of(request).client_id}",
            look_up_by=data.look_up_by,
        )
        return next(_line(one) for one in await lines.all_lines(connection) if one.number == checked)


@delete(
    "/api/v2/telephony/lines/{number:str}",
    status_code=HTTP_204_NO_CONTENT,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="deleteTelephonyLine",
    summary="Lead a number nowhere any more",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(401, 403, 404, 429),
)
async def delete_line(request: Request[Any, Any, Any], number: FromPath[str]) -> None:
    """Whoever calls it from now on is refused; calls that last go on. Audited."""
    services: Services = request.app.state.services
    if "\x00" in number:
        raise NotFoundError()
    async with services.pool.acquire() as connection, connection.transaction():
        if not await lines.remove_line(connection, number, by=f"client:{grant_of(request).client_id}"):
            raise NotFoundError("There is no such line; list the lines to find it.")


@get(
    "/api/v2/conversations",
    opt={SCOPE: READ_SCOPE},
    operation_id="getConversations",
    summary="Live calls, then the newest",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(400, 401, 403, 422, 429),
)
async def list_conversations(
    request: Request[Any, Any, Any],
    page_size: Annotated[int, QueryParameter(name="pageSize", ge=1, le=CALLS_MAX)] = 25,
) -> ConversationList:
    """Up to a hundred."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        found = await conversations.latest(connection, page_size)
    return ConversationList(entities=[_summary(one) for one in found])


@get(
    "/api/v2/conversations/{conversation_id:uuid}",
    opt={SCOPE: READ_SCOPE},
    operation_id="getConversation",
    summary="One call: who was on it, its parts, its way through the flow",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 404, 429),
)
async def get_conversation(request: Request[Any, Any, Any], conversation_id: FromPath[UUID]) -> ConversationEntity:
    """As it is now; a call that lasts has open ends."""
    services: Services = request.app.state.services
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await conversations.get(connection, conversation_id)
        if found is None:
            raise NotFoundError("There is no conversation of this id; list them to find it.")
        people = await conversations.participants(connection, conversation_id)
        parts = await conversations.segments(connection, conversation_id)
        steps = await conversations.steps(connection, conversation_id)
        tapes = await recordings.of(connection, conversation_id)
    return ConversationEntity(
        summary=_summary(found),
        participants=[ParticipantEntity(**_of(one, ParticipantEntity)) for one in people],
        segments=[SegmentEntity(**_of(one, SegmentEntity)) for one in parts],
        steps=[StepEntity(**_of(one, StepEntity)) for one in steps],
        recordings=[one.id for one in tapes if one.state == "stored"],
    )


def _of(row: object, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in kind.__struct_fields__}
