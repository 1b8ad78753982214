"""One leg of a call: the audio to and from one party. Everything here runs on the media loop and waits for nothing.

Key events are taken out by their payload type before anything else sees a packet, always: no recorder, no agent and
no other leg can get them. Audio is believed from one source only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from tenderline.core.errors import TenderlineError
from tenderline.voice import codec, packet
from tenderline.voice.keys import AHEAD_MAX, KeyEvents
from tenderline.voice.packet import FRAME_SAMPLES, PCMU
from tenderline.voice.playout import Playout
from tenderline.voice.reception import ReceptionStatistics
from tenderline.voice.sdp import Media
from tenderline.voice.ticker import Ticker
from tenderline.voice.tone_watch import ToneWatch
from tenderline.voice.tones import Guard, ToneKeys

FRAMES_AHEAD_MAX = 50 * 600
"""Ten minutes of sound waiting to be played to one leg; a longer prompt is a mistake."""
PACKETS_A_READ_MAX = 16
PACKETS_A_TICK = 4
PACKETS_SAVED_MAX = 100
RELOCK_AFTER_S = 2.0
REPORT_EVERY_TICKS = 250
CHECK_EVERY_TICKS = 50

Tap = Callable[[bytes, bytes, int], None]
"""Gets what the party said and what it was told in one 20 ms, in the payload type of the leg."""


class Sound(Protocol):
    """What a leg may be given to tell its party: another leg, or a mix of several. Nothing of it while `masked`."""

    @property
    def heard(self) -> bytes: ...
    @property
    def masked(self) -> bool: ...
    @property
    def payload_type(self) -> int: ...


class NoFreePortError(TenderlineError):
    """All media ports are taken; raise voice.rtp_ports or lower voice.calls_max."""

    code = "no_free_port"
    status = 503


class Leg:
    """Media of one party. `on_key` gets each press; `on_lost` is called when audio stopped coming."""

    def __init__(self, ticker: Ticker, watch: ToneWatch, host: str, ports: range, *, media_timeout_s: float) -> None:
        self._ticker, self._watch, self._media_timeout_s = ticker, watch, media_timeout_s
        self.host = host
        self.port: int
        self.open_sockets(host, ports)
        self._media: Media | None = None
        self._allowed: frozenset[str] = frozenset()
        self._source: tuple[str, int] | None = None
        self._ssrc = int.from_bytes(os.urandom(4), "big")
        self._sequence = int.from_bytes(os.urandom(2), "big")
        self._timestamp = int.from_bytes(os.urandom(4), "big")
        self._event_timestamp = 0
        self._events, self._tone_keys = KeyEvents(), ToneKeys()
        self._reception = ReceptionStatistics()
        self._playing: deque[bytes] = deque()
        self._played: asyncio.Event = asyncio.Event()
        self._played.set()
        self._budget = PACKETS_SAVED_MAX
        self._ticks = 0
        self._heard_at = time.monotonic()
        self._told: deque[bytes] = deque()
        self._set_law(PCMU)
        self.peer: Sound | None = None
        self.masked = self.secret = self.is_listened_to = False
        self.tap: Tap | None = None
        self.on_key: Callable[[str], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.sent_packets = 0
        self.foreign_packets = 0
        self.dropped_packets = 0
        self.key_packets = 0
        self._closed = False

    def open_sockets(self, host: str, ports: range) -> None:
        """Where the party's packets come in; a party that is no telephone has another way."""
        self._rtp, self._rtcp, self.port = _bind_pair(host, ports)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._rtp, self._readable)
        loop.add_reader(self._rtcp, self._rtcp_readable)

    def shut_sockets(self) -> None:
        """Nothing comes in any more."""
        loop = asyncio.get_running_loop()
        for one in (self._rtp, self._rtcp):
            loop.remove_reader(one)
            one.close()

    def _set_law(self, payload_type: int) -> None:
        self.payload_type = payload_type
        self._silence = bytes([codec.SILENCE[payload_type]]) * FRAME_SAMPLES
        self._playout = Playout(codec.SILENCE[payload_type])
        self._guard = Guard(self._silence)
        self._told = deque([self._silence] * 3, maxlen=3)
        self.heard = self.told = self._silence

    def start(self, media: Media, *, signalled_from: str | None = None) -> None:
        """Media flows from here; called again with the media of a re-INVITE. Audio is believed from the address of
        the description, or from where the signalling came (a party behind NAT)."""
        if media.payload_type != self.payload_type:
            self._set_law(media.payload_type)
        first, self._media = self._media is None, media
        self._allowed = frozenset({media.host, *([signalled_from] if signalled_from else [])})
        if self._source is not None and self._source[0] not in self._allowed:
            self._source = None
        self._heard_at = time.monotonic()
        if first and not self._closed:
            self._ticker.add(self, self._tick)

    def send_event(self, code: int, *, duration: int, first: bool, end: bool) -> None:
        """One packet of a key press (RFC 4733, 2.3), as a telephone sends it; `duration` in samples."""
        media = self._media
        if media is None or media.events_type is None:
            return
        if first:
            self._event_timestamp = self._timestamp
        payload = bytes((code, 0x8A if end else 0x0A)) + duration.to_bytes(2, "big")
        data = packet.write(media.events_type, self._sequence, self._event_timestamp, self._ssrc, payload, marker=first)
        with contextlib.suppress(OSError):
            self._rtp.sendto(data, self._source or (media.host, media.port))
        self._sequence = (self._sequence + 1) & 0xFFFF

    @property
    def reception(self) -> ReceptionStatistics:
        """What arrived, as RTCP counts it."""
        return self._reception

    @property
    def sends_events(self) -> bool:
        """Whether the party sends keys as events; else they are read from the audio."""
        return self._media is not None and self._media.events_type is not None

    def enqueue(self, frames: Sequence[bytes]) -> None:
        """Frames of 160 bytes in mu-law are played after what waits already."""
        assert len(self._playing) + len(frames) <= FRAMES_AHEAD_MAX, "a prompt has a bound"
        if frames:
            self._playing.extend(frames)
            self._played.clear()

    async def played(self) -> None:
        """Returns when nothing waits to be played any more."""
        await self._played.wait()

    def be_quiet(self) -> None:
        """What waits to be played is dropped."""
        self._playing.clear()
        self._played.set()

    def mask(self, masked: bool, *, peer_hears: bool = False) -> None:
        """From this instant recordings and listeners get silence on both sides, and so does the peer unless it hears
        on, without the tones; or all sounds again. Nothing of between comes after."""
        self.masked, self.secret = masked and not peer_hears, masked
        self._guard.clear()
        self.heard = self.told = self._silence
        self._told.extend([self._silence] * 3)

    def close(self) -> None:
        """Ends the leg; twice is no error."""
        if self._closed:
            return
        self._closed = True
        self._ticker.remove(self)
        self._send_report(goodbye=True)
        self.shut_sockets()
        self.be_quiet()
        self.peer = self.tap = self.on_key = self.on_lost = None

    def _tick(self) -> None:
        self._ticks += 1
        self._budget = min(PACKETS_SAVED_MAX, self._budget + PACKETS_A_TICK)
        frame = self._playout.read()
        self.heard = self._guard.pass_on(frame)
        if self.peer is not None or self.tap is not None or self.is_listened_to or not self.sends_events:
            self._watch.look_at(self, frame)
        self.told = told = self._next_frame()
        if self.tap is not None:
            late = self._told[0]
            self._told.append(told)
            if self.secret:
                self.tap(self._silence, self._silence, self.payload_type)
            else:
                self.tap(self.heard, late, self.payload_type)
        self._send(told)
        if self._ticks % CHECK_EVERY_TICKS == 0:
            self._check()

    def _next_frame(self) -> bytes:
        if self._playing:
            frame = self._playing.popleft()
            if not self._playing:
                self._played.set()
            return codec.convert(frame, PCMU, self.payload_type)
        peer = self.peer
        if peer is not None and not peer.masked:
            return codec.convert(peer.heard, peer.payload_type, self.payload_type)
        return self._silence

    def _send(self, frame: bytes) -> None:
        media = self._media
        assert media is not None, "only a started leg ticks"
        if not media.on_hold:
            data = packet.write(self.payload_type, self._sequence, self._timestamp, self._ssrc, frame)
            with contextlib.suppress(OSError):  # a full buffer or a vanished route: the next frame is 20 ms away
                self._rtp.sendto(data, self._source or (media.host, media.port))
            self._sequence = (self._sequence + 1) & 0xFFFF
            self.sent_packets += 1
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF

    def tone_heard(self, key: str | None) -> None:
        """What the last frame sounded like: the watch says so for all legs of a slot at once."""
        self._guard.heard(key)
        if not self.sends_events:
            pressed = self._tone_keys.heard(key)
            if pressed is not None:
                self._press(pressed)

    def _press(self, key: str) -> None:
        if self.on_key is not None:
            self.on_key(key)

    def press(self, key: str) -> None:
        """A key that came another way (SIP INFO)."""
        self._press(key)

    def _readable(self) -> None:
        for _ in range(PACKETS_A_READ_MAX):
            try:
                data, source = self._rtp.recvfrom(packet.PACKET_BYTES_MAX + 1)
            except OSError:
                return
            self._receive(data, source)

    def _receive(self, data: bytes, source: tuple[str, int]) -> None:
        if self._budget <= 0:
            self.dropped_packets += 1
            return
        self._budget -= 1
        media = self._media
        if media is None or not self._believed(source):
            self.foreign_packets += 1
            return
        read = packet.read(data)
        if read is None:
            return
        # Whatever comes, somebody is there: a silent telephone sends comfort noise of another type, or only keys.
        self._lock(source)
        if read.payload_type == media.events_type:
            self.key_packets += 1
            pressed = self._events.read(read.timestamp, read.payload)
            if pressed is not None:
                self._press(pressed)
            return
        if read.payload_type != media.payload_type:
            return
        if self._reception.arrived(read):
            self._events.forget()
        self._playout.write(read.ssrc, read.timestamp, read.payload)

    def _believed(self, source: tuple[str, int]) -> bool:
        if source[:2] == self._source:
            return True
        if source[0] not in self._allowed:
            return False
        return self._source is None or time.monotonic() - self._heard_at > RELOCK_AFTER_S

    def _lock(self, source: tuple[str, int]) -> None:
        self._heard_at = time.monotonic()
        self._source = (source[0], source[1])

    def _check(self) -> None:
        if self._ticks % REPORT_EVERY_TICKS == 0:
            self._send_report(goodbye=False)
        assert self._media is not None, "only a started leg ticks"
        silent_s = time.monotonic() - self._heard_at
        if self._media.on_hold:
            self._heard_at = time.monotonic()
        elif silent_s > self._media_timeout_s and self.on_lost is not None:
            lost, self.on_lost = self.on_lost, None
            lost()

    def _send_report(self, *, goodbye: bool) -> None:
        if self._media is None:
            return
        host, port = self._source or (self._media.host, self._media.port)
        data = packet.report(
            self._ssrc,
            sent_packets=self.sent_packets,
            sent_bytes=self.sent_packets * FRAME_SAMPLES,
            timestamp=self._timestamp,
            now_unix_s=time.time(),
            name=b"tenderline",
            received=self._reception.report(),
            goodbye=goodbye,
        )
        with contextlib.suppress(OSError):
            self._rtcp.sendto(data, (host, port + 1))

    def _rtcp_readable(self) -> None:
        """Reports of the other side are read so that the socket does not fill; nothing is made of them yet."""
        for _ in range(PACKETS_A_READ_MAX):
            try:
                self._rtcp.recv(packet.PACKET_BYTES_MAX)
            except OSError:
                return


def _bind_pair(host: str, ports: range) -> tuple[socket.socket, socket.socket, int]:
    """An even port for RTP and the odd one after it for RTCP (RFC 3550, 11), tried from a random place on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    pairs = len(ports) // 2
    begin = int.from_bytes(os.urandom(4), "big") % pairs
    for step in range(pairs):
        port = ports.start + 2 * ((begin + step) % pairs)
        rtp = _bound(family, host, port)
        if rtp is None:
            continue
        rtcp = _bound(family, host, port + 1)
        if rtcp is not None:
            return rtp, rtcp, port
        rtp.close()
    raise NoFreePortError()


def bind_one(host: str, ports: range) -> socket.socket:
    """One even port, for whoever needs no second one. Raises `NoFreePortError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    pairs = len(ports) // 2
    begin = int.from_bytes(os.urandom(4), "big") % pairs
    for step in range(pairs):
        made = _bound(family, host, ports.start + 2 * ((begin + step) % pairs))
        if made is not None:
            return made
    raise NoFreePortError()


def _bound(family: int, host: str, port: int) -> socket.socket | None:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        return None
    return made


__all__ = ["AHEAD_MAX", "Leg", "NoFreePortError", "Tap"]
