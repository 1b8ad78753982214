"""All media of one node: one clock, one watch for tones, and the ports that legs take."""

from __future__ import annotations

import socket

from tenderline.voice.browser.leg import BrowserLeg
from tenderline.voice.leg import Leg, bind_one
from tenderline.voice.ticker import Ticker
from tenderline.voice.tone_watch import ToneWatch


class MediaEngine:
    """Makes legs. `host` is the address that they listen on; `advertised` the one that others are told."""

    def __init__(
        self, host: str, ports: range, *, advertised: str | None = None, media_timeout_s: float = 30.0
    ) -> None:
        self._watch = ToneWatch()
        self.ticker = Ticker(after_slot=self._watch.look)
        self._host, self._ports, self._media_timeout_s = host, ports, media_timeout_s
        self.advertised = advertised or host

    def leg(self) -> Leg:
        """A leg with its sockets; it is silent until it is started, and must be closed."""
        return Leg(self.ticker, self._watch, self._host, self._ports, media_timeout_s=self._media_timeout_s)

    def browser_leg(self, *, grace_s: float) -> BrowserLeg:
        """A leg for an agent's browser, whose path brings its own socket."""
        return BrowserLeg(self.ticker, self._watch, grace_s=grace_s)

    def browser_socket(self) -> socket.socket:
        """A port for one browser's path, of the same range as those of legs. Raises `NoFreePortError`."""
        return bind_one(self._host, self._ports)
