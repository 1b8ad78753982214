"""A gateway's address, taken apart; anything unusual in it is refused, not repaired."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tenderline.cardholder.wire import GatewayTarget

ADDRESSES_MAX: Final = 4

_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~%+-]*)*")
_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.?|[0-9a-fA-F:]{2,45}")


class AskedInVainError(Exception):
    """No answer that could be read; the text is of our own words."""


class Where(NamedTuple):
    """`tls` is missing on loopback only."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """As HTTP wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def check(self, address: str) -> None:
        """Without TLS, loopback addresses only, whatever the name says."""
        if not self.tls and not ipaddress.ip_address(address).is_loopback:
            raise AskedInVainError("plain HTTP goes to this machine only; the gateway's address must begin with https")


def where_is(target: GatewayTarget, path: str = "") -> Where:
    """Where this gateway takes what belongs to `path`."""
    try:
        parts = urlsplit(target.url)
        port = parts.port
    except ValueError:
        raise AskedInVainError("the gateway's address cannot be read") from None
    host, whole = parts.hostname or "", parts.path.rstrip("/") + path
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(whole) or parts.query or parts.fragment or "@" in parts.netloc:
        raise AskedInVainError("the gateway's address must be https://HOST[:PORT][/PATH]")
    if parts.scheme == "https":
        return Where(True, host, port or 443, whole or "/")
    if parts.scheme == "http" and target.plain_http_on_loopback:
        return Where(False, host, port or 80, whole or "/")
    raise AskedInVainError("the gateway's address must be https://HOST[:PORT][/PATH]")
