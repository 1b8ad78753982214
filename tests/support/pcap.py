"""What a socket received, written down as tcpdump would: the classic format, IPv4 and UDP, no link header."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path
from typing import Any

_ETHERNET, _RAW_IP = 1, 101


class Capture:
    """A file that grows packet by packet."""

    def __init__(self, path: Path, *, ethernet: bool = False) -> None:
        """`ethernet`: with such headers, for programs that know no other."""
        self.path = path
        self._before = bytes(12) + b"\x08\x00" if ethernet else b""
        self.packets = 0
        self._file = path.open("wb", buffering=0)
        self._file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, _ETHERNET if ethernet else _RAW_IP))

    def add(self, source: tuple[str, int], target: tuple[str, int], data: bytes, *, at_s: float | None = None) -> None:
        """One datagram, when it came."""
        at_s = time.time() if at_s is None else at_s
        udp = struct.pack("!HHHH", source[1], target[1], 8 + len(data), 0) + data
        hosts = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
        packet = self._before + struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + hosts + udp
        self._file.write(struct.pack("<IIII", int(at_s), int(at_s % 1 * 1e6), len(packet), len(packet)) + packet)
        self.packets += 1

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


class _Ear:
    """A socket that writes down what it receives."""

    def __init__(self, original: Any, capture: Capture) -> None:
        self._original, self._capture = original, capture

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        data, source = self._original.recvfrom(size)
        self._capture.add(source, self._original.getsockname(), data)
        return data, source

    def recv(self, size: int) -> bytes:
        return self.recvfrom(size)[0]


def listen_at(phone: Any, capture: Capture) -> None:
    """Every packet that this trial phone receives from now on: SIP, RTP and RTCP, also what it does not believe."""
    server = phone._endpoint._stack.server
    server.skt = _Ear(server.skt, capture)
    engine = phone._engine
    make = engine.leg

    def leg() -> Any:
        made = make()
        made._rtp, made._rtcp = _Ear(made._rtp, capture), _Ear(made._rtcp, capture)
        return made

    engine.leg = leg
