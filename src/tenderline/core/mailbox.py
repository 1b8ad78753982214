"""E-mail addresses in one form, or a reason why not."""

from __future__ import annotations

import re

from tenderline.core.errors import InvalidInputError

LENGTH_MAX = 254  # RFC 5321, 4.5.3.1.3: a path of 256 octets with its two angle brackets
_SHAPE = re.compile(r"[^\s@<>\"(),:;\[\\\]\x00-\x1f\x7f]{1,64}@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.[a-z0-9-]{2,63}")


class InvalidMailboxError(InvalidInputError):
    """The e-mail address cannot be written to; it needs one @ and a domain, such as ann@example.org."""

    code = "invalid_mailbox"


def normalise(raw: str) -> str:
    """`raw` without surrounding space, its domain in lower case and IDNA form; raises `InvalidMailboxError`.

    The whole address is folded to lower case: no provider of note tells case apart, and two spellings of one
    person's address must not let an opt-out slip.
    """
    address = raw.strip().casefold()
    local, _, domain = address.rpartition("@")
    try:
        address = f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError as error:
        raise InvalidMailboxError() from error
    if len(address) > LENGTH_MAX or ".." in address or not _SHAPE.fullmatch(address):
        raise InvalidMailboxError()
    return address
