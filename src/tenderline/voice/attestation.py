"""What the network vouches for about a caller's number (STIR/SHAKEN, RFC 8224): kept with the call, no more.

The signature is not checked here: the carrier in front checks it, and says so by `verstat`. Without its word the level
is kept with the remark that nobody checked it.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from tenderline.voice.sip_text import Message

TOKEN_CHARACTERS_MAX = 4_096
_VERSTAT = re.compile(r"verstat=([A-Za-z\-]{1,40})")


class _Claims(msgspec.Struct):
    attest: str = ""


def read(invite: Message) -> str | None:
    """`A`, `B` or `C`, with what the carrier found or "unchecked"; None when there is no Identity header."""
    sources = (invite.first("p-asserted-identity") or "", invite.first("from") or "")
    found = next((match[1] for one in sources if (match := _VERSTAT.search(one))), None)
    checked = found or "unchecked"
    identity = invite.first("identity")
    if identity is None:
        return found
    parts = identity.split(";")[0][:TOKEN_CHARACTERS_MAX].split(".")
    if len(parts) != 3:
        return f"unreadable, {checked}"
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return f"unreadable, {checked}"
    level = claims.attest if claims.attest in ("A", "B", "C") else "unreadable"
    return f"{level}, {checked}"
