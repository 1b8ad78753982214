"""The process that holds one card: keys come in, prompts to play and one token go out, and then it is killed.

It is started by `spawn` with nothing but the standard library, msgspec and this package, in a fixed environment, with
one socket. The connection to the gateway is made while the last fields are keyed, step by step beside the keys
(`early.py`). While the gateway is asked the child listens to nobody, and the parent kills it when that takes too long,
or the caller has hung up. It keeps no log. When anything is wrong it wipes and ends.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

from tenderline.cardholder import hardening, wire
from tenderline.cardholder.capture import Capture
from tenderline.cardholder.expiry import last_date_on_earth
from tenderline.cardholder.gateway_tls import Exchange
from tenderline.cardholder.gateways.base import Keyed
from tenderline.cardholder.messages import FIELDS, Action, Ended, SpeakDigits, Tokenise, TokenUnavailable, Wait
from tenderline.cardholder.read_back import Clips

_ACTIONS_MAX: Final = 64
"""More in one turn would be a loop."""
_CLIP_HEAD_BYTES: Final = 2
_FAILED: Final = 70


class Child:
    """One capture, from the first prompt to its end."""

    def __init__(self, link: socket.socket, begin: wire.Begin, clips: Clips, exchange: Exchange) -> None:
        self._link = link
        self._target = begin.gateway
        self._clips = clips
        self._exchange = exchange
        self._capture = Capture(begin.policy, last_date_on_earth())
        self._buffer = bytearray(wire.PACKET_BYTES_MAX)
        self._readable = select.poll()
        self._readable.register(link, select.POLLIN)
        self._timer_ends_at: float | None = None
        self._addresses: list[str] = []
        self._gateway_is_near = False
        self._ended = False

    def run(self) -> None:
        """Until the capture has ended or the parent is gone. The card is wiped in any case."""
        try:
            self._do(self._capture.begin())
            self._link.send(wire.TAKEN)
            while not self._ended and self._turn():
                pass
        finally:
            self.wipe()

    def wipe(self) -> None:
        """Leaves nothing of the card."""
        self._capture.wipe()
        self._exchange.wipe()
        self._exchange.close()
        self._clips.wipe()

    def _turn(self) -> bool:
        """One message, a step towards the gateway, or the end of the timer; False when the parent is gone."""
        ready = self._waited()
        if not ready:
            self._timer_ends_at = None
            self._do(self._capture.timed_out())
        elif self._link.fileno() not in ready:
            self._exchange.go_on()
        else:
            length = self._link.recv_into(self._buffer)
            if length == 0:
                return False
            self._do(self._understood(length))
            self._link.send(wire.TAKEN)
            if self._gateway_is_near and not self._ended:
                self._exchange.approach(self._target, self._addresses)
            self._gateway_is_near = False
        return True

    def _waited(self) -> list[int]:
        """The descriptors on which something happened; none when the timer ran out. A key goes before the gateway."""
        watched = self._exchange.watched
        if watched is None:
            return [fd for fd, _ in self._readable.poll(self._left_ms())]
        both = select.poll()
        both.register(self._link, select.POLLIN)
        both.register(*watched)
        return [fd for fd, _ in both.poll(self._left_ms())]

    def _understood(self, length: int) -> Sequence[Action]:
        """What the machine makes of the message in the buffer."""
        code = self._buffer[0]
        self._buffer[0] = 0
        if length == 1 and code < wire.KEYS_MAX:
            actions = self._capture.key(code)
            self._gateway_is_near = self._capture.nears_the_gateway
            return actions
        match bytes((code,)):
            case wire.PROMPT_ENDED:
                return self._capture.prompt_ended()
            case wire.CANCEL:
                return self._capture.cancel()
            case wire.RESTART:
                return self._capture.restart(FIELDS[self._buffer[1]])
            case wire.ADDRESSES:
                self._addresses = wire.TEXTS.decode(memoryview(self._buffer)[1:length])
        return ()

    def _left_ms(self) -> int | None:
        if self._timer_ends_at is None:
            return None
        return max(0, round((self._timer_ends_at - time.monotonic()) * 1_000))

    def _do(self, actions: Sequence[Action]) -> None:
        """Does what the machine wants; asking the gateway leads to more of it."""
        waiting = list(actions)
        for _ in range(_ACTIONS_MAX):
            if not waiting:
                return
            action = waiting.pop(0)
            match action:
                case Wait(seconds=seconds):
                    self._timer_ends_at = time.monotonic() + seconds if seconds > 0 else None
                case SpeakDigits():
                    self._clips.send(self._link, self._capture.number)
                case Tokenise():
                    waiting += self._tokenise()
                case Ended():
                    self.wipe()
                    self._ended = True
                    self._link.send(wire.ENCODE(action))
                    return
                case _:
                    self._link.send(wire.ENCODE(action))
        raise RuntimeError

    def _tokenise(self) -> Sequence[Action]:
        self._link.send(wire.ASKING)
        capture = self._capture
        card = Keyed(capture.number, capture.expiry, capture.code, capture.postal_code)
        outcome = self._exchange.ask(card, self._target)
        if isinstance(outcome, TokenUnavailable):
            self._link.send(wire.ENCODE(wire.InVain(outcome.why)))
        return [*self._meanwhile(), *capture.tokenised(outcome)]

    def _meanwhile(self) -> Sequence[Action]:
        """What came while the gateway was asked: a cancel or an agent's wish counts, keys belong to no question."""
        actions: list[Action] = []
        while self._readable.poll(0):
            length = self._link.recv_into(self._buffer)
            if length == 0:
                break
            if self._buffer[0] in (wire.CANCEL[0], wire.RESTART[0]):
                actions += self._understood(length)
            self._buffer[0] = 0
            self._link.send(wire.TAKEN)
        return actions


def _prepared(link: socket.socket, buffer: bytearray) -> tuple[wire.Begin, Clips] | None:
    """Waits, as long as it takes, until there is something to do; None when the parent is gone."""
    clips = Clips()
    while length := link.recv_into(buffer):
        if buffer[0] == wire.CLIP[0]:
            clips.add(buffer[1], buffer[_CLIP_HEAD_BYTES:length])
        elif buffer[0] == ord("{"):
            return wire.BEGIN.decode(memoryview(buffer)[:length]), clips
    return None


def main() -> None:
    """See the module. Arguments: the descriptor of the socket, then `strict` or not, `dumpable` or not."""
    hardening.quiet()
    link = socket.socket(fileno=int(sys.argv[1]))
    link.set_inheritable(False)
    missing = hardening.harden(dumpable=wire.DUMPABLE in sys.argv[2:])
    status = 0
    if missing and wire.STRICT in sys.argv[2:]:
        link.send(wire.ENCODE(wire.Refused(missing)))
        os._exit(_FAILED)
    try:
        exchange = Exchange()
        hardening.collect_once()
        link.send(wire.ENCODE(wire.Ready(missing)))
        if prepared := _prepared(link, bytearray(wire.PACKET_BYTES_MAX)):
            # Whatever happens to the parent: nobody holds a card for longer. The signal's default ends the process.
            signal.alarm(wire.LIFETIME_S_MAX)
            Child(link, *prepared, exchange).run()
            while link.recv(wire.PACKET_BYTES_MAX):
                pass  # the parent has yet to read how it ended, and takes leave by closing
    except Exception as error:  # noqa: BLE001 -- a traceback could tell values; the type is all that may be told
        status = _FAILED
        try:
            link.send(wire.ENCODE(wire.Failed(type(error).__name__)))
        except OSError:
            status += 1
    # No handlers, no flushing, no tear-down that could fail: the kernel takes the memory back and zeroes it.
    os._exit(status)
