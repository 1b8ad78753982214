"""Who calls the API, how often, and whether the token's scopes cover the route: all before any handler runs."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from tenderline.api import errors
from tenderline.api.limits import address_of, headers_of
from tenderline.app import Services
from tenderline.core.errors import ForbiddenError, TenderlineError, UnauthenticatedError
from tenderline.store import limits, oauth
from tenderline.store.db import Connection
from tenderline.store.limits import Window
from tenderline.store.oauth import Grant

SCOPE: Final = "tenderline_scope"
"""The key in a route's `opt` under which it names the scope it needs."""
TOKEN_LENGTH_MAX: Final = 256
_GRANT: Final = "tenderline_grant"


class MissingScopeError(ForbiddenError):
    """The token's scopes do not cover this."""

    code = "missing_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs the scope {scope}; ask for a token with it, and for a client that may have it.")
        self.scope = scope


def grant_of(request: Request[Any, Any, Any]) -> Grant:
    """Whom the gate let in."""
    grant = request.scope["state"][_GRANT]
    assert isinstance(grant, Grant)
    return grant


class TokenGate(ASGIMiddleware):
    """Stands before every route of the API. A route without a scope of its own is closed to everybody."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Lets the request pass with the limit's headers on its answer, or answers it."""
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        services: Services = request.app.state.services
        window: Window | None = None
        try:
            async with services.pool.acquire() as connection:
                grant = await _grant(connection, request)
                window = await _count(connection, services, request, grant)
            window.require_room()
            _require_scope(grant, str(scope["route_handler"].opt[SCOPE]))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered as a problem, with the headers
            response = errors.problem_of(request, error)
            if window is not None:
                response.headers.update(headers_of(window))
            if isinstance(error, TenderlineError) and (challenge := _challenge(error, request)):
                response.headers["WWW-Authenticate"] = challenge
            await response.to_asgi_response(None, request)(scope, receive, send)
            return
        scope["state"][_GRANT] = grant
        told = [(name.lower().encode(), value.encode()) for name, value in headers_of(window).items()]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *told]
            await send(message)

        await next_app(scope, receive, send_with_headers)


async def _grant(connection: Connection, request: Request[Any, Any, Any]) -> Grant | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token or len(token) > TOKEN_LENGTH_MAX:
        return None
    return await oauth.find_token(connection, token.strip())


async def _count(
    connection: Connection, services: Services, request: Request[Any, Any, Any], grant: Grant | None
) -> Window:
    of = limits.subject("api-client", grant.client_id) if grant else limits.subject("api-address", address_of(request))
    return await limits.take(connection, of, limit=services.settings.api.requests_per_minute_max)


def _require_scope(grant: Grant | None, scope: str) -> None:
    if grant is None:
        raise UnauthenticatedError("Send a valid access token as Authorization: Bearer …; POST /oauth/token gives one.")
    if scope not in grant.scopes:
        raise MissingScopeError(scope)


def _challenge(error: TenderlineError, request: Request[Any, Any, Any]) -> str | None:
    """RFC 6750, 3: no error code for a request that brought no token at all."""
    if isinstance(error, MissingScopeError):
        return f'{errors.BEARER}, error="insufficient_scope", scope="{error.scope}"'
    if isinstance(error, UnauthenticatedError) and "authorization" in request.headers:
        return f'{errors.BEARER}, error="invalid_token"'
    return None
