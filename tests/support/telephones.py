"""Telephones as an administrator makes them: a name, a password that is kept as digests, and the queues they are of."""

from __future__ import annotations

from typing import Any

from tenderline.core import telephone_password
from tenderline.store import lines

PASSWORD = "secret"


async def put(connection: Any, name: str, *queues: str, password: str = PASSWORD) -> None:
    """A telephone that may register from now on."""
    kept = {one: telephone_password.ha1(name, password, one) for one in telephone_password.ALGORITHMS}
    await lines.put_telephone(
        connection, name, ha1_md5=kept["MD5"], ha1_sha256=kept["SHA-256"], queues=list(queues), by="test"
    )
