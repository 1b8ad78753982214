"""The simulated carrier: takes messages, moves them to handsets, tells how far they got, and brings replies back.

This is what it knows and does; `carrier_api.py` is its wire. Everything lives in memory and is bounded.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tenderline_sandbox.changes import Changes
from tenderline_sandbox.faults import FaultSwitches
from tenderline_sandbox.segments import segments
from tenderline_sandbox.settings import SandboxSettings
from tenderline_sandbox.webhook import Posted, WebhookPoster

API_VERSION: Final = "2010-04-01"
MESSAGES_MAX: Final = 20_000
LIVES_MAX: Final = 20_000
HANDSETS_MAX: Final = 2_000
CALLBACKS_KEPT_MAX: Final = 20
BODY_LENGTH_MAX: Final = 1_600
E164: Final = re.compile(r"\+[1-9]\d{6,14}")
DEAD: Final = "undelivered:30005"
"""The outcome of a number that nobody has: "unknown destination handset"."""
_OUTCOME: Final = re.compile(r"delivered|sent|(?:undelivered|failed):\d{5}")
_STOP_WORDS: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
_START_WORDS: Final = frozenset({"START", "YES", "UNSTOP"})


class CarrierError(ValueError):
    """The control interface was asked for something that makes no sense; the text says what it takes."""


@dataclass
class Callback:
    """One webhook about a message and what came of it."""

    status: str
    posted: Posted

    def to_dict(self) -> dict[str, object]:
        """For the control interface."""
        return {"status": self.status, **self.posted.to_dict()}


@dataclass
class Message:
    """A text message, either way."""

    sequence: int
    sid: str
    to: str
    sender: str | None
    body: str
    status: str
    created_at: datetime
    updated_at: datetime
    inbound: bool = False
    sent_at: datetime | None = None
    error_code: int | None = None
    service_sid: str | None = None
    status_callback: str | None = None
    callbacks: list[Callback] = field(default_factory=list)

    @property
    def segments(self) -> int:
        """Parts it is billed as."""
        return segments(self.body)

    @property
    def has_arrived(self) -> bool:
        """Whether the person can see it."""
        return not self.inbound and self.status in ("sent", "delivered")

    @property
    def handset(self) -> str:
        """The person's number, whichever way the message went."""
        return (self.sender or "") if self.inbound else self.to


@dataclass
class Handset:
    """What is known of one telephone."""

    number: str
    name: str = ""
    zone: str | None = None
    read_up_to: int = 0


class Carrier:
    """The state of the carrier. One instance a sandbox; all in one event loop."""

    def __init__(self, settings: SandboxSettings, faults: FaultSwitches, poster: WebhookPoster) -> None:
        self.faults = faults
        self.changes = Changes()
        self.numbers = settings.carrier_numbers
        self.service_sid = settings.messaging_service_sid
        self.account_sid = settings.account_sid
        self.callback_delay_ms = settings.callback_delay_ms
        self.keeps_opt_outs = settings.carrier_keeps_opt_outs
        self.messages: OrderedDict[str, Message] = OrderedDict()
        self.handsets: OrderedDict[str, Handset] = OrderedDict()
        self.outcomes: OrderedDict[str, str] = OrderedDict()
        self.opted_out: set[str] = set()
        self._defaults = settings
        self._poster = poster
        self._lives: set[asyncio.Task[None]] = set()
        self._sequence = 0

    @property
    def pending(self) -> int:
        """Messages that are still on their way."""
        return len(self._lives)

    @property
    def is_full(self) -> bool:
        """Whether one more message would be too many at once."""
        return len(self._lives) >= LIVES_MAX

    def accept(
        self, *, to: str, sender: str | None, service_sid: str | None, body: str, status_callback: str | None
    ) -> Message:
        """Takes one message from the product; its life goes on by itself."""
        status = "accepted" if service_sid else "queued"
        message = self._new(to=to, sender=sender, body=body, status=status)
        message.service_sid = service_sid
        message.status_callback = status_callback
        self.handset(to)
        life = asyncio.create_task(self._live(message), name=f"message {message.sid}")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        return message

    def set_outcome(self, number: str, outcome: str) -> None:
        """How messages to `number` end: delivered, sent (never a last word), undelivered:CODE, failed:CODE or dead."""
        outcome = DEAD if outcome == "dead" else outcome
        if not E164.fullmatch(number):
            raise CarrierError(f"{number!r} is not a number such as +12025550123.")
        if not _OUTCOME.fullmatch(outcome):
            raise CarrierError("outcome is delivered, sent, undelivered:CODE, failed:CODE (five digits) or dead.")
        self.outcomes[number] = outcome
        while len(self.outcomes) > HANDSETS_MAX:
            self.outcomes.popitem(last=False)

    def handset(self, number: str, *, name: str | None = None, zone: str | None = None) -> Handset:
        """The telephone with `number`, made when it is new; a name and a zone make its page nicer."""
        if not E164.fullmatch(number):
            raise CarrierError(f"{number!r} is not a number such as +12025550123.")
        if zone is not None:
            _require_zone(zone)
        handset = self.handsets.setdefault(number, Handset(number))
        handset.name = handset.name if name is None else name[:80]
        handset.zone = handset.zone if zone is None else zone
        while len(self.handsets) > HANDSETS_MAX:
            self.handsets.popitem(last=False)
        self.changes.bump()
        return handset

    def conversation(self, number: str) -> list[Message]:
        """Everything between one telephone and the product, oldest first."""
        return [message for message in self.messages.values() if message.handset == number]

    def newest_first(self) -> Iterator[Message]:
        """All messages, as a list of them is answered."""
        return reversed(self.messages.values())

    async def reply(self, number: str, to: str | None, body: str) -> Message:
        """Somebody writes from `number`; the product is told, and the message keeps what the product answered."""
        if not body or len(body) > BODY_LENGTH_MAX:
            raise CarrierError(f"A reply has 1 to {BODY_LENGTH_MAX} characters.")
        self.handset(number)
        message = self._new(to=to or self._last_sender(number), sender=number, body=body, status="received")
        message.inbound = True
        message.sent_at = message.created_at
        self._obey_opt_out_words(message)
        if self._defaults.product_url:
            url = f"{self._defaults.product_url.rstrip('/')}{self._defaults.inbound_path}"
            await self._tell(message, url, self._inbound_params(message))
        else:
            self._remember(message, Posted(error="no product_url is configured"))
        return message

    async def reset(self) -> None:
        """Forgets everything, as if just started."""
        await self.stop()
        for kept in (self.messages, self.handsets, self.outcomes, self.opted_out):
            kept.clear()
        self.callback_delay_ms = self._defaults.callback_delay_ms
        self.keeps_opt_outs = self._defaults.carrier_keeps_opt_outs
        self.faults.reset()
        self.changes.bump()

    async def stop(self) -> None:
        """Ends all lives; messages stay where they are."""
        lives = list(self._lives)
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    def _new(self, *, to: str, sender: str | None, body: str, status: str) -> Message:
        now = _now()
        self._sequence += 1
        sid = "SM" + secrets.token_hex(16)
        message = Message(self._sequence, sid, to, sender, body, status, created_at=now, updated_at=now)
        self.messages[sid] = message
        while len(self.messages) > MESSAGES_MAX:
            self.messages.popitem(last=False)
        self.changes.bump()
        return message

    async def _live(self, message: Message) -> None:
        outcome = self.outcomes.get(message.to, "delivered")
        last, _, code = outcome.partition(":")
        states = ["queued", "sent"] + ([] if last == "sent" else [last])
        if last == "failed":
            states.remove("sent")
        for state in states:
            if state != "queued":
                await asyncio.sleep(self.callback_delay_ms / 1000)
            self._move(message, state, int(code) if code and state == last else None)
            if message.status_callback:
                await self._tell(message, message.status_callback, self._receipt_params(message))

    def _move(self, message: Message, status: str, error_code: int | None) -> None:
        message.status = status
        message.error_code = error_code
        message.updated_at = _now()
        if message.sender is None:
            message.sender = self.numbers[0]
        if status != "queued" and message.sent_at is None:
            message.sent_at = message.updated_at
        self.changes.bump()

    async def _tell(self, message: Message, url: str, params: dict[str, str]) -> None:
        for posted in await self._poster.post(url, params, self.callback_delay_ms / 1000):
            self._remember(message, posted, params.get("MessageStatus", message.status))

    def _remember(self, message: Message, posted: Posted, status: str = "received") -> None:
        message.callbacks.append(Callback(status, posted))
        del message.callbacks[:-CALLBACKS_KEPT_MAX]
        self.changes.bump()

    def _receipt_params(self, message: Message) -> dict[str, str]:
        params = {
            "MessageSid": message.sid,
            "MessageStatus": message.status,
            "SmsSid": message.sid,
            "SmsStatus": message.status,
            "To": message.to,
            "From": message.sender or "",
            "AccountSid": self.account_sid,
            "ApiVersion": API_VERSION,
        }
        if message.service_sid:
            params["MessagingServiceSid"] = message.service_sid
        if message.error_code is not None:
            params["ErrorCode"] = str(message.error_code)
        return params

    def _inbound_params(self, message: Message) -> dict[str, str]:
        return {
            "MessageSid": message.sid,
            "SmsSid": message.sid,
            "SmsMessageSid": message.sid,
            "SmsStatus": "received",
            "AccountSid": self.account_sid,
            "ApiVersion": API_VERSION,
            "From": message.sender or "",
            "To": message.to,
            "Body": message.body,
            "NumMedia": "0",
            "NumSegments": str(message.segments),
        }

    def _obey_opt_out_words(self, message: Message) -> None:
        word = message.body.strip().upper()
        if not self.keeps_opt_outs or message.sender is None:
            return
        if word in _STOP_WORDS and len(self.opted_out) < HANDSETS_MAX:
            self.opted_out.add(message.sender)
        elif word in _START_WORDS:
            self.opted_out.discard(message.sender)

    def _last_sender(self, number: str) -> str:
        for message in self.newest_first():
            if message.to == number and not message.inbound and message.sender:
                return message.sender
        return self.numbers[0]


def _now() -> datetime:
    """The vendor tells and compares times in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def _require_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CarrierError(f"{zone!r} is not a time zone such as America/Chicago.") from error
