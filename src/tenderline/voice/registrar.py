"""Telephones of agents: who may register, and where each is reached."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tenderline.core.telephone_password import ALGORITHMS, REALM
from tenderline.store.lines import Telephone
from tenderline.voice import digest, sip_text
from tenderline.voice.sip_limits import SourceLimits
from tenderline.voice.sip_text import Message

log: structlog.stdlib.BoundLogger = structlog.get_logger()

EXPIRES_S_MIN = 30
EXPIRES_S_MAX = 3_600
EXPIRES_S_USUAL = 300

_CONTACT = re.compile(r"<?sips?:(?:([^@;>]*)@)?(\[[0-9a-fA-F:]+\]|[^:;>]+)(?::(\d+))?")

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Binding:
    """A telephone that is registered: how it is reached, and until when."""

    name: str
    user: str
    source: tuple[str, int]
    contact: str
    expires_at: float
    call_id: str
    sequence: int

    @property
    def is_direct(self) -> bool:
        """Whether its own address is the one it was heard from, so that every node reaches it: nothing between
        translates addresses. An edge names itself, without a port."""
        named = _CONTACT.search(self.contact)
        host, port = self.source
        return named is not None and named[2].strip("[]") == host and named[3] in (None, str(port))


class Registrar:
    """Keeps bindings in memory: a telephone registers again within minutes of a restart."""

    def __init__(
        self,
        key: bytes,
        limits: SourceLimits,
        clock: Callable[[], float] = time.monotonic,
        *,
        algorithms: tuple[str, ...] = ALGORITHMS,
    ) -> None:
        self._realm = digest.Realm(REALM, key, algorithms=algorithms)
        self._limits, self.clock = limits, clock
        self._known: dict[str, Telephone] = {}
        self.bindings: dict[str, Binding] = {}
        self.on_change: Callable[[], None] | None = None

    def know(self, telephones: list[Telephone]) -> None:
        """The telephones that may register now; those that may not any more are forgotten at once."""
        self._known = {one.name: one for one in telephones if one.enabled}
        for name in [name for name in self.bindings if name not in self._known]:
            del self.bindings[name]
            self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def register(self, request: Message, source: tuple[str, int]) -> tuple[int, str, Headers]:
        """Answers a REGISTER (RFC 3261, 10.3), authenticated by digest."""
        header = request.first("authorization")
        given = digest.fields(header) if header else {}
        name = given.get("username", "")
        if not given:
            return self._challenge()
        if not self._realm.is_fresh(given.get("nonce", "")):
            return self._challenge(stale=True)
        known = self._known.get(name)

        def kept(algorithm: str) -> str | None:
            if known is None:
                return None
            return known.ha1_md5 if algorithm == "MD5" else known.ha1_sha256

        if not self._realm.accepts(given, "REGISTER", kept):
            if self._limits.offend(source[0]):
                log.warning("source_blocked", why="wrong telephone passwords", source=source[0])
            return self._challenge()
        if sip_text.user_of(request.first("to") or "") != name:
            return 403, "Forbidden", ()
        return self._bind(name, request, source)

    def _challenge(self, *, stale: bool = False) -> tuple[int, str, Headers]:
        return 401, "Unauthorized", tuple(("WWW-Authenticate", one) for one in self._realm.challenges(stale=stale))

    def _bind(self, name: str, request: Message, source: tuple[str, int]) -> tuple[int, str, Headers]:
        contacts = request.listed("contact")
        asked = _expires(request, contacts[0] if contacts else "")
        if not contacts:
            return 200, "OK", self._contact_of(name)
        if contacts[0] == "*" or asked == 0:
            self.bindings.pop(name, None)
            self._changed()
            return 200, "OK", ()
        if 0 < asked < EXPIRES_S_MIN:
            return 423, "Interval Too Brief", (("Min-Expires", str(EXPIRES_S_MIN)),)
        found = _CONTACT.search(contacts[0])
        if found is None:
            return 400, "Bad Contact", ()
        lasting_s = min(asked, EXPIRES_S_MAX)
        self.bindings[name] = Binding(
            name=name,
            user=found[1] or name,
            source=source,
            contact=contacts[0],
            expires_at=self.clock() + lasting_s,
            call_id=request.first("call-id") or "",
            sequence=int((request.first("cseq") or "0").split()[0]),
        )
        self._changed()
        return 200, "OK", self._contact_of(name)

    def _contact_of(self, name: str) -> Headers:
        binding = self.bindings.get(name)
        if binding is None or binding.expires_at <= self.clock():
            return ()
        bare = re.sub(r";\s*expires=\d+", "", binding.contact)
        return (("Contact", f"{bare};expires={int(binding.expires_at - self.clock())}"),)


def _expires(request: Message, contact: str) -> int:
    found = re.search(r";\s*expires=(\d{1,9})", contact, re.IGNORECASE)
    value = found[1] if found else (request.first("expires") or str(EXPIRES_S_USUAL))
    return int(value) if value.isdecimal() and len(value) < 10 else EXPIRES_S_USUAL
