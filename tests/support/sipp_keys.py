"""Scenarios of sipp for callers who key a whole conversation: the keys are packets of a capture that it plays."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

from support.pcap import Capture
from tenderline.voice import packet
from tenderline.voice.keys import KEYS

KEY_S = 0.16
KEY_GAP_S = 0.1
ENDS_S = 90.0
"""After the last key: until the other side hangs up."""
SIXTEEN_KEYS = Path(__file__).parents[1] / "call" / "sixteen_keys.xml"
_PAYLOAD_TYPE = 96
_BYE = """<send retrans="500">
    <![CDATA[
      BYE sip:[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:+12025550100@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0
    ]]>
  </send>
  <recv response="200"/>
"""


def write_caller(to: Path, caller: str, keys: Iterable[str], *, between_s: float, hangs_up: bool) -> Path:
    """A scenario of somebody who hears nothing: she keys these, each after a pause, and hangs up or is hung up on.

    The keys are packets of a capture beside it. The tool's own command for keys begins its timestamps anew each time,
    and then a key is taken for a late packet of an earlier one.
    """
    text = SIXTEEN_KEYS.read_text("utf-8")
    plays = re.search(r"<nop>.*?play_dtmf.*?</nop>\s*", text, re.DOTALL)
    ends = re.search(r'<recv request="BYE".*?</send>\s*', text, re.DOTALL)
    assert plays is not None, "the scenario presses keys"
    assert ends is not None, "and is hung up on"
    lasts_s = _write_keys(to.with_suffix(".pcap"), keys, between_s)
    steps = f'<nop><action><exec play_pcap_audio="{to.with_suffix(".pcap")}"/></action></nop>\n  '
    if hangs_up:
        steps += f'<pause milliseconds="{lasts_s * 1_000:.0f}"/>\n  {_BYE}'
    made = text[: plays.start()] + steps + ("" if hangs_up else ends[0]) + text[ends.end() :]
    made = re.sub(r'timeout="\d+"', f'timeout="{(lasts_s + ENDS_S) * 1_000:.0f}"', made)
    to.write_text(made.replace("+12025550100", caller), "utf-8")
    return to


def _write_keys(to: Path, keys: Iterable[str], between_s: float) -> float:
    """Presses as RFC 4733 has them: a packet every 20 ms, the end sent three times. Returns how long it all lasts."""
    capture = Capture(to, ethernet=True)
    at_s, sequence = 0.0, 0

    def add(key: int, samples: int, pressed_at_s: float, sent_at_s: float, *, ended: bool) -> None:
        nonlocal sequence
        sequence += 1
        event = struct.pack("!BBH", key, 0x80 * ended | 10, samples)
        timestamp = round(pressed_at_s * packet.CLOCK_HZ) + packet.CLOCK_HZ
        data = packet.write(_PAYLOAD_TYPE, sequence, timestamp, 1, event)
        capture.add(("127.0.0.1", 20_000), ("127.0.0.1", 40_000), data, at_s=sent_at_s)

    step_s = packet.FRAME_MS / 1_000
    frames = round(KEY_S / step_s)
    for row in keys:
        for number, key in enumerate(map(KEYS.index, row)):
            at_s += KEY_GAP_S if number else between_s
            for frame in range(1, frames + 1):
                add(key, frame * packet.FRAME_SAMPLES, at_s, at_s + (frame - 1) * step_s, ended=False)
            for again in range(3):
                add(key, frames * packet.FRAME_SAMPLES, at_s, at_s + (frames + again) * step_s, ended=True)
            at_s += (frames + 3) * step_s
    capture.close()
    return at_s
