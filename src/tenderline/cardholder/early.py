"""A connection to a gateway that is made while the card is still being keyed, so that the last key waits for none.

A hundred handshakes at the instant of a hundred last keys take a third of a second of two cores; begun some keys
earlier, they are spread by the callers themselves. No step of it waits, since the same process listens to keys, and
nothing of a card is ever written here: whoever takes the connection over does that, after the last key.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from tenderline.cardholder.gateway_address import AskedInVainError, Where

_UNDER_WAY: Final = (0, errno.EINPROGRESS)


class Opening:
    """From the first packet to a verified connection, address by address. Failing is silent: it is tried again later.

    `trust` is None for plain HTTP on loopback.
    """

    def __init__(self, where: Where, addresses: Sequence[str], trust: ssl.SSLContext | None) -> None:
        self.is_open = False
        self._where, self._trust = where, trust
        self._addresses = list(addresses)
        self._link: socket.socket | None = None
        self._wants = select.POLLOUT
        self._began_at_s = time.monotonic()
        self._try_next()

    @property
    def age_s(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began_at_s

    @property
    def watched(self) -> tuple[int, int] | None:
        """The descriptor and the events of poll(2) that `go_on` waits for; None when it is open or lost."""
        return None if self._link is None or self.is_open else (self._link.fileno(), self._wants)

    def go_on(self) -> None:
        """Takes the next step, when `watched` is ready. What fails is tried at the next address."""
        try:
            self._step()
        except (OSError, ValueError):
            self._try_next()

    def finish(self, within_s: float) -> None:
        """Waits for it, after all: so long at most."""
        until = time.monotonic() + within_s
        while (watched := self.watched) is not None and (left_s := until - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(*watched)
            if poll.poll(left_s * 1_000):
                self.go_on()

    def is_quiet(self) -> bool:
        """Whether it is open and may be used: a peer that closed it, or that spoke first, wants no request on it."""
        if self._link is None or not self.is_open:
            return False
        try:
            self._link.recv(1)  # takes in what a handshake leaves behind (RFC 8446, 4.6.1) and finds nothing else
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False

    def take(self) -> socket.socket:
        """The connection; whoever takes it closes it."""
        link, self._link = self._link, None
        assert link is not None, "it is open"
        return link

    def close(self) -> None:
        """Gives it up."""
        if self._link is not None:
            self._link.close()
        self._link, self._addresses = None, []

    def _step(self) -> None:
        link = self._link
        assert link is not None, "it is watched"
        if not isinstance(link, ssl.SSLSocket):
            if code := link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            if self._trust is None:
                self.is_open = True
                return
            link = self._link = self._trust.wrap_socket(
                link, server_hostname=self._where.host, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        try:
            link.do_handshake()
            self.is_open = True
        except ssl.SSLWantReadError:
            self._wants = select.POLLIN
        except ssl.SSLWantWriteError:
            self._wants = select.POLLOUT

    def _try_next(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        while self._addresses and self._link is None:
            with suppress(OSError, ValueError, AskedInVainError):
                self._link = self._begun(self._addresses.pop(0))

    def _begun(self, address: str) -> socket.socket:
        self._where.check(address)
        # The address is a number, so nothing is looked up.
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, self._where.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )[0]
        link = socket.socket(family, kind, protocol)
        link.setblocking(False)
        if (code := link.connect_ex(place)) not in _UNDER_WAY:
            link.close()
            raise OSError(code, os.strerror(code))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wants = select.POLLOUT
        return link
