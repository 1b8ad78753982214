"""Calls that we make: calling campaigns, and one call planned through the gate."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, get, post, put
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.contacts import PurposeName
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.campaigns import calling
from tenderline.core.errors import InvalidInputError
from tenderline.core.money import Money
from tenderline.flows import fitness
from tenderline.store import answered_requests, calling_campaigns
from tenderline.store.calling_campaigns import CallingCampaign

READ_SCOPE: Final = "outbound:read"
WRITE_SCOPE: Final = "outbound:write"
ROUTE: Final = "/api/v2/conversations/calls"

Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
E164 = Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{6,14}$")]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class CampaignSettings(_Json, frozen=True, forbid_unknown_fields=True):
    """What a call says or who speaks: a `flow` that whoever answers hears, or a `queue` whose agents call."""

    caller_id: E164
    purpose: PurposeName
    flow: Name | None = None
    machine_flow: Name | None = None
    queue: Name | None = None
    language: Annotated[str, msgspec.Meta(pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")] = "en"
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    fund: Words | None = None
    ring_s: Annotated[int, msgspec.Meta(ge=15, le=90)] = 25
    enabled: bool = True


class CampaignEntity(_Json, frozen=True):
    """A calling campaign."""

    name: str
    caller_id: str
    purpose: str
    flow: str | None
    machine_flow: str | None
    queue: str | None
    language: str
    currency: str
    fund: str | None
    ring_s: int
    enabled: bool


class CampaignList(_Json, frozen=True):
    """Every calling campaign, by name."""

    entities: list[CampaignEntity]


class CallRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """A call that is wanted. `notBefore` left out: as soon as the gate allows; `notAfter`: three days later."""

    campaign: Name
    phone_number: Annotated[str, msgspec.Meta(min_length=3, max_length=40)]
    case_id: UUID | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None


class CallPlanned(_Json, frozen=True):
    """What the gate says now. `planned`: it is asked again when the call is due at `dueAt`; `suppressed`: `why`."""

    id: UUID
    state: str
    due_at: datetime
    not_after: datetime
    why: str | None


def _entity(one: CallingCampaign) -> CampaignEntity:
    return CampaignEntity(**{name: getattr(one, name) for name in CampaignEntity.__struct_fields__})


@get(
    "/api/v2/telephony/calling-campaigns",
    opt={SCOPE: READ_SCOPE},
    operation_id="getCallingCampaigns",
    summary="What calls of ours there are",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
)
async def list_campaigns(request: Request[Any, Any, Any]) -> CampaignList:
    """By name."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return CampaignList(entities=[_entity(one) for one in await calling_campaigns.every(connection)])


@put(
    "/api/v2/telephony/calling-campaigns/{name:str}",
    opt={SCOPE: WRITE_SCOPE},
    operation_id="putCallingCampaign",
    summary="Make a calling campaign, or change it",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
)
async def put_campaign(
    request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[CampaignSettings]
) -> CampaignEntity:
    """Calls that are under way stay as they are. Audited."""
    services: Services = request.app.state.services
    try:
        checked = msgspec.convert(name, Name)
    except msgspec.ValidationError:
        raise InvalidInputError("Name a calling campaign in small letters, digits and _: spring_appeal.") from None
    wanted = CallingCampaign(name=checked, **msgspec.structs.asdict(data))
    Money.parse(1, wanted.currency)
    async with services.pool.acquire() as connection, connection.transaction():
        for flow in (wanted.flow, wanted.machine_flow):
            if flow is not None:
                await fitness.require(connection, flow, purpose=wanted.purpose)
        await calling.put(services, connection, wanted, by=f"client:{grant_of(request).client_id}")
    return _entity(wanted)


@post(
    ROUTE,
    status_code=HTTP_202_ACCEPTED,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="postConversationsCalls",
    summary="Plan a call",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
)
async def plan_call(
    request: Request[Any, Any, Any],
    data: JSONBody[CallRequest],
    idempotency_key: Annotated[
        str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=100, required=False)
    ] = None,
) -> CallPlanned:
    """The gate decides, now and once more when the call is due. The same `Idempotency-Key`, or without one the same
    request within a minute, plans nothing twice."""
    services: Services = request.app.state.services
    client = grant_of(request).client_id
    async with services.pool.acquire() as connection, connection.transaction():

        async def do() -> CallPlanned:
            planned = await calling.plan(
                services,
                connection,
                campaign=data.campaign,
                number=data.phone_number,
                by=f"client:{client}",
                case_id=data.case_id,
                due_at=data.not_before,
                not_after=data.not_after,
            )
            assert planned.id is not None, "it was kept"
            state = "planned" if planned.why is None else "suppressed"
            return CallPlanned(
                id=planned.id, state=state, due_at=planned.due_at, not_after=planned.not_after, why=planned.why
            )

        return await answered_requests.once(
            connection,
            client=client,
            route=f"POST {ROUTE}",
            key=idempotency_key,
            body=msgspec.json.encode(data),
            kind=CallPlanned,
            do=do,
        )
