"""For balancers and supervisors: does this process live, and can it do its work?"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from litestar import Request, Response, get

from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import ConfigurationError, TenderlineError
from tenderline.store import db

READY_TIMEOUT_S: Final = 3.0
INSTANCE_VARIABLE: Final = "TENDERLINE_INSTANCE"
INSTANCE_HEADER: Final = "Tenderline-Instance"


class NotReadyError(TenderlineError):
    """This process cannot serve yet: its database does not answer, or its schema is not this version's."""

    code = "not_ready"
    status = 503


class Health(msgspec.Struct, frozen=True):
    """All is well."""

    status: Literal["ok"] = "ok"


def mark_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The header by which whoever started this process knows that it is this one that answers; told only as a hash."""
    instance = environment.get(INSTANCE_VARIABLE)
    return {INSTANCE_HEADER: hashlib.sha256(instance.encode()).hexdigest()} if instance else {}


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
async def ready(request: Request[Any, Any, Any]) -> Response[Health]:
    """The database answers, and its schema is this version's."""
    services: Services = request.app.state.services
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await db.require_current_schema(services.pool)
    except ConfigurationError as error:
        raise NotReadyError(error.detail) from error
    except TimeoutError as error:
        raise NotReadyError(f"The database did not answer within {READY_TIMEOUT_S:.0f} s.") from error
    return Response(Health(), headers=mark_of(os.environ))
