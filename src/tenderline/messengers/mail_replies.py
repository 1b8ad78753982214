"""Answers by e-mail: what a mail server hands us of messages to our own address, and what of it the person wrote.

A mail server pipes each message into `tenderline mail receive`. The sender of an e-mail can be forged, so a reply may
silence and may ask for a person, and lifts nothing (`people/replies.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parseaddr
from html import unescape
from typing import Final

import msgspec

from tenderline.core import mailbox
from tenderline.core.errors import ForgedWebhookError, InvalidInputError, MalformedWebhookError
from tenderline.core.pan import mask_card_numbers
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.messengers.base import Channel, IncomingMessage, Receipt

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""Looked at of a message: its headers and its text come before what is attached."""
TEXT_CHARACTERS_MAX: Final = 20_000
ID_CHARACTERS_MAX: Final = 500
HTML_CHARACTERS_MAX: Final = 200_000
LINES_MAX: Final = 200
LINE_CHARACTERS_MAX: Final = 1_000
SUBJECT_CHARACTERS_MAX: Final = 200

_ANSWER = re.compile(r"\s*(re|aw|sv|antw|tr|rv|fwd?|wg)\s*:", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,2000}>")
_BLOCK = re.compile(r"<(?:br|/p|/div|/li|/tr|/h[1-6])\b[^<>]{0,200}>", re.IGNORECASE)
_UNSEEN = re.compile(r"<(style|script|head|blockquote)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
# The line with which mail programs begin what they quote.
_QUOTES = re.compile(
    r"(on|le|el|am|il|op|em|den)\b.{0,300}\b(wrote|a écrit|escribió|schrieb|ha scritto|schreef|escreveu)\s*:?\s*$"
    r"|-{2,}\s*(original message|message d'origine|mensaje original|ursprüngliche nachricht|forwarded message)"
    r"|_{10,}$|(from|de|von)\s*:\s.*@",
    re.IGNORECASE,
)


class MailReplies:
    """The mail that comes to our own address."""

    name = "mail"

    def verify(self, url: str, headers: Mapping[str, bytes], body: bytes) -> Envelope:
        """Refuses: mail is handed over on this machine (`envelope_of`), not posted by anybody."""
        del url, headers, body
        raise ForgedWebhookError

    def read(self, body: bytes) -> Receipt | IncomingMessage | None:
        """The person's own words; None for what a machine wrote. Raises `MalformedWebhookError`."""
        try:
            kept = _decode(body)
        except msgspec.MsgspecError as error:
            raise MalformedWebhookError("The stored message is of another version.") from error
        words = own_words(kept.text)
        if kept.subject and not _ANSWER.match(kept.subject):  # the subject of an answer is ours, not hers
            words = f"{kept.subject}\n{words}".strip()
        if kept.automatic or not words:
            return None
        return IncomingMessage(
            channel=Channel.EMAIL, sender=kept.sender, text=words, provider_reference=kept.message_id
        )


class _Kept(msgspec.Struct, frozen=True):
    """What is kept of a message: text without card numbers, and nothing that was attached."""

    sender: str
    subject: str
    text: str
    message_id: str
    automatic: bool


_decode = msgspec.json.Decoder(_Kept).decode


def envelope_of(raw: bytes) -> Envelope:
    """A message as a mail server hands it over, ready for the inbox.

    Raises `MalformedWebhookError` when it has no sender.
    """
    message = _parsed(raw[:MESSAGE_BYTES_MAX])
    sender = _sender(message)
    if sender is None:
        raise MalformedWebhookError("The message has no sender that can be read; it is not kept.")
    identity = str(message.get("Message-ID", "")).strip()[:ID_CHARACTERS_MAX]
    kept = _Kept(
        sender=sender,
        subject=mask_card_numbers(" ".join(str(message.get("Subject", "")).split())[:SUBJECT_CHARACTERS_MAX]),
        text=mask_card_numbers(_body(message)[:TEXT_CHARACTERS_MAX]),
        message_id=identity,
        automatic=_is_automatic(message),
    )
    return Envelope(
        event_id=hashlib.sha256(f"{sender} {identity}".encode() if identity else raw).hexdigest(),
        event_type="mail",
        urgency=Urgency.PERSON_SPOKE,
        body=msgspec.json.encode(kept),
        subject=sender,
    )


def own_words(text: str) -> str:
    """What the person wrote herself: without what her mail program quoted, and without her signature.

    One pass over at most 200 lines, each cut: a hostile message costs no more than a long one.
    """
    kept: list[str] = []
    for line in text.splitlines()[:LINES_MAX]:
        stripped = line[:LINE_CHARACTERS_MAX].strip()
        if line.rstrip() == "--" or line.startswith("-- ") or _QUOTES.match(stripped):
            break
        if not stripped.startswith((">", "|")):
            kept.append(stripped)
    return "\n".join(kept).strip()


def _parsed(raw: bytes) -> EmailMessage:
    try:
        parsed = BytesParser(policy=policy.default).parsebytes(raw)
        assert isinstance(parsed, EmailMessage)
        parsed.get("From")  # headers are read when they are asked for
    except (ValueError, LookupError, AssertionError, AttributeError, TypeError, IndexError) as error:
        raise MalformedWebhookError("The message cannot be read as e-mail.") from error
    return parsed


def _sender(message: EmailMessage) -> str | None:
    try:
        return mailbox.normalise(parseaddr(str(message.get("From", "")))[1])
    except InvalidInputError:
        return None


def _is_automatic(message: EmailMessage) -> bool:
    """Out-of-office notes, bounces and lists: RFC 3834, section 5."""
    answered = str(message.get("Auto-Submitted", "no")).partition(";")[0].strip().lower()
    return (
        answered != "no"
        or str(message.get("Precedence", "")).strip().lower() in {"bulk", "junk", "list", "auto_reply"}
        or message.get("List-Id") is not None
        or str(message.get("Return-Path", "x")).strip() == "<>"
        or message.get_content_type() == "multipart/report"
    )


def _body(message: EmailMessage) -> str:
    part = message.get_body(("plain", "html"))
    if part is None:
        return ""
    try:
        text = str(part.get_content())
    except (LookupError, ValueError, AttributeError):
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return _text_of(text) if part.get_content_subtype() == "html" else text


def _text_of(html: str) -> str:
    seen = _BLOCK.sub("\n", _UNSEEN.sub(" ", html[:HTML_CHARACTERS_MAX]))
    return unescape(_TAG.sub(" ", seen))
