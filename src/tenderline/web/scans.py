"""Scans for card data: what each found, what it could not search, and what to do when there is something."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get
from litestar.params import FromPath

from tenderline.core.errors import NotFoundError
from tenderline.scan import report
from tenderline.store import audit, scans
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import PERMISSION, shell

PATH: Final = "/scans"
JSON: Final = "application/json"
_MAY: Final = {PERMISSION: Permission.SCANS}

AnyRequest = Request[Any, Any, Any]


@get(PATH, include_in_schema=False, opt=_MAY)
async def show_scans(request: AnyRequest) -> Response[str]:
    """The newest scans, and whether findings stand."""
    services = services_of(request)
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        found = await scans.newest(connection)
        standing = await scans.open_findings(connection)
    return page("scans.html", scans=found, standing=standing, nightly=services.settings.scan, **shell(request))


async def _text(request: AnyRequest, scan_id: UUID) -> bytes:
    async with services_of(request).pool.acquire() as connection:
        text = await scans.report_of(connection, scan_id)
    if text is None:
        raise NotFoundError("There is no scan of this id; the list of scans leads to those there are.")
    return text.encode()


@get(f"{PATH}/{{scan_id:uuid}}", include_in_schema=False, opt=_MAY)
async def show_scan(request: AnyRequest, scan_id: FromPath[UUID]) -> Response[str]:
    """One report, held against its signature."""
    data = await _text(request, scan_id)
    why = report.why_not_genuine(data, audit.load_public_key(services_of(request).audit_key_file))
    return page("scan.html", report=report.read(data), why_not_genuine=why, **shell(request))


@get(f"{PATH}/{{scan_id:uuid}}/report.json", include_in_schema=False, opt=_MAY)
async def download(request: AnyRequest, scan_id: FromPath[UUID]) -> Response[bytes]:
    """The signed bytes themselves, for whoever checks them elsewhere."""
    data = await _text(request, scan_id)
    headers = {"Content-Disposition": f'attachment; filename="scan-{scan_id}.json"'}
    return Response(data, media_type=JSON, headers=headers)
