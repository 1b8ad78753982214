"""Where a webhook may go. Its address is an attack until it is checked: it must not lead into our own network.

Checked when it is added, and again at every try: its name is resolved, each address is looked at, and the connection
goes to exactly those addresses, so that a name which changes its mind in between leads nowhere.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from tenderline.core.client_address import Network
from tenderline.core.errors import InvalidInputError

URL_LENGTH_MAX: Final = 2_048
ADDRESSES_MAX: Final = 32
LOOKUP_TIMEOUT_S: Final = 10.0
PORT_UNPRIVILEGED_MIN: Final = 1_024
"""Below lie mail servers, name servers and the like, which a crafted body must not reach."""
Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host's name; raises `OSError` when it has none."""

# IANA's registries of special-purpose addresses, and two that clouds use for their machines' own data.
_REFUSED_V4: Final = tuple(
    ip_network(one)
    for one in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure; the others' are link-local or shared
    )
)
# Of IPv6 only what is handed out as global unicast is public, less what stands for something else in it.
_GLOBAL_V6: Final = ip_network("2000::/3")
_REFUSED_V6: Final = tuple(ip_network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64: Final = ip_network("64:ff9b::/96")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?")
_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::[0-9]{1,5})?")
_NUMERIC_END = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?$")


class AddressRefusedError(InvalidInputError):
    """The webhook's address is not one that may be called; use https and a public host."""

    code = "webhook_address_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator lets pass: networks of hers, and plain http to this machine."""

    allowed: Sequence[Network] = ()
    http_on_loopback: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that has the right form. `literal` when its host is an address and no name."""

    url: str
    scheme: str
    host: str
    port: int
    literal: Address | None


def target_of(url: str, policy: Policy) -> Target:
    """Looks at the URL alone; raises `AddressRefusedError`."""
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefusedError(f"A webhook's address has up to {URL_LENGTH_MAX} printable ASCII characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefusedError("The webhook's address cannot be read as a URL.") from None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme != "https" and not (scheme == "http" and policy.http_on_loopback):
        raise AddressRefusedError("A webhook's address begins with https://.")
    if parts.username is not None or parts.password is not None:
        raise AddressRefusedError("A webhook's address holds no user name or password: it is shown in lists.")
    if parts.fragment or "#" in url:
        raise AddressRefusedError("A webhook's address has no part behind a #.")
    if _PLACE.fullmatch(parts.netloc) is None:
        raise AddressRefusedError("The webhook's address names no host, or it can be read in two ways.")
    literal = _literal(host)
    if literal is None and (_NAME.fullmatch(host) is None or len(host) > 253 or _NUMERIC_END.search(host)):
        # Resolvers read 127.1, 0x7f000001 and 2130706433 as addresses: what ends in a number must be one in full.
        raise AddressRefusedError(f"{host[:64]!r} is neither a host's name nor an address in its usual form.")
    number = (443 if scheme == "https" else 80) if port is None else port
    if number < PORT_UNPRIVILEGED_MIN and number != (443 if scheme == "https" else 80):
        raise AddressRefusedError(f"A webhook goes to port 443, or to one from {PORT_UNPRIVILEGED_MIN} on.")
    return Target(url, scheme, host, number, literal)


def _literal(host: str) -> Address | None:
    if "%" in host:
        return None
    try:
        return ip_address(host)
    except ValueError:
        return None


def require_allowed(address: str, target: Target, policy: Policy) -> Address:
    """One address of a target's host, if it may be connected to; raises `AddressRefusedError`."""
    try:
        found = ip_address(address)
    except ValueError:  # with a zone: fe80::1%eth0
        raise AddressRefusedError(
            f"{target.host} has an address that is only of one of this machine's networks."
        ) from None
    meant = _meant(found)
    if target.scheme == "http":
        if not meant.is_loopback:
            raise AddressRefusedError(f"{target.host} is not this machine: use https.")
        return found
    is_mapped = isinstance(found, IPv6Address) and found.ipv4_mapped is not None  # no name server says that in earnest
    if (_is_public(meant) and not is_mapped) or any(
        one in network for one in (found, meant) for network in policy.allowed
    ):
        return found
    raise AddressRefusedError(
        f"{target.host} leads to a private address; if it is meant, put its network into webhooks.allowed_networks."
    )


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4 if isinstance(network, IPv4Network))
    return address in _GLOBAL_V6 and not any(
        address in network for network in _REFUSED_V6 if isinstance(network, IPv6Network)
    )


async def resolve(target: Target, policy: Policy, lookup: Lookup | None = None) -> list[Address]:
    """The addresses to connect to, all of them checked: one that may not be called spoils the others.

    Raises `AddressRefusedError`, or `OSError` when the name is not known.
    """
    if target.literal is not None:
        return [require_allowed(str(target.literal), target, policy)]
    found = list(dict.fromkeys(await (lookup or _look_up)(target.host, target.port)))
    if not found:
        raise OSError(f"{target.host} has no address")
    return [require_allowed(one, target, policy) for one in found[:ADDRESSES_MAX]]


async def require_usable(url: str, policy: Policy, lookup: Lookup | None = None) -> None:
    """For somebody who adds an address: raises `AddressRefusedError`, also when the host's name is not known."""
    target = target_of(url, policy)
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            await resolve(target, policy, lookup)
    except OSError:  # a time-out is one too
        raise AddressRefusedError(f"The name {target.host} is not known here; check it, or the name server.") from None


async def _look_up(host: str, port: int) -> list[str]:
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]
