"""What a browser does on the wire, without one: it checks, shakes hands, sends and hears. Nothing here blocks."""

from __future__ import annotations

import re
import secrets
import socket
import time

from tenderline.voice import packet
from tenderline.voice.browser import dtls, stun
from tenderline.voice.browser.dtls import Handshake, Identity

CHECK_EVERY_S = 2.0
HOST = "127.0.0.1"


class TrialBrowser:
    """One peer. `turn` reads what came; call it often."""

    def __init__(self, ours: Identity, *, payload_type: int = packet.PCMU) -> None:
        self._ours, self._payload_type = ours, payload_type
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self._ufrag, self._node = secrets.token_hex(4), ("", 0)
        self._name = self._password = ""
        self._handshake: Handshake | None = None
        self._checked_at_s = 0.0
        self._ssrc, self._sequence, self._timestamp = secrets.randbits(32), 100, secrets.randbits(31)
        self.heard: list[bytes] = []
        self.checks_answered = 0

    def offer(self) -> str:
        """Its description."""
        return "\r\n".join(
            [
                "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 0.0.0.0",
                "a=mid:0", "a=rtcp-mux", "a=sendrecv", f"a=ice-ufrag:{self._ufrag}",
                f"a=ice-pwd:{secrets.token_hex(16)}", f"a=fingerprint:sha-256 {self._ours.fingerprint}",
                "a=setup:actpass", "",
            ]
        )  # fmt: skip

    def take(self, answer: str) -> None:
        """Where the node waits, and what it will show."""
        name, password, mark = (
            re.search(rf"a={one}(\S+)", answer) for one in ("ice-ufrag:", "ice-pwd:", "fingerprint:sha-256 ")
        )
        where = re.search(r"a=candidate:1 1 udp \d+ (\S+) (\d+)", answer)
        assert name, answer
        assert password, answer
        assert mark, answer
        assert where, answer
        self._name, self._password, self._node = name[1], password[1], (where[1], int(where[2]))
        self._handshake = Handshake(self._ours, mark[1], as_server=False)

    @property
    def is_connected(self) -> bool:
        """Whether it has keys."""
        return self._handshake is not None and self._handshake.secured is not None

    def turn(self) -> None:
        """Reads what came, and checks again when it is time."""
        if time.monotonic() - self._checked_at_s > CHECK_EVERY_S:
            self._checked_at_s = time.monotonic()
            self.socket.sendto(stun.request(f"{self._name}:{self._ufrag}", self._password), self._node)
        while True:
            try:
                data = self.socket.recv(packet.PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        handshake = self._handshake
        assert handshake is not None, "take an answer first"
        if data[0] < 4:
            if stun.read(data, self._password) is not None:
                self.checks_answered += 1
                if self.checks_answered == 1:
                    self._say(handshake.begin())
        elif data[0] < 64:
            self._say(handshake.feed(data))
        elif handshake.secured is not None:
            plain = handshake.secured.unprotect(data)
            read = packet.read(plain) if plain is not None else None
            if read is not None:
                self.heard.append(read.payload)

    def _say(self, records: list[bytes]) -> None:
        for one in records:
            self.socket.sendto(one, self._node)

    def send(self, frame: bytes) -> None:
        """20 ms of sound."""
        handshake = self._handshake
        assert handshake is not None, "take an answer first"
        assert handshake.secured is not None, "connect first"
        data = packet.write(self._payload_type, self._sequence & 0xFFFF, self._timestamp, self._ssrc, frame)
        self.socket.sendto(handshake.secured.protect(data), self._node)
        self._sequence += 1
        self._timestamp = (self._timestamp + packet.FRAME_SAMPLES) & 0xFFFFFFFF

    def leave(self) -> None:
        """Says goodbye, as a page does that is closed."""
        if self._handshake is not None:
            self._say(self._handshake.goodbye())
        self.socket.close()


def identity() -> Identity:
    """A certificate for any number of peers."""
    return dtls.identity()
