"""One request to a gateway and its answer: the standard library's `ssl` over one socket, and nothing between.

HTTP libraries copy what they send; this sends the memory in which the request was built, and wipes it. TLS 1.2 or later
with a verified chain and host name (PCI DSS v4.0.1, 4.2.1): when either is wrong the handshake fails, which is before
any byte of the request. Plain HTTP goes to loopback only, and only when the target says so. Nothing is asked twice from
here: a token request charges nothing, so whoever speaks with the caller may ask again.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tenderline.cardholder.gateways.adyen import Adyen
from tenderline.cardholder.gateways.base import Answer, CardGateway, Keyed, Request, UnreadableError
from tenderline.cardholder.gateways.braintree import Braintree
from tenderline.cardholder.gateways.generic import Generic
from tenderline.cardholder.gateways.stripe import Stripe
from tenderline.cardholder.memory import Memory
from tenderline.cardholder.messages import Outcome, TokenUnavailable
from tenderline.cardholder.wire import GatewayTarget

ANSWER_BYTES_MAX: Final = 64 << 10
ADDRESSES_MAX: Final = 4
GATEWAYS: Final[dict[str, CardGateway]] = {
    "stripe": Stripe(),
    "braintree": Braintree(),
    "adyen": Adyen(),
    "generic": Generic(),
}

# SSL_OP_CLEANSE_PLAINTEXT of OpenSSL 3: what was decrypted is wiped once it has been handed over. The module `ssl` of
# Python 3.11 has no name for it.
_CLEANSE_PLAINTEXT: Final = 0x2
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~%+-]*)*")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9a-fA-F:]{2,45}")
_HEAD_ENDS: Final = b"\r\n\r\n"
_LINE_ENDS: Final = b"\r\n"


class _Where(NamedTuple):
    tls: bool
    host: str
    port: int
    path: str


class AskedInVainError(Exception):
    """No answer that could be read; the text is of our own words."""


def trust(ca_file: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later, chain and host name verified; costs some milliseconds, so a warm child has done it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ssl.OPENSSL_VERSION_INFO >= (3, 0):
        context.options |= _CLEANSE_PLAINTEXT
    context.options |= ssl.OP_NO_COMPRESSION
    if ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca_file)
    return context


class Exchange:
    """Asks a gateway for a token. The memory for request and answer is made once, and wiped after each use."""

    def __init__(self) -> None:
        self._request = Request()
        self._answer = Memory(ANSWER_BYTES_MAX)
        self._trust = trust()

    def ask(self, card: Keyed, target: GatewayTarget) -> Outcome:
        """One request, one outcome; whatever goes wrong is `TokenUnavailable`."""
        gateway = GATEWAYS[target.kind]
        deadline = time.monotonic() + target.timeout_s
        try:
            where = _where(target, gateway.path)
            gateway.build(card, target, self._request)
            self._request.finish(where.path, _host_header(where), gateway.headers(target))
            with self._connected(where, target, deadline) as link:
                _send(link, self._request.view, deadline)
                self._request.wipe()
                answer = _read(link, self._answer, deadline)
                return gateway.read(answer, card)
        except AskedInVainError as error:
            return TokenUnavailable(str(error))
        except UnreadableError:
            return TokenUnavailable("the request could not be built, or the answer not be read")
        except ssl.SSLCertVerificationError as error:
            return TokenUnavailable(f"the gateway's certificate is not right ({error.verify_code})")
        except TimeoutError:
            return TokenUnavailable("the gateway did not answer in time")
        except OSError as error:
            return TokenUnavailable(f"the gateway cannot be reached ({type(error).__name__})")
        finally:
            self.wipe()

    def wipe(self) -> None:
        """Leaves nothing of a request or an answer."""
        self._request.wipe()
        self._answer.wipe()

    def _connected(self, where: _Where, target: GatewayTarget, deadline: float) -> socket.socket:
        plain = _connect(where, min(deadline, time.monotonic() + target.connect_s))
        if not where.tls:
            return plain
        context = self._trust if target.ca_file is None else trust(target.ca_file)
        try:
            plain.settimeout(_left_s(deadline))
            return context.wrap_socket(plain, server_hostname=where.host, suppress_ragged_eofs=False)
        except (OSError, ValueError):
            plain.close()
            raise


def _where(target: GatewayTarget, path: str) -> _Where:
    """The address, taken apart; anything unusual in it is refused, not repaired."""
    try:
        parts = urlsplit(target.url)
        port = parts.port
    except ValueError:
        raise AskedInVainError("the gateway's address cannot be read") from None
    host, whole = parts.hostname or "", parts.path.rstrip("/") + path
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(whole) or parts.query or parts.fragment or "@" in parts.netloc:
        raise AskedInVainError("the gateway's address must be https://HOST[:PORT][/PATH]")
    if parts.scheme == "https":
        return _Where(True, host, port or 443, whole or "/")
    if parts.scheme == "http" and target.plain_http_on_loopback:
        return _Where(False, host, port or 80, whole or "/")
    raise AskedInVainError("the gateway's address must be https://HOST[:PORT][/PATH]")


def _host_header(where: _Where) -> str:
    host = f"[{where.host}]" if ":" in where.host else where.host
    return host if where.port == (443 if where.tls else 80) else f"{host}:{where.port}"


def _connect(where: _Where, deadline: float) -> socket.socket:
    """The first address that answers; without TLS, loopback addresses only, whatever the name says."""
    why: OSError = TimeoutError()
    found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)[:ADDRESSES_MAX]
    for family, kind, protocol, _, address in found:
        if not where.tls and not ipaddress.ip_address(address[0]).is_loopback:
            raise AskedInVainError("plain HTTP goes to this machine only; the gateway's address must begin with https")
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(_left_s(deadline))
            link.connect(address)
        except OSError as error:
            link.close()
            why = error
            continue
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link
    raise why


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _send(link: socket.socket, data: memoryview, deadline: float) -> None:
    sent = 0
    while sent < len(data):
        link.settimeout(_left_s(deadline))
        sent += link.send(data[sent:])


def _read(link: socket.socket, memory: Memory, deadline: float) -> Answer:
    """The whole answer, which must say how long it is, within `memory`."""
    head_end = -1
    end = 0
    head = _Head(0, None, False)
    while True:
        if head_end < 0 and (head_end := memory.find(_HEAD_ENDS, 0, end)) >= 0:
            head = _head(bytes(memory.view[:head_end]))
        if head_end >= 0 and (body := _body(memory, head_end + len(_HEAD_ENDS), end, head)) is not None:
            return Answer(head.status, body)
        if end == memory.size_bytes:
            raise AskedInVainError(f"the gateway's answer is longer than {ANSWER_BYTES_MAX >> 10} KB")
        link.settimeout(_left_s(deadline))
        got = link.recv_into(memory.view[end:])
        if got == 0:
            raise AskedInVainError("the gateway's answer was cut off")
        end += got


class _Head(NamedTuple):
    status: int
    length: int | None
    chunked: bool


def _head(data: bytes) -> _Head:
    """Status and framing. An answer with two lengths, or a coding of its own, is not read (RFC 9112, 6.3)."""
    first, *lines = data.lower().split(_LINE_ENDS)
    if not (found := re.fullmatch(rb"http/1\.[01] ([2-5]\d\d)(?: .*)?", first)):
        raise UnreadableError
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or (name in fields and name in (b"content-length", b"transfer-encoding")):
            raise UnreadableError
        fields[name] = value.strip()
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if fields.get(b"content-encoding", b"identity") != b"identity" or (length is None) == (coding is None):
        raise UnreadableError
    if coding is not None and coding != b"chunked":
        raise UnreadableError
    if length is not None and not re.fullmatch(rb"\d{1,9}", length):
        raise UnreadableError
    return _Head(int(found[1]), None if length is None else int(length), coding is not None)


def _body(memory: Memory, start: int, end: int, head: _Head) -> memoryview | None:
    """The body, once all of it is there; chunks are pushed together in place."""
    if head.length is not None:
        if start + head.length > memory.size_bytes:
            raise AskedInVainError(f"the gateway's answer is longer than {ANSWER_BYTES_MAX >> 10} KB")
        return memory.view[start : start + head.length] if end - start >= head.length else None
    chunks = _chunks(memory, start, end)
    if chunks is None:
        return None
    to = start
    for at, size in chunks:
        memory.view[to : to + size] = memory.view[at : at + size]
        to += size
    return memory.view[start:to]


def _chunks(memory: Memory, at: int, end: int) -> list[tuple[int, int]] | None:
    """Where each chunk lies and how long it is, once the last one is there (RFC 9112, 7.1)."""
    found: list[tuple[int, int]] = []
    while (line_end := memory.find(_LINE_ENDS, at, end)) >= 0:
        size = re.fullmatch(rb"([0-9a-fA-F]{1,6})(?:[ \t;].*)?", bytes(memory.view[at:line_end]))
        if size is None:
            raise UnreadableError
        start, length = line_end + len(_LINE_ENDS), int(size[1], 16)
        if length == 0:
            return found
        found.append((start, length))
        at = start + length + len(_LINE_ENDS)
        if at > end:
            return None
    return None
