"""Digest authentication of those who call us (RFC 3261, 22; RFC 8760): SHA-256, and MD5 for older telephones.

A nonce carries its own time under our key, so nothing is stored for those who never answer it; each may count up once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from tenderline.core.telephone_password import ALGORITHMS, digest

NONCE_VALID_S = 300
NONCES_MAX = 10_000
_FIELD = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


def fields(header: str) -> dict[str, str]:
    """The fields of an Authorization header; empty when it is not Digest."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "digest" or len(header) > 4_096:
        return {}
    return {name.lower(): quoted or bare for name, quoted, bare in _FIELD.findall(rest)}


class Realm:
    """Challenges, and checks what comes back."""

    def __init__(
        self,
        name: str,
        key: bytes,
        clock: Callable[[], float] = time.time,
        *,
        algorithms: tuple[str, ...] = ALGORITHMS,
    ) -> None:
        self.name, self._key, self._clock, self._algorithms = name, key, clock, algorithms
        self._counts: OrderedDict[str, int] = OrderedDict()

    def challenges(self, *, stale: bool = False) -> list[str]:
        """Values for WWW-Authenticate, the better algorithm first."""
        nonce = self._nonce()
        end = ", stale=true" if stale else ""
        begin = f'Digest realm="{self.name}", nonce="{nonce}"'
        return [f'{begin}, algorithm={one}, qop="auth"{end}' for one in self._algorithms]

    def _nonce(self) -> str:
        body = f"{int(self._clock()):x}.{secrets.token_hex(8)}"
        return f"{body}.{self._sign(body)}"

    def _sign(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()[:32]

    def is_fresh(self, nonce: str) -> bool:
        """Whether we made it, lately."""
        body, _, signature = nonce.rpartition(".")
        if not hmac.compare_digest(self._sign(body), signature):
            return False
        made = body.partition(".")[0]
        return 0 <= self._clock() - int(made, 16) <= NONCE_VALID_S

    def accepts(self, given: dict[str, str], method: str, secrets_of: Callable[[str], str | None]) -> bool:
        """Whether the answer is right and new. `secrets_of` gives HA1 for an algorithm, or None for nobody known."""
        algorithm = given.get("algorithm", "MD5").upper()
        nonce, count = given.get("nonce", ""), given.get("nc", "")
        if algorithm not in self._algorithms or given.get("qop") != "auth" or given.get("realm") != self.name:
            return False
        if not self.is_fresh(nonce) or not re.fullmatch(r"[0-9a-fA-F]{8}", count):
            return False
        kept = secrets_of(algorithm)
        known = kept is not None
        ha2 = digest(f"{method}:{given.get('uri', '')}", algorithm)
        text = f"{kept or 'nobody'}:{nonce}:{count}:{given.get('cnonce', '')}:auth:{ha2}"
        right = hmac.compare_digest(digest(text, algorithm), given.get("response", "").lower())
        return right and known and self._is_new(nonce, int(count, 16))

    def _is_new(self, nonce: str, count: int) -> bool:
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        if len(self._counts) > NONCES_MAX:
            self._counts.popitem(last=False)
        return True
