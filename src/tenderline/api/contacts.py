"""Whether somebody may be contacted: the status of an address, and a dry run of the gate. Nothing is changed by asking.

Who asks about an address learns whether it may be used and why; never who is behind it.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, get, post
from litestar.params import JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from tenderline.api.auth import SCOPE
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.compliance.facts import Purpose
from tenderline.core.errors import InvalidInputError
from tenderline.desk import contact_status, questions, why
from tenderline.desk.contact_status import ContactStatus
from tenderline.desk.why import Answer, Why

STATUS_SCOPE: Final = "contactcenter:read"
CHECK_SCOPE: Final = "outbound:read"
ADDRESS_LENGTH_MAX: Final = 254

Flag = Literal["TRUE", "FALSE"]
ChannelName = Literal["voice_live", "voice_artificial", "sms", "email", "push"]
PurposeName = Literal[
    "telemarketing",
    "charity_solicitation",
    "first_party_recovery",
    "third_party_collection",
    "servicing",
    "opt_out_confirmation",
]
AddressText = Annotated[str, msgspec.Meta(min_length=1, max_length=ADDRESS_LENGTH_MAX)]


class OneAddressError(InvalidInputError):
    """Name one of phoneNumber and email, and not both."""

    code = "one_address"
    status = 400


class OneTargetError(InvalidInputError):
    """Name one of phoneNumber, email and personId, and no more."""

    code = "one_target"
    status = 400


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class GateRule(_Json, frozen=True):
    """A rule that refuses the contact or puts it off, with what it rests on. `until` when it puts it off."""

    id: str
    why: str
    source: str
    confidence: str
    until: datetime | None


class ChannelStatus(_Json, frozen=True):
    """What one channel may do. `nextAllowedAt` is by what is known now; null for never."""

    channel: ChannelName
    decision: Answer
    next_allowed_at: datetime | None
    reason: str | None
    why: str | None
    rules: list[GateRule]


class OptOutEntity(_Json, frozen=True):
    """The refusal that stands. `dueOn` is the last of the 10 business days in which the law wants it honoured (47 CFR
    64.1200(a)(10)), `dueAt` its end; here it is honoured at once, on every channel."""

    since: datetime
    channel: str
    how: str
    due_on: date
    due_at: datetime


class ContactStatusEntity(_Json, frozen=True):
    """What may be said to an address. `known` tells whether anybody is known by it."""

    address: str
    global_opt_out_status: Flag
    known: bool
    opt_out: OptOutEntity | None
    purpose: PurposeName
    at: datetime
    channels: list[ChannelStatus]
    ruleset: str
    tzdata: str


class CheckRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """A contact that is only imagined: to whom (one of the three), by what, why, when (left out: now), about which
    case."""

    channel: ChannelName
    phone_number: AddressText | None = None
    email: AddressText | None = None
    person_id: UUID | None = None
    purpose: PurposeName = "first_party_recovery"
    at: datetime | None = None
    case_id: UUID | None = None


class CheckAnswer(_Json, frozen=True):
    """The gate's answer. A refusal has a `reason`: `outside_jurisdiction_hours`, `opted_out`, `contact_cap_reached` …

    `nextAllowedAt` is null for never; `knownOnlyAsOfNow` names what of a past instant is not kept.
    """

    allow_call: bool
    reason: str | None
    decision: Answer
    next_allowed_at: datetime | None
    why: str | None
    channel: ChannelName
    purpose: PurposeName
    at: datetime
    known: bool
    zones: dict[str, datetime]
    rules: list[GateRule]
    known_only_as_of_now: list[str]
    ruleset: str
    tzdata: str


def _rules(found: Why) -> list[GateRule]:
    return [
        GateRule(id=one.id, why=one.why, source=one.source, confidence=one.confidence, until=one.until)
        for one in found.said_no
    ]


def _with_plus(number: str) -> str:
    """A plus that came unescaped in a query is a space by now."""
    return f"+{number[1:]}" if number.startswith(" ") and number[1:2].isdigit() else number


@get(
    "/api/v1/contact/status",
    opt={SCOPE: STATUS_SCOPE},
    operation_id="getContactStatus",
    summary="Whether an address may be contacted, and from when",
    security=[{"oauth2": [STATUS_SCOPE]}],
    responses=documented(400, 401, 403, 422, 429),
)
async def status(
    request: Request[Any, Any, Any],
    phone_number: Annotated[
        str | None, QueryParameter(name="phoneNumber", max_length=ADDRESS_LENGTH_MAX, description="E.164.")
    ] = None,
    email: Annotated[str | None, QueryParameter(name="email", max_length=ADDRESS_LENGTH_MAX)] = None,
    purpose: Annotated[PurposeName, QueryParameter(name="purpose")] = "first_party_recovery",
) -> ContactStatusEntity:
    """The opt-out that stands for whoever is behind it, and for each channel when it may be used next, and why."""
    services: Services = request.app.state.services
    given = [text for text in (phone_number, email) if text]
    if len(given) != 1:
        raise OneAddressError()
    region = services.settings.compliance.default_region
    kind, address = questions.typed_address_of(
        phone=_with_plus(phone_number) if phone_number else None, email=email, region=region
    )
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await contact_status.read_status(
            connection, services.book, services.defaults, kind=kind, address=address, purpose=Purpose(purpose)
        )
    return _status(found, address, purpose)


def _status(found: ContactStatus, address: str, purpose: PurposeName) -> ContactStatusEntity:
    said = found.opt_out
    return ContactStatusEntity(
        address=address,
        global_opt_out_status="TRUE" if said else "FALSE",
        known=found.is_known,
        opt_out=OptOutEntity(
            since=said.since, channel=said.channel, how=said.how, due_on=said.last_day, due_at=said.due_at
        )
        if said
        else None,
        purpose=purpose,
        at=found.at,
        channels=[
            ChannelStatus(
                channel=one.channel,  # type: ignore[arg-type]  # one of the channels that were asked
                decision=one.answer,
                next_allowed_at=found.next_allowed_at(one),
                reason=one.reason,
                why=one.why,
                rules=_rules(one),
            )
            for one in found.channels
        ],
        ruleset=found.channels[0].ruleset,
        tzdata=found.channels[0].tzdata,
    )


@post(
    "/api/v2/compliance/check",
    status_code=HTTP_200_OK,
    opt={SCOPE: CHECK_SCOPE},
    operation_id="postComplianceCheck",
    summary="Ask the gate about a contact without making it",
    security=[{"oauth2": [CHECK_SCOPE]}],
    responses=documented(400, 401, 403, 404, 413, 422, 429),
)
async def check(request: Request[Any, Any, Any], data: JSONBody[CheckRequest]) -> CheckAnswer:
    """The answer that the gate would give, with the rules that said no. Asking changes nothing and does not count."""
    services: Services = request.app.state.services
    if sum(one is not None for one in (data.phone_number, data.email, data.person_id)) != 1:
        raise OneTargetError()
    region = services.settings.compliance.default_region
    address: str | None = None
    if data.person_id is None:
        _, address = questions.typed_address_of(phone=data.phone_number, email=data.email, region=region)
    question = questions.of(
        channel=data.channel,
        purpose=data.purpose,
        at=data.at,
        person_id=data.person_id,
        address=address,
        case_id=data.case_id,
    )
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = await why.ask(connection, services.book, services.defaults, question)
    return CheckAnswer(
        allow_call=found.answer == "allow",
        reason=found.reason,
        decision=found.answer,
        next_allowed_at=found.at if found.answer == "allow" else found.until,
        why=found.why,
        channel=data.channel,
        purpose=data.purpose,
        at=found.at,
        known=found.is_known,
        zones=dict(found.local_times),
        rules=_rules(found),
        known_only_as_of_now=list(found.only_now),
        ruleset=found.ruleset,
        tzdata=found.tzdata,
    )
