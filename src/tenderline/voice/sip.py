"""The SIP end of a voice node: one socket, calls in and out, telephones that register, and nothing for strangers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from sippy.SipHeader import SipHeader

from tenderline.voice import sip_guard, sip_text
from tenderline.voice.dialog import Dialog, Ended
from tenderline.voice.sip_limits import SourceLimits
from tenderline.voice.sip_stack import Stack
from tenderline.voice.sip_text import Message

log: structlog.stdlib.BoundLogger = structlog.get_logger()

RETRY_AFTER_S = 5

Headers = tuple[tuple[str, str], ...]


class Registrar(Protocol):
    """Who answers REGISTER."""

    def register(self, request: Message, source: tuple[str, int]) -> tuple[int, str, Headers]:
        """Status, reason and headers of the answer."""
        ...


class Endpoint:
    """Calls `on_call` with each new inbound dialog, whose offer is there; the handler answers or refuses it."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        limits: SourceLimits,
        on_call: Callable[[Dialog], None],
        registrar: Registrar | None = None,
    ) -> None:
        self.limits = limits
        self.takes_calls = True
        """False: OPTIONS gets 503, so that a proxy in front leaves this node out of new calls."""
        self._on_call, self._registrar = on_call, registrar
        self._current: tuple[Message, tuple[str, int]] | None = None
        self._dialogs: set[Dialog] = set()
        self._stack = Stack(host, port, self._requested, self._screen)
        self.host = host
        self.port: int = self._stack.server.skt.getsockname()[1]

    @property
    def config(self) -> dict[str, Any]:
        """What the stack's own agents want."""
        return self._stack.config

    @property
    def dialogs(self) -> int:
        """Dialogs that are not over."""
        return len(self._dialogs)

    @property
    def counts(self) -> dict[str, int]:
        """What the guard and the limits kept out since the start."""
        server = self._stack.server
        return {
            "refused_messages": server.refused,
            "dropped_messages": server.dropped,
            "refused_calls": self.limits.refused_calls,
            "blocked_sources": self.limits.blocked_sources,
        }

    def dial(
        self,
        *,
        to: str,
        next_hop: tuple[str, int],
        caller: str,
        offer: str,
        name: str | None = None,
        user: str | None = None,
        password: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Dialog:
        """Calls somebody: `to` is the user part, `next_hop` where the INVITE goes. Answers are events of the dialog."""
        dialog = Dialog(self._stack.config, inbound=False, user=user, password=password)
        host = f"[{next_hop[0]}]" if ":" in next_hop[0] else next_hop[0]
        dialog.agent.setNextHop((host, next_hop[1]), "udp")
        self._keep(dialog)
        dialog.call(to=to, caller=caller, name=name, offer=offer, headers=headers or {})
        return dialog

    async def close(self) -> None:
        """Hangs up what is left and closes the socket."""
        for dialog in tuple(self._dialogs):
            dialog.hang_up()
        await self._stack.close()

    def _keep(self, dialog: Dialog) -> None:
        self._dialogs.add(dialog)

        def gone(_: Ended) -> None:
            self._dialogs.discard(dialog)

        dialog.on_gone = gone

    def _screen(self, message: Message, source: tuple[str, int]) -> bytes | bool:
        if self.limits.is_blocked(source[0]):
            return False
        new = sip_text.tag_of(message.first("to") or "") is None
        if message.method == "INVITE" and new and not self._is_known_call(message):
            if not self.limits.may_call(source[0]):
                log.warning("call_refused", why="too many calls of one address", source=source[0])
                extra = ("Retry-After", str(RETRY_AFTER_S))
                return sip_guard.refuse(message, 503, "Service Unavailable", source, extra)
        elif message.method == "REGISTER" and self._registrar is not None:
            status, reason, extras = self._registrar.register(message, source)
            return sip_text.respond(message, status, reason, source=source, tag=secrets.token_hex(8), extra=extras)
        self._current = (message, source)
        return True

    def _is_known_call(self, message: Message) -> bool:
        """A repeated INVITE is no new call."""
        return message.first("call-id") in self._stack.transactions.req_consumers

    def _requested(self, request: Any, transaction: Any) -> Any:
        """A request outside of any dialog that stands."""
        assert self._current is not None, "the screen saw it first"
        message, source = self._current
        method = request.getMethod()
        if request.getHFBody("to").getTag() is not None:
            return request.genResponse(481, "Call Leg/Transaction Does Not Exist"), None, None
        if method == "INVITE":
            dialog = Dialog(self._stack.config, inbound=True)
            dialog.invite_from(message, source)
            self._keep(dialog)
            answer = dialog.take_request(request, transaction)
            self._on_call(dialog)
            return answer
        if method == "OPTIONS" and not self.takes_calls:
            return request.genResponse(503, "Service Unavailable"), None, None
        if method == "OPTIONS":
            answer = request.genResponse(200, "OK")
            for name, value in (sip_guard.ALLOW, ("Accept", "application/sdp"), ("Supported", "timer")):
                answer.appendHeader(SipHeader(f"{name}: {value}"))
            return answer, None, None
        if method in ("BYE", "INFO", "NOTIFY"):
            return request.genResponse(481, "Call Leg/Transaction Does Not Exist"), None, None
        return request.genResponse(405, "Method Not Allowed"), None, None
