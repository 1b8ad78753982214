"""Signing in and out, and the guard before every screen: a session, a role that may, and posts that are really meant.

A post must carry its session's CSRF token and come from our own pages. Our pages send no referrer, so browsers give
`Origin: null` with their forms: `Sec-Fetch-Site` is asked first, and the token decides in any case.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import quote, urlsplit

from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler
from litestar.response import Redirect
from litestar.types import ExceptionHandlersMap

from tenderline.app import Services
from tenderline.core import phone
from tenderline.core.errors import ForbiddenError, InvalidInputError, UnauthenticatedError
from tenderline.core.pan import require_no_card
from tenderline.store import audit, credentials, limits, users
from tenderline.store.db import Connection
from tenderline.store.users import Permission, Session, User
from tenderline.web.pages import address_of, error_page, is_https, page, services_of

SESSION_COOKIE: Final = "tenderline_session"
FORM_COOKIE: Final = "tenderline_sign_in"
CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "x-csrf-token"
PERMISSION: Final = "permission"
"""The key in a route's `opt` for what its user must be allowed to; `view` when it is missing."""
BACKGROUND: Final = "background"
"""The key in a route's `opt` that marks what a screen asks by itself: it does not keep a sign-in alive."""
PUBLIC: Final = "public"
MASKS_CARDS: Final = "masks_cards"
"""The key in a route's `opt` for what masks or refuses card numbers itself, because nothing may hold up what it does
first."""
NUMBERS: Final = "numbers"
"""The key in a route's `opt` for the names of its fields that are telephone numbers."""
WITH_GIVEN_PASSWORD: Final = "with_given_password"  # noqa: S105  # the name of a key
"""The key in a route's `opt` for what somebody may do who has to choose a password of her own first."""

TRIES_PER_ACCOUNT_AND_ADDRESS: Final = 10
TRIES_PER_ACCOUNT: Final = 100
TRIES_PER_ADDRESS: Final = 100
TRIES_WINDOW_S: Final = 900
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_TOKEN_LENGTH_MAX: Final = 128
_RETURN_PATH = re.compile(r"/(?:[A-Za-z0-9_-][A-Za-z0-9_/-]{0,200})?(?:\?[A-Za-z0-9_=&-]{0,200})?")
_NOT_RIGHT: Final = "The e-mail address or the password is not right."
_SESSION: Final = "tenderline_session"


class SignedOutError(UnauthenticatedError):
    """Your sign-in has ended; sign in again to go on."""

    code = "signed_out"


class GivenPasswordError(ForbiddenError):
    """You signed in with a password that somebody gave you; choose one of your own first."""

    code = "given_password"


class CrossSiteError(ForbiddenError):
    """This did not come from a page of ours, or the page was too old; go back, reload the page and try again."""

    code = "cross_site"


class RoleMissingError(ForbiddenError):
    """Your role does not allow this; ask a supervisor or an administrator."""

    code = "role_missing"


def session_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Session:
    """Who is signed in. The guard made sure that somebody is."""
    session = connection.scope["state"][_SESSION]
    assert isinstance(session, Session)
    return session


def shell(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """What the frame around every signed-in page shows."""
    session = session_of(request)
    return {"user": session.user, "csrf_token": session.csrf_token, "path": request.scope["path"]}


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Before every screen. Raises what its error page or the way to the sign-in form is made of."""
    if handler.opt.get(PUBLIC):
        return
    services = services_of(connection)
    token = connection.cookies.get(SESSION_COOKIE, "")
    session = await live_session(services, token, touch=not handler.opt.get(BACKGROUND))
    if session is None:
        raise SignedOutError()
    if isinstance(connection, Request) and connection.method not in _SAFE_METHODS:
        require_same_site(connection, services)
        if not _same(await _csrf_token(connection), session.csrf_token):
            raise CrossSiteError()
    if session.user.must_choose_password and not handler.opt.get(WITH_GIVEN_PASSWORD):
        raise GivenPasswordError()
    if not session.user.may(Permission(handler.opt.get(PERMISSION, Permission.VIEW))):
        raise RoleMissingError()
    if isinstance(connection, Request) and not handler.opt.get(MASKS_CARDS):
        await _refuse_cards(connection, handler.opt.get(NUMBERS, ()))
    connection.scope["state"][_SESSION] = session


async def live_session(services: Services, token: str, *, touch: bool) -> Session | None:
    """The session of a cookie, if it is still good."""
    if not 0 < len(token) <= _TOKEN_LENGTH_MAX:
        return None
    async with services.pool.acquire() as connection:
        return await users.find_session(connection, token, idle_min=services.settings.api.session_idle_min, touch=touch)


async def _csrf_token(request: Request[Any, Any, Any]) -> str:
    given = request.headers.get(CSRF_HEADER)
    if given is None:
        given = (await request.form()).get(CSRF_FIELD)
    return given if isinstance(given, str) else ""


async def _refuse_cards(request: Request[Any, Any, Any], numbers: Collection[str]) -> None:
    if request.method not in _SAFE_METHODS and request.content_type[0] in _FORMS:
        refuse_cards(await request.form(), numbers)


def refuse_cards(form: Any, numbers: Collection[str] = ()) -> None:
    """Whatever is written into a form may be kept for ever: in notes, in the audit log, in the CRM. What stands in a
    field of `numbers` is none when it is a telephone number."""
    for name, value in form.items():
        if isinstance(value, str) and not (name in numbers and phone.is_whole(value)):
            require_no_card(value)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def require_same_site(request: Request[Any, Any, Any], services: Services) -> None:
    """Raises `CrossSiteError` for what another site's page sent, as far as the browser tells."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise CrossSiteError()
        return
    origin = request.headers.get("origin", "null")
    ours = {urlsplit(services.settings.public_url).netloc, request.headers.get("host", "")}
    if origin != "null" and urlsplit(origin).netloc not in ours:
        raise CrossSiteError()


def to_sign_in(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """For somebody who is not signed in: pages lead to the form, what runs inside a page gets a plain 401."""
    is_navigation = "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers
    if not is_navigation:
        return Response("signed out", status_code=401, media_type="text/plain")
    wanted = request.scope["path"] if request.method == "GET" else "/"
    query = f"?next={quote(wanted, safe='/')}" if wanted != "/" and _RETURN_PATH.fullmatch(wanted) else ""
    return Redirect(path=f"/sign-in{query}", status_code=303)


def to_own_password(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """For somebody who has to choose a password first."""
    is_navigation = "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers
    return Redirect(path="/password", status_code=303) if is_navigation else error_page(request, error)


def _return_path(wanted: str) -> str:
    """Only a path of our own: a link must not lead through our sign-in to somebody else's page."""
    return wanted if _RETURN_PATH.fullmatch(wanted) else "/"


def _form_token(services: Services, seed: str) -> str:
    return hmac.digest(services.key_for("sign-in form"), seed.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def _cookie(services: Services, name: str, value: str, *, max_age_s: int | None) -> Cookie:
    return Cookie(
        key=name, value=value, path="/", max_age=max_age_s, httponly=True, samesite="lax", secure=is_https(services)
    )


def _form(
    request: Request[Any, Any, Any],
    *,
    status: int = 200,
    problem: str | None = None,
    email: str = "",
    wanted: str = "/",
) -> Response[str]:
    """The form, bound to a cookie of its own: nobody can be signed in by somebody else's page."""
    services = services_of(request)
    seed = request.cookies.get(FORM_COOKIE, "")
    if not 16 <= len(seed) <= _TOKEN_LENGTH_MAX:
        seed = secrets.token_urlsafe(32)
    answer = page(
        "sign_in.html",
        status=status,
        problem=problem,
        email=email,
        wanted=wanted,
        ended="ended" in request.query_params,
        changed="changed" in request.query_params,
        idle_min=services.settings.api.session_idle_min,
        form_token=_form_token(services, seed),
        organisation=services.settings.organisation,
    )
    answer.cookies.append(_cookie(services, FORM_COOKIE, seed, max_age_s=3600))
    return answer


@get("/sign-in", include_in_schema=False, opt={PUBLIC: True})
async def show_sign_in(request: Request[Any, Any, Any]) -> Response[str]:
    """The form."""
    return _form(request, wanted=_return_path(request.query_params.get("next", "/")))


@post("/sign-in", include_in_schema=False, opt={PUBLIC: True})
async def sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
    """A new session for the right password; the same answer, after the same work, for everything else."""
    services = services_of(request)
    form = await request.form()
    email, password = str(form.get("email", "")).strip()[:254], str(form.get("password", ""))
    wanted = _return_path(str(form.get("next", "/")))
    require_same_site(request, services)
    seed = request.cookies.get(FORM_COOKIE, "")
    if not seed or not _same(str(form.get(CSRF_FIELD, "")), _form_token(services, seed)):
        return _form(request, status=403, problem="The form was too old. Try again.", email=email, wanted=wanted)
    address = address_of(request)
    async with services.pool.acquire() as connection:
        await _count_try(connection, email, address)
        found = await users.find_login(connection, email)
    # No connection is held while the password is checked: that takes a while, on purpose.
    if not await credentials.matches(found[1] if found else None, password) or found is None:
        async with services.pool.acquire() as connection, connection.transaction():
            await _record(connection, "sign_in.refused", found[0] if found else None, address)
        return _form(request, status=401, problem=_NOT_RIGHT, email=email, wanted=wanted)
    token = await _start_session(request, services, found[0], found[1], password, email, address)
    if token is None:
        return _form(request, status=401, problem=_NOT_RIGHT, email=email, wanted=wanted)
    answer: Response[Any] = Redirect(path=wanted, status_code=303)
    valid_s = services.settings.api.session_valid_h * 3600
    answer.cookies.append(_cookie(services, SESSION_COOKIE, token, max_age_s=valid_s))
    answer.cookies.append(_cookie(services, FORM_COOKIE, "", max_age_s=0))
    return answer


def _account(email: str, *more: str) -> str:
    return limits.subject("sign-in-account", email.casefold(), *more)


async def _count_try(connection: Connection, email: str, address: str) -> None:
    for subject, limit in (
        (limits.subject("sign-in-address", address), TRIES_PER_ADDRESS),
        (_account(email), TRIES_PER_ACCOUNT),
        (_account(email, address), TRIES_PER_ACCOUNT_AND_ADDRESS),
    ):
        (await limits.take(connection, subject, limit=limit, window_s=TRIES_WINDOW_S)).require_room()


async def _start_session(
    request: Request[Any, Any, Any],
    services: Services,
    user: User,
    password_hash: str,
    password: str,
    email: str,
    address: str,
) -> str | None:
    """A fresh token at every sign-in; one that the browser brought along is closed, whoever gave it to it.

    None when the user was disabled, or got another password, in this very moment.
    """
    brought = request.cookies.get(SESSION_COOKIE, "")
    async with services.pool.acquire() as connection:
        await limits.forgive(connection, _account(email, address))
        async with connection.transaction():
            if credentials.is_dated(password_hash):
                password_hash = await users.renew_hash(connection, user.id, password_hash, password)
            if brought:
                await users.close_session(connection, brought)
            valid_h = services.settings.api.session_valid_h
            opened = await users.open_session(connection, user.id, password_hash, valid_h=valid_h)
            await _record(connection, "sign_in.ok" if opened else "sign_in.refused", user, address)
    return opened[0] if opened else None


async def _record(connection: Connection, action: str, user: User | None, address: str) -> None:
    """In the audit log. An address that nobody has is not written down: people type passwords into the wrong field."""
    actor, subject = (user.email, f"user:{user.id}") if user else ("unknown", "user:unknown")
    await audit.append(connection, actor=actor, action=action, subject=subject, data={"address": address})


@post("/sign-out", include_in_schema=False, opt={WITH_GIVEN_PASSWORD: True})
async def sign_out(request: Request[Any, Any, Any]) -> Response[Any]:
    """Ends the session here and everywhere its cookie was copied to."""
    services = services_of(request)
    user = session_of(request).user
    address = address_of(request)
    async with services.pool.acquire() as connection, connection.transaction():
        await users.close_session(connection, request.cookies.get(SESSION_COOKIE, ""))
        await _record(connection, "sign_out", user, address)
    answer: Response[Any] = Redirect(path="/sign-in", status_code=303)
    answer.cookies.append(_cookie(services, SESSION_COOKIE, "", max_age_s=0))
    return answer


@post("/session/active", include_in_schema=False, status_code=204)
async def still_here(request: Request[Any, Any, Any]) -> None:
    """The page says that somebody moved a mouse or pressed a key: passing the guard was the point."""
    del request


def field(form: Any, name: str, *, length_max: int) -> str:
    """A line of text from a form; raises `InvalidInputError` when it is empty, too long or not printable."""
    value = form.get(name)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or len(text) > length_max or not text.isprintable():
        raise InvalidInputError(f"Write 1 to {length_max} printable characters into “{name}”.")
    return text


ERROR_PAGES: Final[ExceptionHandlersMap] = {
    SignedOutError: to_sign_in,
    GivenPasswordError: to_own_password,
    Exception: error_page,
}
