"""An agent's browser as one leg of a call: what `Leg` is for a telephone, over a path that may be replaced meanwhile.

Frames are G.711 mu-law in 20 ms, as on every other leg: no codec runs here, nothing is resampled, and what `Leg`
promises of masking, peers, prompts and recordings holds by being the same code.
"""

from __future__ import annotations

import time

from tenderline.voice.browser.path import BrowserPath
from tenderline.voice.leg import Leg
from tenderline.voice.packet import PCMU, Packet
from tenderline.voice.sdp import Media
from tenderline.voice.ticker import Ticker
from tenderline.voice.tone_watch import ToneWatch

_MEDIA = Media(host="browser.invalid", port=9, payload_type=PCMU, events_type=None, direction="sendrecv")


class BrowserLeg(Leg):
    """`path` is the browser's present way to us; None while it is away: then silence is heard of it."""

    def __init__(self, ticker: Ticker, watch: ToneWatch, *, grace_s: float) -> None:
        super().__init__(ticker, watch, "", range(0), media_timeout_s=grace_s)
        self._path: BrowserPath | None = None
        self._away_since_s = time.monotonic()

    def open_sockets(self, host: str, ports: range) -> None:
        """None of its own: the path has them."""
        self.port = 0

    def shut_sockets(self) -> None:
        """The path stays for the next call."""
        self.take_path(None)

    def begin(self) -> None:
        """Media flows from here."""
        self.start(_MEDIA)

    @property
    def sends_events(self) -> bool:
        """A browser has no keys of its own; tones inside its audio are silenced, and are no keys of anybody."""
        return True

    @property
    def path(self) -> BrowserPath | None:
        """The present way."""
        return self._path

    def take_path(self, path: BrowserPath | None) -> None:
        """From here on the audio goes this way; with None the browser is away, and stays so from when it went."""
        if self._path is not None:
            self._path.on_packet = None
            if path is None:
                self._away_since_s = time.monotonic()
        self._path = path
        if path is not None:
            path.on_packet = self._hears

    def _hears(self, read: Packet) -> None:
        if self._reception.arrived(read):
            self._events.forget()
        self._playout.write(read.ssrc, read.timestamp, read.payload)

    def _send(self, frame: bytes) -> None:
        if self._path is not None and self._path.send(frame):
            self.sent_packets += 1

    def _check(self) -> None:
        """A browser that is away for longer than the grace is gone."""
        away = self._path is None and time.monotonic() - self._away_since_s > self._media_timeout_s
        if away and self.on_lost is not None:
            lost, self.on_lost = self.on_lost, None
            lost()

    def _send_report(self, *, goodbye: bool) -> None:
        """No reports: nothing is made of them on either side."""
