"""sippy inside the asyncio loop: its sockets are ours, its clock is ours, and it writes to no log.

By default it starts six threads a socket, runs a loop of its own and prints whole messages, in which digits may stand
(SIP INFO). The guard stands between the socket and the stack: what it refuses, sippy never sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

import structlog
from sippy import Network_server as network_server
from sippy import SipTransactionManager as transaction_manager
from sippy.Core import EventDispatcher as event_dispatcher
from sippy.Core.EventDispatcher import ED2
from sippy.Network_server import Network_server, Remote_address
from sippy.SipConf import SipConf
from sippy.SipTransactionManager import SipTransactionManager
from sippy.Time.MonoTime import MonoTime
from sippy.Udp_server import Udp_server_opts

from tenderline.voice import sip_guard
from tenderline.voice.sip_guard import Dropped, Passed, Refused
from tenderline.voice.sip_text import Message

RECEIVE_BUFFER_BYTES = 4 << 20
PACKETS_A_READ_MAX = 64
TIMER_STEP_S = 0.02

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Screen = Callable[[Message, tuple[str, int]], bytes | bool]
"""Asked about each request before the stack: True lets it in, False drops it, bytes are the answer."""


class _Failures:
    """What sippy would print with the whole message is counted, and named without it."""

    def __init__(self) -> None:
        self.count = 0

    def dump(self, what: str, *_: object, extra: object = None, **__: object) -> None:
        del extra  # the message itself: it may hold digits
        self.count += 1
        log.warning("sip_message_failed", what=str(what).split(" from ")[0], exc_info=True)


FAILURES: Final = _Failures()
for _module in (transaction_manager, network_server, event_dispatcher):
    _module.dump_exception = FAILURES.dump
SipConf.my_uaname = "Tenderline"


class QuietLog:
    """Takes what sippy logs, whole messages with their bodies, and keeps nothing of it."""

    level = 99

    def write(self, *_: object, **__: object) -> None:
        """Keeps nothing."""


class GuardedUdp(Network_server):  # type: ignore[misc]  # sippy has no types
    """A UDP socket on the asyncio loop, with the guard before the stack."""

    transport = "udp"

    def __init__(self, config: dict[str, Any], options: Any) -> None:
        super().__init__(options)
        self._screen: Screen = config["_tenderline_screen"]
        host, port = options.laddress
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._brackets = family == socket.AF_INET6
        self.skt = socket.socket(family, socket.SOCK_DGRAM)
        self.skt.setblocking(False)
        self.skt.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.skt.bind((host.strip("[]"), int(port)))
        self.uopts.laddress = (host, self.skt.getsockname()[1])  # what Via and Contact say, also when port was 0
        self.refused = self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.skt, self._readable)

    def getSIPaddr(self) -> Any:  # the stack's name
        """Our address as it stands in Via and Contact."""
        host, port = self.uopts.laddress
        bare = host.strip("[]")
        return ((f"[{bare}]" if self._brackets else bare, port), self.transport)

    def _readable(self) -> None:
        for _ in range(PACKETS_A_READ_MAX):
            try:
                data, source = self.skt.recvfrom(65_535)
            except OSError:
                return
            host = f"[{source[0]}]" if self._brackets else source[0]
            self._take(data, (host, source[1]))

    def _take(self, data: bytes, source: tuple[str, int]) -> None:
        match sip_guard.inspect(data, source):
            case Dropped():
                self.dropped += 1
            case Refused(data=answer):
                self.refused += 1
                self.send_to(answer, source)
            case Passed(message=message, data=plain):
                self._pass(message, plain, source)

    def _pass(self, message: Message, plain: bytes, source: tuple[str, int]) -> None:
        if message.method is not None:
            verdict = self._screen(message, source)
            if verdict is False:
                self.dropped += 1
                return
            if isinstance(verdict, bytes):
                self.refused += 1
                self.send_to(verdict, source)
                return
        failures = FAILURES.count
        self.handle_read(plain, Remote_address(source, "udp"), MonoTime())
        if FAILURES.count > failures and message.method not in (None, "ACK"):
            self.send_to(sip_guard.refuse(message, 400, "Bad Request", source), source)

    def send_to(self, data: bytes | str, address: tuple[str, int], delayed: bool = False) -> None:
        """Sends a datagram; what cannot be sent is lost as on any network, and SIP repeats it."""
        del delayed
        raw = data if isinstance(data, bytes) else data.encode()
        with contextlib.suppress(OSError):
            self.skt.sendto(raw, (address[0].strip("[]"), int(address[1])))

    def join(self) -> None:
        """Nothing to wait for: there is no thread."""

    def shutdown(self) -> None:
        """Closes the socket."""
        self._loop.remove_reader(self.skt)
        self.skt.close()
        self.uopts.data_callback = None


class Transactions(SipTransactionManager):  # type: ignore[misc]  # sippy has no types
    """sippy's transactions over our socket."""

    model_udp_server = (GuardedUdp, Udp_server_opts)

    def newTransaction(self, msg: Any, *args: Any, **kwargs: Any) -> Any:
        """sippy compares the transport letter by letter: a Contact that says `transport=UDP` would end in no BYE."""
        address, transport = msg.getTarget()
        if kwargs.get("userv") is None and str(transport).lower() == "udp":
            kwargs["userv"] = self.l4r.getServer(address)
        return super().newTransaction(msg, *args, **kwargs)


class Stack:
    """One SIP socket with transactions on it, until `close`."""

    def __init__(self, host: str, port: int, on_request: Callable[[Any, Any], Any], screen: Screen) -> None:
        self.config: dict[str, Any] = {
            "_sip_address": f"[{host}]" if ":" in host else host,
            "_sip_port": port,
            "_sip_logger": QuietLog(),
            "_tenderline_screen": screen,
        }
        # sippy's dispatcher belongs to the thread that imported it; nothing of it runs elsewhere.
        event_dispatcher.ED2.my_ident = event_dispatcher.get_ident()
        self.transactions = Transactions(self.config, on_request)
        self.config["_sip_tm"] = self.transactions
        self._timers = asyncio.get_running_loop().create_task(_run_timers())

    @property
    def server(self) -> GuardedUdp:
        """The socket."""
        (server,) = self.transactions.l4r.cache_l2s.values()
        assert isinstance(server, GuardedUdp)
        return server

    async def close(self) -> None:
        """Ends timers and closes the socket."""
        self._timers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._timers
        self.transactions.shutdown()
        for one in list(ED2.tlisteners):
            if one.cb_func is not None:
                one.cancel()


async def _run_timers() -> None:
    while True:
        ED2.last_ts = MonoTime()
        ED2.dispatchTimers()
        await asyncio.sleep(TIMER_STEP_S)
