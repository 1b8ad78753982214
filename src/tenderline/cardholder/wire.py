"""What goes over the one socket between the room in the voice process and its child: messages of bounded size.

Each is one packet of a SOCK_SEQPACKET socket. Towards the child: a key or a control in one byte, a clip, or JSON.
Towards the parent: a byte, a piece of sound, or JSON of the values that `messages` declares safe. Nothing that leaves
the child has a field that could hold a card number, but the sound of a full read-back.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from tenderline.cardholder.messages import Action, Ended, Policy

# A packet is split when it is larger than half the socket's buffer (106 KB by default): stay well below.
PACKET_BYTES_MAX: Final = 64 << 10
SOUND_BYTES_MAX: Final = 32 << 10
CLIP_BYTES_MAX: Final = 64_000
"""Eight seconds of mu-law: nobody says a digit for longer."""
FRAME_BYTES: Final = 160
DIGIT_CLIPS: Final = 10
ENVIRONMENT: Final = {
    # The name of a gateway is looked up within seconds or not at all (resolv.conf(5)); one arena is memory that can be
    # locked (mallopt(3)); the locale is nobody's business.
    "RES_OPTIONS": "timeout:2 attempts:2",
    "MALLOC_ARENA_MAX": "1",
    "LC_ALL": "C.UTF-8",
}

STRICT: Final = "strict"
DUMPABLE: Final = "dumpable"
LIFETIME_S_MAX: Final = 300

KEYS_MAX: Final = 16
PING: Final = b"\x20"
PROMPT_ENDED: Final = b"\x21"
CANCEL: Final = b"\x22"
RESTART: Final = b"\x23"
"""Followed by the number of the field in `FIELDS`."""
CLIP: Final = b"\x24"
"""Followed by the digit in one byte and a part of its sound."""
ADDRESSES: Final = b"\x25"
"""Followed by JSON: where the gateway is, as numbers, so that the child need not look it up while keys come."""

TAKEN: Final = b"\x30"
"""One message of the parent has been dealt with."""
ASKING: Final = b"\x31"
"""The gateway is being asked: silence until it has answered, or for its time-out."""
SOUND: Final = b"\x32"
SOUND_ENDS: Final = b"\x33"


class GatewayTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a card becomes a token. `account` is the merchant account where the gateway wants one (Adyen)."""

    kind: Literal["stripe", "braintree", "adyen", "generic"]
    url: str
    api_key: str
    ca_file: str | None = None
    """Trusted instead of the machine's own list: for a gateway inside a company, and for tests."""
    account: str | None = None
    payer: str | None = None
    """The merchant's reference for the payer, where a gateway files tokens under one (Adyen); made up when missing."""
    currency: str = "USD"
    """Of the authorisation over nothing that verifies a card (Adyen)."""
    timeout_s: float = 15.0
    connect_s: float = 5.0
    kept_s: float = 20.0
    """A connection made before the last key is not used when it is older: servers wait some 20 to 60 s for a request
    (Apache 20, nginx and most balancers 60). 0: none is made beforehand."""
    plain_http_on_loopback: bool = False
    """Lets an http:// address of this machine through, for the sandbox; never another one."""

    def __repr__(self) -> str:
        return f"GatewayTarget({self.kind})"


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """What one capture needs to know."""

    policy: Policy
    gateway: GatewayTarget
    language: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child has hardened itself; `missing` is what it had to do without, as the settings allow."""

    missing: list[str]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The child does not start: the machine cannot give it what it needs."""

    missing: list[str]


class InVain(msgspec.Struct, frozen=True, tag="in_vain"):
    """The gateway gave no answer about the card; why, in words that may be logged."""

    why: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The child met a defect; the type of the exception is all that may be told."""

    kind: str


BEGIN = msgspec.json.Decoder(Begin)
TEXTS = msgspec.json.Decoder(list[str])
WORD = msgspec.json.Decoder(Action | Ready | Refused | InVain | Failed)
ENCODE = msgspec.json.Encoder().encode

SYSTEM_PROBLEM: Final = Ended(result="system_problem")
