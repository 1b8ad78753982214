"""For balancers and supervisors: does this process live, and can it do its work?"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

import msgspec
from litestar import Request, get

from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import ConfigurationError, TenderlineError
from tenderline.store import db

READY_TIMEOUT_S: Final = 3.0


class NotReadyError(TenderlineError):
    """This process cannot serve yet: its database does not answer, or its schema is not this version's."""

    code = "not_ready"
    status = 503


class Health(msgspec.Struct, frozen=True):
    """All is well."""

    status: Literal["ok"] = "ok"


@get("/health/live", tags=["Health"], operation_id="getHealthLive", summary="Does the process live?")
async def live() -> Health:
    """Answers as long as the event loop turns; it asks nobody else."""
    return Health()


@get(
    "/health/ready",
    tags=["Health"],
    operation_id="getHealthReady",
    summary="Can it do its work?",
    responses=documented(503),
)
async def ready(request: Request[Any, Any, Any]) -> Health:
    """The database answers, and its schema is this version's."""
    services: Services = request.app.state.services
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await db.require_current_schema(services.pool)
    except ConfigurationError as error:
        raise NotReadyError(error.detail) from error
    except TimeoutError as error:
        raise NotReadyError(f"The database did not answer within {READY_TIMEOUT_S:.0f} s.") from error
    return Health()
