"""A SIP socket that sends what it is told, right or wrong, and an RTP socket beside it."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket

from tenderline.voice import packet, sip_text

_numbers = itertools.count(1)


class RawSip:
    """Sends requests to a node and reads what comes back. Use it in `with`."""

    def __init__(self, node, *, host="127.0.0.1"):
        self.node = node
        self.sip = self._bound(host)
        self.rtp = self._bound(host)
        self.host, self.port = host, self.sip.getsockname()[1]
        self.call_id = f"raw{next(_numbers)}@{host}"
        self.tag, self.to_tag, self.sequence = f"t{next(_numbers)}", None, 0

    @staticmethod
    def _bound(host):
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host, 0))
        made.setblocking(False)
        return made

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sip.close()
        self.rtp.close()

    def description(self, *, formats="0 101", extra="", direction="sendrecv", port=None):
        """Our side of the media."""
        family = "IP6" if ":" in self.host else "IP4"
        return (
            f"v=0\r\no=- {next(_numbers)} 1 IN {family} {self.host}\r\ns=-\r\nc=IN {family} {self.host}\r\nt=0 0\r\n"
            f"m=audio {port or self.rtp.getsockname()[1]} RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\n"
            f"a={direction}\r\n{extra}"
        )

    def request(self, method, number="+18005550123", *, body="", extra=(), sequence=None, branch=None, kind=None):
        """A request of this dialog, as bytes."""
        if sequence is None and method != "ACK":
            self.sequence += 1
        host = f"[{self.host}]" if ":" in self.host else self.host
        headers = [
            ("Via", f"SIP/2.0/UDP {host}:{self.port};branch={branch or f'z9hG4bKr{next(_numbers)}'};rport"),
            ("From", f"<sip:+12025550100@{host}>;tag={self.tag}"),
            ("To", f"<sip:{number}@{host}>" + (f";tag={self.to_tag}" if self.to_tag else "")),
            ("Call-ID", self.call_id),
            ("CSeq", f"{sequence or self.sequence} {method}"),
            ("Max-Forwards", "70"),
            ("Contact", f"<sip:raw@{host}:{self.port}>"),
            *extra,
        ]
        if body:
            headers.append(("Content-Type", kind or "application/sdp"))
        return sip_text.write(f"{method} sip:{number}@{host} SIP/2.0", headers, body)

    def send(self, data):
        """Sends bytes to the node."""
        self.sip.sendto(data, self.node)

    async def answer(self, *, within_s=15.0, final=True, method=None):
        """The next answer (a final one, of that method); None when none comes."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within_s):
                while True:
                    message = sip_text.read(await loop.sock_recv(self.sip, 65_535))
                    if message.method is not None and method is not None:
                        if message.method == method:
                            return message
                        continue
                    if message.method is None and (not final or message.status >= 200):
                        return message
        except TimeoutError:
            return None

    async def invite(self, number="+18005550123", *, body=None, ack_body="", **more):
        """INVITE, and ACK what comes; the final answer."""
        branch = f"z9hG4bKi{next(_numbers)}"
        self.send(
            self.request("INVITE", number, body=self.description() if body is None else body, branch=branch, **more)
        )
        answer = await self.answer()
        assert answer is not None, "no answer to an INVITE"
        if answer.status < 300:
            self.to_tag = sip_text.tag_of(answer.first("to"))
            branch = None
        self.send(self.request("ACK", number, body=ack_body, sequence=self.sequence, branch=branch))
        return answer

    async def bye(self):
        """BYE; the status of the answer."""
        self.send(self.request("BYE"))
        answer = await self.answer()
        return answer.status if answer else None

    async def until_bye(self, *, within_s=20.0):
        """Waits for the node's BYE and says yes to it; False when none comes."""
        found = await self.answer(within_s=within_s, method="BYE")
        if found is None:
            return False
        self.send(sip_text.respond(found, 200, "OK", source=self.node, tag="x", extra=()))
        return True

    @staticmethod
    def media_of(answer):
        """Where the node wants its audio."""
        return (
            re.search(r"c=IN IP[46] (\S+)", answer.body)[1],
            int(re.search(r"m=audio (\d+)", answer.body)[1]),
        )

    def audio(self, to, *, count=1, sequence=1, timestamp=160, ssrc=1, kind=0, payload=b"\x80" * 160, via=None):
        """RTP packets, from our own socket or another one."""
        for number in range(count):
            data = packet.write(kind, (sequence + number) % 65536, (timestamp + 160 * number) % 2**32, ssrc, payload)
            (via or self.rtp).sendto(data, to)

    def press(self, to, key, *, timestamp, via=None):
        """One key as an event, with its end."""
        code = packet_code(key)
        for end in (False, True):
            payload = bytes((code, 0x8A if end else 0x0A, 1, 64))
            self.audio(to, kind=101, payload=payload, timestamp=timestamp, sequence=timestamp // 160, via=via)


def packet_code(key):
    return "0123456789*#ABCD".index(key)
