"""Do-not-contact lists over the API: a file or single entries go in, and an address can be asked about.

Posting the same again changes nothing more. Nothing of what was posted is sent back but line numbers and reasons.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, cast

import msgspec
from litestar import Request, get, post
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_200_OK

from tenderline.api.auth import SCOPE, grant_of
from tenderline.api.errors import documented
from tenderline.app import Services
from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.desk import do_not_contact
from tenderline.desk.do_not_contact import ListView
from tenderline.people import dnc_import, dnc_reader
from tenderline.people.dnc_reader import Reject
from tenderline.people.dnc_text import Source
from tenderline.store import dnc

READ: Final = "outbound:read"
WRITE: Final = "outbound:write"
PATH: Final = "/api/v2/compliance/dnclists"
BODY_BYTES_MAX: Final = 256 * 1024 * 1024
JSON_BYTES_MAX: Final = 1024 * 1024
ENTRIES_MAX: Final = 10_000
ADDRESS_LENGTH_MAX: Final = 254
IN_MEMORY_BYTES_MAX: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 600.0
REJECTS_TOLD_MAX: Final = 100
_CSV: Final = frozenset({"text/csv", "application/csv", "text/plain"})

AddressText = Annotated[str, msgspec.Meta(min_length=1, max_length=ADDRESS_LENGTH_MAX)]


class NeitherCsvNorJsonError(InvalidInputError):
    """Send text/csv, or application/json with {"entries": ["+12025550123"]}."""

    code = "unsupported_media_type"
    status = 415


class BrokenJsonError(InvalidInputError):
    """The body is not {"entries": [...]} with up to 10,000 texts; a longer list goes as text/csv."""

    code = "invalid_request"
    status = 400


class SlowBodyError(TenderlineError):
    """The body did not arrive in ten minutes; send it in parts."""

    code = "body_slow"
    status = 408


class _Json(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class EntriesRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers in E.164 (or of the region), or e-mail addresses."""

    entries: Annotated[list[AddressText], msgspec.Meta(min_length=1, max_length=ENTRIES_MAX)]


class RejectEntity(_Json, frozen=True):
    """A line of the file, or the place of an entry, that is no address."""

    line: int
    reason: str


class ImportEntity(_Json, frozen=True):
    """What became of what was posted; of a dry run, what would. `rejects` are the first of all `rejected`."""

    list_name: str = msgspec.field(name="list")
    source: str
    lines: int
    accepted: int
    duplicates: int
    rejected: int
    added: int
    renewed: int | None
    removed: int
    entries: int
    sha256: str
    dry_run: bool
    asked_by_rules: bool
    rejects: list[RejectEntity]


class ListEntity(_Json, frozen=True):
    """What one source brought to a list; null when nothing is on it yet. `tooOld` by law, after `ageMaxDays`."""

    list_name: str = msgspec.field(name="list")
    source: str | None
    entries: int
    refreshed_at: datetime | None
    ends_at: datetime | None
    age_max_days: int | None
    too_old: bool
    asked_by_rules: bool
    self_uri: str


class ListsEntity(_Json, frozen=True):
    """Every list that there is or could be."""

    entities: list[ListEntity]


class StandingEntity(_Json, frozen=True):
    """An entry as one source brought it. No channels: every channel."""

    source: str
    channels: list[str]
    added_at: datetime
    expires_at: datetime | None
    in_force: bool


class EntryEntity(_Json, frozen=True):
    """An address on a list, by each source that has it."""

    value: str
    list_name: str = msgspec.field(name="list")
    in_force: bool
    standing: list[StandingEntity]


@dataclass
class _FileOperation(Operation):
    """A body that is read as it comes, so that no type describes it."""

    def __post_init__(self) -> None:
        entries = Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(type=OpenAPIType.STRING, min_length=1, max_length=ADDRESS_LENGTH_MAX),
            min_items=1,
            max_items=ENTRIES_MAX,
        )
        asked = Schema(
            type=OpenAPIType.OBJECT, properties={"entries": entries}, required=["entries"], additional_properties=False
        )
        csv_file = Schema(type=OpenAPIType.STRING, description="One address on each line, or columns with a heading.")
        self.request_body = RequestBody(
            required=True,
            content={
                "application/json": OpenAPIMediaType(schema=asked),
                "text/csv": OpenAPIMediaType(schema=csv_file),
            },
        )


@get(
    PATH,
    opt={SCOPE: READ},
    operation_id="getComplianceDnclists",
    summary="List the do-not-contact lists",
    security=[{"oauth2": [READ]}],
    responses=documented(401, 403, 429),
)
async def list_lists(request: Request[Any, Any, Any]) -> ListsEntity:
    """How much is on each, from whom, and how old the copy is."""
    services: Services = request.app.state.services
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        found = await do_not_contact.read_lists(connection, await services.book.refresh(connection))
    return ListsEntity(entities=[_entity(one) for one in found])


def _entity(view: ListView) -> ListEntity:
    return ListEntity(
        list_name=view.name,
        source=view.source,
        entries=view.entries,
        refreshed_at=view.refreshed_at,
        ends_at=view.ends_at,
        age_max_days=view.age_max_days,
        too_old=view.is_too_old,
        asked_by_rules=view.asked_by_rules,
        self_uri=f"{PATH}/{view.name}",
    )


@get(
    f"{PATH}/{{list_name:str}}/entries/{{value:str}}",
    opt={SCOPE: READ},
    operation_id="getComplianceDnclistEntry",
    summary="Whether an address is on a list",
    security=[{"oauth2": [READ]}],
    responses=documented(400, 401, 403, 404, 422, 429),
)
async def get_entry(request: Request[Any, Any, Any], list_name: FromPath[str], value: FromPath[str]) -> EntryEntity:
    """The entry, in force or over; 404 when the address is not on the list."""
    services: Services = request.app.state.services
    address = dnc_reader.normalise(value[:ADDRESS_LENGTH_MAX], services.settings.compliance.default_region)
    async with services.pool.acquire() as connection:
        found = await dnc.of_value(connection, address, list_name[:64].replace("\0", ""))
    if not found:
        raise NotFoundError("The address is not on this list; GET /api/v2/compliance/dnclists shows the lists.")
    return EntryEntity(
        value=address,
        list_name=found[0].list,
        in_force=not all(one.is_over for one in found),
        standing=[
            StandingEntity(
                source=one.source,
                channels=list(one.channels),
                added_at=one.added_at,
                expires_at=one.expires_at,
                in_force=not one.is_over,
            )
            for one in found
        ],
    )


@post(
    f"{PATH}/{{list_name:str}}/entries",
    status_code=HTTP_200_OK,
    opt={SCOPE: WRITE},
    operation_id="postComplianceDnclistEntries",
    operation_class=_FileOperation,
    summary="Add to a do-not-contact list, or replace it",
    security=[{"oauth2": [WRITE]}],
    request_max_body_size=BODY_BYTES_MAX,
    responses=documented(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
)
async def add_entries(
    request: Request[Any, Any, Any],
    list_name: FromPath[str],
    channels: Annotated[
        str, QueryParameter(max_length=100, description="Only these, parted by commas: voice, sms, email, push.")
    ] = "",
    expires_days: Annotated[int | None, QueryParameter(name="expiresDays", ge=1, le=3650)] = None,
    region: Annotated[str | None, QueryParameter(pattern="^[A-Z]{2}$", description="Of numbers without +.")] = None,
    source: Annotated[str | None, QueryParameter(max_length=64, description="Whose list; else the region.")] = None,
    replace: Annotated[bool, QueryParameter(description="What this source brought before goes.")] = False,
    may_shrink: Annotated[bool, QueryParameter(name="mayShrink")] = False,
    column: Annotated[str | None, QueryParameter(max_length=200, description="Headings or numbers of columns.")] = None,
    dry_run: Annotated[bool, QueryParameter(name="dryRun")] = False,
) -> ImportEntity:
    """All of it or nothing. text/csv in any usual shape up to 256 MB, or JSON with up to 10,000 entries."""
    services: Services = request.app.state.services
    ask = dnc_import.Ask(
        list=list_name,
        region=region or services.settings.compliance.default_region,
        by=f"client:{grant_of(request).client_id}",
        source=source,
        channels=[one.strip() for one in channels.split(",") if one.strip()],
        expires_days=expires_days,
        replace=replace,
        may_shrink=may_shrink,
        column=column,
        dry_run=dry_run,
    )
    async with services.pool.acquire() as connection:
        rules = await services.book.refresh(connection)
    dnc_import.wanted_of(ask, rules)  # before the body is read
    rejects: list[Reject] = []

    def keep(reject: Reject) -> None:
        if len(rejects) < REJECTS_TOLD_MAX:
            rejects.append(reject)

    with dnc_import.one_of_few(), tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES_MAX) as spool:
        is_file = await _receive(request, cast(Any, spool))
        spool.seek(0)
        file: Source = spool if is_file else dnc_import.as_file(_entries(spool.read()))
        name = f"posted by {ask.by}" if is_file else None
        report = await dnc_import.read_in(services.pool, file, ask, rules, file_name=name, on_reject=keep)
    changed = report.changed
    return ImportEntity(
        list_name=report.list,
        source=report.source,
        lines=report.lines,
        accepted=report.accepted,
        duplicates=report.duplicates,
        rejected=report.rejected,
        added=changed.added,
        renewed=changed.renewed,
        removed=changed.removed,
        entries=changed.entries,
        sha256=report.sha256,
        dry_run=report.dry_run,
        asked_by_rules=report.asked_by_rules,
        rejects=[RejectEntity(line=one.line, reason=one.reason) for one in rejects],
    )


async def _receive(request: Request[Any, Any, Any], spool: Any) -> bool:
    """Keeps the body, on disk when it is long; tells whether it is a file. No connection is held meanwhile."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_file = kind in _CSV
    if not is_file and kind != "application/json":
        raise NeitherCsvNorJsonError()
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if not is_file and size > JSON_BYTES_MAX:
                    raise BrokenJsonError()
                spool.write(chunk)
    except TimeoutError:
        raise SlowBodyError() from None
    return is_file


def _entries(body: bytes) -> list[str]:
    try:
        return msgspec.json.decode(body, type=EntriesRequest).entries
    except (msgspec.MsgspecError, UnicodeError):
        raise BrokenJsonError() from None
