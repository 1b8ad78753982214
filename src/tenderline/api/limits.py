"""Rate limits at the edge: who is counted, and the headers that tell where they stand.

Behind a proxy that is not in `api.trusted_proxies` every caller without a token has the proxy's address: such callers
share one window.
"""

from __future__ import annotations

from typing import Any, Final

from litestar.connection import ASGIConnection

from tenderline.app import Services
from tenderline.core.client_address import client_address
from tenderline.store.limits import Window

TOKENS_PER_CLIENT_MAX: Final = 60
"""Token requests of one client id in a minute. A token lives for an hour: a client needs one."""
TOKENS_PER_ADDRESS_MAX: Final = 120

LIMIT, REMAINING, RESET = "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The caller's network address, as far as it is known here."""
    services: Services = connection.app.state.services
    peer = connection.client.host if connection.client else "unknown"
    told = connection.headers.getall("x-forwarded-for", [])
    return client_address(peer, told, services.settings.api.trusted_proxies)


def headers_of(window: Window) -> dict[str, str]:
    """The window as headers; the reset is in seconds from now."""
    return {LIMIT: str(window.limit), REMAINING: str(window.remaining), RESET: str(window.reset_s)}
