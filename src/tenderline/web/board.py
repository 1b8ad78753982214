"""The live board: what there is, what just happened, what waits, and why each contact was allowed or held."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get
from litestar.response import Stream

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.desk.board import read_board
from tenderline.web import stream
from tenderline.web.pages import HTML, day, page, render, services_of
from tenderline.web.sign_in import BACKGROUND, SESSION_COOKIE, live_session, shell

SHARED: Final = "board"


async def draw(services: Services) -> str:
    """The live part of the board: the same for everybody who may see it."""
    async with (
        services.pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        board = await read_board(connection, await services.book.refresh(connection))
    return render("board_live.html", board=board, today=day(utc_now()))


@get("/", include_in_schema=False)
async def show_board(request: Request[Any, Any, Any]) -> Response[str]:
    """The whole page, already filled in: it is of use before any script has run, and without one."""
    return page("board.html", live=await draw(services_of(request)), **shell(request))


@get("/board/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_board(request: Request[Any, Any, Any]) -> Response[str]:
    """The live part alone, for tabs that hold no stream."""
    services = services_of(request)
    hub = stream.hub_of(request.app.state, services)
    return Response(await hub.shared(SHARED, lambda: draw(services)), media_type=HTML)


@get("/stream/board", include_in_schema=False, opt={BACKGROUND: True})
async def stream_board(request: Request[Any, Any, Any]) -> Stream:
    """The live part as a stream."""
    services = services_of(request)
    hub = stream.hub_of(request.app.state, services)
    token = request.cookies.get(SESSION_COOKIE, "")

    async def look() -> str:
        return await hub.shared(SHARED, lambda: draw(services))

    async def is_signed_in() -> bool:
        return await live_session(services, token, touch=False) is not None

    return stream.respond(request, look, is_signed_in)
