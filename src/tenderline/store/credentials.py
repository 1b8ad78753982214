"""Passwords and secrets are kept as argon2id hashes, tokens as SHA-256: a stolen table signs nobody in.

Argon2 is slow on purpose, so it runs in threads of its own and few at a time. A password or secret for somebody unknown
costs the same work as a wrong one: the answer's time tells nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SECRET_LENGTH_MAX = 1024
TOKEN_BYTES = 32
AT_ONCE_MAX = 2
NICE = 10


def _give_way() -> None:
    """A voice node hashes PINs while it sends audio every 20 ms: the threads that hash come after those that send."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


_hasher = PasswordHasher()  # RFC 9106, second recommended parameters: 64 MiB, 3 passes
_threads = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="argon2", initializer=_give_way)


@cache
def _decoy() -> str:
    return _hasher.hash(secrets.token_urlsafe(TOKEN_BYTES))


def _verify(stored: str, given: str) -> bool:
    try:
        return _hasher.verify(stored, given)
    except (VerificationError, InvalidHashError):
        return False


def _matches(stored: str | None, given: str) -> bool:
    fits = _verify(_decoy() if stored is None else stored, given[:SECRET_LENGTH_MAX])
    return fits and stored is not None and len(given) <= SECRET_LENGTH_MAX


async def hash_secret(secret: str) -> str:
    """The argon2id hash of a password or a client secret."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, secret)


async def matches(stored: str | None, given: str) -> bool:
    """Whether `given` is what was hashed as `stored`; None (nobody of that name) takes as long and says no."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _matches, stored, given)


def is_dated(stored: str) -> bool:
    """Whether a hash was made with weaker parameters than today's, and should be made anew."""
    return _hasher.check_needs_rehash(stored)


def new_token() -> str:
    """256 random bits, in letters that need no quoting anywhere."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_hash(token: str) -> bytes:
    """What is stored of a token: it is random, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
