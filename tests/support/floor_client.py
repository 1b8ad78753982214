"""A small SIP telephone for each way into the edge: UDP, TCP, TLS and WebSocket. It signals; it has no sound."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import socket
import ssl
from contextlib import suppress

import aiohttp

from tenderline.voice import digest, sip_text

WAIT_S = 15.0
_numbers = itertools.count(1)

PLAIN = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 39998 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)
# The form that browsers give to an offer (RFC 8829): ICE, a fingerprint for DTLS, RTCP on the port of RTP.
OF_A_BROWSER = (
    "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=audio 39996 UDP/TLS/RTP/SAVPF 111 0 8 101\r\nc=IN IP4 127.0.0.1\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
    "a=candidate:1 1 udp 2122260223 127.0.0.1 39996 typ host generation 0\r\n"
    "a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlig\r\na=ice-options:trickle\r\n"
    f"a=fingerprint:sha-256 {':'.join(f'{number:02X}' for number in range(32))}\r\n"
    "a=setup:SETUP\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
)


def of_a_browser(*, setup: str = "actpass") -> str:
    """What a browser offers, or answers with `setup` "active"."""
    return OF_A_BROWSER.replace("SETUP", setup)


class FloorClient:
    """One telephone with one call, over `transport`. Use it in `async with`."""

    def __init__(self, transport: str, host: str, port: int, *, certificate=None, origin: str = ""):
        self.transport, self.host, self.port = transport, host, port
        self._certificate, self._origin = certificate, origin
        self._received: asyncio.Queue[sip_text.Message] = asyncio.Queue(1_000)
        self.call_id, self.tag = f"floor{next(_numbers)}.{id(self)}", f"f{next(_numbers)}"
        self.number, self.target, self.to, self.routes, self.sequence = "", "", "", [], 0
        self.user = "floor"

    async def __aenter__(self):
        async with asyncio.timeout(WAIT_S):
            await getattr(self, f"_open_{self.transport}")()
        return self

    async def __aexit__(self, *_):
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._close()

    # The ways in.

    async def _open_udp(self):
        loop, own = asyncio.get_running_loop(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.setblocking(False)
        own.connect((self.host, self.port))
        self.own = own.getsockname()

        async def send(data: bytes) -> None:
            with suppress(ConnectionRefusedError):
                await loop.sock_sendall(own, data)

        async def read() -> None:
            while True:
                with suppress(ConnectionRefusedError):  # nobody is there yet, or any more
                    self._take(await loop.sock_recv(own, 65_535))

        async def close() -> None:
            own.close()

        self._send, self._close, self._reader = send, close, loop.create_task(read())

    async def _open_tcp(self, context: ssl.SSLContext | None = None):
        reader, writer = await asyncio.open_connection(self.host, self.port, ssl=context)
        self.own = writer.get_extra_info("sockname")

        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        async def read() -> None:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
                    self._take(head + await reader.readexactly(length))

        async def close() -> None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

        self._send, self._close, self._reader = send, close, asyncio.get_running_loop().create_task(read())

    async def _open_tls(self):
        await self._open_tcp(ssl.create_default_context(cafile=self._certificate))

    async def _open_ws(self):
        scheme, context = "ws", None
        if self._certificate is not None:
            scheme, context = "wss", ssl.create_default_context(cafile=self._certificate)
        session = aiohttp.ClientSession()
        try:
            self.upgraded = await session.ws_connect(
                f"{scheme}://{self.host}:{self.port}/", protocols=("sip",), origin=self._origin, ssl=context or True
            )
        except BaseException:
            await session.close()
            raise
        self.own = (f"{self.tag}.invalid", 0)  # a browser does not know its address (RFC 7118, 5)
        upgraded = self.upgraded

        async def read() -> None:
            async for message in upgraded:
                self._take(message.data.encode() if isinstance(message.data, str) else message.data)

        async def send(data: bytes) -> None:
            await upgraded.send_str(data.decode())

        self._send, self._close, self._reader = send, session.close, asyncio.get_running_loop().create_task(read())

    def _take(self, data: bytes) -> None:
        if data.strip():
            self._received.put_nowait(sip_text.read(data))

    # What is said.

    @property
    def _contact(self) -> str:
        host, port = self.own[:2]
        return f"<sip:{self.user}@{host}{f':{port}' if port else ''};transport={self.transport}>"

    async def ask(self, method, uri, *, body="", to=None, sequence=None, branch=None, extra=(), routes=()):
        """Sends a request; the branch of its Via."""
        if sequence is None:
            self.sequence += 1
        host, port = self.own[:2]
        branch = branch or f"z9hG4bK{self.tag}{next(_numbers)}"
        headers = [
            ("Via", f"SIP/2.0/{self.transport.upper()} {host}{f':{port}' if port else ''};branch={branch};rport"),
            *(("Route", route) for route in routes),
            ("From", f"<sip:{self.user}@floor.invalid>;tag={self.tag}"),
            ("To", to or f"<{uri}>"),
            ("Call-ID", self.call_id),
            ("CSeq", f"{sequence or self.sequence} {method}"),
            ("Max-Forwards", "70"),
            ("Contact", self._contact),
            *extra,
        ]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        await self._send(sip_text.write(f"{method} {uri} SIP/2.0", headers, body))
        return branch

    async def next(self, wanted):
        """The next message of which `wanted` is true; others are passed over."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self._received.get()
                if wanted(message):
                    return message

    async def final(self, method):
        """The next final answer to a request of that method."""
        return await self.next(lambda one: one.status >= 200 and (one.first("cseq") or "").endswith(f" {method}"))

    async def options(self):
        """The status that OPTIONS got."""
        await self.ask("OPTIONS", f"sip:{self.host}:{self.port}")
        return (await self.final("OPTIONS")).status

    async def call(self, number, *, body=PLAIN, extra=(), host=None):
        """Calls, and says that the answer has come; the final answer."""
        self.number = f"sip:{number}@{host or f'{self.host}:{self.port}'}"
        branch = await self.ask("INVITE", self.number, body=body, extra=extra)
        answer = await self.final("INVITE")
        self.to, self.target = answer.first("to"), self.number
        if answer.status < 300:
            branch = None
            self.target = re.search(r"<([^>]*)>", answer.first("contact"))[1]
            self.routes = answer.listed("record-route")[::-1]
        await self.ask("ACK", self.target, to=self.to, sequence=self.sequence, branch=branch, routes=self.routes)
        return answer

    async def hang_up(self):
        """BYE; the status of its answer."""
        await self.ask("BYE", self.target, to=self.to, routes=self.routes)
        return (await self.final("BYE")).status

    async def until_bye(self):
        """Waits for a BYE, and says yes to it."""
        await self.say_yes(await self.next(lambda one: one.method == "BYE"))

    async def say_yes(self, request, *, body=""):
        """200 to a request."""
        copied = [(name.title(), one) for name in ("via", "record-route") for one in request.listed(name)]
        to = request.first("to")
        headers = [
            *copied,
            ("From", request.first("from")),
            ("To", to if sip_text.tag_of(to) else f"{to};tag={self.tag}"),
            ("Call-ID", request.first("call-id")),
            ("CSeq", request.first("cseq")),
            ("Contact", self._contact),
        ]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        await self._send(sip_text.write("SIP/2.0 200 OK", headers, body))

    async def register(self, name, password, *, expires_s=300):
        """REGISTER with a password by digest (RFC 7616, MD5); the final answer."""
        self.user, uri = f"{name}-here", f"sip:{self.host}:{self.port}"
        to = f"<sip:{name}@{self.host}:{self.port}>"
        lasting = ("Expires", str(expires_s))
        await self.ask("REGISTER", uri, to=to, extra=(lasting,))
        asked = await self.final("REGISTER")
        assert asked.status == 401, "a telephone shows its password"
        fields = next(
            given for given in map(digest.fields, asked.all("www-authenticate")) if given.get("algorithm") == "MD5"
        )
        words = {"username": name, "realm": fields["realm"], "nonce": fields["nonce"], "uri": uri, "cnonce": self.tag}
        ha1 = _md5(f"{name}:{fields['realm']}:{password}")
        response = _md5(f"{ha1}:{fields['nonce']}:00000001:{self.tag}:auth:{_md5(f'REGISTER:{uri}')}")
        given = ", ".join(f'{key}="{value}"' for key, value in {**words, "response": response}.items())
        shown = ("Authorization", f"Digest {given}, algorithm=MD5, qop=auth, nc=00000001")
        await self.ask("REGISTER", uri, to=to, extra=(lasting, shown))
        return await self.final("REGISTER")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
