"""Callers of sipp who press keys at their own pace through a whole call."""

from __future__ import annotations

from pathlib import Path

from support.pcap import Capture
from tenderline.voice import packet
from tenderline.voice.keys import KEYS

KEYS_SCENARIO = Path(__file__).parents[1] / "call" / "sixteen_keys.xml"
EVENTS_TYPE = 96
EVENT_FRAMES = 5
SOUND_GOES_ON_S = 60.0


def pressing(keys: list[tuple[float, str]], caller: str, audio: Path) -> str:
    """A scenario of a caller who waits so many seconds before each row of keys, and then until she is hung up. All of
    her sound is one file: keys that sipp makes itself begin with the same time stamps again and again."""
    _write_sound(keys, audio)
    text = KEYS_SCENARIO.read_text("utf-8").replace("+12025550100", caller)
    before, rest = text.split("  <nop", 1)
    after = rest[rest.index("  <recv") :].replace('timeout="60000"', 'timeout="240000"')
    return f'{before}  <nop><action><exec play_pcap_audio="{audio}"/></action></nop>\n{after}'


def _write_sound(keys: list[tuple[float, str]], path: Path) -> None:
    """Silence in A-law, keys as events of 100 ms, every 200 ms, and silence again."""
    sound = Capture(path, ethernet=True)
    sequence = frame = 0

    def send(kind: int, at: int, payload: bytes, *, begins: bool = False) -> None:
        nonlocal sequence
        data = packet.write(kind, sequence & 0xFFFF, at * packet.FRAME_SAMPLES, 0x5EED, payload, marker=begins)
        sound.add(("127.0.0.1", 6_000), ("127.0.0.1", 6_000), data, at_s=1_000 + frame / 50)
        sequence += 1

    def silence(frames: int) -> None:
        nonlocal frame
        for _ in range(frames):
            send(packet.PCMA, frame, b"\xd5" * packet.FRAME_SAMPLES)
            frame += 1

    for pause_s, row in [*keys, (SOUND_GOES_ON_S, "")]:
        silence(round(pause_s * 50))
        for key in row:
            began = frame
            for part in range(EVENT_FRAMES):
                is_end = part == EVENT_FRAMES - 1
                payload = bytes((KEYS.index(key), 0x8A if is_end else 0x0A))
                payload += ((part + 1) * packet.FRAME_SAMPLES).to_bytes(2, "big")
                send(EVENTS_TYPE, began, payload, begins=part == 0)
                frame += 1
            silence(EVENT_FRAMES)
    sound.close()
