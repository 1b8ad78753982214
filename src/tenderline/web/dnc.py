"""The do-not-contact lists: how much is on each, how old the copies are, and a form that reads a file in."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile

from tenderline.compliance.dnc_lists import EXPIRES_DAYS_MAX
from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.desk import do_not_contact
from tenderline.people import dnc_import
from tenderline.people.dnc_import import Ask, Report
from tenderline.people.dnc_reader import Reject
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import PERMISSION, session_of, shell

AnyRequest = Request[Any, Any, Any]
PATH: Final = "/do-not-contact"
UPLOAD_BYTES_MAX: Final = 64 * 1024 * 1024
"""Some five million numbers; more is for the command."""
REJECTS_SHOWN_MAX: Final = 50
CHANNELS: Final = ("voice", "sms", "email", "push")
FIELD_LENGTH_MAX: Final = 200


@get(PATH, include_in_schema=False)
async def show_lists(request: AnyRequest) -> Response[str]:
    """Every list, each source of it on its own."""
    return await _page(request)


async def _page(
    request: AnyRequest,
    *,
    status: int = 200,
    report: Report | None = None,
    rejects: list[Reject] | None = None,
    problem: str | None = None,
) -> Response[str]:
    services = services_of(request)
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        lists = await do_not_contact.read_lists(connection, await services.book.refresh(connection))
    return page(
        "dnc.html",
        status=status,
        lists=lists,
        names=list(dict.fromkeys(one.name for one in lists)),
        channels=CHANNELS,
        region=services.settings.compliance.default_region,
        expires_days_max=EXPIRES_DAYS_MAX,
        size_mb=UPLOAD_BYTES_MAX // 1024**2,
        may_import=session_of(request).user.may(Permission.LISTS),
        report=report,
        rejects=rejects or [],
        problem=problem,
        **shell(request),
    )


@post(
    f"{PATH}/import",
    status_code=200,
    include_in_schema=False,
    opt={PERMISSION: Permission.LISTS},
    request_max_body_size=UPLOAD_BYTES_MAX,
)
async def read_in(request: AnyRequest) -> Response[str]:
    """Reads a file in, or only tries; shows what became of it. Doing it again does no harm."""
    services = services_of(request)
    form = await request.form()
    rejects: list[Reject] = []

    def keep(reject: Reject) -> None:
        if len(rejects) < REJECTS_SHOWN_MAX:
            rejects.append(reject)

    try:
        ask, file = _asked(request, form)
        async with services.pool.acquire() as connection:
            rules = await services.book.refresh(connection)
        with dnc_import.one_of_few():
            report = await dnc_import.read_in(
                services.pool, file.file, ask, rules, file_name=file.filename, on_reject=keep
            )
    except TenderlineError as error:
        if error.status >= 500:
            raise
        return await _page(request, status=error.status, problem=error.detail, rejects=rejects)
    return await _page(request, report=report, rejects=rejects)


def _asked(request: AnyRequest, form: Any) -> tuple[Ask, UploadFile]:
    file = form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise InvalidInputError("Choose a file: a list in CSV or plain text.")

    def text(name: str) -> str:
        value = form.get(name)
        return value.strip()[:FIELD_LENGTH_MAX] if isinstance(value, str) else ""

    days = text("expires_days")
    if days and not (days.isascii() and days.isdecimal()):
        raise InvalidInputError("Write the days as a number, or leave them out.")
    ask = Ask(
        list=text("list"),
        region=text("region").upper() or services_of(request).settings.compliance.default_region,
        by=session_of(request).user.email,
        source=text("source") or None,
        channels=[one for one in form.getall("channel", []) if isinstance(one, str)],
        expires_days=int(days[:9]) if days else None,
        replace=text("replace") == "yes",
        may_shrink=text("may_shrink") == "yes",
        column=text("column") or None,
        dry_run=text("only_try") == "yes",
    )
    return ask, file
