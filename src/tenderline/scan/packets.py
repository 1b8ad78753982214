"""Packet captures of calls: who has one can read the keys from it, though nowhere in it stands a digit.

Keys travel as RTP events (RFC 4733) or as tones inside the audio. Which payload type events have is agreed in SIP and
may not be in the capture, so a dynamic type with four bytes of the right form counts as one. Read is the classic format
of libpcap (tcpdump -w); of a newer pcapng file only the bytes are searched, and the report says so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from tenderline.scan.key_tones import ALAW, RUN_GAP_MAX_MS, RUN_PRESSES_MIN, ULAW, Listener
from tenderline.scan.result import Finding, Notes, Place
from tenderline.scan.search import PIECE_BYTES

STREAMS_MAX: Final = 5_000
PACKET_BYTES_MAX: Final = 256 * 1024
UNREAD_PACKETS_MIN: Final = 50
"""Fewer of an unknown payload type are no call: other protocols begin with the same bits now and then."""
_CLASSIC: Final = {
    b"\xa1\xb2\xc3\xd4": (">", 1_000), b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000), b"\x4d\x3c\xb2\xa1": ("<", 1_000_000),
}  # fmt: skip
_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
_LINK_HEADER_BYTES: Final = {0: 4, 1: 14, 12: 0, 14: 0, 101: 0, 108: 4, 113: 16, 228: 0, 229: 0, 276: 20}
_ETHERNET: Final = 1
_VLANS: Final = (b"\x81\x00", b"\x88\xa8")
_VLAN_BYTES: Final = 4
_VLANS_MAX: Final = 3
_UDP: Final = 17
_RTP: Final = struct.Struct("!BBHII")
_AUDIO: Final = {0: ULAW, 8: ALAW}
_DYNAMIC_MIN: Final = 96
_COMFORT_NOISE: Final = 13
_RTCP: Final = range(192, 224)
_EVENT_BYTES: Final = 4
_EVENT_MAX: Final = 15


class _Datagram(NamedTuple):
    at_ms: int
    source: str
    target: str
    data: bytes


class _Stream:
    """One sender's packets to one port: its presses by event, and what its audio sounds like."""

    def __init__(self) -> None:
        self.heard: dict[int, Listener] = {}
        self.unread = 0
        self.runs: list[int] = []
        self._seen: set[int] = set()
        self._last_ms = 0

    def press(self, timestamp: int, at_ms: int) -> None:
        """A packet of a press; all packets of one share its timestamp."""
        if timestamp in self._seen:
            return
        self._seen.add(timestamp)
        if not self.runs or at_ms - self._last_ms > RUN_GAP_MAX_MS:
            self.runs.append(0)
        self.runs[-1] += 1
        self._last_ms = at_ms


def is_capture(head: bytes) -> bool:
    """Whether a file that begins so is one."""
    return head[:4] in _CLASSIC or head[:4] == _PCAPNG


def search(path: Path, file: IO[bytes], notes: Notes, *, where: str) -> None:
    """Every call in it. The file stands at its beginning, and its bytes have been searched already."""
    head = file.read(24)
    if head[:4] == _PCAPNG:
        notes.gap(Place.FILES, where, "its calls were not listened to; write it anew with editcap -F pcap")
        return
    order, divisor = _CLASSIC[head[:4]]
    link = struct.unpack_from(f"{order}I", head, 20)[0] & 0xFFFF if len(head) == 24 else -1
    if link not in _LINK_HEADER_BYTES:
        notes.gap(Place.FILES, where, f"its packets are of a kind that is not read here (link type {link})")
        return
    streams: dict[tuple[str, str, int], _Stream] = {}
    for one in _datagrams(file, order, divisor, link, notes, where):
        _take(one, streams, notes, where)
    for (source, target, _), stream in streams.items():
        _tell(path, f"{where}, RTP from {source} to {target}", stream, notes)


def _take(one: _Datagram, streams: dict[tuple[str, str, int], _Stream], notes: Notes, where: str) -> None:
    """One datagram, if it is RTP."""
    if len(one.data) < _RTP.size:
        return
    first, second, _, timestamp, ssrc = _RTP.unpack_from(one.data)
    if first >> 6 != 2 or second in _RTCP:
        return
    kind, payload = second & 0x7F, _payload(first, one.data)
    if (found := streams.get((one.source, one.target, ssrc))) is None:
        if len(streams) >= STREAMS_MAX:
            if len(streams) == STREAMS_MAX:
                notes.gap(Place.FILES, where, f"only the first {STREAMS_MAX:,} streams of it were listened to")
                streams["", "", -1] = _Stream()
            return
        found = streams[one.source, one.target, ssrc] = _Stream()
    if kind in _AUDIO:
        found.heard.setdefault(kind, Listener(_AUDIO[kind])).hear(payload)
    elif kind >= _DYNAMIC_MIN and len(payload) == _EVENT_BYTES and not payload[1] & 0x40:
        if payload[0] <= _EVENT_MAX:
            found.press(timestamp, one.at_ms)
    elif kind != _COMFORT_NOISE:
        found.unread += 1


def _tell(path: Path, where: str, stream: _Stream, notes: Notes) -> None:
    group = f"packets of {path}"
    for presses in stream.runs:
        if presses >= RUN_PRESSES_MIN:
            notes.found(group, Finding(place=Place.FILES, where=where, written=f"{presses} key events in a row"))
    for listener in stream.heard.values():
        for run in listener.end():
            written = f"{run.presses} key tones in a row, until {run.until_ms} ms of its audio"
            notes.found(group, Finding(place=Place.FILES, where=where, written=written))
    if stream.unread >= UNREAD_PACKETS_MIN:
        notes.gap(Place.FILES, where, f"{stream.unread:,} packets in a codec that is not listened to here")


def _payload(first: int, data: bytes) -> bytes:
    """After the list of sources and the extension, without padding (RFC 3550, 5.1)."""
    start, end = _RTP.size + 4 * (first & 0x0F), len(data)
    if first & 0x10 and len(data) >= start + 4:
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        end -= data[-1]
    return data[start:end]


def _datagrams(file: IO[bytes], order: str, divisor: int, link: int, notes: Notes, where: str) -> Iterator[_Datagram]:
    record = struct.Struct(f"{order}IIII")
    since = 0
    while len(head := _exactly(file, record.size)) == record.size:
        seconds, part, size, _ = record.unpack(head)
        if size > PACKET_BYTES_MAX or len(data := _exactly(file, size)) < size:
            if size > PACKET_BYTES_MAX:
                notes.gap(Place.FILES, where, "it is damaged, and was listened to up to there")
            return  # else it is still being written
        since += size
        if since >= PIECE_BYTES:
            notes.search.breathe(since)
            since = 0
        if (found := _udp(data, link)) is not None:
            yield _Datagram(seconds * 1_000 + part // divisor, *found)


def _exactly(file: IO[bytes], size: int) -> bytes:
    """As much as was asked for; less only at the end of the file."""
    data = file.read(size)
    while 0 < len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def _udp(data: bytes, link: int) -> tuple[str, str, bytes] | None:
    """(source, target, what was sent) of a UDP datagram over IPv4 or IPv6; None for everything else."""
    at = _LINK_HEADER_BYTES[link]
    for _ in range(_VLANS_MAX):
        if link == _ETHERNET and data[at - 2 : at] in _VLANS:
            at += _VLAN_BYTES
    if len(data) < at + 20:
        return None
    version = data[at] >> 4
    if version == 4:
        protocol, source, target = data[at + 9], data[at + 12 : at + 16], data[at + 16 : at + 20]
        hosts = [".".join(map(str, one)) for one in (source, target)]
        at += 4 * (data[at] & 0x0F)
    elif version == 6:
        protocol, source, target = data[at + 6], data[at + 8 : at + 24], data[at + 24 : at + 40]
        hosts = [f"[{one.hex(':', 2)}]" for one in (source, target)]
        at += 40
    else:
        return None
    if protocol != _UDP or len(data) < at + 8:
        return None
    ports = struct.unpack_from("!HH", data, at)
    return f"{hosts[0]}:{ports[0]}", f"{hosts[1]}:{ports[1]}", data[at + 8 :]
