"""A browser's session description (RFC 8829) as far as we need it: one audio stream in G.711, its ICE and DTLS words.

An offer is hostile text until it is read: sizes are bounded, what is not understood is skipped, and what is missing is
named.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from tenderline.voice.packet import PCMU
from tenderline.voice.sdp import UnusableDescriptionError

OFFER_BYTES_MAX: Final = 16_384
LINES_MAX: Final = 400
SECTIONS_MAX: Final = 4

_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FINGERPRINT = re.compile(r"(?i)sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})")
_MID = re.compile(r"[A-Za-z0-9_-]{1,16}")


@dataclass(frozen=True, slots=True)
class WebOffer:
    """What a browser offers: how it names itself to ICE, which certificate it will show, and its streams in order."""

    ufrag: str
    fingerprint: str
    mid: str
    sections: tuple[tuple[str, str, str], ...]
    """(kind, mid, protocol) of every stream; all but the first audio are declined."""
    audio: int


@dataclass(frozen=True, slots=True)
class Ours:
    """What we say of ourselves."""

    ufrag: str
    password: str
    fingerprint: str
    hosts: tuple[str, ...]
    port: int
    ssrc: int


def read(text: str) -> WebOffer:
    """The offer. Raises `UnusableDescriptionError`, saying what is missing."""
    if len(text) > OFFER_BYTES_MAX:
        raise UnusableDescriptionError(f"An offer of {len(text)} bytes is too long.")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if not lines or lines[0] != "v=0" or len(lines) > LINES_MAX:
        raise UnusableDescriptionError("This is no session description (v=0 is missing, or it is far too long).")
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    session, streams = sections[0], sections[1:]
    if len(streams) > SECTIONS_MAX:
        raise UnusableDescriptionError("Offer one audio stream; there are too many streams here.")
    heads = tuple(_head(stream) for stream in streams)
    audio = next((at for at, (kind, _, _) in enumerate(heads) if kind == "audio"), None)
    if audio is None:
        raise UnusableDescriptionError("There is no audio stream in this offer.")
    stream = streams[audio]
    if "SAVPF" not in heads[audio][2]:
        raise UnusableDescriptionError("A browser's audio is offered as UDP/TLS/RTP/SAVPF; this one is not.")
    if str(PCMU) not in stream[0].split()[3:]:
        raise UnusableDescriptionError(
            "The browser does not offer G.711 mu-law (PCMU), which every WebRTC browser has."
        )
    if "a=rtcp-mux" not in stream:
        raise UnusableDescriptionError("Offer rtcp-mux: audio and its reports share one port here.")
    ufrag = _said(stream, session, "ice-ufrag", _UFRAG)
    _said(stream, session, "ice-pwd", _PASSWORD)
    fingerprint = _said(stream, session, "fingerprint", _FINGERPRINT).split()[1].upper()
    setup = _value(stream, "setup") or _value(session, "setup")
    if setup not in ("actpass", "active"):
        raise UnusableDescriptionError("Offer setup:actpass: the browser begins the handshake.")
    return WebOffer(ufrag, fingerprint, heads[audio][1], heads, audio)


def _head(stream: list[str]) -> tuple[str, str, str]:
    parts = stream[0].removeprefix("m=").split()
    mid = _value(stream, "mid") or ""
    if len(parts) < 4 or not re.fullmatch(r"[a-z]{1,16}", parts[0]) or not re.fullmatch(r"[A-Z/]{1,24}", parts[2]):
        raise UnusableDescriptionError("A media line of the offer cannot be read.")
    if not _MID.fullmatch(mid):
        raise UnusableDescriptionError("Each stream of an offer needs a mid of up to 16 letters and digits.")
    return parts[0], mid, parts[2]


def _value(lines: list[str], name: str) -> str | None:
    mark = f"a={name}:"
    return next((line.removeprefix(mark).strip() for line in lines if line.startswith(mark)), None)


def _said(stream: list[str], session: list[str], name: str, form: re.Pattern[str]) -> str:
    value = _value(stream, name) or _value(session, name)
    if value is None or not form.fullmatch(value):
        raise UnusableDescriptionError(f"The offer's {name} is missing, or of a form that is not used here.")
    return value


def answer(offer: WebOffer, ours: Ours) -> str:
    """Our answer: ICE-lite, we wait for the browser's handshake, PCMU and nothing else, no keys as events."""
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite", f"a=group:BUNDLE {offer.mid}"]
    for at, (kind, mid, protocol) in enumerate(offer.sections):
        if at != offer.audio:
            lines += [f"m={kind} 0 {protocol} 0", "c=IN IP4 0.0.0.0", "a=inactive", f"a=mid:{mid}"]
            continue
        first = ours.hosts[0]
        lines += [
            f"m=audio {ours.port} {protocol} {PCMU}",
            f"c=IN IP{ipaddress.ip_address(first).version} {first}",
            f"a=mid:{mid}",
            "a=rtcp-mux",
            "a=sendrecv",
            f"a=rtpmap:{PCMU} PCMU/8000",
            "a=ptime:20",
            "a=maxptime:20",
            f"a=ice-ufrag:{ours.ufrag}",
            f"a=ice-pwd:{ours.password}",
            f"a=fingerprint:sha-256 {ours.fingerprint}",
            "a=setup:passive",
            "a=msid:tenderline caller",
            f"a=ssrc:{ours.ssrc} cname:tenderline",
        ]
        for number, host in enumerate(ours.hosts):
            priority = (126 << 24) | ((65_535 - number) << 8) | 255
            lines.append(f"a=candidate:{number + 1} 1 udp {priority} {host} {ours.port} typ host")
        lines.append("a=end-of-candidates")
    return "\r\n".join(lines) + "\r\n"
