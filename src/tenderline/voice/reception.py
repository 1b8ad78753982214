"""What was received, counted as RFC 3550, appendix A says: losses and jitter for RTCP and for the screens."""

from __future__ import annotations

import time

from tenderline.voice import packet

DROPOUT_MAX = 3_000


class ReceptionStatistics:
    """Of one leg; starts anew when the source changes."""

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._base = self._highest = 0
        self._received = self._received_before = self._expected_before = 0
        self._transit = 0.0
        self._jitter_samples = 0.0
        self.packets = 0
        self.sources = 0

    def arrived(self, read: packet.Packet) -> bool:
        """Counts an audio packet; True when it comes from another source than the one before."""
        self.packets += 1
        anew = read.ssrc != self._ssrc
        ahead = packet.later(read.sequence, self._highest & 0xFFFF, 16)
        if anew or abs(ahead) > DROPOUT_MAX:
            self.sources += anew
            self._ssrc, self._base = read.ssrc, read.sequence
            self._highest = read.sequence
            self._received = self._received_before = self._expected_before = 0
            self._transit, self._jitter_samples = 0.0, 0.0
        elif ahead > 0:
            self._highest += ahead
        self._received += 1
        transit = time.monotonic() * packet.CLOCK_HZ - read.timestamp
        if self._received > 1:
            change = abs(transit - self._transit)
            if change < packet.CLOCK_HZ:
                self._jitter_samples += (change - self._jitter_samples) / 16
        self._transit = transit
        return anew

    @property
    def lost_packets(self) -> int:
        """Expected and not received, from this source so far."""
        return 0 if self._ssrc is None else max(0, self._highest - self._base + 1 - self._received)

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter."""
        return self._jitter_samples * 1_000 / packet.CLOCK_HZ

    def report(self) -> packet.Reception | None:
        """What a report says; the share of losses is since the last one."""
        if self._ssrc is None:
            return None
        expected = self._highest - self._base + 1
        since, got = expected - self._expected_before, self._received - self._received_before
        self._expected_before, self._received_before = expected, self._received
        lost_share = max(0.0, (since - got) / since) if since > 0 else 0.0
        return packet.Reception(self._ssrc, lost_share, self.lost_packets, self._highest, int(self._jitter_samples))
