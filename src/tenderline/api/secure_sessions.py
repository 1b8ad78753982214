"""Payments that an agent starts on a live call, in the shape of a secure IVR session."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.api.telephony import READ_SCOPE
from tenderline.app import Services
from tenderline.core.errors import TenderlineError
from tenderline.payments import agent_started
from tenderline.payments.agent_started import Begun, Wish
from tenderline.store import answered_requests, live_commands, secure_sessions
from tenderline.store.secure_sessions import SecureSession

CALLS_SCOPE: Final = "oauth:api:callcenter"
PATH: Final = "/api/v2/conversations/{conversation_id:uuid}/participants/{participant_id:uuid}/secureivrsessions"

Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=100, required=False)]
Field = Literal["number", "expiry", "code", "postal_code"]


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class SecureSessionRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """What the payment is for. `mode` leave: the agent waits outside; attended: she stays and hears no tones. Without
    an `amount` (`25.00`) the caller keys it in. `userData` become variables of the flow; never a card number."""

    flow_id: agent_started.Name = agent_started.FLOW
    mode: secure_sessions.Mode = "leave"
    disconnect: bool = False
    source_participant_id: UUID | None = None
    amount: str | None = None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None = None
    user_data: dict[agent_started.Name, agent_started.Words | int] = {}


class ProgressEntity(_Json, frozen=True):
    """How far the caller is: how many digits of which field, of which brand; `said` names the last prompt."""

    field: str
    count: int
    brand: str | None
    said: str
    last_four: str | None


class SecureSessionEntity(_Json, frozen=True):
    """`state` is COMPLETED only when the gateway's webhook has said that the money arrived. It is PENDING also while
    the caller, who hung up, may still pay by the link that she gets, or at a provider: charge nothing else for it."""

    id: UUID
    state: Literal["PENDING", "COMPLETED", "FAILED"]
    result: str | None
    flow_id: str
    mode: str
    disconnect: bool
    participant_id: UUID
    source_participant_id: UUID
    user_data: dict[str, Any]
    progress: ProgressEntity
    reference: str | None
    last_four: str | None
    started_at: datetime
    ended_at: datetime | None


class SecureSessionList(_Json, frozen=True):
    """Of one call, the newest first."""

    entities: list[SecureSessionEntity]


class RestartRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """The field that the caller shall key in again."""

    field: Field


def _entity(one: SecureSession) -> SecureSessionEntity:
    plain = {
        name: getattr(one, name)
        for name in SecureSessionEntity.__struct_fields__
        if name not in ("flow_id", "progress")
    }
    progress = ProgressEntity(**{name: getattr(one.progress, name) for name in ProgressEntity.__struct_fields__})
    return SecureSessionEntity(**plain, flow_id=one.flow, progress=progress)


@post(
    PATH,
    status_code=200,
    opt={SCOPE: CALLS_SCOPE},
    operation_id="postConversationParticipantSecureivrsessions",
    summary="Start a payment on a live call",
    security=[{"oauth2": [CALLS_SCOPE]}],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429, 503),
)
async def start(
    request: Request[Any, Any, Any],
    conversation_id: FromPath[UUID],
    participant_id: FromPath[UUID],
    data: JSONBody[SecureSessionRequest],
    idempotency_key: Key = None,
) -> SecureSessionEntity:
    """The agent on the call is taken out of the audio, or stays without its tones, and gets the caller back with the
    result. The same `Idempotency-Key`, or without one the same request within a minute, starts nothing twice."""
    services: Services = request.app.state.services
    client = grant_of(request).client_id
    wish = Wish(
        mode=data.mode,
        flow=data.flow_id,
        disconnect=data.disconnect,
        amount=data.amount,
        currency=data.currency,
        values=data.user_data,
    )
    asks = data.source_participant_id or participant_id
    route, body = f"POST {request.url.path}", msgspec.json.encode(data)
    async with services.pool.acquire() as connection, connection.transaction():

        async def do() -> Begun:
            return await agent_started.begin(
                connection, conversation_id, wish, by=f"client:{client}", participant_id=asks
            )

        begun = await answered_requests.once(
            connection, client=client, route=route, key=idempotency_key, body=body, kind=Begun, do=do
        )
    try:
        return _entity(await agent_started.accepted(services, begun))
    except TenderlineError as error:
        if live_commands.is_surely_not_done(error):
            async with services.pool.acquire() as connection:
                await answered_requests.forget(connection, client=client, route=route, key=idempotency_key, body=body)
        raise


@get(
    PATH,
    opt={SCOPE: READ_SCOPE},
    operation_id="getConversationParticipantSecureivrsessions",
    summary="The payments of a call that agents started",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
)
async def list_sessions(
    request: Request[Any, Any, Any], conversation_id: FromPath[UUID], participant_id: FromPath[UUID]
) -> SecureSessionList:
    """Those of this participant, as payer or as agent."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        found = await secure_sessions.of_conversation(connection, conversation_id)
    mine = [one for one in found if participant_id in (one.participant_id, one.source_participant_id)]
    return SecureSessionList(entities=[_entity(one) for one in mine])


@get(
    f"{PATH}/{{session_id:uuid}}",
    opt={SCOPE: READ_SCOPE},
    operation_id="getConversationParticipantSecureivrsession",
    summary="How far a payment is",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 404, 429),
)
async def get_session(
    request: Request[Any, Any, Any],
    conversation_id: FromPath[UUID],
    participant_id: FromPath[UUID],
    session_id: FromPath[UUID],
) -> SecureSessionEntity:
    """As it is now; ask again until it is not PENDING."""
    del participant_id
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return _entity(await agent_started.get(connection, conversation_id, session_id))


async def _order(
    request: Request[Any, Any, Any], conversation_id: UUID, session_id: UUID, kind: str, detail: dict[str, Any]
) -> SecureSessionEntity:
    services: Services = request.app.state.services
    by = f"client:{grant_of(request).client_id}"
    async with services.pool.acquire() as connection, connection.transaction():
        session = await agent_started.get(connection, conversation_id, session_id)
        command_id = await agent_started.order(connection, session, kind, detail, by=by)
    await live_commands.answer_of(services.pool, command_id)
    async with services.pool.acquire() as connection:
        return _entity(await agent_started.get(connection, conversation_id, session_id))


@post(
    f"{PATH}/{{session_id:uuid}}/cancel",
    status_code=200,
    opt={SCOPE: CALLS_SCOPE},
    operation_id="postConversationParticipantSecureivrsessionCancel",
    summary="Stop a payment before the card is charged",
    security=[{"oauth2": [CALLS_SCOPE]}],
    responses=documented(401, 403, 404, 409, 429, 503),
)
async def cancel(
    request: Request[Any, Any, Any],
    conversation_id: FromPath[UUID],
    participant_id: FromPath[UUID],
    session_id: FromPath[UUID],
) -> SecureSessionEntity:
    """Nothing is charged. 409 when the bank is being asked already."""
    del participant_id
    return await _order(request, conversation_id, session_id, "secure_cancel", {})


@post(
    f"{PATH}/{{session_id:uuid}}/restart",
    status_code=200,
    opt={SCOPE: CALLS_SCOPE},
    operation_id="postConversationParticipantSecureivrsessionRestart",
    summary="Ask the caller for a field again",
    security=[{"oauth2": [CALLS_SCOPE]}],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429, 503),
)
async def restart(
    request: Request[Any, Any, Any],
    conversation_id: FromPath[UUID],
    participant_id: FromPath[UUID],
    session_id: FromPath[UUID],
    data: JSONBody[RestartRequest],
) -> SecureSessionEntity:
    """What was keyed into it is forgotten, and what depends on it."""
    del participant_id
    return await _order(request, conversation_id, session_id, "secure_restart", {"field": data.field})
