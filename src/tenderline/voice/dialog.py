"""One SIP dialog, as a call sees it: ring, answer, talk, hang up; what the other side does comes as plain values."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sippy.CCEvents import (
    CCEventConnect,
    CCEventDisconnect,
    CCEventFail,
    CCEventInfo,
    CCEventPreConnect,
    CCEventRedirect,
    CCEventRing,
    CCEventTry,
    CCEventUpdate,
)
from sippy.MsgBody import MsgBody
from sippy.SipHeader import SipHeader
from sippy.UA import UA
from sippy.UaStateConnected import UaStateConnected

from tenderline.core.errors import TenderlineError
from tenderline.voice.sip_text import Message

log: structlog.stdlib.BoundLogger = structlog.get_logger()

EVENTS_MAX = 64
REFER_WAIT_S = 20.0
SESSION_EXPIRES_MIN_S = 90


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional answer: 180, or 183 with early media."""

    status: int
    description: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The other side took the call; its description of the media, if it sent one now."""

    description: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The dialog is over: a final status of a call that was not taken, or 200 after a BYE."""

    status: int
    reason: str
    by_us: bool = False


DialogEvent = Progress | Answered | Ended
Reoffer = Callable[[str], str]


class DialogGoneError(TenderlineError):
    """The dialog is over; nothing can be said in it any more."""

    code = "dialog_gone"
    status = 409


class _Connected(UaStateConnected):  # type: ignore[misc]  # sippy has no types
    """sippy ends a call on anybody's REFER; we do not let others dial through us. And NOTIFY tells how ours went."""

    def _refuse_refer(self, req: Any) -> None:
        req.sendResponse(403, "Forbidden")

    def _reinvite(self, req: Any) -> Any:
        self.ua.tenderline.refreshed()
        if req.getBody() is not None:
            return self._recvRequestInvite(req)
        # Without a body it asks for our offer (RFC 3261, 14.1); sippy would take it for a hold. Ours has not changed.
        self.ua.uasResp = req.genResponse(100, "Trying", server=self.ua.local_ua)
        self.ua.global_config["_sip_tm"].sendResponse(self.ua.uasResp)
        self.ua.sendUasResponse(200, "OK", self.ua.lSDP, (self.ua.lContact,))
        return None

    def _notify(self, req: Any) -> None:
        req.sendResponse(200, "OK")
        found = re.match(r"SIP/2\.0 (\d{3})", str(req.getBody() or ""))
        if found is not None:
            self.ua.tenderline.referred(int(found[1]))

    recv_request_handlers = {  # noqa: RUF012  # sippy's own form
        **UaStateConnected.recv_request_handlers,
        "INVITE": _reinvite,
        "REFER": _refuse_refer,
        "NOTIFY": _notify,
    }


class _UserAgent(UA):  # type: ignore[misc]  # sippy has no types
    UaStateConnected = _Connected
    tenderline: Dialog


def _header(name: str, value: str) -> Any:
    assert not {"\r", "\n"} & set(name + value), "a header is one line"
    return SipHeader(f"{name}: {value}")


class Dialog:
    """A dialog of ours. Events wait in `events`; `Ended` is the last one, and comes exactly once."""

    def __init__(self, config: dict[str, Any], *, inbound: bool, user: str | None = None, password: str | None = None):
        self.inbound = inbound
        self.events: asyncio.Queue[DialogEvent] = asyncio.Queue(EVENTS_MAX)
        self.on_reoffer: Reoffer | None = None
        self.on_info: Callable[[str, str], None] | None = None
        self.on_ended: Callable[[Ended], None] | None = None
        self.on_gone: Callable[[Ended], None] | None = None
        self.invite: Message | None = None
        self.source: tuple[str, int] | None = None
        self.offer: str | None = None
        self.ended: Ended | None = None
        self.answered = False
        self._hanging_up = False
        self._config = config
        self._refers: asyncio.Queue[int] = asyncio.Queue(EVENTS_MAX)
        self._session_timer: asyncio.TimerHandle | None = None
        self._session_expires_s: int | None = None
        self.agent = _UserAgent(config, event_cb=self._event, username=user, password=password)
        self.agent.tenderline = self
        self.agent.godead_timeout = 4.0  # a BYE that crossed ours is answered for this long

    @property
    def ended_by_us(self) -> bool:
        """Whether it was we who hung up."""
        return self.ended is not None and self.ended.by_us

    # What the other side does.

    def take_request(self, request: Any, transaction: Any) -> Any:
        """The INVITE that this dialog is made of."""
        return self.agent.recvRequest(request, transaction)

    def _event(self, event: Any, agent: Any) -> None:
        del agent
        if isinstance(event, CCEventTry):
            body = event.getData()[3]
            self.offer = str(body) if body is not None else None
        elif isinstance(event, CCEventRing):
            status, _, body = event.getData()
            self._put(Progress(status, str(body) if body is not None else None))
        elif isinstance(event, CCEventConnect):
            self._connected(event)
        elif isinstance(event, CCEventUpdate):
            self._reoffered(event)
        elif isinstance(event, CCEventInfo):
            self._informed(event)
        elif isinstance(event, CCEventFail | CCEventRedirect):  # we do not follow others to where they point
            self._end(Ended(event.getData()[0], event.getData()[1]))
        elif isinstance(event, CCEventDisconnect):
            self._end(Ended(200 if self.answered else 487, "Bye", by_us=self._hanging_up))

    def _connected(self, event: Any) -> None:
        code, _, body = event.getData()
        description = str(body) if body is not None else None
        if self.answered and code != "ACK":
            return  # the answer to an offer of ours in a call that stands already
        self.answered = True
        self._put(Answered(description))

    def _reoffered(self, event: Any) -> None:
        body = event.getData()
        if self.on_reoffer is None:
            self.agent.recvEvent(CCEventFail((488, "Not Acceptable Here")))
            return
        try:
            answer = self.on_reoffer(str(body))
        except TenderlineError as error:
            log.info("reoffer_refused", why=error.detail)
            self.agent.recvEvent(CCEventFail((488, "Not Acceptable Here")))
            return
        self.agent.recvEvent(self._with_session(CCEventConnect((200, "OK", MsgBody(answer)))))

    def _informed(self, event: Any) -> None:
        body = event.getData()
        if body is not None and self.on_info is not None:
            self.on_info(str(body.mtype), str(body))

    def _put(self, event: DialogEvent) -> None:
        if self.events.full():
            self.events.get_nowait()
        self.events.put_nowait(event)

    def _end(self, ended: Ended) -> None:
        if self.ended is not None:
            return
        self.ended = ended
        if self._session_timer is not None:
            self._session_timer.cancel()
        self._put(ended)
        for told in (self.on_gone, self.on_ended):
            if told is not None:
                told(ended)
        # The stack keeps a dialog for half a minute; the media of the call wait neither for that nor for the collector.
        self.on_gone = self.on_ended = self.on_reoffer = self.on_info = None

    # What we do.

    def invite_from(self, message: Message, source: tuple[str, int]) -> None:
        """What the INVITE said beyond its body, and where it came from."""
        self.invite, self.source = message, source
        asked = (message.first("session-expires") or "").split(";")[0].strip()
        if asked.isdecimal():
            self._session_expires_s = max(SESSION_EXPIRES_MIN_S, min(int(asked), 86_400))

    def call(self, *, to: str, caller: str, name: str | None, offer: str, headers: dict[str, str]) -> None:
        """Sends an INVITE."""
        event = CCEventTry((None, caller, to, MsgBody(offer), None, name))
        event.extra_headers = tuple(_header(key, value) for key, value in headers.items())
        self.agent.recvEvent(event)

    def ring(self, description: str | None = None) -> None:
        """180, or 183 with early media."""
        if self._is_waiting():
            body = MsgBody(description) if description is not None else None
            self.agent.recvEvent(CCEventRing((183, "Session Progress", body) if body else (180, "Ringing", None)))

    def answer(self, description: str) -> None:
        """200 with our description. When the INVITE held none, this is the offer, and the ACK will hold the answer."""
        if not self._is_waiting():
            raise DialogGoneError()
        late = self.offer is None
        kind = CCEventPreConnect if late else CCEventConnect
        self.answered = not late
        self.agent.recvEvent(self._with_session(kind((200, "OK", MsgBody(description)))))
        self._watch_session()

    def refuse(self, status: int, reason: str) -> None:
        """A final answer that is no 200."""
        if self._is_waiting():
            self.agent.recvEvent(CCEventFail((status, reason)))
            self._end(Ended(status, reason, by_us=True))

    def reoffer(self, description: str) -> None:
        """A re-INVITE: hold, or another place for the media."""
        if self.ended is None and self.answered:
            self.agent.recvEvent(CCEventUpdate(MsgBody(description)))

    async def refer(self, to: str) -> int:
        """Asks the other side to call somebody else; the status it got there (200: done), or the one of its refusal.
        408 when it does not say within 20 s."""
        if self.ended is not None:
            raise DialogGoneError()
        while not self._refers.empty():
            self._refers.get_nowait()
        request = self.agent.genRequest("REFER")
        request.appendHeader(_header("Refer-To", f"<{to}>"))
        self.agent.newTransaction(request, resp_cb=self._refer_answered)
        try:
            async with asyncio.timeout(REFER_WAIT_S):
                while (status := await self._refers.get()) < 200:
                    pass
                return status
        except TimeoutError:
            return 408

    def _refer_answered(self, response: Any) -> None:
        status = int(response.getSCode()[0])
        if status >= 300:
            self.referred(status)

    def referred(self, status: int) -> None:
        """How far the transfer got, as a NOTIFY said or as the REFER was refused."""
        if not self._refers.full():
            self._refers.put_nowait(status)

    def hang_up(self) -> None:
        """CANCEL, a refusal or BYE, whatever fits now; twice is no error. This never raises: it is the last resort."""
        if self.ended is not None:
            return
        self._hanging_up = True
        try:
            if self.inbound and not self.answered and self._is_waiting():
                self.agent.recvEvent(CCEventFail((480, "Temporarily Unavailable")))
            else:
                self.agent.disconnect()
        except Exception:  # whatever fails in the stack, our side of the call ends
            log.warning("hang_up_failed", exc_info=True)
        self._end(Ended(200 if self.answered else 487, "Bye", by_us=True))

    def _is_waiting(self) -> bool:
        return self.ended is None and not self.agent.isConnected()

    # Session timers (RFC 4028): a caller that refreshes is expected to; one that stops is gone.

    def _with_session(self, event: Any) -> Any:
        if self._session_expires_s is not None and self.inbound:
            event.extra_headers = (
                _header("Session-Expires", f"{self._session_expires_s};refresher=uac"),
                _header("Require", "timer"),
            )
        return event

    def refreshed(self) -> None:
        """The other side has shown that it is there."""
        self._watch_session()

    def _watch_session(self) -> None:
        if self._session_expires_s is None or not self.inbound:
            return
        if self._session_timer is not None:
            self._session_timer.cancel()
        loop = asyncio.get_running_loop()
        self._session_timer = loop.call_later(self._session_expires_s, self.hang_up)
