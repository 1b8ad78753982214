"""What every page has in common: templates, static files, the headers that keep a browser in line, and error pages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Final

import asyncpg
import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request, Response, get
from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.params import FromPath
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from tenderline.app import Services
from tenderline.core.client_address import client_address
from tenderline.core.errors import (
    BodyTooLargeError,
    DatabaseUnavailableError,
    NotFoundError,
    RateLimitedError,
    TenderlineError,
)
from tenderline.core.ids import uuid7
from tenderline.desk import agent_desk, rule_words, words

log = structlog.get_logger(__name__)

HTML: Final = "text/html"
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)
_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "x-robots-tag": "noindex, nofollow",
}
_HSTS: Final = "max-age=31536000"
_MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".json": "application/json",
}
_DATABASE_AWAY = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file, held in memory: there are few, and only what is listed can be asked for."""

    body: bytes
    media_type: str
    version: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every static file by its path below /static."""
    found: dict[str, Asset] = {}
    root = resources.files("tenderline.web").joinpath("static")
    for prefix, folder in (("", root), ("vendor/", root.joinpath("vendor"))):
        for entry in folder.iterdir():
            suffix = entry.name[entry.name.rfind(".") :]
            if entry.is_file() and suffix in _MEDIA_TYPES:
                body = entry.read_bytes()
                found[prefix + entry.name] = Asset(body, _MEDIA_TYPES[suffix], hashlib.sha256(body).hexdigest()[:12])
    return found


def static_url(name: str) -> str:
    """The address of a static file, with a version in it, so that browsers may keep it for good."""
    return f"/static/{name}?v={assets()[name].version}"


@get("/static/{name:path}", include_in_schema=False, opt={"public": True})
async def static_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """One static file."""
    asset = assets().get(str(name).lstrip("/"))
    if asset is None:
        raise NotFoundError()
    is_pinned = request.query_params.get("v") == asset.version
    kept = "public, max-age=31536000, immutable" if is_pinned else "no-cache"
    return Response(asset.body, media_type=asset.media_type, headers={"Cache-Control": kept})


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S}"


def day(at: datetime) -> str:
    """`21 Nov 2026`, by UTC."""
    return f"{at.astimezone(UTC):%-d %b %Y}"


def lasting(seconds: int) -> str:
    """`3:07`, `1:02:09`."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _machine(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@cache
def environment() -> Environment:
    """The templates. A missing value is an error, never an empty place; everything is escaped."""
    made = Environment(
        loader=PackageLoader("tenderline.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.globals["static_url"] = static_url
    made.filters |= {"clock": _clock, "day": day, "lasting": lasting, "machine": _machine, "short": words.short_instant}
    made.filters |= {"exact": words.instant, "rule_channel": rule_words.channel, "purpose": rule_words.purpose}
    made.filters |= {"spoken": agent_desk.spoken}
    made.filters |= {"week_words": rule_words.week_in_words, "day_words": rule_words.day_in_words}
    made.filters |= {"words": words.reason, "channel": words.channel, "state_name": words.state_name}
    return made


template_config = TemplateConfig(instance=JinjaTemplateEngine.from_environment(environment()))


def render(name: str, **values: Any) -> str:
    """A template filled in."""
    return environment().get_template(name).render(**values)


def page(name: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any) -> Response[str]:
    """A template filled in, as an answer."""
    return Response(render(name, **values), status_code=status, media_type=HTML, headers=headers)


def lead_to(url: str) -> Response[str]:
    """A page that leads on to another site, after a form of ours was posted.

    A redirect would not get there: `form-action 'self'` holds for where a form's redirects end, too (in Chromium).
    """
    assert url.startswith(("https://", "http://")), url
    return page("leaving.html", url=url)


def services_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    """The running system's parts."""
    services: Services = connection.app.state.services
    return services


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The caller's network address, as far as it is known here."""
    peer = connection.client.host if connection.client else "unknown"
    told = connection.headers.getall("x-forwarded-for", [])
    return client_address(peer, told, services_of(connection).settings.api.trusted_proxies)


def is_https(services: Services) -> bool:
    """Whether people reach this system by https: TLS ends in front of it, so the request itself cannot tell."""
    return services.settings.public_url.startswith("https://")


class SecurityHeaders(ASGIMiddleware):
    """Puts the headers on every answer, errors too, unless a handler has set one of its own."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Passes the request on."""
        wanted = dict(_HEADERS)
        if is_https(scope["litestar_app"].state.services):
            wanted["strict-transport-security"] = _HSTS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders.from_message(message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await next_app(scope, receive, send_with_headers)


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Whether a person with a browser asks, and not a program."""
    path = request.scope["path"]
    is_for_programs = path.startswith(("/api/", "/oauth/", "/health/", "/webhooks/")) or path == "/openapi.json"
    return not is_for_programs and "text/html" in request.headers.get("accept", "")


def error_page(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The page for whatever was raised while `request` was served; a defect shows its id and nothing else."""
    headers: dict[str, str] = {}
    if isinstance(error, _DATABASE_AWAY):
        error = DatabaseUnavailableError()
    if isinstance(error, TenderlineError) and (error.status < 500 or error.status == 503):
        status, detail = error.status, error.detail
        if isinstance(error, RateLimitedError):
            headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, HTTPException) and error.status_code < 500:
        status = error.status_code
        told: dict[int, type[TenderlineError]] = {404: NotFoundError, 413: BodyTooLargeError}
        unread = "The browser's request cannot be read; go back and retry."
        detail = told[status]().detail if status in told else unread
        headers |= {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    else:
        error_id = uuid7()
        log.error(
            "page failed", error_id=str(error_id), method=request.method, path=request.scope["path"], exc_info=error
        )
        status, detail = 500, f"Something went wrong inside Tenderline. Give your engineer this id: {error_id}"
    return page("error.html", status=status, headers=headers, title=_TITLES.get(status, "Not possible"), detail=detail)


_TITLES: Final = {
    403: "Not allowed",
    404: "Not found",
    409: "Too late",
    429: "Too many tries",
    500: "Something went wrong",
    503: "Not available",
}
