"""Telephones as an administrator makes them (a name, a password that is kept as digests, the queues they are of), and
what they hear."""

from __future__ import annotations

import asyncio
from typing import Any

from tenderline.core import telephone_password
from tenderline.store import lines
from tenderline.voice.packet import CLOCK_HZ
from tenderline.voice.trial_phone import TrialPhone

PASSWORD = "secret"


async def put(connection: Any, name: str, *queues: str, password: str = PASSWORD) -> None:
    """A telephone that may register from now on."""
    kept = {one: telephone_password.ha1(name, password, one) for one in telephone_password.ALGORITHMS}
    await lines.put_telephone(
        connection, name, ha1_md5=kept["MD5"], ha1_sha256=kept["SHA-256"], queues=list(queues), by="test"
    )


async def heard_next(phone: TrialPhone, duration_s: float) -> bytes:
    """What it hears from now on, once there is so much of it: a machine that is late is waited for."""
    begin = len(phone.heard)
    async with asyncio.timeout(30):
        while len(phone.heard) < begin + int(duration_s * CLOCK_HZ):
            await asyncio.sleep(0.05)
    return bytes(phone.heard[begin:])
