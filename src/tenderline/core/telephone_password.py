"""What is kept of a telephone's password: HA1 of digest authentication (RFC 3261, 22; RFC 8760)."""

from __future__ import annotations

import hashlib

REALM = "tenderline"
ALGORITHMS = ("SHA-256", "MD5")
"""The better one first; MD5 is all that older telephones know."""


def digest(text: str, algorithm: str) -> str:
    """The hash of a text, in hexadecimal."""
    data = text.encode()
    return (
        hashlib.sha256(data).hexdigest()
        if algorithm == "SHA-256"
        else hashlib.md5(data, usedforsecurity=False).hexdigest()
    )


def ha1(user: str, password: str, algorithm: str, realm: str = REALM) -> str:
    """Enough to check an answer, and to give one; keep it as a password is kept."""
    return digest(f"{user}:{realm}:{password}", algorithm)
