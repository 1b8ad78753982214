"""Agents' browsers, all in one process, cheap enough to stand beside a node on one machine.

`python -m tests.bench.browser_farm`: a job comes as a line of JSON; `connected` is said when every peer has its keys.
Each then sends 50 packets a second until the process is ended.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time

import asyncpg
import msgspec

from tenderline.core.ids import uuid7
from tenderline.store import browser_phones, users
from tenderline.voice import packet
from tests.bench.telephone import FRAME_S, LOOK_AGAIN_S
from tests.support.trial_browser import TrialBrowser, identity

SLOTS = 10
CONNECT_S_MAX = 30.0
PASSWORD = "four random words here"


class Job(msgspec.Struct, kw_only=True):
    """How many peers, of the node behind which database."""

    database_url: str
    peers: int


async def connect(job: Job) -> list[TrialBrowser]:
    """Peers with their keys."""
    ours = identity()
    peers = [TrialBrowser(ours) for _ in range(job.peers)]
    connection = await asyncpg.connect(job.database_url)
    for number, peer in enumerate(peers):
        session, email = uuid7(), f"agent{number}@example.org"
        async with connection.transaction():
            await users.create_user(connection, email=email, name="Agent", password=PASSWORD, role="agent")
            user_id = await connection.fetchval("SELECT id FROM app_user WHERE email = $1", email)
            await browser_phones.offer(connection, session, agent=email, user_id=user_id, text=peer.offer())
        while (found := await browser_phones.shown(connection, session, user_id)) is None or found.answer is None:
            await asyncio.sleep(LOOK_AGAIN_S)
        peer.take(found.answer)
    # The bench is no page that says every 15 s that it is there.
    await connection.execute("UPDATE browser_phone SET lease_until = now() + interval '1 hour'")
    await connection.close()
    return peers


def run(peers: list[TrialBrowser]) -> None:
    """Reads and sends, a tenth of the peers every 2 ms."""
    slot, next_s, frame, said = 0, time.monotonic(), secrets.token_bytes(packet.FRAME_SAMPLES), False
    while True:
        time.sleep(max(0.0, next_s - time.monotonic()))
        for one in peers[slot::SLOTS]:
            one.turn()
            if one.is_connected:
                one.send(frame)
            one.heard.clear()
        if not said and all(one.is_connected for one in peers):
            said = True
            print("connected", flush=True)
        slot = (slot + 1) % SLOTS
        next_s += FRAME_S / SLOTS


def main() -> None:
    """One job, until the process is ended."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    run(asyncio.run(connect(job)))


if __name__ == "__main__":
    main()
