"""How webhooks of ours are signed: Standard Webhooks 1.0 (standardwebhooks.com), symmetric, version v1.

A receiver takes HMAC-SHA256 over `id.timestamp.body` with the bytes behind `whsec_`, and accepts any signature of the
header that fits. Two secrets sign while one is changed for another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # how a secret begins
SECRET_BYTES: Final = 32  # the specification asks for 24 to 64
_SECRET_BYTES_MIN, _SECRET_BYTES_MAX = 24, 64


def new_secret() -> str:
    """A secret as a receiver is given it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def key_of(secret: str) -> bytes:
    """The bytes that sign; raises `ValueError` when it is no such secret."""
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError("a secret begins with whsec_")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("what follows whsec_ is base64") from error
    if not _SECRET_BYTES_MIN <= len(key) <= _SECRET_BYTES_MAX:
        raise ValueError(f"a secret has {_SECRET_BYTES_MIN} to {_SECRET_BYTES_MAX} bytes")
    return key


def message_name(message_id: UUID) -> str:
    """The webhook-id: the same for every try of a message, whoever sends it."""
    return f"msg_{message_id.hex}"


def signature(key: bytes, name: str, at_unix_s: int, body: bytes) -> str:
    """One signature, as it stands in the header."""
    signed = f"{name}.{at_unix_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")


def headers(message_id: UUID, at_unix_s: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The three headers of one try. The first key is the one that stays."""
    assert keys, "a webhook is never sent unsigned"
    name = message_name(message_id)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at_unix_s),
        "webhook-signature": " ".join(signature(key, name, at_unix_s, body) for key in keys),
    }
