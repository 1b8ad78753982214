"""Payments by telephone: each with its state, and first those of which nobody knows whether money moved."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get

from tenderline.desk import payments as desk
from tenderline.web.pages import HTML, page, render, services_of
from tenderline.web.sign_in import BACKGROUND, shell

PATH: Final = "/payments"

AnyRequest = Request[Any, Any, Any]


async def _list(request: AnyRequest) -> str:
    async with services_of(request).pool.acquire() as connection:
        found = await desk.read(connection)
    return render("payments_live.html", payments=found)


@get(PATH, include_in_schema=False)
async def show_payments(request: AnyRequest) -> Response[str]:
    """The whole page."""
    return page("payments.html", live=await _list(request), **shell(request))


@get(f"{PATH}/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_payments(request: AnyRequest) -> Response[str]:
    """The live part alone."""
    return Response(await _list(request), media_type=HTML)
