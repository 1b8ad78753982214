"""Callbacks by other systems: list them, add one at a time, cancel it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, delete, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.status_codes import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.campaigns import callbacks as feature
from tenderline.campaigns.callbacks import Wish
from tenderline.store import answered_requests, callbacks
from tenderline.store.callbacks import Callback

READ_SCOPE: Final = "outbound:read"
WRITE_SCOPE: Final = "outbound:write"
PATH: Final = "/api/v2/callbacks"


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class CallbackRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """A callback that is wanted. `at` without an offset is the clock of `zone`, or of where the number is; left out: an
    hour that the donor prefers, else as soon as may be. The campaign says who is on the line first."""

    phone_number: Annotated[str, msgspec.Meta(min_length=3, max_length=40)]
    at: datetime | None = None
    zone: Annotated[str, msgspec.Meta(max_length=60)] | None = None
    window_minutes: Annotated[int, msgspec.Meta(ge=5, le=10_080)] | None = None
    campaign: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,39}$")] | None = None
    note: Annotated[str, msgspec.Meta(max_length=feature.NOTE_LENGTH_MAX)] | None = None
    conversation_id: UUID | None = None


class CallbackEntity(_Json, frozen=True):
    """A callback. `state`: ahead, due, overdue, done or cancelled. `why`: what the gate said, or why it waits."""

    id: UUID
    phone_number: str
    person_id: UUID | None
    conversation_id: UUID | None
    due_at: datetime
    not_after: datetime | None
    zone: str | None
    kind: str
    campaign: str | None
    note: str | None
    state: str
    why: str | None
    closed_at: datetime | None


class CallbackList(_Json, frozen=True):
    """Those that wait, the most urgent first; then those that are over."""

    entities: list[CallbackEntity]


def _entity(one: Callback) -> CallbackEntity:
    names = [name for name in CallbackEntity.__struct_fields__ if name != "phone_number"]
    return CallbackEntity(phone_number=one.number, **{name: getattr(one, name) for name in names})


@get(
    PATH,
    opt={SCOPE: READ_SCOPE},
    operation_id="getCallbacks",
    summary="Who is to be called back",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
    tags=["Callbacks"],
)
async def list_callbacks(request: Request[Any, Any, Any]) -> CallbackList:
    """Up to 200 of each."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        found = [*await callbacks.waiting(connection), *await callbacks.over(connection)]
    return CallbackList(entities=[_entity(one) for one in found])


@post(
    PATH,
    status_code=HTTP_201_CREATED,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="postCallbacks",
    summary="Have somebody called back",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
    tags=["Callbacks"],
)
async def add_callback(
    request: Request[Any, Any, Any],
    data: JSONBody[CallbackRequest],
    idempotency_key: Annotated[
        str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=100, required=False)
    ] = None,
) -> CallbackEntity:
    """Through the gate: 409 with what it says when it refuses. The same `Idempotency-Key`, or without one the same
    request within a minute, plans nothing twice."""
    services: Services = request.app.state.services
    client = grant_of(request).client_id
    wish = Wish(
        number=data.phone_number,
        at=data.at,
        zone=data.zone,
        window=timedelta(minutes=data.window_minutes) if data.window_minutes is not None else None,
        campaign=data.campaign,
        note=data.note,
        conversation_id=data.conversation_id,
    )
    async with services.pool.acquire() as connection, connection.transaction():

        async def do() -> CallbackEntity:
            return _entity(await feature.schedule(services, connection, wish, by=f"client:{client}"))

        return await answered_requests.once(
            connection,
            client=client,
            route=f"POST {PATH}",
            key=idempotency_key,
            body=msgspec.json.encode(data),
            kind=CallbackEntity,
            do=do,
        )


@delete(
    f"{PATH}/{{callback_id:uuid}}",
    status_code=HTTP_204_NO_CONTENT,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="deleteCallback",
    summary="Call somebody back no more",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(401, 403, 404, 409, 429),
    tags=["Callbacks"],
)
async def cancel_callback(request: Request[Any, Any, Any], callback_id: FromPath[UUID]) -> None:
    """A call that is planned is not made; 409 when it is on its way already. Audited."""
    services: Services = request.app.state.services
    by = f"client:{grant_of(request).client_id}"
    async with services.pool.acquire() as connection, connection.transaction():
        await feature.close(connection, callback_id, is_done=False, by=by)
