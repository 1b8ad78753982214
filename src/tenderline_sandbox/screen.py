"""How the sandbox's pages are rendered: Jinja with everything escaped, and nothing inline that a policy must allow."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import phonenumbers
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from phonenumbers import timezone as zones_of_prefix

POLICY: Final = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
MAIL_POLICY: Final = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'"
)
"""For somebody else's HTML: no script, no form, nothing fetched; its own inline styles are all it gets."""

_LINK: Final = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)
_LINK_END: Final = ".,;:!?)]}"
_UNKNOWN_ZONE: Final = "Etc/Unknown"


def render(template: str, *, status: int = 200, **context: object) -> web.Response:
    """The page made from `template`, never cached: it shows what is true now."""
    page = _environment().get_template(template).render(**context)
    return web.Response(text=page, status=status, content_type="text/html", headers={"Cache-Control": "no-store"})


def links(text: str) -> list[str]:
    """The web addresses in `text`, in order, each once."""
    return list(dict.fromkeys(match.group().rstrip(_LINK_END) for match in _LINK.finditer(text)))


def linked(text: str) -> Markup:
    """`text` escaped, with its web addresses clickable. Only http and https: a message must not smuggle a script."""
    parts: list[Markup] = []
    done = 0
    for match in _LINK.finditer(text):
        url = match.group().rstrip(_LINK_END)
        parts.append(escape(text[done : match.start()]))
        anchor = Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>')
        parts.append(anchor.format(url))
        done = match.start() + len(url)
    parts.append(escape(text[done:]))
    return Markup("").join(parts)


@lru_cache(maxsize=4_096)
def likely_zone(number: str) -> str | None:
    """The time zone of a number whose prefix lies in one only; None when it could be several."""
    try:
        found: tuple[str, ...] = tuple(zones_of_prefix.time_zones_for_number(phonenumbers.parse(number, None)))
    except phonenumbers.NumberParseException:
        return None
    return found[0] if len(found) == 1 and found[0] != _UNKNOWN_ZONE else None


def local(moment: datetime, zone: str | None) -> datetime:
    """`moment` on a clock in `zone`; UTC when the zone is not known."""
    return moment.astimezone(ZoneInfo(zone) if zone else UTC)


def clock(moment: datetime, zone: str | None = None) -> str:
    """Hours and minutes."""
    return f"{local(moment, zone):%H:%M}"


def day(moment: datetime, zone: str | None = None) -> str:
    """The day, as a letterhead writes it."""
    there = local(moment, zone)
    return f"{there:%A}, {there.day} {there:%B}"


def phone(number: str) -> str:
    """A number as people of its country group it."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return number
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tenderline_sandbox"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {"linked": linked, "links": links, "clock": clock, "day": day, "phone": phone}
    environment.filters.update(filters)
    return environment
