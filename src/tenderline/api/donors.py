"""Donors: the rules of their segments, trying them, and what was known of whoever called."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, get, post, put
from litestar.params import FromPath, JSONBody

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.donor import Donor
from tenderline.core.errors import NotFoundError
from tenderline.core.money import Money
from tenderline.routing import segments
from tenderline.routing.segment_trial import try_out
from tenderline.store import donors, segment_rules

READ_SCOPE: Final = "contactcenter:read"
WRITE_SCOPE: Final = "integration:all"
ROUTE: Final = "/api/v2/routing/donor-segments"

Rules = Annotated[str, msgspec.Meta(min_length=1, max_length=segments.TEXT_CHARACTERS_MAX, pattern=r"^[^\x00]*$")]


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class SegmentRulesEntity(_Json, frozen=True):
    """The rules in force, as TOML. `version` 0: as shipped."""

    version: int
    content: str
    segments: list[str]
    created_at: datetime | None = None
    created_by: str | None = None


class SegmentRulesRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """Rules that shall count from now on, as TOML."""

    content: Rules


class SegmentTrialRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """A donor's number; `content` left out: the rules in force."""

    phone_number: Annotated[str, msgspec.Meta(min_length=3, max_length=40)]
    content: Rules | None = None


class AmountEntity(_Json, frozen=True):
    """Money in minor units."""

    amount_minor: int
    currency: str


class DonorEntity(_Json, frozen=True):
    """What is known of a donor. Null is not told, which is not the same as zero."""

    crm_id: str | None
    name: str | None
    tier: str | None
    lifetime_value: AmountEntity | None
    last_gift: AmountEntity | None
    last_gift_on: date | None
    gift_count: int | None
    gifts_last_year: int | None
    language: str | None
    preferred_agent: str | None


class SegmentTrialEntity(_Json, frozen=True):
    """The segment that the rules give, and why. `failure`: the CRM could not be asked."""

    phone_number: str
    segment: str
    why: str
    donor: DonorEntity | None
    failure: str | None


class DonorSnapshotEntity(_Json, frozen=True):
    """What was known of a caller. `state`: asking, late, found, nobody, failed or skipped. `isLate`: the call had
    gone on before the answer came."""

    conversation_id: UUID
    state: str
    is_late: bool
    reason: str | None
    detail: str | None
    took_ms: int | None
    segment: str | None
    segment_version: int | None
    segment_why: str | None
    donor: DonorEntity | None
    asked_at: datetime
    answered_at: datetime | None


def _amount(money: Money | None) -> AmountEntity | None:
    return None if money is None else AmountEntity(amount_minor=money.minor, currency=money.currency)


def _donor(one: Donor | None) -> DonorEntity | None:
    if one is None:
        return None
    last = one.last_gift
    return DonorEntity(
        crm_id=one.crm_id or None,
        name=one.name,
        tier=one.tier,
        lifetime_value=_amount(one.lifetime_value),
        last_gift=_amount(last.amount) if last else None,
        last_gift_on=last.on if last else None,
        gift_count=one.gift_count,
        gifts_last_year=one.gifts_last_year,
        language=one.language,
        preferred_agent=one.preferred_agent,
    )


async def _current(services: Services) -> SegmentRulesEntity:
    async with services.pool.acquire() as connection:
        found = await segment_rules.newest(connection)
    if found is None:
        names = list(segments.shipped().names)
        return SegmentRulesEntity(version=0, content=segments.shipped_text(), segments=names)
    return SegmentRulesEntity(
        version=found.version,
        content=found.content,
        segments=list(segments.parse(found.content).names),
        created_at=found.created_at,
        created_by=found.created_by,
    )


@get(
    ROUTE,
    opt={SCOPE: READ_SCOPE},
    operation_id="getDonorSegments",
    summary="The rules that put donors into segments",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 422, 429),
)
async def get_segments(request: Request[Any, Any, Any]) -> SegmentRulesEntity:
    """The newest version."""
    return await _current(request.app.state.services)


@put(
    ROUTE,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="putDonorSegments",
    summary="Put other rules of segments in force",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 413, 422, 429),
)
async def put_segments(request: Request[Any, Any, Any], data: JSONBody[SegmentRulesRequest]) -> SegmentRulesEntity:
    """A new version, unless the text is the same; calls that were decided keep their segment. Audited."""
    services: Services = request.app.state.services
    segments.parse(data.content)
    async with services.pool.acquire() as connection, connection.transaction():
        await segment_rules.put(connection, data.content, by=f"client:{grant_of(request).client_id}")
    return await _current(services)


@post(
    f"{ROUTE}/try",
    status_code=200,
    opt={SCOPE: WRITE_SCOPE},
    operation_id="tryDonorSegments",
    summary="Which segment a donor would be of",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 413, 422, 429),
)
async def try_segments(request: Request[Any, Any, Any], data: JSONBody[SegmentTrialRequest]) -> SegmentTrialEntity:
    """By the rules given, or those in force; the donor is looked up as on a call, and nothing is kept."""
    services: Services = request.app.state.services
    content = data.content if data.content is not None else (await _current(services)).content
    found = await try_out(services, segments.parse(content), data.phone_number)
    return SegmentTrialEntity(
        phone_number=found.number,
        segment=found.segmented.name,
        why=found.segmented.told,
        donor=_donor(found.donor),
        failure=found.failure,
    )


@get(
    "/api/v2/conversations/{conversation_id:uuid}/donor",
    opt={SCOPE: READ_SCOPE},
    operation_id="getConversationDonor",
    summary="What was known of whoever called",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 404, 429),
)
async def get_donor(request: Request[Any, Any, Any], conversation_id: FromPath[UUID]) -> DonorSnapshotEntity:
    """As it stands: an answer that comes late changes it."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        found = await donors.get(connection, conversation_id)
    if found is None:
        raise NotFoundError("Nobody was looked up for this conversation, or there is none of this id.")
    names = set(DonorSnapshotEntity.__struct_fields__) - {"donor"}
    return DonorSnapshotEntity(donor=_donor(found.donor), **{name: getattr(found, name) for name in names})
