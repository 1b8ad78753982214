"""Session descriptions (RFC 4566, RFC 3264): one audio stream in G.711, and keys as events. What we lack is refused.

An offer is hostile text until it is read: sizes are bounded, and anything that is not understood is skipped or refused,
never guessed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from tenderline.core.errors import TenderlineError
from tenderline.voice.packet import PCMA, PCMU

DESCRIPTION_BYTES_MAX = 8_192
LINES_MAX = 200
EVENTS_RATE_HZ = 8_000

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
_ANSWERED: dict[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


class UnusableDescriptionError(TenderlineError):
    """The description of the media cannot be used: offer one audio stream in G.711 (PCMU or PCMA) over RTP/AVP."""

    code = "unusable_session_description"
    status = 488


@dataclass(frozen=True, slots=True)
class Media:
    """The other side's audio: where to, in which codec (0 or 8), and how it numbers key events, if it sends any."""

    host: str
    port: int
    payload_type: int
    events_type: int | None
    direction: Direction
    streams: int = 1
    first_audio: int = 0
    protocols: tuple[str, ...] = ("RTP/AVP",)
    kinds: tuple[str, ...] = ("audio",)

    @property
    def on_hold(self) -> bool:
        """The other side does not listen, or nothing may be sent there."""
        return self.direction in ("sendonly", "inactive") or self.port == 0 or self.host in ("0.0.0.0", "::")


@dataclass(slots=True)
class _Section:
    kind: str
    port: int
    protocol: str
    formats: list[int]
    names: dict[int, str]
    host: str | None = None
    direction: Direction | None = None


def read(text: str, *, prefer: tuple[int, ...] = (PCMU, PCMA)) -> Media:
    """The audio of an offer or answer. Raises `UnusableDescriptionError`, saying what is missing.

    The codec is the first of the other side's list that we have; `prefer` names those that we have.
    """
    if len(text) > DESCRIPTION_BYTES_MAX:
        raise UnusableDescriptionError(f"A description of {len(text)} bytes is too long.")
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if len(lines) > LINES_MAX or not lines or lines[0] != "v=0":
        raise UnusableDescriptionError("This is no session description (v=0 is missing, or it is far too long).")
    host, direction, sections = _sections(lines)
    for index, section in enumerate(sections):
        if section.kind == "audio" and section.port and section.protocol == "RTP/AVP":
            return _media(section, host, direction, index, sections, prefer)
    raise UnusableDescriptionError()


def _sections(lines: list[str]) -> tuple[str | None, Direction, list[_Section]]:
    host: str | None = None
    direction: Direction = "sendrecv"
    sections: list[_Section] = []
    for line in lines:
        name, _, value = line.partition("=")
        here = sections[-1] if sections else None
        if name == "m":
            sections.append(_section(value))
        elif name == "c":
            if here is None:
                host = _host(value)
            else:
                here.host = _host(value)
        elif name == "a":
            said = next((one for one in _DIRECTIONS if one == value.strip()), None)
            if said is not None and here is not None:
                here.direction = said
            elif said is not None:
                direction = said
            elif here is not None and value.startswith("rtpmap:"):
                _remember(here, value)
    return host, direction, sections


def _section(value: str) -> _Section:
    parts = value.split()
    if len(parts) < 4 or not parts[1].split("/")[0].isdecimal():
        raise UnusableDescriptionError("A media line cannot be read; write it as m=audio PORT RTP/AVP 0 8.")
    port = int(parts[1].split("/")[0])
    if port > 65_535:
        raise UnusableDescriptionError(f"There is no port {port}.")
    formats = [int(one) for one in parts[3:35] if one.isdecimal() and int(one) < 128]
    return _Section(parts[0], port, parts[2].upper(), formats, {0: "pcmu/8000", 8: "pcma/8000"})


def _host(value: str) -> str:
    parts = value.split()
    if len(parts) != 3 or parts[0] != "IN":
        raise UnusableDescriptionError("A connection line cannot be read; write it as c=IN IP4 ADDRESS.")
    try:
        return str(ipaddress.ip_address(parts[2].split("/")[0]))
    except ValueError:
        raise UnusableDescriptionError("A connection line must hold an address, not a name.") from None


def _remember(section: _Section, value: str) -> None:
    number, _, name = value.removeprefix("rtpmap:").partition(" ")
    if number.isdecimal() and int(number) < 128:
        section.names[int(number)] = name.strip().lower().removesuffix("/1")


def _media(
    section: _Section,
    host: str | None,
    direction: Direction,
    index: int,
    sections: list[_Section],
    prefer: tuple[int, ...],
) -> Media:
    codecs = {PCMU: "pcmu/8000", PCMA: "pcma/8000"}
    usable = [one for one in section.formats if one in prefer and section.names.get(one) == codecs[one]]
    if not usable:
        raise UnusableDescriptionError("None of the codecs offered is G.711 (PCMU or PCMA).")
    where = section.host or host
    if where is None:
        raise UnusableDescriptionError("The description does not say where the audio goes (c= is missing).")
    events = next((n for n in section.formats if section.names.get(n) == f"telephone-event/{EVENTS_RATE_HZ}"), None)
    return Media(
        host=where,
        port=section.port,
        payload_type=usable[0],
        events_type=events,
        direction=section.direction or direction,
        streams=len(sections),
        first_audio=index,
        protocols=tuple(one.protocol for one in sections),
        kinds=tuple(one.kind for one in sections),
    )


def _head(host: str, session: int, version: int) -> list[str]:
    family = f"IP{ipaddress.ip_address(host).version}"
    return ["v=0", f"o=- {session} {version} IN {family} {host}", "s=-", f"c=IN {family} {host}", "t=0 0"]


def _audio(port: int, types: tuple[int, ...], events_type: int | None, direction: Direction) -> list[str]:
    names = {PCMU: "PCMU", PCMA: "PCMA"}
    listed = [str(one) for one in types] + ([str(events_type)] if events_type is not None else [])
    lines = [f"m=audio {port} RTP/AVP {' '.join(listed)}"]
    lines += [f"a=rtpmap:{one} {names[one]}/8000" for one in types]
    if events_type is not None:
        lines += [f"a=rtpmap:{events_type} telephone-event/{EVENTS_RATE_HZ}", f"a=fmtp:{events_type} 0-15"]
    return [*lines, "a=ptime:20", f"a={direction}"]


def answer(offer: Media, host: str, port: int, *, session: int, version: int = 1, keys: bool = True) -> str:
    """Our answer: the offer's own order of streams, the ones that we do not take with port 0."""
    lines = _head(host, session, version)
    for index in range(offer.streams):
        if index != offer.first_audio:
            lines.append(f"m={offer.kinds[index]} 0 {offer.protocols[index]} 0")
            continue
        events = offer.events_type if keys else None
        lines += _audio(port, (offer.payload_type,), events, _ANSWERED[offer.direction])
    return "\r\n".join(lines) + "\r\n"


def offer(
    host: str,
    port: int,
    *,
    session: int,
    version: int = 1,
    types: tuple[int, ...] = (PCMU, PCMA),
    events_type: int | None = None,
    direction: Direction = "sendrecv",
) -> str:
    """Our offer. Without `events_type` the other side is offered no way to send or get keys: that is for agents."""
    return "\r\n".join(_head(host, session, version) + _audio(port, types, events_type, direction)) + "\r\n"
