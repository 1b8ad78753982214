"""Giving money back over the API, and reading what went back and what nobody here can explain."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.status_codes import HTTP_202_ACCEPTED

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import InvalidInputError
from tenderline.core.ids import uuid7
from tenderline.payments import refunds
from tenderline.store import answered_requests, unmatched
from tenderline.store import refunds as rows
from tenderline.store.refunds import Refund

PATH: Final = "/api/v2/payments"
READ_SCOPE: Final = "payments:read"
WRITE_SCOPE: Final = "payments:write"
UNMATCHED_LISTED_MAX: Final = 200

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=refunds.REASON_LENGTH_MAX, pattern=r"^[^\x00-\x1f\x7f]+$")]
Minor = Annotated[int, msgspec.Meta(ge=1, le=10**12)]


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class RefundRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """`amountMinor` left out: all that is left. `currency`, when given, must be the payment's."""

    reason: Text
    amount_minor: Minor | None = None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None = None


class RefundEntity(_Json, frozen=True):
    """A refund. `succeeded` only when the gateway's news says so; `askedBy` is null for one made at the gateway."""

    id: UUID
    payment_id: UUID
    state: str
    amount_minor: int
    currency: str
    reason: str
    asked_by: str | None
    why: str | None
    gateway: str
    reference: str | None
    created_at: datetime
    ended_at: datetime | None


class RefundList(_Json, frozen=True):
    """Every refund of a payment, in order."""

    entities: list[RefundEntity]


class UnmatchedEntity(_Json, frozen=True):
    """Money that nobody here can explain."""

    id: UUID
    kind: str
    gateway: str
    subject: str
    transaction_id: str | None
    payment_id: UUID | None
    amount_minor: int | None
    currency: str | None
    expected_minor: int | None
    expected_currency: str | None
    found_at: datetime


class UnmatchedList(_Json, frozen=True):
    """What waits for somebody, the longest first; `total` counts all of it."""

    entities: list[UnmatchedEntity]
    total: int


class _Asked(msgspec.Struct, frozen=True):
    """The answer that is kept for the same request again: which refund it is."""

    id: UUID


def _entity(one: Refund) -> RefundEntity:
    return RefundEntity(**{name: getattr(one, name) for name in RefundEntity.__struct_fields__})


@post(
    f"{PATH}/{{payment_id:uuid}}/refunds",
    status_code=HTTP_202_ACCEPTED,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="postPaymentRefunds",
    summary="Give money back",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
)
async def give_back(
    request: Request[Any, Any, Any],
    payment_id: FromPath[UUID],
    data: JSONBody[RefundRequest],
    idempotency_key: Annotated[
        str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=100, required=False)
    ] = None,
) -> RefundEntity:
    """Whole or a part, with a reason; audited. The gateway is asked once. The same `Idempotency-Key`, or without one
    the same request within a minute, is the same refund; the answer says how it stands now."""
    services: Services = request.app.state.services
    client = grant_of(request).client_id
    async with services.pool.acquire() as connection, connection.transaction():

        async def do() -> _Asked:
            payment = await refunds.payment_of(connection, payment_id)
            if data.currency not in (None, (payment.currency or "").upper()):
                raise InvalidInputError(f"The payment is in {payment.currency}; give back in that currency.")
            made = await refunds.intend(
                connection,
                refund_id=uuid7(),
                payment_id=payment_id,
                amount_minor=data.amount_minor,
                reason=data.reason,
                by=f"client:{client}",
            )
            return _Asked(made.id)

        asked = await answered_requests.once(
            connection,
            client=client,
            route=f"POST {PATH}/{payment_id}/refunds",
            key=idempotency_key,
            body=msgspec.json.encode(data),
            kind=_Asked,
            do=do,
        )
    return _entity(await refunds.carry_out(services, asked.id))


@get(
    f"{PATH}/{{payment_id:uuid}}/refunds",
    opt={SCOPE: READ_SCOPE},
    operation_id="getPaymentRefunds",
    summary="What went back of a payment",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 404, 429),
)
async def list_refunds(request: Request[Any, Any, Any], payment_id: FromPath[UUID]) -> RefundList:
    """Asked for here or made at the gateway."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        await refunds.payment_of(connection, payment_id)
        return RefundList(entities=[_entity(one) for one in await rows.of_payment(connection, payment_id)])


@get(
    f"{PATH}/unmatched",
    opt={SCOPE: READ_SCOPE},
    operation_id="getPaymentsUnmatched",
    summary="Money that nobody here can explain",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
)
async def list_unmatched(request: Request[Any, Any, Any]) -> UnmatchedList:
    """It is settled on the screen, by a person with a note."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        found = await unmatched.still_open(connection, UNMATCHED_LISTED_MAX)
        total = await unmatched.count(connection)
    names = UnmatchedEntity.__struct_fields__
    return UnmatchedList(
        entities=[UnmatchedEntity(**{name: getattr(one, name) for name in names}) for one in found], total=total
    )
