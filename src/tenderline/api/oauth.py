"""POST /oauth/token: a program trades its id and secret for a token that lasts a while (RFC 6749, 4.4 and 5)."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final
from urllib.parse import unquote_plus

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import ResponseHeader
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import URLEncodedBody
from litestar.status_codes import HTTP_200_OK

from tenderline.api import errors
from tenderline.api.limits import TOKENS_PER_ADDRESS_MAX, TOKENS_PER_CLIENT_MAX, address_of, headers_of
from tenderline.app import Services
from tenderline.core.errors import RateLimitedError, TenderlineError
from tenderline.store import audit, credentials, limits, oauth
from tenderline.store.db import Connection
from tenderline.store.limits import Window

GRANT_TYPE: Final = "client_credentials"
BODY_BYTES_MAX: Final = 8 * 1024
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_BASIC_CHALLENGE: Final = 'Basic realm="tenderline", charset="UTF-8"'


class TokenRequest(msgspec.Struct, frozen=True):
    """The form's fields. Id and secret may come as HTTP Basic instead, never both ways at once."""

    grant_type: Annotated[str, msgspec.Meta(description="client_credentials", max_length=64)] = ""
    scope: Annotated[str, msgspec.Meta(description="Scopes, parted by spaces; all of the client's by default.")] = ""
    client_id: str = ""
    client_secret: str = ""


class TokenAnswer(msgspec.Struct, frozen=True):
    """RFC 6749, 5.1."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class OAuthProblem(msgspec.Struct, frozen=True):
    """RFC 6749, 5.2."""

    error: str
    error_description: str


class OAuthError(TenderlineError):
    """The token request was refused."""

    status = 400

    def __init__(self, error: str, description: str, *, status: int = 400, challenge: bool = False) -> None:
        super().__init__(description)
        self.code = error
        self.status = status
        self.challenge = challenge


def _refused(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """This route speaks RFC 6749's own error form; a defect stays a problem."""
    if isinstance(error, HTTPException) and error.status_code < 500:
        error = OAuthError("invalid_request", "Send an application/x-www-form-urlencoded body, each field once.")
    if isinstance(error, RateLimitedError):
        problem = OAuthProblem("slow_down", error.detail)
        return Response(problem, status_code=429, headers=_NO_STORE | {"Retry-After": str(error.retry_after_s)})
    if isinstance(error, OAuthError):
        headers = dict(_NO_STORE)
        if error.challenge:
            headers["WWW-Authenticate"] = _BASIC_CHALLENGE
        return Response(OAuthProblem(error.code, error.detail), status_code=error.status, headers=headers)
    return errors.problem_of(request, error)


def _client_error() -> OAuthError:
    return OAuthError("invalid_client", "Unknown client, or wrong secret.", status=401, challenge=True)


def _basic(header: str) -> tuple[str, str]:
    """Id and secret of HTTP Basic, form-encoded inside as RFC 6749, 2.3.1 wants it."""
    kind, _, value = header.partition(" ")
    try:
        decoded = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _client_error() from None
    client_id, colon, secret = decoded.partition(":")
    if kind.lower() != "basic" or not colon:
        raise _client_error()
    return unquote_plus(client_id), unquote_plus(secret)


def _credentials(request: Request[Any, Any, Any], form: TokenRequest) -> tuple[str, str]:
    header = request.headers.get("authorization")
    if header is None:
        if not form.client_id:
            raise _client_error()
        return form.client_id, form.client_secret
    if form.client_secret:
        raise OAuthError("invalid_request", "Send id and secret in the header or in the body, not in both.")
    client_id, secret = _basic(header)
    if form.client_id and form.client_id != client_id:
        raise OAuthError("invalid_request", "The header and the body name two different clients.")
    return client_id, secret


def _scopes(wanted: str, client: oauth.Client) -> list[str]:
    scopes = sorted(set(wanted.split())) or sorted(client.scopes)
    if not client.scopes.issuperset(scopes):
        allowed = " ".join(sorted(client.scopes))
        raise OAuthError("invalid_scope", f"This client may ask for: {allowed}.")
    return scopes


async def _count(connection: Connection, request: Request[Any, Any, Any], client_id: str) -> Window:
    by_address = limits.subject("token-address", address_of(request))
    (await limits.take(connection, by_address, limit=TOKENS_PER_ADDRESS_MAX)).require_room()
    window = await limits.take(connection, limits.subject("token-client", client_id), limit=TOKENS_PER_CLIENT_MAX)
    window.require_room()
    return window


@post(
    "/oauth/token",
    status_code=HTTP_200_OK,
    exception_handlers={Exception: _refused},
    request_max_body_size=BODY_BYTES_MAX,
    tags=["OAuth"],
    operation_id="postOauthToken",
    summary="Get an access token",
    security=[{"basic": []}],
    response_headers=[ResponseHeader(name="Cache-Control", value="no-store")],
    responses={
        400: ResponseSpec(OAuthProblem, description="The request is not valid", generate_examples=False),
        401: ResponseSpec(OAuthProblem, description="Unknown client, or wrong secret", generate_examples=False),
        413: ResponseSpec(OAuthProblem, description="The body is too large", generate_examples=False),
        429: ResponseSpec(OAuthProblem, description="Too many requests", generate_examples=False),
    },
)
async def token(
    request: Request[Any, Any, Any],
    data: URLEncodedBody[TokenRequest],
) -> Response[TokenAnswer]:
    """An opaque bearer token with the scopes asked for, or all of the client's."""
    services: Services = request.app.state.services
    client_id, secret = _credentials(request, data)
    async with services.pool.acquire() as connection:
        window = await _count(connection, request, client_id)
        client = await oauth.find_client(connection, client_id)
    # No connection is held meanwhile: this takes as long for an unknown client as for a wrong secret.
    if not await credentials.matches(client.secret_hash if client else None, secret) or client is None:
        raise _client_error()
    if data.grant_type != GRANT_TYPE:
        raise OAuthError("unsupported_grant_type", f"The grant_type must be {GRANT_TYPE}.")
    scopes = _scopes(data.scope, client)
    valid_s = services.settings.api.token_valid_s
    async with services.pool.acquire() as connection, connection.transaction():
        issued = await oauth.issue_token(connection, client, scopes, valid_s=valid_s)
        if issued is None:
            raise _client_error()
        await audit.append(
            connection,
            actor=f"client:{client.id}",
            action="token.issue",
            subject=f"client:{client.id}",
            data={"scopes": scopes},
        )
    answer = TokenAnswer(issued, "Bearer", valid_s, " ".join(scopes))
    return Response(answer, headers=_NO_STORE | headers_of(window))
