"""The strict guard in front of the SIP stack: what RFC 3261 wants refused is refused here, the rest passes plainly.

The stack behind it is lenient where a telephone open to the network should not be: it takes requests that demand what
we cannot do, a CSeq of another method, a body shorter than was said.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from tenderline.voice import sip_text
from tenderline.voice.sip_text import MalformedError, Message

ALLOWED = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "NOTIFY", "REGISTER")
KNOWN = frozenset({*ALLOWED, "UPDATE", "PRACK", "REFER", "SUBSCRIBE", "PUBLISH", "MESSAGE"})
SUPPORTED = frozenset({"timer"})
ALLOW = ("Allow", ", ".join(ALLOWED))

_SCHEMES = ("sip:", "sips:", "tel:")
_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*[A-Z]+\s+\S.*", re.IGNORECASE | re.DOTALL)
_CSEQ = re.compile(r"(\d{1,10})\s+(\S+)")
_NAMED = re.compile(
    r'(?:"(?:[^"\\]|\\.)*"\s*|[^<>"]*)<[a-zA-Z][^<>\s]*:[^<>]*>\s*(?:;.*)?|[a-zA-Z]\w*:[^\s<>",;]+(?:\s*;.*)?'
)
_CALL_ID = re.compile(r"[\x21-\x7e]{1,256}")
_ONCE = ("from", "to", "call-id", "cseq", "max-forwards", "content-type", "content-length")


@dataclass(frozen=True, slots=True)
class Passed:
    """The message may go on: as it is to be read, and as the stack gets it."""

    message: Message
    data: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer to be sent back to where the request came from."""

    status: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing is answered: it is no request, or answering would only help whoever sent it."""

    why: str


def inspect(data: bytes, source: tuple[str, int]) -> Passed | Refused | Dropped:
    """What becomes of one datagram."""
    if not data.strip(b"\r\n\0 "):
        return Dropped("keep-alive")
    try:
        message = sip_text.read(data)
    except MalformedError as error:
        return Dropped(str(error))
    if message.method is None:
        wrong = _wrong_headers(message)
        if wrong is not None or len(message.listed("via")) != 1:
            return Dropped(wrong or "a response that is not ours")
        return Passed(message, sip_text.plain(message))
    refusal = _refusal(message)
    if refusal is None:
        return Passed(message, sip_text.plain(message))
    status, reason, *extra = refusal
    if message.method == "ACK" or any(message.first(name) is None for name in ("from", "cseq", "call-id", "via")):
        return Dropped(reason)
    return Refused(status, refuse(message, status, reason, source, *extra))


def refuse(message: Message, status: int, reason: str, source: tuple[str, int], *extra: tuple[str, str]) -> bytes:
    """A final answer of our own to a request."""
    return sip_text.respond(message, status, reason, source=source, tag=secrets.token_hex(8), extra=extra)


def _refusal(message: Message) -> tuple[int, str] | tuple[int, str, tuple[str, str]] | None:
    if message.version != "SIP/2.0":
        return 505, "Version Not Supported"
    wrong = _wrong_headers(message) or _wrong_uri(message)
    if wrong is not None:
        return 400, wrong
    method = message.method or ""
    if method not in KNOWN:
        return 501, "Not Implemented", ALLOW
    if method not in ALLOWED:
        return 405, "Method Not Allowed", ALLOW
    if not message.uri.lower().startswith(_SCHEMES):
        return 416, "Unsupported URI Scheme"
    if message.first("max-forwards") == "0" and method != "ACK":
        return 483, "Too Many Hops"
    demanded = [one for one in message.listed("require") if one.lower() not in SUPPORTED]
    if demanded and method not in ("ACK", "CANCEL"):
        return 420, "Bad Extension", ("Unsupported", ", ".join(demanded))
    return _wrong_body(message)


def _wrong_headers(message: Message) -> str | None:
    for name in _ONCE:
        if len(message.all(name)) > 1:
            return f"More than one {name.title()}"
    vias, cseq = message.listed("via"), message.first("cseq")
    if not vias or not all(_VIA.fullmatch(one) for one in vias):
        return "Bad Via"
    found = _CSEQ.fullmatch(cseq or "")
    if found is None or int(found[1]) >= 1 << 31:
        return "Bad CSeq"
    if message.method is not None and found[2] != message.method:
        return "CSeq of another method"
    for name in ("from", "to"):
        value = message.first(name)
        if value is None or not _NAMED.fullmatch(value):
            return f"Bad {name.title()}"
    if sip_text.tag_of(message.first("from") or "") is None:
        return "From without a tag"
    if not _CALL_ID.fullmatch(message.first("call-id") or ""):
        return "Bad Call-ID"
    hops = message.first("max-forwards")
    if hops is not None and not (hops.isdecimal() and len(hops) <= 3 and int(hops) <= 255):
        return "Bad Max-Forwards"
    return _wrong_contact(message) or _wrong_length(message)


def _wrong_contact(message: Message) -> str | None:
    contacts = message.listed("contact")
    if message.method == "INVITE" and len(contacts) != 1:
        return "INVITE needs one Contact"
    if any(one != "*" and not _NAMED.fullmatch(one) for one in contacts):
        return "Bad Contact"
    if "*" in contacts and message.method != "REGISTER":
        return "Bad Contact"
    routes = [*message.listed("record-route"), *message.listed("route")]
    return None if all(_NAMED.fullmatch(one) for one in routes) else "Bad Route"


def _wrong_length(message: Message) -> str | None:
    declared = message.declared_length
    if declared is None:
        return None
    if not declared.isdecimal() or len(declared) > 6 or int(declared) > message.available_length:
        return "Bad Content-Length"
    return None


def _wrong_uri(message: Message) -> str | None:
    return "Bad Request-URI" if re.search(r'[<>"\s]', message.uri) or ":" not in message.uri else None


def _wrong_body(message: Message) -> tuple[int, str] | tuple[int, str, tuple[str, str]] | None:
    if message.method != "INVITE" or not message.body or message.declared_length == "0":
        return None
    kind = (message.first("content-type") or "").split(";")[0].strip().lower()
    if kind not in ("application/sdp", "multipart/mixed"):
        return 415, "Unsupported Media Type", ("Accept", "application/sdp")
    if (message.first("content-encoding") or "identity").lower() != "identity":
        return 415, "Unsupported Media Type", ("Accept-Encoding", "identity")
    return None
