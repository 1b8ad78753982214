"""SIP messages as text (RFC 3261, 7): taken apart strictly, and written again so plainly that any parser reads them.

What comes from the network is unfolded, its compact header names are written out and its length is counted, before the
SIP stack sees it. So one reading of a message holds, ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MESSAGE_BYTES_MAX = 32_768
HEADERS_MAX = 128
LINE_CHARACTERS_MAX = 8_192

_COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_REQUEST = re.compile(r"(\S+) (\S+) (SIP/\d+\.\d+)")
_RESPONSE = re.compile(r"SIP/2\.0 ([1-6]\d\d)(?: (.*))?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WITH_PARAMETERS = frozenset({"via", "from", "to", "contact", "route", "record-route"})
_LISTS = frozenset({"via", "contact", "route", "record-route", "require", "supported", "allow"})


class MalformedError(Exception):
    """Not a SIP message, or one that nobody should guess at."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message: a request has `method`, `uri` and `version`, a response `status`. Header names are lower case."""

    method: str | None
    uri: str
    version: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: str
    declared_length: str | None
    available_length: int

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key == name]

    def first(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    def listed(self, name: str) -> list[str]:
        """The values of a header that may be written as a list: `Require: a, b`."""
        return [part.strip() for value in self.all(name) for part in split_list(value) if part.strip()]


def read(data: bytes) -> Message:
    """Takes a datagram apart; raises `MalformedError`."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise MalformedError("longer than anybody needs")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise MalformedError("not UTF-8") from None
    head = text.lstrip("\r\n").replace("\r\n", "\n").partition("\n\n")[0]
    raw_body = _raw_body(data)
    body = raw_body.decode(errors="replace")
    lines = _unfold(head.split("\n"))
    if not lines or len(lines) > HEADERS_MAX + 1 or any(len(line) > LINE_CHARACTERS_MAX for line in lines):
        raise MalformedError("no line, too many lines, or a line without end")
    headers = tuple(_header(line) for line in lines[1:])
    length = next((value for name, value in headers if name == "content-length"), None)
    request, response = _REQUEST.fullmatch(lines[0]), _RESPONSE.fullmatch(lines[0])
    if response is not None:
        method, uri, version, status, reason = None, "", "SIP/2.0", int(response[1]), response[2] or ""
    elif request is not None and _TOKEN.fullmatch(request[1]):
        method, uri, version, status, reason = request[1], request[2], request[3], 0, ""
    else:
        raise MalformedError("the first line is neither a request nor a response")
    return Message(method, uri, version, status, reason, headers, body, length, len(raw_body))


def _raw_body(data: bytes) -> bytes:
    for end in (b"\r\n\r\n", b"\n\n"):
        _, found, body = data.lstrip(b"\r\n").partition(end)
        if found:
            return body
    return b""


def _unfold(lines: list[str]) -> list[str]:
    """A line that begins with a blank belongs to the one before (RFC 3261, 7.3.1)."""
    whole: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and len(whole) > 1:
            whole[-1] = f"{whole[-1].rstrip()} {line.strip()}"
        else:
            whole.append(line.rstrip())
    return whole


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name = name.rstrip().lower()
    if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
        raise MalformedError("a header that is none")
    return _COMPACT.get(name, name), value.strip()


def split_list(value: str) -> list[str]:
    """Parts of a value between commas, those in quotes and angle brackets left whole."""
    parts, depth, quoted, begin, escaped = [], 0, False, 0, False
    for index, one in enumerate(value):
        if escaped:
            escaped = False
        elif quoted and one == "\\":
            escaped = True
        elif one == '"':
            quoted = not quoted
        elif not quoted and one == "<":
            depth += 1
        elif not quoted and one == ">":
            depth = max(0, depth - 1)
        elif one == "," and not quoted and not depth:
            parts.append(value[begin:index])
            begin = index + 1
    return [*parts, value[begin:]]


def tag_of(value: str) -> str | None:
    """The tag of a From or To."""
    rest = value.rpartition(">")[2] if ">" in value else value
    found = re.search(r";\s*tag\s*=\s*([^;\s,]+)", rest, re.IGNORECASE)
    return found[1] if found else None


def user_of(value: str) -> str:
    """The user part of a URI or a name-addr; empty when there is none. `tel:` numbers are users."""
    inner = re.search(r"<([^>]*)>", value)
    uri = inner[1] if inner else value.split(";")[0].strip()
    scheme, _, rest = uri.partition(":")
    if scheme.lower() == "tel":
        return rest.split(";")[0]
    user, at, _ = rest.partition("@")
    return user.split(";")[0].split(":")[0] if at else ""


def write(first_line: str, headers: list[tuple[str, str]], body: str = "") -> bytes:
    """A message, with the length of its body."""
    lines = [first_line, *(f"{name}: {value}" for name, value in headers if name != "content-length")]
    return ("\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "", ""]) + body).encode()


def _tidy(name: str, value: str) -> str:
    """Without the blanks that may stand around the signs of a header (RFC 3261, 25.1: SLASH, SEMI, EQUAL)."""
    if name not in _WITH_PARAMETERS:
        return value
    if name == "via":
        value = re.sub(r"^SIP\s*/\s*2\.0\s*/\s*", "SIP/2.0/", value, flags=re.IGNORECASE)
    begin = value.rfind(">") + 1
    parameters = re.sub(r"\s*([;=])\s*", r"\1", value[begin:]) if '"' not in value[begin:] else value[begin:]
    return value[:begin] + parameters


def plain(message: Message) -> bytes:
    """The message written anew: one header a line and a value, names in full, the body as long as was declared."""
    body = message.body
    if message.declared_length is not None and message.declared_length.isdecimal():
        body = message.body.encode()[: int(message.declared_length)].decode(errors="replace")
    if message.method is not None:
        first = f"{message.method} {message.uri} {message.version}"
    else:
        first = f"SIP/2.0 {message.status} {message.reason}"
    headers = [
        (name, _tidy(name, part.strip()))
        for name, value in message.headers
        for part in (split_list(value) if name in _LISTS else [value])
    ]
    return write(first, headers, body)


def respond(
    request: Message, status: int, reason: str, *, source: tuple[str, int], tag: str, extra: tuple[tuple[str, str], ...]
) -> bytes:
    """A response to a request, with what the stack would copy (RFC 3261, 8.2.6) and where it came from (RFC 3581)."""
    headers: list[tuple[str, str]] = []
    for index, via in enumerate(request.listed("via")):
        if index == 0:
            via = re.sub(r";\s*rport(=\d*)?(?=;|$)", f";rport={source[1]}", via, flags=re.IGNORECASE)
            via = f"{via};received={source[0]}"
        headers.append(("Via", via))
    to = request.first("to") or ""
    if status > 100 and tag_of(to) is None:
        to = f"{to};tag={tag}"
    headers += [("From", request.first("from") or ""), ("To", to)]
    headers += [("Call-ID", request.first("call-id") or ""), ("CSeq", request.first("cseq") or ""), *extra]
    return write(f"SIP/2.0 {status} {reason}", headers)
