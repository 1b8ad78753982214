"""Webhooks to others over the API: who is told what happened here, how far each message got, and sending again.

A secret is in one answer only: that of the request that made it.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import InvalidInputError
from tenderline.desk import told
from tenderline.desk.told import MessageView, ReceiverView
from tenderline.outgoing import register
from tenderline.outgoing.addresses import URL_LENGTH_MAX
from tenderline.store import webhook_endpoints, webhook_replay

ALL: Final = "integration:all"
PATH: Final = "/api/v2/webhooks"
PAGE_SIZE_DEFAULT: Final = 25
PAGE_SIZE_MAX: Final = 200
CHOSEN_MAX: Final = 200
SECURITY: Final = [{"oauth2": [ALL]}]

State = Literal["waiting", "delivered", "failed"]
EventName = Literal["contact.opted_out", "contact.opted_in"]


class InvalidDeliveryCursorError(InvalidInputError):
    """The cursor is not one of ours; take nextCursor of the page before, or leave it out to begin anew."""

    code = "invalid_cursor"
    status = 400


class NothingToReplayError(InvalidInputError):
    """Name either `since` (and an endpoint, if you like) or `deliveries`."""

    code = "invalid_request"
    status = 400


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class NewEndpoint(_Json, frozen=True, forbid_unknown_fields=True):
    """Who is to be told. No events: all of them."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=URL_LENGTH_MAX)]
    events: Annotated[list[EventName], msgspec.Meta(max_length=20)] = []


class WhyRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """The reason, for the audit log."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[ -~]*[!-~][ -~]*$")]


class EndpointEntity(_Json, frozen=True):
    """Somebody who is told. `url` is without its query, which may hold a token. `failed`, `waiting`: up to 1000."""

    id: UUID
    url: str
    events: list[str]
    state: Literal["told", "failing", "paused", "disabled"]
    waiting: int
    failed: int
    created_at: datetime
    failing_since: datetime | None
    paused_until: datetime | None
    disabled_at: datetime | None
    disabled_why: str | None
    self_uri: str


class SecretEntity(_Json, frozen=True):
    """What signs. It is shown once."""

    id: UUID
    secret: str
    self_uri: str


class EndpointListing(_Json, frozen=True):
    """Every endpoint, the oldest first."""

    entities: list[EndpointEntity]


class DeliveryEntity(_Json, frozen=True):
    """One message to one endpoint. `webhookId` is what the receiver sees, the same for every try."""

    id: UUID
    endpoint_id: UUID
    webhook_id: str
    event: str
    state: State
    tries: int
    last_status: int | None
    why: str | None
    created_at: datetime
    last_try_at: datetime | None
    next_try_at: datetime | None


class DeliveryListing(_Json, frozen=True):
    """A page, newest first. `nextCursor` is null on the last one."""

    entities: list[DeliveryEntity]
    page_size: int
    next_cursor: str | None


class WebhookReplayRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """Everything missed `since` then, to one endpoint or to all; or these `deliveries`. `again`: also what arrived."""

    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    endpoint_id: UUID | None = None
    deliveries: Annotated[list[UUID], msgspec.Meta(max_length=CHOSEN_MAX)] = []
    again: bool = False


class WebhookReplayAnswer(_Json, frozen=True):
    """How many messages go out again. What was not missed is left alone."""

    replayed: int


def _by(request: Request[Any, Any, Any]) -> str:
    return f"client:{grant_of(request).client_id}"


def _uri(endpoint_id: UUID) -> str:
    return f"{PATH}/endpoints/{endpoint_id}"


def _endpoint(one: ReceiverView) -> EndpointEntity:
    return EndpointEntity(
        id=one.id,
        url=one.address,
        events=list(one.events),
        state=one.state,  # type: ignore[arg-type]  # one of the four
        waiting=one.waiting,
        failed=one.failed,
        created_at=one.created_at,
        failing_since=one.failing_since,
        paused_until=one.paused_until,
        disabled_at=one.disabled_at,
        disabled_why=one.disabled_why,
        self_uri=_uri(one.id),
    )


@get(
    "/endpoints",
    opt={SCOPE: ALL},
    operation_id="getWebhooksEndpoints",
    summary="List who is told by webhook",
    security=SECURITY,
    responses=documented(401, 403, 429),
)
async def list_endpoints(request: Request[Any, Any, Any]) -> EndpointListing:
    """All of them, with what waits and what failed."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return EndpointListing(entities=[_endpoint(one) for one in await told.read_receivers(connection)])


@post(
    "/endpoints",
    opt={SCOPE: ALL},
    operation_id="postWebhooksEndpoints",
    summary="Tell another system from now on",
    security=SECURITY,
    responses=documented(400, 401, 403, 413, 422, 429),
)
async def add_endpoint(request: Request[Any, Any, Any], data: JSONBody[NewEndpoint]) -> SecretEntity:
    """The address is looked over: https, a public host. The answer holds the signing secret, this once."""
    endpoint_id, secret = await register.add(request.app.state.services, data.url, data.events, by=_by(request))
    return SecretEntity(id=endpoint_id, secret=secret, self_uri=_uri(endpoint_id))


@get(
    "/endpoints/{endpoint_id:uuid}",
    opt={SCOPE: ALL},
    operation_id="getWebhooksEndpoint",
    summary="One endpoint",
    security=SECURITY,
    responses=documented(400, 401, 403, 404, 429),
)
async def get_endpoint(request: Request[Any, Any, Any], endpoint_id: FromPath[UUID]) -> EndpointEntity:
    """Whether it is told, and how that goes."""
    return await _shown(request, endpoint_id)


async def _shown(request: Request[Any, Any, Any], endpoint_id: UUID) -> EndpointEntity:
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return _endpoint(told.receiver(await webhook_endpoints.get(connection, endpoint_id)))


@delete(
    "/endpoints/{endpoint_id:uuid}",
    status_code=HTTP_204_NO_CONTENT,
    opt={SCOPE: ALL},
    operation_id="deleteWebhooksEndpoint",
    summary="Forget an endpoint",
    security=SECURITY,
    responses=documented(400, 401, 403, 404, 429),
)
async def remove_endpoint(request: Request[Any, Any, Any], endpoint_id: FromPath[UUID]) -> None:
    """With everything it was sent."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        await webhook_endpoints.remove(connection, endpoint_id, by=_by(request))


@post(
    "/endpoints/{endpoint_id:uuid}/disable",
    status_code=HTTP_200_OK,
    opt={SCOPE: ALL},
    operation_id="postWebhooksEndpointDisable",
    summary="Tell an endpoint nothing more",
    security=SECURITY,
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
)
async def disable_endpoint(
    request: Request[Any, Any, Any], endpoint_id: FromPath[UUID], data: JSONBody[WhyRequest]
) -> EndpointEntity:
    """What was on its way to it counts as missed."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        await webhook_endpoints.disable(connection, endpoint_id, why=data.why, by=_by(request))
    return await _shown(request, endpoint_id)


@post(
    "/endpoints/{endpoint_id:uuid}/enable",
    status_code=HTTP_200_OK,
    opt={SCOPE: ALL},
    operation_id="postWebhooksEndpointEnable",
    summary="Tell an endpoint again",
    security=SECURITY,
    responses=documented(400, 401, 403, 404, 409, 429),
)
async def enable_endpoint(request: Request[Any, Any, Any], endpoint_id: FromPath[UUID]) -> EndpointEntity:
    """From now on; a replay tells it what it missed."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        await webhook_endpoints.enable(connection, endpoint_id, by=_by(request))
    return await _shown(request, endpoint_id)


@post(
    "/endpoints/{endpoint_id:uuid}/rotate-secret",
    status_code=HTTP_200_OK,
    opt={SCOPE: ALL},
    operation_id="postWebhooksEndpointRotateSecret",
    summary="A new signing secret",
    security=SECURITY,
    responses=documented(400, 401, 403, 404, 429),
)
async def rotate_secret(request: Request[Any, Any, Any], endpoint_id: FromPath[UUID]) -> SecretEntity:
    """For a day the old one signs beside it. The answer holds the new one, this once."""
    secret = await register.rotate_secret(request.app.state.services, endpoint_id, by=_by(request))
    return SecretEntity(id=endpoint_id, secret=secret, self_uri=_uri(endpoint_id))


def _cursor(before: tuple[datetime, UUID] | None) -> str | None:
    if before is None:
        return None
    return base64.urlsafe_b64encode(f"{before[0].isoformat()}/{before[1]}".encode()).decode().rstrip("=")


def _before(cursor: str) -> tuple[datetime, UUID]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
        at, _, row_id = text.partition("/")
        written_at, found = datetime.fromisoformat(at), UUID(row_id)
        if written_at.tzinfo is None or not 1970 < written_at.year < 9000:
            raise InvalidDeliveryCursorError()
    except (binascii.Error, UnicodeError, ValueError):
        raise InvalidDeliveryCursorError() from None
    return written_at, found


def _delivery(one: MessageView) -> DeliveryEntity:
    return DeliveryEntity(
        id=one.id,
        endpoint_id=one.endpoint_id,
        webhook_id=one.webhook_id,
        event=one.event,
        state=one.state,  # type: ignore[arg-type]  # one of the three
        tries=one.tries,
        last_status=one.last_status,
        why=one.why,
        created_at=one.created_at,
        last_try_at=one.last_try_at,
        next_try_at=one.next_try_at,
    )


@get(
    "/deliveries",
    opt={SCOPE: ALL},
    operation_id="getWebhooksDeliveries",
    summary="List messages and how far each got",
    security=SECURITY,
    responses=documented(400, 401, 403, 429),
)
async def list_deliveries(
    request: Request[Any, Any, Any],
    wanted_state: Annotated[State | None, QueryParameter(name="state", description="Only those.")] = None,
    endpoint_id: Annotated[UUID | None, QueryParameter(name="endpointId", description="Only to this one.")] = None,
    page_size: Annotated[int, QueryParameter(name="pageSize", ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE_DEFAULT,
    cursor: Annotated[
        str | None,
        QueryParameter(
            name="cursor", max_length=128, pattern="^[A-Za-z0-9_-]*$", description="nextCursor of the page before."
        ),
    ] = None,
) -> DeliveryListing:
    """Newest first, a page at a time."""
    services: Services = request.app.state.services
    before = _before(cursor) if cursor else None
    async with services.pool.acquire() as connection:
        found, more = await told.read_messages(
            connection, state=wanted_state, endpoint_id=endpoint_id, before=before, limit=page_size
        )
    return DeliveryListing(entities=[_delivery(one) for one in found], page_size=page_size, next_cursor=_cursor(more))


@post(
    "/replay",
    status_code=HTTP_200_OK,
    opt={SCOPE: ALL},
    operation_id="postWebhooksReplay",
    summary="Send what was missed again",
    security=SECURITY,
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
)
async def replay(request: Request[Any, Any, Any], data: JSONBody[WebhookReplayRequest]) -> WebhookReplayAnswer:
    """Each message under the webhook-id it had; also events of which an endpoint was never told."""
    services: Services = request.app.state.services
    if (data.since is None) == (not data.deliveries) or (data.deliveries and data.endpoint_id is not None):
        raise NothingToReplayError()
    async with services.pool.acquire() as connection, connection.transaction():
        if data.since is None:
            done = await webhook_replay.replay_chosen(connection, data.deliveries, again=data.again, by=_by(request))
            return WebhookReplayAnswer(replayed=len(done))
        count = await webhook_replay.replay(
            connection, data.since, endpoint_id=data.endpoint_id, again=data.again, by=_by(request)
        )
    return WebhookReplayAnswer(replayed=count)
