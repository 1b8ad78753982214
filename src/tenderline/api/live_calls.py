"""What can be asked of somebody on a live call: hand the caller on, ask a colleague first, hold, hang up."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, patch, post
from litestar.params import FromPath, JSONBody

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.api.secure_sessions import CALLS_SCOPE, Key
from tenderline.app import Services
from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.routing import live_orders
from tenderline.store import answered_requests, live_commands

PATH: Final = "/api/v2/conversations/{conversation_id:uuid}/participants/{participant_id:uuid}"
_RESPONSES: Final = documented(400, 401, 403, 404, 409, 413, 422, 429, 503)


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class TransferRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """One of them: the name of a queue, an agent (by her own id or her user's), or a number as `+12025550123`."""

    queue_id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    user_id: UUID | None = None
    address: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9]\d{6,14}$")] | None = None


class ParticipantRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """One of them: `held`, or `state` disconnected to end this participant's part."""

    held: bool | None = None
    state: Literal["disconnected"] | None = None


class OrderEntity(_Json, frozen=True):
    """What was begun, or how it is now."""

    transferring: bool = False
    consulting: bool = False
    held: bool = False
    disconnected: bool = False


class _Asked(msgspec.Struct, frozen=True):
    command_id: UUID


async def _ask(
    request: Request[Any, Any, Any],
    ids: tuple[UUID, UUID],
    kind: str,
    data: TransferRequest | ParticipantRequest,
    key: str | None,
) -> OrderEntity:
    services: Services = request.app.state.services
    client = grant_of(request).client_id
    route, body = f"{request.method} {request.url.path}", msgspec.json.encode(data)

    async with services.pool.acquire() as connection, connection.transaction():

        async def do() -> _Asked:
            detail: dict[str, str] = {}
            if isinstance(data, TransferRequest):
                detail["to"] = await live_orders.target_of(
                    connection, queue=data.queue_id, user_id=data.user_id, address=data.address
                )
            return _Asked(await live_orders.order(connection, *ids, kind, detail, by=f"client:{client}"))

        if isinstance(data, ParticipantRequest):
            asked = await do()  # the same again leaves things as they are
        else:
            asked = await answered_requests.once(
                connection, client=client, route=route, key=key, body=body, kind=_Asked, do=do
            )
    try:
        answer = await live_commands.answer_of(services.pool, asked.command_id)
    except TenderlineError as error:
        if live_commands.is_surely_not_done(error):
            async with services.pool.acquire() as connection:
                await answered_requests.forget(connection, client=client, route=route, key=key, body=body)
        raise
    return OrderEntity(
        transferring=bool(answer.get("transferring")),
        consulting=bool(answer.get("consulting")),
        held=bool(answer.get("held")),
        disconnected=bool(answer.get("hung_up")),
    )


@post(
    f"{PATH}/replace",
    status_code=200,
    opt={SCOPE: CALLS_SCOPE},
    operation_id="postConversationParticipantReplace",
    summary="Hand a caller on",
    security=[{"oauth2": [CALLS_SCOPE]}],
    responses=_RESPONSES,
)
async def replace(
    request: Request[Any, Any, Any],
    conversation_id: FromPath[UUID],
    participant_id: FromPath[UUID],
    data: JSONBody[TransferRequest],
    idempotency_key: Key = None,
) -> OrderEntity:
    """The agent is free at once. The caller waits in the queue with her wait so far; an agent or a number that does not
    answer gives her back. The same request within a minute does nothing twice."""
    return await _ask(request, (conversation_id, participant_id), "transfer", data, idempotency_key)


@post(
    f"{PATH}/consult",
    status_code=200,
    opt={SCOPE: CALLS_SCOPE},
    operation_id="postConversationParticipantConsult",
    summary="Ask somebody while the caller waits",
    security=[{"oauth2": [CALLS_SCOPE]}],
    responses=_RESPONSES,
)
async def consult(
    request: Request[Any, Any, Any],
    conversation_id: FromPath[UUID],
    participant_id: FromPath[UUID],
    data: JSONBody[TransferRequest],
    idempotency_key: Key = None,
) -> OrderEntity:
    """The caller hears music. `held` false brings her back; when the agent hangs up, the caller goes to whom she
    consulted."""
    return await _ask(request, (conversation_id, participant_id), "consult", data, idempotency_key)


@patch(
    PATH,
    opt={SCOPE: CALLS_SCOPE},
    operation_id="patchConversationParticipant",
    summary="Hold a caller, take her back, or end an agent's part",
    security=[{"oauth2": [CALLS_SCOPE]}],
    responses=_RESPONSES,
)
async def change(
    request: Request[Any, Any, Any],
    conversation_id: FromPath[UUID],
    participant_id: FromPath[UUID],
    data: JSONBody[ParticipantRequest],
) -> OrderEntity:
    """Of the agent who talks. `disconnected`: her part ends, and the call goes on as its flow says."""
    if (data.held is None) == (data.state is None):
        raise InvalidInputError("Say one of held and state.")
    kind = "hang_up" if data.state is not None else ("hold" if data.held else "retrieve")
    return await _ask(request, (conversation_id, participant_id), kind, data, None)
