"""The simulated mailbox: everybody's inbox in one place, and what a mail provider does with it.

`smtp.py` is its wire. Mail lives in memory, the newest of it only.
"""

from __future__ import annotations

import re
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from tenderline_sandbox.changes import Changes
from tenderline_sandbox.faults import FaultSwitches
from tenderline_sandbox.webhook import Posted, post_form

MAILS_MAX: Final = 5_000
MAIL_BYTES_MAX: Final = 1024 * 1024
ALL_BYTES_MAX: Final = 256 * 1024 * 1024
REJECTED_MAX: Final = 10_000
ADDRESS_LENGTH_MAX: Final = 254
ONE_CLICK: Final = "List-Unsubscribe=One-Click"
_ADDRESS: Final = re.compile(r"[^\s@<>]+@[^\s@<>]+")
_BRACKETED: Final = re.compile(r"<([^<>]*)>")


class MailboxError(ValueError):
    """The mailbox was asked for something that cannot be done; the text says why."""


class MissingMailError(MailboxError):
    """There is no such message; the mailbox keeps only the newest ones."""


@dataclass
class Mail:
    """One message as one recipient got it."""

    id: str
    to: str
    sender: str
    subject: str
    text: str
    html: str
    headers: list[tuple[str, str]]
    size_bytes: int
    received_at: datetime
    read: bool = False
    unsubscribed: list[Posted] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def unsubscribe_url(self) -> str | None:
        """Where List-Unsubscribe points on the web; https before http."""
        offered = [re.sub(r"\s", "", url) for url in _BRACKETED.findall(self.header("List-Unsubscribe") or "")]
        for scheme in ("https", "http"):
            for url in offered:
                if _has_scheme(url, scheme):
                    return url
        return None

    @property
    def is_one_click(self) -> bool:
        """Whether the sender promised that one POST is enough (RFC 8058)."""
        return (self.header("List-Unsubscribe-Post") or "").strip() == ONE_CLICK


class Mailbox:
    """All inboxes. One instance a sandbox; all in one event loop."""

    def __init__(self, faults: FaultSwitches, http: aiohttp.ClientSession) -> None:
        self.faults = faults
        self.changes = Changes()
        self.mails: OrderedDict[str, Mail] = OrderedDict()
        self.rejected: set[str] = set()
        self._http = http
        self._bytes = 0

    def store(self, recipients: list[str], raw: bytes) -> list[Mail]:
        """Puts one message into the inbox of each recipient. Raises `MailboxError` when it cannot be read as mail."""
        message = _parsed(raw)
        mails = [_mail(message, recipient, len(raw)) for recipient in recipients]
        for mail in mails:
            self.mails[mail.id] = mail
            self._bytes += mail.size_bytes
        while len(self.mails) > MAILS_MAX or self._bytes > ALL_BYTES_MAX:
            self._bytes -= self.mails.popitem(last=False)[1].size_bytes
        self.changes.bump()
        return mails

    def find(self, mail_id: str) -> Mail:
        """The message with that id; `MissingMailError` when there is none (any more)."""
        mail = self.mails.get(mail_id)
        if mail is None:
            raise MissingMailError(MissingMailError.__doc__)
        return mail

    def inbox(self, address: str) -> list[Mail]:
        """What one address got, oldest first."""
        return [mail for mail in self.mails.values() if mail.to == address.lower()]

    def newest_first(self) -> Iterator[Mail]:
        """Everything, newest first."""
        return reversed(self.mails.values())

    def reject(self, address: str, *, rejected: bool = True) -> None:
        """Whether the address exists no more: mail to it is refused with 550 5.1.1."""
        address = address.strip().lower()
        if len(address) > ADDRESS_LENGTH_MAX or not _ADDRESS.fullmatch(address):
            raise MailboxError(f"{address[:80]!r} is not an address such as ann@example.org.")
        if not rejected:
            self.rejected.discard(address)
        elif len(self.rejected) < REJECTED_MAX:
            self.rejected.add(address)
        else:
            raise MailboxError(f"No more than {REJECTED_MAX:,} addresses can be rejected.")
        self.changes.bump()

    async def unsubscribe(self, mail_id: str) -> Posted:
        """Does what mail providers do when the reader clicks their own Unsubscribe button (RFC 8058, section 3.2)."""
        mail = self.find(mail_id)
        url = mail.unsubscribe_url
        if url is None:
            raise MailboxError("This message has no List-Unsubscribe address on the web.")
        if not mail.is_one_click:
            raise MailboxError(f"This message does not say 'List-Unsubscribe-Post: {ONE_CLICK}', so nobody may post.")
        name, _, value = ONE_CLICK.partition("=")
        posted = await post_form(self._http, url, {name: value}, {})
        mail.unsubscribed = [*mail.unsubscribed[-9:], posted]
        self.changes.bump()
        return posted

    def reset(self) -> None:
        """Forgets everything, as if just started."""
        self.mails.clear()
        self.rejected.clear()
        self._bytes = 0
        self.faults.reset()
        self.changes.bump()


def _parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    if not isinstance(message, EmailMessage) or not message.keys():
        raise MailboxError("The message has no headers.")
    return message


def _mail(message: EmailMessage, recipient: str, size_bytes: int) -> Mail:
    return Mail(
        id=uuid.uuid4().hex,
        to=recipient.lower(),
        sender=str(message.get("From", "")),
        subject=str(message.get("Subject", "")),
        text=_body(message, "plain"),
        html=_body(message, "html"),
        headers=[(name, str(value)) for name, value in message.items()],
        size_bytes=size_bytes,
        received_at=datetime.now(UTC),
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    if part is None or part.get_content_maintype() != "text":
        return ""
    try:
        text = str(part.get_content())
    except (LookupError, UnicodeError):
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)
    return text.replace("\r\n", "\n")


def _has_scheme(url: str, scheme: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == scheme and bool(parts.hostname)
