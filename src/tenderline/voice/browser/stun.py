"""STUN as an ICE-lite agent needs it (RFC 8489, RFC 8445): read a connectivity check, believe it, answer it.

Nobody gets an answer who does not know the password of the session, so a forged check costs us one HMAC and nothing
leaves to its source.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Final

COOKIE: Final = 0x2112A442
HEADER_BYTES: Final = 20
MESSAGE_BYTES_MAX: Final = 1_280
ATTRIBUTES_MAX: Final = 32

REQUEST: Final = 0x0001
RESPONSE: Final = 0x0101

_USERNAME: Final = 0x0006
_INTEGRITY: Final = 0x0008
_XOR_MAPPED_ADDRESS: Final = 0x0020
_PRIORITY: Final = 0x0024
_USE_CANDIDATE: Final = 0x0025
_FINGERPRINT: Final = 0x8028
_ICE_CONTROLLING: Final = 0x802A
_FINGERPRINT_XOR: Final = 0x5354554E
_INTEGRITY_BYTES: Final = 24

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class Check:
    """A message that was proven: what it is, whose it is, and whether the pair is the one that is used."""

    kind: int
    transaction: bytes
    username: str
    nominates: bool


def read(data: bytes, password: str) -> Check | None:
    """The message, if its integrity holds under this password; None for anything else."""
    if not HEADER_BYTES <= len(data) <= MESSAGE_BYTES_MAX:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if cookie != COOKIE or length % 4 or HEADER_BYTES + length != len(data):
        return None
    username, nominates, at = "", False, HEADER_BYTES
    for _ in range(ATTRIBUTES_MAX):
        if at + _ATTRIBUTE.size > len(data):
            return None
        name, size = _ATTRIBUTE.unpack_from(data, at)
        value = data[at + _ATTRIBUTE.size : at + _ATTRIBUTE.size + size]
        if len(value) != size:
            return None
        if name == _INTEGRITY:
            # What comes after the integrity is not covered by it, so it is not read.
            known = hmac.compare_digest(value, _integrity(data[:at], password))
            return Check(kind, transaction, username, nominates) if known else None
        if name == _USERNAME:
            username = value.decode("utf-8", "replace")
        nominates = nominates or name == _USE_CANDIDATE
        at += _ATTRIBUTE.size + size + (-size % 4)
    return None


def answer(check: Check, password: str, source: tuple[str, int]) -> bytes:
    """The answer to a check: where it came from as we see it."""
    address = ipaddress.ip_address(source[0])
    mask = COOKIE.to_bytes(4, "big") + check.transaction
    packed = bytes(one ^ other for one, other in zip(address.packed, mask, strict=False))
    port = source[1] ^ (COOKIE >> 16)
    mapped = struct.pack("!BBH", 0, 1 if address.version == 4 else 2, port) + packed
    return _message(RESPONSE, check.transaction, [(_XOR_MAPPED_ADDRESS, mapped)], password)


def request(username: str, password: str) -> bytes:
    """A check as a browser sends it: it controls, and nominates at once. For telephones that try browsers' ways."""
    attributes = [
        (_USERNAME, username.encode()),
        (_ICE_CONTROLLING, os.urandom(8)),
        (_PRIORITY, struct.pack("!I", 0x6E0001FF)),
        (_USE_CANDIDATE, b""),
    ]
    return _message(REQUEST, os.urandom(12), attributes, password)


def _message(kind: int, transaction: bytes, attributes: list[tuple[int, bytes]], password: str) -> bytes:
    body = b"".join(_attribute(name, value) for name, value in attributes)
    head = _HEADER.pack(kind, len(body), COOKIE, transaction)
    body += _attribute(_INTEGRITY, _integrity(head + body, password))
    whole = _HEADER.pack(kind, len(body) + 8, COOKIE, transaction) + body
    return whole + _attribute(_FINGERPRINT, struct.pack("!I", zlib.crc32(whole) ^ _FINGERPRINT_XOR))


def _attribute(name: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(name, len(value)) + value + b"\x00" * (-len(value) % 4)


def _integrity(before: bytes, password: str) -> bytes:
    """HMAC-SHA1 over the message up to here, its length counted as if it ended with the integrity (RFC 8489, 14.5)."""
    length = len(before) - HEADER_BYTES + _INTEGRITY_BYTES
    return hmac.digest(password.encode(), before[:2] + struct.pack("!H", length) + before[4:], "sha1")
