"""A webhook's signature in a header `t=<unix s>,v1=<hex>,…`: HMAC-SHA256 over `t.body`, several `v1` while a secret is
rotated; other schemes (`v0`) are ignored.

Stripe signs so, and so does the generic gateway. Stricter than Stripe's SDK: a time in the future is refused like one
in the past, and no input raises anything but the three errors of a gateway's contract.

Source: Stripe, "Verify webhook signatures manually".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Final

from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError, StaleWebhookError

TOLERANCE_S: Final = 300
_HEADER_BYTES_MAX: Final = 2_048
_TIME: Final = re.compile(rb"[0-9]{1,12}")


def require(header: bytes | None, body: bytes, now_unix_s: float, secrets: Sequence[bytes], *, named: str) -> None:
    """Raises unless `body` was signed with one of `secrets` within 300 s of `now_unix_s`, either way. `named` is the
    header's name, for people: `ForgedWebhookError`, `StaleWebhookError`, `MalformedWebhookError`."""
    if header is None:
        raise ForgedWebhookError
    time, signatures = _parts(header, named)
    signed = b"%b.%b" % (time, body)
    genuine = False
    for secret in secrets:
        expected = hmac.digest(secret, signed, "sha256").hex().encode()
        for signature in signatures:
            genuine |= hmac.compare_digest(expected, signature)
    if not genuine:
        raise ForgedWebhookError
    # Written so that a clock that is not a number refuses.
    if not abs(now_unix_s - int(time)) <= TOLERANCE_S:
        raise StaleWebhookError


def _parts(header: bytes, named: str) -> tuple[bytes, list[bytes]]:
    """The time as it was signed, and every v1 signature."""
    if len(header) > _HEADER_BYTES_MAX or not header.isascii():
        raise ForgedWebhookError
    times: list[bytes] = []
    signatures: list[bytes] = []
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"t":
            times.append(value)
        elif name == b"v1":
            signatures.append(value)
    if not times or not signatures:
        raise ForgedWebhookError
    if len(times) > 1 or not _TIME.fullmatch(times[0]):
        raise MalformedWebhookError(f"The {named} header holds no usable time; it was not stored.")
    return times[0], signatures
