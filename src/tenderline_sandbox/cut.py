"""Cuts a connection after the deed was done: the client must live with not knowing."""

from __future__ import annotations

from aiohttp import web


def cut(request: web.Request) -> web.Response:
    """Breaks the connection under `request`; what comes back is for the handler to return and reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
