"""Who is calling, behind the proxies of the operator's own: what limits count by and the audit log notes.

X-Forwarded-For is written by everybody on the way, the caller first; only what a trusted proxy appended is worth
something. So it is read from the right, and no further than the first address that is not trusted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

HOPS_MAX: Final = 20
"""Proxies in a row that are looked through."""
_HOP_CHARACTERS_MAX: Final = 64
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The caller's address: the peer's own, or what trusted proxies say (`X-Forwarded-For` headers in their order).

    It is the rightmost address that is not itself trusted. Where a trusted proxy wrote something that is no address,
    nothing to the left of that counts either.
    """
    nearest = _address(peer)
    if nearest is None:
        return peer
    hops = ",".join(forwarded_for).rsplit(",", HOPS_MAX)[-HOPS_MAX:]
    while hops and _is_within(nearest, trusted):
        told = _address(hops.pop())
        if told is None:
            break
        nearest = told
    return str(nearest)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """One address, with or without a port; an IPv4 address in IPv6's clothes is one."""
    text = text.strip()
    if len(text) > _HOP_CHARACTERS_MAX or "%" in text:
        return None
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_within(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
