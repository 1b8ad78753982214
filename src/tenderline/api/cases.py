"""Recovery cases and dead letters over the API, in the field names that integrations of such systems expect."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.desk import words
from tenderline.desk.attempts import AttemptView, DecisionView
from tenderline.desk.case import CaseView, read_case
from tenderline.store import audit, board, cases, events, inbox, jobs
from tenderline.store.cases import Case

PAGE_SIZE_DEFAULT: Final = 25
REPLAYED_MAX: Final = 200
PATH: Final = "/api/v2/recovery"

CaseState = Literal["open", "held", "recovered", "stopped", "exhausted"]
RowId = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class InvalidCursorError(InvalidInputError):
    """The cursor is not one of ours; take nextCursor of the page before, or leave it out to begin anew."""

    code = "invalid_cursor"
    status = 400


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class Amount(_Json, frozen=True):
    """`minor` in the currency's smallest unit, as the gateway gave it."""

    minor: int
    currency: str


class CaseEntity(_Json, frozen=True):
    """A recovery case."""

    id: UUID
    state: CaseState
    held_why: str | None
    held_by: str | None
    reason: str
    amount: Amount | None
    gateway: str
    transaction_id: str
    payment_status: str
    transaction_status: str
    person_id: UUID
    payer_name: str | None
    attempt_count: int
    next_retry_window: datetime | None
    disposition: str | None
    policy: str
    custom_properties: dict[str, Any]
    opened_at: datetime
    closed_at: datetime | None
    self_uri: str


class CaseListing(_Json, frozen=True):
    """A page, newest first. `nextCursor` is null on the last one."""

    entities: list[CaseEntity]
    page_size: int
    next_cursor: str | None


class RuleEntity(_Json, frozen=True):
    """A rule that was asked, why it exists and what it rests on."""

    id: str
    why: str
    source: str


class DecisionEntity(_Json, frozen=True):
    """The gate's last answer for a contact."""

    answer: Literal["allow", "defer", "deny"]
    at: datetime
    until: datetime | None
    why: str | None
    rules: list[RuleEntity]
    ruleset: str
    tzdata: str
    zones: list[str]


class AttemptEntity(_Json, frozen=True):
    """A planned or made contact. The address is masked."""

    id: UUID
    channel: str
    state: str
    due_at: datetime
    tries: int
    address: str | None
    provider: str | None
    why: str | None
    updated_at: datetime
    decision: DecisionEntity | None


class TimelineEntity(_Json, frozen=True):
    """Something that happened, in the past tense."""

    id: UUID
    at: datetime
    kind: str
    sentence: str
    attempt_id: UUID | None


class CaseDetail(CaseEntity, frozen=True):
    """A case with its contacts and its timeline."""

    zones: list[str]
    attempts: list[AttemptEntity]
    timeline: list[TimelineEntity]


class DeadJobEntity(_Json, frozen=True):
    """A reaction that failed for good."""

    id: int
    name: str
    tries: int
    created_at: datetime
    why: str


class DeadWebhookEntity(_Json, frozen=True):
    """A webhook that is stored and cannot be read."""

    id: int
    source: str
    event_type: str
    event_id: str
    received_at: datetime
    tries: int
    why: str


class DeadLetters(_Json, frozen=True):
    """What failed for good and waits for somebody to look at it, newest first."""

    jobs: list[DeadJobEntity]
    webhooks: list[DeadWebhookEntity]


class ReplayRequest(_Json, frozen=True, forbid_unknown_fields=True):
    """Which dead letters to try again."""

    jobs: Annotated[list[RowId], msgspec.Meta(max_length=REPLAYED_MAX)] = []
    webhooks: Annotated[list[RowId], msgspec.Meta(max_length=REPLAYED_MAX)] = []


class ReplayAnswer(_Json, frozen=True):
    """Those that were dead and are tried again now."""

    jobs: list[int]
    webhooks: list[int]


def _entity(case: Case) -> dict[str, Any]:
    known = case.amount_minor is not None and case.currency is not None
    return {
        "id": case.id,
        "state": case.state,
        "held_why": case.held_why,
        "held_by": case.held_by,
        "reason": case.reason,
        "amount": Amount(minor=case.amount_minor or 0, currency=case.currency or "") if known else None,
        "gateway": case.gateway,
        "transaction_id": case.transaction_id,
        "payment_status": case.payment_status,
        "transaction_status": case.transaction_status,
        "person_id": case.person_id,
        "payer_name": case.person_name,
        "attempt_count": case.attempt_count,
        "next_retry_window": case.next_retry_window,
        "disposition": case.disposition,
        "policy": case.policy,
        "custom_properties": case.custom_properties,
        "opened_at": case.opened_at,
        "closed_at": case.closed_at,
        "self_uri": f"{PATH}/cases/{case.id}",
    }


def _decision(view: DecisionView) -> DecisionEntity:
    return DecisionEntity(
        answer=view.answer,
        at=view.at,
        until=view.until,
        why=view.why,
        rules=[RuleEntity(id=rule.id, why=rule.why, source=rule.source) for rule in view.rules],
        ruleset=view.ruleset,
        tzdata=view.tzdata,
        zones=list(view.zones),
    )


def _attempt(view: AttemptView) -> AttemptEntity:
    return AttemptEntity(
        id=view.id,
        channel=view.channel,
        state=view.state,
        due_at=view.due_at,
        tries=view.tries,
        address=view.address,
        provider=view.provider,
        why=view.why,
        updated_at=view.updated_at,
        decision=_decision(view.decision) if view.decision else None,
    )


def _detail(view: CaseView) -> CaseDetail:
    return CaseDetail(
        **_entity(view.case),
        zones=list(view.zones),
        attempts=[_attempt(one) for one in view.attempts],
        timeline=[
            TimelineEntity(id=one.id, at=one.at, kind=one.kind, sentence=one.sentence, attempt_id=one.attempt_id)
            for one in view.timeline
        ],
    )


def _cursor(case: Case) -> str:
    return base64.urlsafe_b64encode(f"{case.opened_at.isoformat()}/{case.id}".encode()).decode().rstrip("=")


def _before(cursor: str) -> tuple[datetime, UUID]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
        at, _, case_id = text.partition("/")
        opened_at, found = datetime.fromisoformat(at), UUID(case_id)
        if opened_at.tzinfo is None or not 1970 < opened_at.year < 9000:
            raise InvalidCursorError()
    except (binascii.Error, UnicodeError, ValueError):
        raise InvalidCursorError() from None
    return opened_at, found


@get(
    "/cases",
    opt={SCOPE: "outbound:read"},
    operation_id="getRecoveryCases",
    summary="List recovery cases",
    security=[{"oauth2": ["outbound:read"]}],
    responses=documented(400, 401, 403, 429),
)
async def list_cases(
    request: Request[Any, Any, Any],
    wanted_state: Annotated[
        CaseState | None, QueryParameter(name="state", description="Only cases in this state.")
    ] = None,
    page_size: Annotated[int, QueryParameter(name="pageSize", ge=1, le=cases.PAGE_MAX)] = PAGE_SIZE_DEFAULT,
    cursor: Annotated[
        str | None,
        QueryParameter(
            name="cursor", max_length=128, pattern="^[A-Za-z0-9_-]*$", description="nextCursor of the page before."
        ),
    ] = None,
) -> CaseListing:
    """Newest first, a page at a time."""
    services: Services = request.app.state.services
    before = _before(cursor) if cursor else None
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        found = await cases.page(connection, state=wanted_state, before=before, limit=page_size)
    entities = [CaseEntity(**_entity(case)) for case in found]
    # A full page may happen to be the last one: then the next is empty.
    more = _cursor(found[-1]) if len(found) == page_size else None
    return CaseListing(entities=entities, page_size=page_size, next_cursor=more)


@get(
    "/cases/{case_id:uuid}",
    opt={SCOPE: "outbound:read"},
    operation_id="getRecoveryCase",
    summary="One recovery case with its timeline",
    security=[{"oauth2": ["outbound:read"]}],
    responses=documented(400, 401, 403, 404, 429),
)
async def get_case(request: Request[Any, Any, Any], case_id: FromPath[UUID]) -> CaseDetail:
    """The case, every contact with the gate's decision on it, and everything that happened."""
    services: Services = request.app.state.services
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        rules = await services.book.refresh(connection)
        view = await read_case(connection, rules, case_id, services.defaults)
    if view is None:
        raise NotFoundError("There is no case of this id; GET /api/v2/recovery/cases lists them.")
    return _detail(view)


@get(
    "/dead-letters",
    opt={SCOPE: "outbound:read"},
    operation_id="getRecoveryDeadLetters",
    summary="List what failed for good",
    security=[{"oauth2": ["outbound:read"]}],
    responses=documented(401, 403, 429),
)
async def dead_letters(request: Request[Any, Any, Any]) -> DeadLetters:
    """Reactions that used up their tries, and webhooks that could not be read."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        webhooks = await inbox.dead(connection)
    return DeadLetters(
        jobs=[
            DeadJobEntity(
                id=job.id, name=job.name, tries=job.tries, created_at=job.created_at, why=words.plain(job.why)
            )
            for job in await jobs.dead(services.pool)
        ],
        webhooks=[
            DeadWebhookEntity(
                id=one.id,
                source=one.source,
                event_type=one.event_type,
                event_id=one.event_id,
                received_at=one.received_at,
                tries=one.tries,
                why=words.plain(one.why),
            )
            for one in webhooks
        ],
    )


@post(
    "/dead-letters/replay",
    status_code=HTTP_200_OK,
    opt={SCOPE: "outbound:write"},
    operation_id="postRecoveryDeadLettersReplay",
    summary="Try dead letters again",
    security=[{"oauth2": ["outbound:write"]}],
    responses=documented(400, 401, 403, 413, 422, 429),
)
async def replay(request: Request[Any, Any, Any], data: JSONBody[ReplayRequest]) -> ReplayAnswer:
    """Puts them back with all their tries before them. What is not dead (any more) is left alone."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction():
        replayed_jobs = await board.replay_jobs(connection, data.jobs)
        replayed_webhooks = await board.replay_webhooks(connection, data.webhooks)
        if replayed_jobs or replayed_webhooks:
            await audit.append(
                connection,
                actor=f"client:{grant_of(request).client_id}",
                action="dead_letters.replay",
                subject="dead_letters",
                data={"jobs": replayed_jobs, "webhooks": replayed_webhooks},
            )
    await events.hint(services.pool)
    return ReplayAnswer(jobs=replayed_jobs, webhooks=replayed_webhooks)
