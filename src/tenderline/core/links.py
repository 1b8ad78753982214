"""Signed links for payers: they name nobody, say what they are for, and stop working.

A link carries an opaque id and the instant it ends, both under an HMAC-SHA256 cut to 128 bits (RFC 2104, section 5:
no less than half of the output). No name, number or amount is in it: links end up in browser histories, in proxies'
logs and in forwarded messages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

from tenderline.core.errors import TenderlineError

KEY_BYTES_MIN: Final = 32
PAYLOAD_BYTES_MIN: Final = 16
PAYLOAD_BYTES_MAX: Final = 32
EXPIRES_BYTES: Final = 4  # unsigned seconds: until the year 2106
MAC_BYTES: Final = 16

_TOKEN_BYTES_MIN: Final = PAYLOAD_BYTES_MIN + EXPIRES_BYTES + MAC_BYTES
_TOKEN_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + EXPIRES_BYTES + MAC_BYTES
_VERSION: Final = b"tenderline link 1"
_PURPOSE = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{_TOKEN_BYTES_MIN * 4 // 3},{-(-_TOKEN_BYTES_MAX * 4 // 3)}}}", re.ASCII)


class InvalidLinkError(TenderlineError):
    """This link is not complete; open it from the message again, or ask the sender for a new one."""

    code = "link.invalid"
    status = 404


class ExpiredLinkError(TenderlineError):
    """This link has ended; ask the sender for a new one."""

    code = "link.expired"
    status = 410


def sign(key: bytes, purpose: str, payload: bytes, expires_unix_s: int) -> str:
    """A URL-safe token for `payload` (an id of 16 to 32 bytes) that works for `purpose` until `expires_unix_s`.

    48 characters for one UUID, 64 for 28 bytes, 70 for two UUIDs. Raises `ValueError` when the caller is mistaken.
    """
    if not PAYLOAD_BYTES_MIN <= len(payload) <= PAYLOAD_BYTES_MAX:
        raise ValueError(f"a link holds {PAYLOAD_BYTES_MIN} to {PAYLOAD_BYTES_MAX} bytes, not {len(payload)}")
    if not 0 <= expires_unix_s < 1 << 8 * EXPIRES_BYTES:
        raise ValueError("a link ends between 1970 and 2106")
    content = expires_unix_s.to_bytes(EXPIRES_BYTES, "big") + payload
    return base64.urlsafe_b64encode(content + _mac(key, purpose, content)).rstrip(b"=").decode("ascii")


def verify(key: bytes, purpose: str, token: str, now_unix_s: float) -> bytes:
    """The payload of a token made by `sign` with the same key and purpose.

    Raises `InvalidLinkError` for every other string, whatever it holds, and `ExpiredLinkError` for a true one whose
    time is over: that it once was true is told only to those who hold it.
    """
    if not _TOKEN.fullmatch(token):
        raise InvalidLinkError()
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidLinkError() from None
    if not _TOKEN_BYTES_MIN <= len(raw) <= _TOKEN_BYTES_MAX or not _is_canonical(token, raw):
        raise InvalidLinkError()
    content, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, purpose, content)):
        raise InvalidLinkError()
    if now_unix_s >= int.from_bytes(content[:EXPIRES_BYTES], "big"):
        raise ExpiredLinkError()
    return content[EXPIRES_BYTES:]


def _is_canonical(token: str, raw: bytes) -> bool:
    """Whether the bits that base64 leaves unused are zero, so that one payload has one token (RFC 4648, 3.5)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") == token


def _mac(key: bytes, purpose: str, content: bytes) -> bytes:
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"a signing key has {KEY_BYTES_MIN} bytes or more")
    if not _PURPOSE.fullmatch(purpose):
        raise ValueError("a purpose is a short lower-case word")
    label = purpose.encode("ascii")
    return hmac.digest(key, b"\x00".join((_VERSION, label, content)), hashlib.sha256)[:MAC_BYTES]
