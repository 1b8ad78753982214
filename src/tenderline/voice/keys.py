"""Keys pressed by a caller, from RFC 4733 event packets: each press once, whatever the network does to its packets.

A press is many packets with one RTP timestamp: it starts, lasts, and its end is sent three times. Any of them may be
lost or come late. So a press is known by its timestamp, it counts with the first packet of it that arrives, and
timestamps already counted are remembered: an end packet that the next key overtook is not a second press.
"""

from __future__ import annotations

from collections import deque

from tenderline.voice import packet

KEYS = "0123456789*#ABCD"
REMEMBERED_MAX = 32
AHEAD_MAX = 64
"""Keys that a caller may press ahead; more are dropped. No entry of ours is half as long."""


class KeyEvents:
    """Event packets of one source in, presses out."""

    def __init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=REMEMBERED_MAX)
        self._newest: int | None = None

    def read(self, timestamp: int, payload: bytes) -> str | None:
        """The key, with the first packet of its press; None for the others, and for what is no event."""
        if len(payload) < 4 or payload[0] >= len(KEYS):
            return None
        if timestamp in self._seen:
            return None
        if self._newest is not None and packet.later(timestamp, self._newest, 32) < 0:
            return (
                None  # all of an older press arrived after a newer one: counted now it would stand in the wrong place
            )
        self._seen.append(timestamp)
        self._newest = timestamp
        return KEYS[payload[0]]

    def forget(self) -> None:
        """Another source speaks: its timestamps have nothing to do with the old ones."""
        self._seen.clear()
        self._newest = None


def of_info(content_type: str, body: str) -> str | None:
    """The key of a SIP INFO: `application/dtmf-relay` (Signal=5) or `application/dtmf` (5)."""
    kind = content_type.split(";")[0].strip().lower()
    if kind == "application/dtmf-relay":
        lines = (line.partition("=") for line in body.splitlines()[:8])
        found = next((value.strip() for name, _, value in lines if name.strip().lower() == "signal"), "")
    elif kind == "application/dtmf":
        found = body.strip()
    else:
        return None
    found = {"10": "*", "11": "#"}.get(found, found.upper())
    return found if len(found) == 1 and found in KEYS else None
