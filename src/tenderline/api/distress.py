"""Distress by other systems: transcripts that recognisers post, and holds that a supervisor lifts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.card_numbers import MASKS_CARDS
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import NotFoundError, TenderlineError
from tenderline.people import distress, transcript
from tenderline.people.transcript import UTTERANCES_MAX, Utterance
from tenderline.store import holds, users
from tenderline.store.db import Connection
from tenderline.store.users import Permission

CALLS_SCOPE: Final = "oauth:api:callcenter"
LIFT_SCOPE: Final = "distress:lift"
READ_SCOPE: Final = "contactcenter:read"

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=distress.REASON_LENGTH_MAX)]


class NotASupervisorError(TenderlineError):
    """Only a supervisor who works with Tenderline may lift a hold; name one by e-mail address."""

    code = "distress.not_a_supervisor"
    status = 403


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class TranscriptRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """What was said since the last one. A participant is caller, agent or external; agents' words are not read."""

    utterances: Annotated[list[Utterance], msgspec.Meta(min_length=1, max_length=UTTERANCES_MAX)]


class TranscriptAnswer(_Json, frozen=True):
    """Whether it held a word of distress, and the alert that is open about it."""

    distress: bool
    alert_id: UUID | None


class DistressRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """Why somebody says so."""

    reason: Reason


class HoldEntity(_Json, frozen=True):
    """A person whom nothing automatic contacts."""

    person_id: UUID
    since: datetime | None
    reason: str | None
    conversation_id: UUID | None
    alert_id: UUID | None
    callback_at: datetime | None


class HoldList(_Json, frozen=True):
    """Everybody who is held, the longest first."""

    entities: list[HoldEntity]


class LiftRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """Which supervisor lets contacts go on, and why."""

    supervisor: Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
    reason: Reason


async def _holds(connection: Connection) -> HoldList:
    found = await holds.held(connection)
    return HoldList(
        entities=[
            HoldEntity(
                person_id=one.person_id,
                since=one.distress_at,
                reason=one.distress_why,
                conversation_id=one.conversation_id,
                alert_id=one.alert_id,
                callback_at=one.callback_at,
            )
            for one in found
        ]
    )


@post(
    "/api/v2/conversations/{conversation_id:uuid}/transcript",
    status_code=HTTP_202_ACCEPTED,
    opt={SCOPE: CALLS_SCOPE, MASKS_CARDS: True},
    operation_id="postConversationTranscript",
    summary="Post what was said on a call",
    security=[{"oauth2": [CALLS_SCOPE]}],
    responses=documented(400, 401, 403, 404, 413, 422, 429),
)
async def post_transcript(
    request: Request[Any, Any, Any], conversation_id: FromPath[UUID], data: JSONBody[TranscriptRequest]
) -> TranscriptAnswer:
    """It is read for words of distress and not kept, unless distress.transcripts_kept_days says so. On a hit payment is
    off for the call, the person is held, and a supervisor is told, all before the answer. Posting again is harmless."""
    services: Services = request.app.state.services
    by = f"client:{grant_of(request).client_id}"
    async with services.pool.acquire() as connection, connection.transaction():
        if await holds.call(connection, conversation_id) is None:
            raise NotFoundError("There is no conversation of this id; list them to find it.")
        found = await transcript.take(services, connection, conversation_id, data.utterances, by=by)
    return TranscriptAnswer(distress=found is not None, alert_id=found.alert_id if found is not None else None)


@post(
    "/api/v2/conversations/{conversation_id:uuid}/distress",
    status_code=HTTP_202_ACCEPTED,
    opt={SCOPE: CALLS_SCOPE, MASKS_CARDS: True},
    operation_id="postConversationDistress",
    summary="Report that a caller is in distress",
    security=[{"oauth2": [CALLS_SCOPE]}],
    responses=documented(400, 401, 403, 404, 413, 422, 429),
)
async def report(
    request: Request[Any, Any, Any], conversation_id: FromPath[UUID], data: JSONBody[DistressRequest]
) -> TranscriptAnswer:
    """As the button on a call's page. Reporting again is harmless."""
    services: Services = request.app.state.services
    by = f"client:{grant_of(request).client_id}"
    async with services.pool.acquire() as connection, connection.transaction():
        done = await distress.report(services, connection, conversation_id, source="button", reason=data.reason, by=by)
    return TranscriptAnswer(distress=True, alert_id=done.alert_id)


@get(
    "/api/v2/distress/holds",
    opt={SCOPE: READ_SCOPE},
    operation_id="getDistressHolds",
    summary="Who is held because of distress",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
)
async def list_holds(request: Request[Any, Any, Any]) -> HoldList:
    """The longest first."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return await _holds(connection)


@post(
    "/api/v2/distress/holds/{person_id:uuid}/lift",
    status_code=HTTP_200_OK,
    opt={SCOPE: LIFT_SCOPE},
    operation_id="postDistressHoldLift",
    summary="Let contacts go on for somebody who was in distress",
    security=[{"oauth2": [LIFT_SCOPE]}],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
)
async def lift(request: Request[Any, Any, Any], person_id: FromPath[UUID], data: JSONBody[LiftRequest]) -> HoldList:
    """Who is held still. Payment stays off on the call it was about. The client is audited as
    the one who did it, the supervisor as the one whom it names: it has a scope of its own, not that of recognisers."""
    services: Services = request.app.state.services
    by = f"client:{grant_of(request).client_id}"
    async with services.pool.acquire() as connection, connection.transaction():
        found = await users.find_login(connection, data.supervisor)
        if found is None or not found[0].may(Permission.SUPERVISE):
            raise NotASupervisorError()
        await distress.lift(connection, person_id, by=by, reason=data.reason, supervisor=found[0].email)
        return await _holds(connection)
