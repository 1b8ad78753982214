"""Callers and agents' telephones, all in one process, cheap enough to stand beside a node on one machine.

`python -m tests.bench.phone_farm`: a job comes as a line of JSON; `bridged` is said when every caller and its agent
hear each other, `measured` when the time is over, and the result is a line of JSON. Then all hang up.

There is no event loop: every 2 ms a tenth of the telephones read what came and send one packet, as telephones that know
nothing of each other would. When a packet came is what the kernel noted, so a farm that is late to read is no error of
the node. Each packet carries its sender and number in the signs of its first samples, which survive a change between
A-law and mu-law: so a packet is followed from end to end, though the node numbers it anew.
"""

from __future__ import annotations

import secrets
import socket
import struct
import sys
import time

import msgspec

from tenderline.core import telephone_password
from tenderline.voice import digest, packet, sdp, sip_text
from tenderline.voice.sip_text import Message
from tests.bench.telephone import FRAME_S, HOST, PASSWORD, spacing_errors_ms, telephone_names

SLOTS = 10
SLOT_S = FRAME_S / SLOTS
NUMBER_BITS = 20
SENDER_BITS = 11
TAG_BITS = 1 + SENDER_BITS + NUMBER_BITS  # the first one is 0: silence reads as ones only
LATE_S = 0.02
HANG_UP_S = 1.0
ON_THE_WAY_S = 1.0
RECEIVE_BUFFER_BYTES = 4 << 20
SO_TIMESTAMPNS = 35  # Linux, asm-generic/socket.h; Python does not name it
_TIMESPEC = struct.Struct("@ll")
_SPACE_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_LOUD = bytes.maketrans(b"01", b"\x1f\x9f")
_SIGNS = bytes(0x31 if one & 0x80 else 0x30 for one in range(256))
_TAG = slice(packet.HEADER_BYTES, packet.HEADER_BYTES + TAG_BITS)


class Job(msgspec.Struct, kw_only=True):
    """Whom to call with how many callers, each of which an agent of ours will take."""

    port: int
    called: str
    pairs: int
    seconds: float
    """How long is measured once all are bridged."""
    connect_s_max: float
    calls_per_s: float = 20.0


class Direction(msgspec.Struct, kw_only=True):
    """Packets on the way from one side to the other while all were bridged."""

    sent: int
    lost: int
    """Never heard on the other side, or too late to be played."""


class Outcome(msgspec.Struct, kw_only=True):
    """What the telephones saw."""

    from_callers: Direction
    from_agents: Direction
    spacing_errors_ms: list[float]
    late_sends: int
    """Packets that the farm itself sent more than 20 ms after their time: the machine is too busy for figures."""
    cpu_s: float


class Telephone:
    """The media of one telephone, and the names of its call."""

    def __init__(self, user: str, index: int, payload_type: int) -> None:
        self.user, self.index, self.call_id = user, index, secrets.token_hex(8)
        self.payload_type = payload_type
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((HOST, 0))
        self.rtp.setblocking(False)
        self.rtp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.port: int = self.rtp.getsockname()[1]
        self.node: tuple[str, int] | None = None
        self.answer: Message | None = None
        self.sent = 0
        self.heard: set[int] = set()
        self.arrived_s: list[float] = []
        self._ssrc = secrets.randbits(32)
        self._noise = secrets.token_bytes(packet.FRAME_SAMPLES - TAG_BITS)

    def offer(self) -> str:
        """One stream, one codec."""
        return sdp.offer(HOST, self.port, session=self.port, types=(self.payload_type,))

    def connect(self, description: str) -> None:
        """Media flows from here."""
        media = sdp.read(description)
        self.node = (media.host, media.port)

    def tag(self, number: int) -> int:
        """What the signs of a packet of ours say."""
        return self.index << NUMBER_BITS | number

    def send(self) -> None:
        """One packet."""
        assert self.node is not None, "connected before it sends"
        number = self.sent
        tagged = format(self.tag(number), f"0{TAG_BITS}b").encode().translate(_LOUD) + self._noise
        data = packet.write(self.payload_type, number & 0xFFFF, number * packet.FRAME_SAMPLES, self._ssrc, tagged)
        self.rtp.sendto(data, self.node)
        self.sent = number + 1

    def receive(self) -> None:
        """Everything that came."""
        while True:
            try:
                data, ancillary, _, _ = self.rtp.recvmsg(packet.PACKET_BYTES_MAX, _SPACE_BYTES)
            except BlockingIOError:
                return
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            self.arrived_s.append(seconds + nanoseconds / 1e9)
            self.heard.add(int(data[_TAG].translate(_SIGNS), 2))


class Farm:
    """All telephones of a job: one SIP socket for the callers, one for the agents."""

    def __init__(self, job: Job) -> None:
        self._job, self._node = job, (HOST, job.port)
        self._sip = [self._socket(), self._socket()]
        # Every second caller speaks A-law, so that half of the pairs need a change of codec.
        laws = (packet.PCMU, packet.PCMA)
        self._callers = [Telephone(f"+1202555{100 + n:04d}", n, laws[n % 2]) for n in range(job.pairs)]
        self._agents = {
            name: Telephone(name, job.pairs + n, packet.PCMU) for n, name in enumerate(telephone_names(job.pairs))
        }
        self._by_call = {one.call_id: one for one in (*self._callers, *self._agents.values())}
        self._phones = [one for pair in zip(self._callers, self._agents.values(), strict=True) for one in pair]
        self._registered: set[str] = set()
        self._dialled = self._slot = self._late = 0
        self._next_s = time.monotonic()

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        made.bind((HOST, 0))
        made.setblocking(False)
        return made

    def run(self) -> Outcome:
        """From the first REGISTER to the end of the measured time."""
        for agent in self._agents.values():
            self._sip[1].sendto(self._request(1, agent, "REGISTER", 1), self._node)
        until_s = time.monotonic() + self._job.connect_s_max
        while len(self._registered) < len(self._agents):
            self._turn(until_s)
        began_s = time.monotonic()
        while not all(len(one.heard) > 1 for one in self._phones):
            due = min(len(self._callers), int((time.monotonic() - began_s) * self._job.calls_per_s) + 1)
            for caller in self._callers[self._dialled : due]:
                self._sip[0].sendto(self._request(0, caller, "INVITE", 1), self._node)
            self._dialled = max(self._dialled, due)
            self._turn(until_s)
        print("bridged", flush=True)
        return self._measure()

    def _measure(self) -> Outcome:
        used_s, self._late = time.process_time(), 0
        first = [one.sent for one in self._phones]
        for one in self._phones:
            one.arrived_s.clear()
        self._go_on(self._job.seconds)
        print("measured", flush=True)
        last = [one.sent for one in self._phones]
        cpu_s, late = time.process_time() - used_s, self._late
        errors = [error for one in self._phones for error in spacing_errors_ms(one.arrived_s)]
        self._go_on(ON_THE_WAY_S)
        sent = {
            one.tag(number)
            for one, begin, end in zip(self._phones, first, last, strict=True)
            for number in range(begin, end)
        }
        heard = set().union(*(one.heard for one in self._phones))
        agents_from = len(self._callers) << NUMBER_BITS
        return Outcome(
            from_callers=_way({tag for tag in sent if tag < agents_from}, heard),
            from_agents=_way({tag for tag in sent if tag >= agents_from}, heard),
            spacing_errors_ms=errors,
            late_sends=late,
            cpu_s=cpu_s,
        )

    def hang_up(self) -> None:
        """All callers hang up; the node does the same to the agents."""
        for caller in self._callers:
            self._sip[0].sendto(self._request(0, caller, "BYE", 2), self._node)
        self._go_on(HANG_UP_S)

    def _go_on(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._turn()

    def _turn(self, until_s: float | None = None) -> None:
        """One slot: what came as signalling is answered, a tenth of the telephones read and send."""
        if until_s is not None and time.monotonic() > until_s:
            raise TimeoutError(f"{len(self._registered)} telephones registered, {self._dialled} callers dialled")
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        for side, sip in enumerate(self._sip):
            self._signalling(side, sip)
        is_late = time.monotonic() - self._next_s > LATE_S
        for one in self._phones[self._slot :: SLOTS]:
            one.receive()
            if one.node is not None:
                one.send()
                self._late += is_late
        self._slot = (self._slot + 1) % SLOTS
        self._next_s += SLOT_S

    def _signalling(self, side: int, sip: socket.socket) -> None:
        while True:
            try:
                message = sip_text.read(sip.recv(65_535))
            except BlockingIOError:
                return
            if message.method is None:
                self._answered(side, message)
            elif message.method != "ACK":
                sip.sendto(self._answer(side, message), self._node)

    def _answered(self, side: int, message: Message) -> None:
        """What the node says to a request of ours."""
        phone = self._by_call[message.first("call-id") or ""]
        method = (message.first("cseq") or "").split()[-1]
        if method == "REGISTER" and message.status == 401:
            extra = ("Authorization", _authorization(message, phone.user, HOST))
            self._sip[side].sendto(self._request(side, phone, "REGISTER", 2, extra), self._node)
        elif method == "REGISTER" and message.status == 200:
            self._registered.add(phone.user)
        elif method == "INVITE" and message.status == 200:
            phone.answer = message
            self._sip[side].sendto(self._request(side, phone, "ACK", 1), self._node)
            phone.connect(message.body)
        elif message.status >= 300:
            raise RuntimeError(f"{method} of {phone.user} was answered with {message.status}")

    def _answer(self, side: int, message: Message) -> bytes:
        """An agent takes every call at once; and whoever is told BYE says yes to it."""
        copied = [(name, value) for name, value in message.headers if name in ("via", "from", "call-id", "cseq")]
        if message.method == "BYE":
            return sip_text.write("SIP/2.0 200 OK", [*copied, ("To", message.first("to") or "")])
        if message.method != "INVITE":
            return sip_text.write("SIP/2.0 405 Method Not Allowed", [*copied, ("To", message.first("to") or "")])
        agent = self._agents[sip_text.user_of(message.uri)]
        agent.connect(message.body)
        to = f"{message.first('to')};tag={agent.call_id}"
        said = [*copied, ("To", to), self._contact(side, agent), ("Content-Type", "application/sdp")]
        return sip_text.write("SIP/2.0 200 OK", said, agent.offer())

    def _contact(self, side: int, phone: Telephone) -> tuple[str, str]:
        return "Contact", f"<sip:{phone.user}@{HOST}:{self._sip[side].getsockname()[1]}>"

    def _request(self, side: int, phone: Telephone, method: str, number: int, *extra: tuple[str, str]) -> bytes:
        to = f"<sip:{phone.user if side else self._job.called}@{HOST}>"
        if phone.answer is not None:
            to = phone.answer.first("to") or ""
        uri = f"sip:{HOST}" if method == "REGISTER" else f"sip:{self._job.called}@{HOST}"
        headers = [
            ("Via", f"SIP/2.0/UDP {HOST}:{self._sip[side].getsockname()[1]};branch=z9hG4bK{secrets.token_hex(8)}"),
            ("From", f"<sip:{phone.user}@{HOST}>;tag={phone.call_id}"),
            ("To", to),
            ("Call-ID", phone.call_id),
            ("CSeq", f"{number} {method}"),
            ("Max-Forwards", "70"),
            self._contact(side, phone),
            *extra,
        ]
        if method != "INVITE":
            return sip_text.write(f"{method} {uri} SIP/2.0", headers)
        return sip_text.write(f"INVITE {uri} SIP/2.0", [*headers, ("Content-Type", "application/sdp")], phone.offer())


def _way(sent: set[int], heard: set[int]) -> Direction:
    return Direction(sent=len(sent), lost=len(sent - heard))


def _authorization(challenge: Message, user: str, host: str) -> str:
    """The answer to the first challenge of a registrar (RFC 3261, 22.4; RFC 8760)."""
    given = digest.fields(challenge.all("www-authenticate")[0])
    algorithm, uri, ours = given["algorithm"], f"sip:{host}", secrets.token_hex(8)
    secret = telephone_password.ha1(user, PASSWORD, algorithm)
    asked = telephone_password.digest(f"REGISTER:{uri}", algorithm)
    response = telephone_password.digest(f"{secret}:{given['nonce']}:00000001:{ours}:auth:{asked}", algorithm)
    return (
        f'Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", uri="{uri}",'
        f' algorithm={algorithm}, qop=auth, nc=00000001, cnonce="{ours}", response="{response}"'
    )


def main() -> None:
    """One job, then the end."""
    farm = Farm(msgspec.json.decode(sys.stdin.buffer.readline(), type=Job))
    outcome = farm.run()
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
    sys.stdout.flush()
    farm.hang_up()


if __name__ == "__main__":
    main()
