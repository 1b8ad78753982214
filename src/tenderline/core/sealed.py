"""Secrets that have to be read again, kept so that the database alone does not give them away.

AES-256-GCM with a key that is derived from `secret_key` and never stored beside them. What a secret belongs to is bound
into it: one that is copied to another row cannot be opened there.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenderline.core.errors import TenderlineError

NONCE_BYTES: Final = 12


class SealBrokenError(TenderlineError):
    """A kept secret cannot be opened: secret_key is not what sealed it; put that back, or make a new secret."""

    code = "seal_broken"


def seal(key: bytes, secret: bytes, *, of: bytes) -> bytes:
    """`secret`, readable only with `key` and for what it belongs to."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret, of)


def unseal(key: bytes, sealed: bytes, *, of: bytes) -> bytes:
    """What was sealed; raises `SealBrokenError`."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], of)
    except (InvalidTag, ValueError):
        raise SealBrokenError() from None
