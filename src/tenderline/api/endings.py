"""Dispositions and scripts over the API: how calls may end and what follows, and what agents may say."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, get, put
from litestar.params import FromPath, JSONBody

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import InvalidInputError
from tenderline.core.queue_rings import Name
from tenderline.store import dispositions, scripts
from tenderline.store.dispositions import Disposition
from tenderline.store.scripts import STEPS_MAX, Script, ScriptStep

READ_SCOPE: Final = "contactcenter:read"
WRITE_SCOPE: Final = "integration:all"
FITTING_MAX: Final = 100

Code = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,39}$")]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Fitting = Annotated[list[Name], msgspec.Meta(max_length=FITTING_MAX)]
Campaign = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]
Campaigns = Annotated[list[Campaign], msgspec.Meta(max_length=FITTING_MAX)]
ClockTime = Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class DispositionSettings(_Json, frozen=True, forbid_unknown_fields=True):
    """A way for a call to end. A callback or a promise needs `afterDays` and `localTime`, the person's own clock.
    Without `queues` or `flows` it is offered on all calls."""

    title: Words
    key: Annotated[int, msgspec.Meta(ge=1, le=9)] | None = None
    next_action: Literal["none", "callback", "promise", "opt_out", "wrong_number"] = "none"
    after_days: Annotated[int, msgspec.Meta(ge=0, le=31)] | None = None
    local_time: ClockTime | None = None
    asked_for: bool = False
    queues: Fitting = []
    flows: Fitting = []
    enabled: bool = True


class DispositionEntity(DispositionSettings, frozen=True, kw_only=True):
    """A way for a call to end, with its code."""

    code: str
    updated_at: datetime | None
    updated_by: str | None


class DispositionList(_Json, frozen=True):
    """Every disposition, by key."""

    entities: list[DispositionEntity]


class StepWords(_Json, frozen=True, forbid_unknown_fields=True):
    """A step of a script. Names in braces are filled in: {name}, {agent}, {organisation}, {fund}, {campaign}."""

    title: Words
    text: Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$")] = ""


class ScriptSettings(_Json, frozen=True, forbid_unknown_fields=True):
    """What an agent may say. Without `queues` or `campaigns` it is shown on all calls."""

    title: Words
    steps: Annotated[list[StepWords], msgspec.Meta(min_length=1, max_length=STEPS_MAX)]
    queues: Fitting = []
    campaigns: Campaigns = []
    enabled: bool = True


class ScriptEntity(ScriptSettings, frozen=True, kw_only=True):
    """A script in its newest version."""

    name: str
    version: int
    created_at: datetime | None
    created_by: str | None


class ScriptList(_Json, frozen=True):
    """Every script, by name."""

    entities: list[ScriptEntity]


def _by(request: Request[Any, Any, Any]) -> str:
    return f"client:{grant_of(request).client_id}"


def _checked(code: str, what: str) -> str:
    try:
        return msgspec.convert(code, Code)
    except msgspec.ValidationError:
        raise InvalidInputError(
            f"A {what} begins with a small letter and has small letters, digits and _ only, 40 at most."
        ) from None


def _disposition(one: Disposition) -> DispositionEntity:
    values = {name: getattr(one, name) for name in DispositionEntity.__struct_fields__}
    return DispositionEntity(**{**values, "local_time": one.local_time and one.local_time.isoformat("minutes")})


def _script(one: Script) -> ScriptEntity:
    values = {name: getattr(one, name) for name in ScriptEntity.__struct_fields__}
    return ScriptEntity(**{**values, "steps": [StepWords(title=step.title, text=step.text) for step in one.steps]})


@get(
    "/api/v2/dispositions",
    opt={SCOPE: READ_SCOPE},
    operation_id="getDispositions",
    summary="How calls may end, and what follows",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
)
async def list_dispositions(request: Request[Any, Any, Any]) -> DispositionList:
    """Those that are not offered, too."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return DispositionList(entities=[_disposition(one) for one in await dispositions.every(connection)])


@put(
    "/api/v2/dispositions/{code:str}",
    opt={SCOPE: WRITE_SCOPE},
    operation_id="putDisposition",
    summary="Make or change a disposition",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 404, 409, 413, 422, 429),
)
async def put_disposition(
    request: Request[Any, Any, Any], code: FromPath[str], data: JSONBody[DispositionSettings]
) -> DispositionEntity:
    """From the next choice on; what was chosen keeps what followed. Audited."""
    services: Services = request.app.state.services
    if data.next_action in ("callback", "promise") and (data.after_days is None or data.local_time is None):
        raise InvalidInputError("A callback or a promise needs afterDays and localTime.")
    values: dict[str, Any] = {name: getattr(data, name) for name in DispositionSettings.__struct_fields__}
    at = time.fromisoformat(data.local_time) if data.local_time else None
    wanted = Disposition(code=_checked(code, "code"), **{**values, "local_time": at})
    async with services.pool.acquire() as connection, connection.transaction():
        await dispositions.put(connection, wanted, by=_by(request))
        (kept,) = [one for one in await dispositions.every(connection) if one.code == wanted.code]
    return _disposition(kept)


@get(
    "/api/v2/scripts",
    opt={SCOPE: READ_SCOPE},
    operation_id="getScripts",
    summary="What agents may say",
    security=[{"oauth2": [READ_SCOPE]}],
    responses=documented(401, 403, 429),
)
async def list_scripts(request: Request[Any, Any, Any]) -> ScriptList:
    """Each in its newest version."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection:
        return ScriptList(entities=[_script(one) for one in await scripts.every(connection)])


@put(
    "/api/v2/scripts/{name:str}",
    opt={SCOPE: WRITE_SCOPE},
    operation_id="putScript",
    summary="Put a version of a script in force",
    security=[{"oauth2": [WRITE_SCOPE]}],
    responses=documented(400, 401, 403, 404, 413, 422, 429),
)
async def put_script(
    request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[ScriptSettings]
) -> ScriptEntity:
    """The versions before are kept. Audited."""
    services: Services = request.app.state.services
    wanted = Script(
        name=_checked(name, "name"),
        title=data.title,
        steps=[ScriptStep(step.title, step.text) for step in data.steps],
        queues=data.queues,
        campaigns=data.campaigns,
        enabled=data.enabled,
    )
    async with services.pool.acquire() as connection, connection.transaction():
        await scripts.put(connection, wanted, by=_by(request))
        (kept,) = [one for one in await scripts.every(connection) if one.name == wanted.name]
    return _script(kept)


HANDLERS: Final = [list_dispositions, put_disposition, list_scripts, put_script]
