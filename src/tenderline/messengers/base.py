"""What the product asks of a message provider. Adding a provider is one file beside this one that answers it.

The answer to `send` tells what is known: taken, refused for good, busy, or unknown. Unknown is never treated as failed:
the provider is asked by our reference (`find`), and a person is never messaged twice because a connection broke.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from tenderline.core.webhooks import Envelope


class Channel(StrEnum):
    """How a contact reaches a person."""

    SMS = "sms"
    EMAIL = "email"


class OutgoingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one address. `reference` is our attempt id and never changes over retries."""

    reference: UUID
    to: str
    text: str
    subject: str = ""
    html: str = ""
    unsubscribe_url: str = ""
    planned_at: datetime


class Accepted(msgspec.Struct, frozen=True):
    """The provider took it and named it."""

    provider_reference: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The provider will not send it, now or later."""

    code: str
    why: str
    address_unusable: bool = False
    opted_out: bool = False
    """The carrier holds an opt-out that we did not know of: it becomes ours."""


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """Surely not sent: try again after `retry_after_s` (None: by our own back-off)."""

    why: str
    retry_after_s: float | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """It may have been sent: a time-out, a broken connection, a 5xx after the message was handed over."""

    why: str


class LeaseLost(msgspec.Struct, frozen=True):
    """Nothing was sent: the right to send ran out before the first byte left."""


Outcome = Accepted | Refused | Busy | Unknown | LeaseLost


class ReceiptState(StrEnum):
    """How far a message got, as its provider tells; a later state never falls back."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    FAILED = "failed"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider tells of a message after it took it."""

    reference: UUID | None
    provider_reference: str
    state: ReceiptState
    code: str | None = None
    why: str | None = None
    address_unusable: bool = False
    opted_out: bool = False


class IncomingMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wrote to us."""

    channel: Channel
    sender: str
    text: str
    provider_reference: str


class Throttle(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider said of its limits in the last answer."""

    remaining_share: float | None = None


class Messenger(Protocol):
    """One provider of one channel."""

    name: str
    channel: Channel
    can_be_asked: bool
    """Whether `find` can tell what became of a message: SMTP cannot."""

    async def send(self, message: OutgoingMessage, may_send: Callable[[], bool]) -> Outcome:
        """Hands one message over. `may_send` is asked at the last instant before the message leaves this machine;
        when it says no, nothing is written and `LeaseLost` comes back. Never raises for what the provider does."""
        ...

    async def find(self, message: OutgoingMessage) -> Accepted | Refused | None:
        """What became of a message in doubt; None when the provider does not know it. Raises `ProviderError` when the
        provider cannot be asked now."""
        ...

    async def status(self, provider_reference: str) -> Receipt | None:
        """Asks how far a message got (for lost receipts); None when there is nothing to learn."""
        ...

    async def check(self) -> str:
        """For the doctor: one line saying what answered; raises with what to do about it."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...


class InboundSource(Protocol):
    """A provider that posts webhooks to us: receipts and incoming messages."""

    name: str

    def verify(self, url: str, headers: Mapping[str, bytes], body: bytes) -> Envelope:
        """Authenticates a webhook posted to `url` (our public address with its query): no I/O.

        Raises `ForgedWebhookError` or `MalformedWebhookError`; nothing else, whatever the input.
        """
        ...

    def read(self, body: bytes) -> Receipt | IncomingMessage | None:
        """What a stored webhook says; None for what we do not need."""
        ...
