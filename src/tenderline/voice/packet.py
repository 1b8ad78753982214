"""RTP and RTCP on the wire (RFC 3550), and nothing else: bytes in, values out, values in, bytes out."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

VERSION = 2
HEADER_BYTES = 12
PACKET_BYTES_MAX = 1_500
CLOCK_HZ = 8_000
FRAME_MS = 20
FRAME_SAMPLES = CLOCK_HZ * FRAME_MS // 1_000

PCMU = 0
PCMA = 8

_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
_NTP_EPOCH_OFFSET_S = 2_208_988_800


class Packet(NamedTuple):
    """One RTP packet. `timestamp` counts samples, `sequence` packets; both wrap."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def read(data: bytes) -> Packet | None:
    """The packet, or None for anything that is none (RFC 3550, 5.1: version, CSRC list, extension, padding)."""
    if not HEADER_BYTES <= len(data) <= PACKET_BYTES_MAX:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != VERSION or is_rtcp(data):
        return None
    start = HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < start + _EXTENSION.size:
            return None
        start += _EXTENSION.size + 4 * _EXTENSION.unpack_from(data, start)[1]
    end = len(data)
    if first & 0x20:
        padding = data[-1]
        if padding == 0:
            return None
        end -= padding
    if start > end:
        return None
    return Packet(second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[start:end])


def write(
    payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, *, marker: bool = False
) -> bytes:
    """An RTP packet. `sequence` and `timestamp` must be in range already."""
    second = payload_type | 0x80 if marker else payload_type
    return _HEADER.pack(VERSION << 6, second, sequence, timestamp, ssrc) + payload


def is_rtcp(data: bytes) -> bool:
    """Whether it is RTCP on the same port (RFC 5761: packet types 192 to 223 stand where RTP has marker and type)."""
    return len(data) >= 8 and data[0] >> 6 == VERSION and 192 <= data[1] <= 223


def later(one: int, other: int, bits: int) -> int:
    """How far `one` is after `other` in a counter of that width; negative when it is before."""
    half, whole = 1 << (bits - 1), 1 << bits
    return (one - other + half) % whole - half


@dataclass(frozen=True, slots=True)
class Reception:
    """What RTCP says about what was received: RFC 3550, 6.4.1."""

    ssrc: int
    lost_share: float
    lost_packets: int
    highest_sequence: int
    jitter_samples: int


SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203


def _block(reception: Reception) -> bytes:
    return struct.pack(
        "!IIIIII",
        reception.ssrc,
        (min(255, int(reception.lost_share * 256)) << 24) | (max(0, min(reception.lost_packets, 0x7FFFFF))),
        reception.highest_sequence & 0xFFFFFFFF,
        reception.jitter_samples & 0xFFFFFFFF,
        0,
        0,
    )


def report(
    ssrc: int,
    *,
    sent_packets: int,
    sent_bytes: int,
    timestamp: int,
    now_unix_s: float,
    name: bytes,
    received: Reception | None,
    goodbye: bool = False,
) -> bytes:
    """One compound packet: a sender report, the source's name, and a goodbye when the leg ends."""
    seconds = int(now_unix_s)
    blocks = b"" if received is None else _block(received)
    count = 0 if received is None else 1
    head = struct.pack(
        "!BBHIIIIII",
        0x80 | count,
        SENDER_REPORT,
        6 + len(blocks) // 4,
        ssrc,
        (seconds + _NTP_EPOCH_OFFSET_S) & 0xFFFFFFFF,
        int((now_unix_s - seconds) * (1 << 32)) & 0xFFFFFFFF,
        timestamp,
        sent_packets & 0xFFFFFFFF,
        sent_bytes & 0xFFFFFFFF,
    )
    item = b"\x01" + bytes([len(name)]) + name
    chunk = struct.pack("!I", ssrc) + item + b"\x00" * (4 - len(item) % 4)
    described = struct.pack("!BBH", 0x81, SOURCE_DESCRIPTION, len(chunk) // 4) + chunk
    bye = struct.pack("!BBHI", 0x81, GOODBYE, 1, ssrc) if goodbye else b""
    return head + blocks + described + bye


def says_goodbye(data: bytes) -> bool:
    """Whether a compound RTCP packet holds a BYE; malformed ones hold nothing."""
    at = 0
    while at + 4 <= len(data):
        if data[at] >> 6 != VERSION:
            return False
        if data[at + 1] == GOODBYE:
            return True
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
    return False
