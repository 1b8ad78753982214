"""What a leg hears, put back in order: packets of any size in, one frame for every 20 ms out.

G.711 has one byte for each tick of the RTP clock, so the buffer is a ring of bytes indexed by timestamp. Reading goes
on with the clock whether or not packets came: what is missing is concealed (the last frame again, three times), then
silence. So everything that is recorded or bridged is as long as the time it took.
"""

from __future__ import annotations

from tenderline.voice import packet

DEPTH_MS_MAX = 512
DELAY_MS = 40
CONCEALED_FRAMES_MAX = 3

_RING = packet.CLOCK_HZ * DEPTH_MS_MAX // 1_000  # a power of two, so that it goes on where the timestamps wrap
_DELAY = packet.CLOCK_HZ * DELAY_MS // 1_000
_FRAME = packet.FRAME_SAMPLES


class Playout:
    """A small jitter buffer for one direction of one leg. Not for use by two readers."""

    def __init__(self, silence: int) -> None:
        self._quiet = bytes([silence]) * _FRAME
        self._ring = bytearray(_RING)
        self._filled = bytearray(_RING)
        self._ssrc: int | None = None
        self._read_at = 0
        self._started = False
        self._last = self._quiet
        self._missing_in_a_row = 0
        self.late_packets = 0
        self.concealed_frames = 0

    def write(self, ssrc: int, timestamp: int, payload: bytes) -> None:
        """One packet's audio. A new source, or a jump of the clock beyond the ring, starts anew."""
        size = len(payload)
        if not 0 < size <= _RING // 2:
            return
        ahead = packet.later(timestamp, self._read_at, 32)
        if self._ssrc != ssrc or not self._started or not -_RING * 4 <= ahead <= _RING * 4:
            self._begin(ssrc, timestamp)
            ahead = _DELAY
        if ahead + size <= 0:
            self.late_packets += 1
            return
        if ahead + size > _RING:
            # The sender's clock runs ahead of ours, or it sent a burst: what is oldest goes, the newest stays.
            self._skip(ahead + size - _RING + _DELAY)
            ahead = packet.later(timestamp, self._read_at, 32)
        if ahead < 0:
            payload, timestamp = payload[-ahead:], timestamp - ahead
        self._put(timestamp & 0xFFFFFFFF, payload)

    def read(self) -> bytes:
        """The next 20 ms, in the codec of the leg; silence before the first packet."""
        if not self._started:
            return self._quiet
        start = self._read_at % _RING
        first, second = slice(start, min(start + _FRAME, _RING)), slice(0, max(0, start + _FRAME - _RING))
        known = self._filled[first] + self._filled[second]
        heard = known.count(1)
        if heard == _FRAME:
            frame = bytes(self._ring[first] + self._ring[second])
            self._last, self._missing_in_a_row = frame, 0
        else:
            frame = self._conceal(known, self._ring[first] + self._ring[second], heard)
        self._filled[first] = bytes(first.stop - first.start)
        self._filled[second] = bytes(second.stop - second.start)
        self._read_at = (self._read_at + _FRAME) & 0xFFFFFFFF
        return frame

    def _begin(self, ssrc: int, timestamp: int) -> None:
        self._filled[:] = bytes(_RING)
        self._ssrc, self._started = ssrc, True
        self._read_at = (timestamp - _DELAY) & 0xFFFFFFFF
        self._last, self._missing_in_a_row = self._quiet, CONCEALED_FRAMES_MAX

    def _skip(self, samples: int) -> None:
        frames = -(-samples // _FRAME)
        if frames * _FRAME >= _RING:
            self._filled[:] = bytes(_RING)
            self._read_at = (self._read_at + frames * _FRAME) & 0xFFFFFFFF
            return
        for _ in range(frames):
            self.read()

    def _put(self, timestamp: int, payload: bytes) -> None:
        start, size = timestamp % _RING, len(payload)
        head = min(size, _RING - start)
        self._ring[start : start + head] = payload[:head]
        self._filled[start : start + head] = b"\x01" * head
        if head < size:
            self._ring[: size - head] = payload[head:]
            self._filled[: size - head] = b"\x01" * (size - head)

    def _conceal(self, known: bytearray, ring: bytearray, heard: int) -> bytes:
        self.concealed_frames += 1
        filler = self._quiet
        if self._missing_in_a_row < CONCEALED_FRAMES_MAX:
            filler = self._last
        self._missing_in_a_row += 1
        if not heard:
            return filler
        return bytes(ring[i] if known[i] else filler[i] for i in range(_FRAME))
