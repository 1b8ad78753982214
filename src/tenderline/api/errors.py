"""Every error as problem+json (RFC 9457): what is ours says what to do, what is not says only an error id.

`code` is stable, for programs; `detail` is for people; `instance` names this one occurrence, as the log does.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from tenderline.core.errors import DatabaseUnavailableError, RateLimitedError, TenderlineError, UnauthenticatedError
from tenderline.core.ids import uuid7

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5
ERRORS_MAX: Final = 50
BEARER: Final = 'Bearer realm="tenderline"'

_DATABASE_AWAY = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
_CODES: Final = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}


class FieldProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a request."""

    detail: str
    field: str | None = None


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """RFC 9457. Switch on `code`; show `detail`; quote `instance` when asking for help."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str
    errors: list[FieldProblem] | None = None


class ProblemResponse(Response[bytes]):
    """A problem on its way out; `status_code` is the problem's own."""


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def respond(
    status: int,
    code: str,
    detail: str,
    *,
    errors: list[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
    error_id: UUID | None = None,
) -> ProblemResponse:
    """A problem as an answer."""
    problem = Problem(
        type="about:blank",
        title=_title(status),
        status=status,
        code=code,
        detail=detail,
        instance=(error_id or uuid7()).urn,
        errors=errors,
    )
    kept = {"Cache-Control": "no-store", **(headers or {})}
    return ProblemResponse(msgspec.json.encode(problem), status_code=status, media_type=MEDIA_TYPE, headers=kept)


def problem_of(request: Request[Any, Any, Any], error: Exception) -> ProblemResponse:
    """The answer for whatever was raised while `request` was served."""
    if isinstance(error, TenderlineError) and error.status < 500:
        return respond(error.status, error.code, error.detail, headers=_headers(error))
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _of_framework(error)
    if isinstance(error, _DATABASE_AWAY):
        error = DatabaseUnavailableError()
    if isinstance(error, TenderlineError) and error.status == 503:
        return respond(503, error.code, error.detail, headers={"Retry-After": str(RETRY_AFTER_S)})
    error_id = uuid7()
    log.error(
        "request failed", error_id=str(error_id), method=request.method, path=request.scope["path"], exc_info=error
    )
    return respond(500, "internal", f"Something went wrong inside Tenderline; error id {error_id}.", error_id=error_id)


def _headers(error: TenderlineError) -> dict[str, str]:
    if isinstance(error, RateLimitedError):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": BEARER}
    return {}


def _of_framework(error: HTTPException) -> ProblemResponse:
    status = error.status_code
    errors = _field_problems(error.extra) if isinstance(error, ValidationException) else None
    detail = "The request is not valid; see errors." if errors else str(error.detail or _title(status))
    kept = {name: value for name, value in (error.headers or {}).items() if name.lower() in ("allow", "retry-after")}
    return respond(status, _CODES.get(status, "http_error"), detail, errors=errors, headers=kept)


def _field_problems(extra: object) -> list[FieldProblem] | None:
    if not isinstance(extra, list):
        return None
    found = [
        FieldProblem(detail=str(one.get("message", "not valid")), field=one.get("key"))
        for one in extra[:ERRORS_MAX]
        if isinstance(one, dict)
    ]
    return found or None


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """What a route may answer besides success, for its OpenAPI description."""
    return {
        status: ResponseSpec(Problem, description=_title(status), media_type=MEDIA_TYPE, generate_examples=False)
        for status in statuses
    }
