"""Keys in captured packets: as events, as tones in either law, behind every header, and nothing where there is none."""

from __future__ import annotations

import bz2
import struct
from pathlib import Path

import pytest

from support import planted
from support.pcap import Capture
from tenderline.scan import files, packets
from tenderline.scan.result import Notes, Place
from tenderline.scan.search import Search
from tenderline.voice import codec, packet
from tenderline.voice.trial_phone import speech_like

FROM, TO = ("192.0.2.1", 20_000), ("192.0.2.2", 30_000)
EVENTS = 101


def listen(folder: Path) -> Notes:
    """What a search of the files in there finds."""
    notes = Notes(Search())
    files.search(files.Folders(folder, [], []), notes)
    return notes


def written(notes: Notes) -> list[str]:
    return [one.written for one in notes.findings]


def audio(path: Path, sound: bytes, law: int = packet.PCMU) -> Capture:
    """A call's audio in packets of 20 ms."""
    capture = Capture(path)
    for number, at in enumerate(range(0, len(sound) - 159, 160)):
        data = packet.write(law, number, at, 7, codec.convert(sound[at : at + 160], packet.PCMU, law))
        capture.add(FROM, TO, data, at_s=1_000 + number / 50)
    return capture


def press(capture: Capture, keys: str, *, every_s: float = 0.3) -> None:
    """Each key in some packets with one timestamp."""
    for number, key in enumerate(keys):
        for part in range(4):
            payload = bytes(("0123456789*#".index(key), 0x8A if part == 3 else 0x0A, 0, 40 * part))
            data = packet.write(EVENTS, 4 * number + part, 8_000 * number, 9, payload)
            capture.add(FROM, TO, data, at_s=1_000 + number * every_s + part / 50)


@pytest.mark.parametrize("law", [packet.PCMU, packet.PCMA])
def test_tones_inside_captured_audio_are_found_in_either_law(tmp_path: Path, law: int) -> None:
    audio(tmp_path / "a.pcap", b"\xff" * 8_000 + planted.tones("42424242") + b"\xff" * 8_000, law)
    notes = listen(tmp_path)
    (found,) = notes.findings
    assert found.written.startswith("8 key tones in a row")
    assert found.where == f"file {tmp_path}/a.pcap, RTP from 192.0.2.1:20000 to 192.0.2.2:30000"
    assert found.place is Place.FILES


def test_key_events_are_counted_once_each_however_many_packets_tell_them(tmp_path: Path) -> None:
    press(Capture(tmp_path / "a.cap"), "424242#")
    assert written(listen(tmp_path)) == ["7 key events in a row"]


def test_a_packed_capture_is_listened_to_as_well(tmp_path: Path) -> None:
    press(Capture(tmp_path / "a.cap"), "424242")
    (tmp_path / "a.cap.bz2").write_bytes(bz2.compress((tmp_path / "a.cap").read_bytes()))
    (tmp_path / "a.cap").unlink()
    assert written(listen(tmp_path)) == ["6 key events in a row"]


def test_three_keys_of_a_menu_and_keys_far_apart_are_none_of_a_card(tmp_path: Path) -> None:
    press(Capture(tmp_path / "a.cap"), "123")
    press(Capture(tmp_path / "b.cap"), "1234567", every_s=6)
    assert written(listen(tmp_path)) == []


def test_speech_silence_and_other_protocols_are_no_keys(tmp_path: Path) -> None:
    capture = audio(tmp_path / "a.pcap", speech_like(3) + b"\xff" * 16_000)
    for number in range(200):
        capture.add(FROM, TO, struct.pack("!HHI", number, 0x8180, number) + b"a question of names")
        capture.add(FROM, TO, b"OPTIONS sip:somebody@example.org SIP/2.0\r\n\r\n")
    notes = listen(tmp_path)
    assert (written(notes), notes.not_searched) == ([], [])


def test_digits_in_a_captured_message_are_found_like_everywhere(tmp_path: Path) -> None:
    Capture(tmp_path / "a.pcap").add(FROM, TO, f"INFO\r\n\r\nnumber={planted.VISA}".encode())
    assert written(listen(tmp_path)) == ["digits"]


def test_behind_an_ethernet_header_with_a_vlan_and_in_ipv6_they_are_found_too(tmp_path: Path) -> None:
    press(Capture(tmp_path / "raw"), "424242")
    raw = (tmp_path / "raw").read_bytes()
    out = bytearray(raw[:20] + struct.pack("<I", 1))
    at = 24
    while at < len(raw):
        seconds, part, size, _ = struct.unpack_from("<IIII", raw, at)
        udp = raw[at + 16 + 20 : at + 16 + size]
        six = b"\x60\0\0\0" + struct.pack("!HBB", len(udp), 17, 64) + bytes(15) + b"\x01" + bytes(15) + b"\x02"
        frame = bytes(12) + b"\x81\x00\x00\x05" + b"\x86\xdd" + six + udp
        out += struct.pack("<IIII", seconds, part, len(frame), len(frame)) + frame
        at += 16 + size
    (tmp_path / "raw").write_bytes(bytes(out))
    notes = listen(tmp_path)
    assert written(notes) == ["6 key events in a row"]
    assert "RTP from [0000:" in notes.findings[0].where


def test_what_is_not_listened_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pcapng").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(100))
    (tmp_path / "b.pcap").write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 147))
    capture = Capture(tmp_path / "c.pcap")
    for number in range(packets.UNREAD_PACKETS_MIN):
        capture.add(FROM, TO, packet.write(9, number, 160 * number, 3, bytes(160)))
    whys = [one.why for one in listen(tmp_path).not_searched]
    assert len(whys) == 3
    assert all(any(word in why for why in whys) for word in ("editcap", "link type 147", "codec"))


@pytest.mark.parametrize("cut", [3, 10, 23, 30, 50, 60])
def test_a_capture_that_is_cut_or_damaged_breaks_nothing(tmp_path: Path, cut: int) -> None:
    press(Capture(tmp_path / "a.cap"), "42424242")
    data = (tmp_path / "a.cap").read_bytes()
    (tmp_path / "a.cap").write_bytes(data[:-cut])
    (tmp_path / "short.cap").write_bytes(data[:cut])
    (tmp_path / "wild.cap").write_bytes(data[:24] + bytes(range(256)) * 4)
    assert written(listen(tmp_path)) == ["8 key events in a row"]
