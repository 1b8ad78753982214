"""The way to one browser: one UDP port, on which it proves itself (ICE-lite), agrees on keys (DTLS) and talks (SRTP).

Everything runs on the media loop and waits for nothing. We are reachable and wait: the browser begins, and where it
comes from is where we send to. So nothing leaves to anybody who does not know the password of the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import Final, Literal

import structlog

from tenderline.voice import packet
from tenderline.voice.browser import stun, web_sdp
from tenderline.voice.browser.dtls import Handshake, HandshakeError, Identity, Secured
from tenderline.voice.browser.web_sdp import Ours, WebOffer
from tenderline.voice.packet import CLOCK_HZ, FRAME_SAMPLES, PCMU, Packet

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SETUP_S_MAX: Final = 20.0
LOST_AFTER_S: Final = 12.0
"""Browsers check every 2.5 s or so (RFC 7675 wants 5 s at least): four that are missing are a lost network."""
LOOK_EVERY_S: Final = 1.0
PACKETS_A_READ_MAX: Final = 16
PACKETS_A_LOOK_MAX: Final = 400
STRANGERS_A_LOOK_MAX: Final = 100
"""In one second; a browser sends 50 packets of audio and a few others. The rest is not looked at, and what strangers
send takes nothing of the browser's."""

PathState = Literal["waiting", "connected", "lost"]


class BrowserPath:
    """One session of one browser. `on_packet` gets its audio, `on_state` what became of it."""

    def __init__(self, host: str, port: socket.socket, ours: Identity, hosts: tuple[str, ...]) -> None:
        self._socket, self._identity, self._hosts = port, ours, hosts
        self.host, self.port = host, int(port.getsockname()[1])
        self._ufrag, self._password = secrets.token_hex(4), secrets.token_hex(16)
        self._offer: WebOffer | None = None
        self._handshake: Handshake | None = None
        self._secured: Secured | None = None
        self._source: tuple[str, int] | None = None
        self._ssrc = int.from_bytes(os.urandom(4), "big")
        self._sequence = int.from_bytes(os.urandom(2), "big") >> 1  # far from where it wraps: SRTP counts the wraps
        self._timestamp = int.from_bytes(os.urandom(4), "big")
        self._sent_at_s = self._made_at_s = self._heard_at_s = time.monotonic()
        self._budget, self._strangers_budget = PACKETS_A_LOOK_MAX, STRANGERS_A_LOOK_MAX
        self._again: asyncio.TimerHandle | None = None
        self.state: PathState = "waiting"
        self.on_packet: Callable[[Packet], None] | None = None
        self.on_state: Callable[[PathState], None] | None = None
        self.forged_packets = 0
        loop = asyncio.get_running_loop()
        loop.add_reader(port, self._readable)
        self._looking: asyncio.TimerHandle | None = loop.call_later(LOOK_EVERY_S, self._look)

    def answer(self, offer: WebOffer) -> str:
        """Our description for this offer; the browser may come from here on."""
        self._offer = offer
        self._handshake = Handshake(self._identity, offer.fingerprint)
        ours = Ours(self._ufrag, self._password, self._identity.fingerprint, self._hosts, self.port, self._ssrc)
        return web_sdp.answer(offer, ours)

    def send(self, frame: bytes) -> bool:
        """20 ms in mu-law; whether they left. The clock of the stream goes on while nothing is sent."""
        secured, source = self._secured, self._source
        if secured is None or source is None:
            return False
        now_s = time.monotonic()
        missed = int((now_s - self._sent_at_s) * CLOCK_HZ) // FRAME_SAMPLES - 1
        pause = missed > 5
        if pause:
            self._timestamp = (self._timestamp + missed * FRAME_SAMPLES) & 0xFFFFFFFF
        self._sent_at_s = now_s
        data = packet.write(PCMU, self._sequence, self._timestamp, self._ssrc, frame, marker=pause)
        with contextlib.suppress(OSError):  # a full buffer or a vanished route: the next frame is 20 ms away
            self._socket.sendto(secured.protect(data), source)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        return True

    def close(self) -> None:
        """Ends it; twice is no error."""
        if self._looking is None:
            return
        if self._handshake is not None and self._source is not None:
            self._send_records(self._handshake.goodbye())
        self._looking.cancel()
        self._looking = None
        if self._again is not None:
            self._again.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._secured = self._handshake = self.on_packet = self.on_state = None
        self.state = "lost"

    def _readable(self) -> None:
        for _ in range(PACKETS_A_READ_MAX):
            try:
                data, source = self._socket.recvfrom(packet.PACKET_BYTES_MAX + 1)
            except OSError:
                return
            known = (source[0], source[1])
            if data and self._may_be_read(known):
                self._receive(data, known)
            if self._looking is None:
                return

    def _may_be_read(self, source: tuple[str, int]) -> bool:
        if source == self._source:
            self._budget -= 1
            return self._budget >= 0
        self._strangers_budget -= 1
        return self._strangers_budget >= 0

    def _receive(self, data: bytes, source: tuple[str, int]) -> None:
        """What it is tells the first byte (RFC 7983)."""
        first = data[0]
        if first < 4:
            self._checked(data, source)
        elif source != self._source:
            self.forged_packets += 1
        elif 20 <= first < 64:
            self._shaken(data)
        elif 128 <= first < 192 and self._secured is not None and not packet.is_rtcp(data):
            plain = self._secured.unprotect(data)
            read = packet.read(plain) if plain is not None else None
            if read is None:
                self.forged_packets += 1
                return
            self._heard_at_s = time.monotonic()
            if read.payload_type == PCMU and self.on_packet is not None:
                self.on_packet(read)

    def _checked(self, data: bytes, source: tuple[str, int]) -> None:
        check = stun.read(data, self._password)
        if check is None or check.kind != stun.REQUEST or self._offer is None:
            self.forged_packets += 1
            return
        if check.username != f"{self._ufrag}:{self._offer.ufrag}":
            self.forged_packets += 1
            return
        self._heard_at_s = time.monotonic()
        if self._source is None or check.nominates:
            self._source = source
        with contextlib.suppress(OSError):
            self._socket.sendto(stun.answer(check, self._password, source), source)

    def _shaken(self, record: bytes) -> None:
        if self._handshake is None:
            return
        try:
            self._send_records(self._handshake.feed(record))
        except HandshakeError as error:
            log.warning("browser_handshake_failed", why=error.detail)
            self._become("lost")
            return
        if self._handshake.is_closed:
            self._become("lost")
        elif self._secured is None and self._handshake.secured is not None:
            self._secured = self._handshake.secured
            self._become("connected")
        else:
            self._wait_for_more()

    def _wait_for_more(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        wait_s = self._handshake.wait_s() if self._handshake is not None else None
        if wait_s is not None:
            self._again = asyncio.get_running_loop().call_later(max(0.02, wait_s), self._say_again)

    def _say_again(self) -> None:
        if self._handshake is None or self._secured is not None:
            return
        try:
            self._send_records(self._handshake.again())
        except HandshakeError:
            self._become("lost")
            return
        self._wait_for_more()

    def _send_records(self, records: list[bytes]) -> None:
        if self._source is None:
            return
        with contextlib.suppress(OSError):
            for record in records:
                self._socket.sendto(record, self._source)

    def _look(self) -> None:
        self._budget, self._strangers_budget = PACKETS_A_LOOK_MAX, STRANGERS_A_LOOK_MAX
        now_s = time.monotonic()
        late = self.state == "waiting" and now_s - self._made_at_s > SETUP_S_MAX
        gone = self.state == "connected" and now_s - self._heard_at_s > LOST_AFTER_S
        self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)
        if late or gone:
            self._become("lost")

    def _become(self, state: PathState) -> None:
        if self.state == state or self.state == "lost":
            return
        self.state = state
        if self.on_state is not None:
            self.on_state(state)
