"""One request to a gateway and its answer: the standard library's `ssl` over one socket, and nothing between.

HTTP libraries copy what they send; this sends the memory in which the request was built, and wipes it. TLS 1.2 or later
with a verified chain and host name (PCI DSS v4.0.1, 4.2.1): when either is wrong the handshake fails, which is before
any byte of the request. Plain HTTP goes to loopback only, and only when the target says so.

The connection is made beforehand, some keys before the last one (`early.py`), and used for one request while it is
young. When it is not there, or not right, one is made when the gateway is asked, and only then a failure is told: a
gateway that was out of order for a moment costs no gift. Nothing is asked twice, with one exception: a gateway may
close a kept connection in the instant in which the request leaves. When it did so without one byte of an answer, and a
second token would be nobody's loss (`CardGateway.twice_is_harmless`), the request is sent once more, on a new
connection. Nothing is ever charged from here.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from tenderline.cardholder.early import Opening
from tenderline.cardholder.gateway_address import ADDRESSES_MAX, AskedInVainError, Where, where_is
from tenderline.cardholder.gateways.adyen import Adyen
from tenderline.cardholder.gateways.base import Answer, CardGateway, Keyed, Request, UnreadableError
from tenderline.cardholder.gateways.braintree import Braintree
from tenderline.cardholder.gateways.generic import Generic
from tenderline.cardholder.gateways.stripe import Stripe
from tenderline.cardholder.memory import Memory
from tenderline.cardholder.messages import Outcome, TokenUnavailable
from tenderline.cardholder.wire import GatewayTarget

ANSWER_BYTES_MAX: Final = 64 << 10
GATEWAYS: Final[dict[str, CardGateway]] = {
    "stripe": Stripe(),
    "braintree": Braintree(),
    "adyen": Adyen(),
    "generic": Generic(),
}

# SSL_OP_CLEANSE_PLAINTEXT of OpenSSL 3: what was decrypted is wiped once it has been handed over. The module `ssl` of
# Python 3.11 has no name for it.
_CLEANSE_PLAINTEXT: Final = 0x2
_HEAD_ENDS: Final = b"\r\n\r\n"
_LINE_ENDS: Final = b"\r\n"


class UnansweredError(AskedInVainError):
    """The gateway closed the connection before one byte of an answer."""

    def __init__(self) -> None:
        super().__init__("the gateway closed the connection without an answer")


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
        self._trust: dict[str | None, ssl.SSLContext] = {None: trust()}
        self._opening: Opening | None = None

    def approach(self, target: GatewayTarget, addresses: Sequence[str]) -> None:
        """The gateway is going to be asked: begins to connect, unless there is a connection that will do. Never waits.

        From half of its time on it will not: the last key may be some seconds away.
        """
        opening = self._opening
        if opening is not None and opening.age_s < target.kept_s / 2 and (opening.watched or opening.is_quiet()):
            return
        self.close()
        if not addresses or target.kept_s <= 0:
            return
        try:
            where = where_is(target, GATEWAYS[target.kind].path)
            self._opening = Opening(where, addresses, self._trusted(where, target))
        except (AskedInVainError, OSError):
            return  # it will be the same when the gateway is asked, and is told then

    @property
    def watched(self) -> tuple[int, int] | None:
        """The descriptor and the events of poll(2) after which `go_on` is due."""
        return None if self._opening is None else self._opening.watched

    def go_on(self) -> None:
        """One more step towards the connection."""
        if self._opening is not None:
            self._opening.go_on()

    def ask(self, card: Keyed, target: GatewayTarget) -> Outcome:
        """One request, one outcome; whatever goes wrong is `TokenUnavailable`."""
        gateway = GATEWAYS[target.kind]
        deadline = time.monotonic() + target.timeout_s
        try:
            where = where_is(target, gateway.path)
            if (kept := self._kept(target, deadline)) is not None:
                try:
                    return self._asked(kept, where, card, target, deadline)
                except UnansweredError:
                    if not gateway.twice_is_harmless:
                        raise
            return self._asked(self._connected(where, target, deadline), where, card, target, deadline)
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

    def close(self) -> None:
        """Gives up a connection that was made and is not needed."""
        if self._opening is not None:
            self._opening.close()
            self._opening = None

    def _asked(self, link: socket.socket, where: Where, card: Keyed, target: GatewayTarget, deadline: float) -> Outcome:
        gateway = GATEWAYS[target.kind]
        with link:
            gateway.build(card, target, self._request)
            self._request.finish(where.path, where.host_header, gateway.headers(target))
            try:
                _send(link, self._request.view, deadline)
            finally:
                self._request.wipe()
            return gateway.read(_read(link, self._answer, deadline), card)

    def _kept(self, target: GatewayTarget, deadline: float) -> socket.socket | None:
        """The connection that was made beforehand, if it is young and quiet.

        One that is still under way is waited for, but not for longer than connecting may take: then it is stuck.
        """
        opening, self._opening = self._opening, None
        if opening is None:
            return None
        opening.finish(min(deadline - time.monotonic(), target.connect_s - opening.age_s))
        if opening.age_s < target.kept_s and opening.is_quiet():
            return opening.take()
        opening.close()
        return None

    def _connected(self, where: Where, target: GatewayTarget, deadline: float) -> socket.socket:
        plain = _connect(where, min(deadline, time.monotonic() + target.connect_s))
        try:
            context = self._trusted(where, target)
            if context is None:
                return plain
            plain.settimeout(_left_s(deadline))
            return context.wrap_socket(plain, server_hostname=where.host, suppress_ragged_eofs=False)
        except (OSError, ValueError):
            plain.close()
            raise

    def _trusted(self, where: Where, target: GatewayTarget) -> ssl.SSLContext | None:
        if not where.tls:
            return None
        if target.ca_file not in self._trust:
            self._trust[target.ca_file] = trust(target.ca_file)
        return self._trust[target.ca_file]


def _connect(where: Where, deadline: float) -> socket.socket:
    """The first address that answers."""
    why: OSError = TimeoutError()
    found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)[:ADDRESSES_MAX]
    for family, kind, protocol, _, address in found:
        where.check(str(address[0]))
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
        try:
            sent += link.send(data[sent:])
        except TimeoutError:
            raise
        except OSError:
            raise UnansweredError from None


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
        try:
            got = link.recv_into(memory.view[end:])
        except TimeoutError:
            raise
        except OSError:
            if end == 0:
                raise UnansweredError from None
            raise
        if got == 0:
            raise AskedInVainError("the gateway's answer was cut off") if end else UnansweredError
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
