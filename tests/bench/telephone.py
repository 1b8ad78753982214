"""What every benchmark of calls stands on: one voice node as a process, with a flow and a line, and timed callers."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import asyncpg

from tenderline.store import lines
from tenderline.voice import packet, sip_text
from tests.bench.ground import Ground, child, environment
from tests.support.telephones import put as put_telephone

HOST = "127.0.0.1"
PASSWORD = "benchmark"
QUEUE = "general"
WAIT_S = 120.0
BOOKS_WAIT_S = 30.0
PROMPTS_WAIT_S = 4.0
LOOK_AGAIN_S = 0.1
FRAME_S = packet.FRAME_MS / 1_000
SILENCE = b"\xff" * packet.FRAME_SAMPLES
SILENT_S_MAX = 5.0
CALLS_SPARE = 10

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True)
class Node:
    """A node that answers: its process, its SIP port and the database behind it."""

    pid: int
    port: int
    pool: Pool
    database_url: str

    def cpu_s(self) -> float:
        """Processor time that it has used, its threads' and the system's for it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    async def until_counted(self) -> None:
        """Waits until the books of every call are closed."""
        async with asyncio.timeout(BOOKS_WAIT_S):
            while await self.open_conversations():
                await asyncio.sleep(LOOK_AGAIN_S)

    async def open_conversations(self) -> int:
        """Calls whose books are not closed."""
        return int(await self.pool.fetchval("SELECT count(*) FROM conversation WHERE ended_at IS NULL"))


@asynccontextmanager
async def voice_node(
    ground: Ground,
    flow_name: str,
    flow: str,
    *,
    calls: int,
    record: bool = False,
    telephones: int = 0,
    speaks_first: bool = True,
    **more: str,
) -> AsyncIterator[Node]:
    """`tenderline voice` on a database of its own; the line `check` leads to the flow, `agent0` … may register.
    A flow that speaks first gets time to make its words ready, as it would have had before anybody calls."""
    async with ground.database() as url, asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        await _prepare(pool, flow_name, flow, record=record, telephones=telephones)
        port = _free_udp_port()
        with tempfile.TemporaryDirectory() as folder:
            settings = {
                "DATABASE_URL": url,
                "VOICE__SIP_PORT": str(port),
                "VOICE__CALLS_MAX": str(calls + CALLS_SPARE),
                "VOICE__UNLIMITED_NETWORKS": "127.0.0.0/8",
                "VOICE__MEDIA_TIMEOUT_S": "300",
                **more,
            }
            async with child("tenderline", "voice", env=environment(Path(folder), 4000, **settings)) as process:
                await _until_up(pool)
                await asyncio.sleep(PROMPTS_WAIT_S if speaks_first else 0)
                yield Node(process.pid, port, pool, url)


async def _prepare(pool: Pool, flow_name: str, flow: str, *, record: bool, telephones: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, flow_name, flow, by="bench")
        await lines.put_line(
            connection,
            number="check",
            campaign="bench",
            flow=flow_name,
            language="en",
            currency="USD",
            fund=None,
            record=record,
            by="bench",
        )
        for name in telephone_names(telephones):
            await put_telephone(connection, name, QUEUE, password=PASSWORD)


def telephone_names(count: int) -> list[str]:
    """Under which the agents' telephones register."""
    return [f"agent{number}" for number in range(count)]


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def _until_up(pool: Pool) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await pool.fetchval("SELECT count(*) FROM voice_node WHERE state = 'up'"):
            await asyncio.sleep(LOOK_AGAIN_S)


class TimedLine(threading.Thread):
    """A caller that only listens, and notes when each packet comes."""

    def __init__(self, port: int, caller: str = "+12025550100") -> None:
        super().__init__(daemon=True)
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for one in (self._sip, self._rtp):
            one.bind((HOST, 0))
            one.settimeout(SILENT_S_MAX)
        self._node, self._caller = (HOST, port), caller
        self.arrived_s: list[float] = []
        self.answered_at_s = self.sound_at_s = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Calls, listens until it is told to stop or nothing comes any more, hangs up."""
        with self._sip, self._rtp:
            self._sip.sendto(self._request("INVITE", 1), self._node)
            while (answer := sip_text.read(self._sip.recv(65_535))).status < 200:
                pass
            if answer.status != 200:
                return
            tag = f";tag={sip_text.tag_of(answer.first('to') or '')}"
            self._sip.sendto(self._request("ACK", 1, tag), self._node)
            self.answered_at_s = time.monotonic()
            self._listen()
            self._sip.sendto(self._request("BYE", 2, tag), self._node)

    def _listen(self) -> None:
        while not self.stopping.is_set():
            try:
                data = self._rtp.recv(2_000)
            except TimeoutError:
                break
            now_s = time.monotonic()
            self.arrived_s.append(now_s)
            if not self.sound_at_s and data[packet.HEADER_BYTES :] != SILENCE:
                self.sound_at_s = now_s

    def _request(self, method: str, number: int, to_tag: str = "") -> bytes:
        host, port = self._sip.getsockname()
        name = f"t{port}"
        headers = [
            ("Via", f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK{name}{method}"),
            ("From", f"<sip:{self._caller}@{host}>;tag={name}"),
            ("To", f"<sip:check@{host}>{to_tag}"),
            ("Call-ID", name),
            ("CSeq", f"{number} {method}"),
            ("Max-Forwards", "70"),
            ("Contact", f"<sip:timed@{host}:{port}>"),
        ]
        if method != "INVITE":
            return sip_text.write(f"{method} sip:check@{host} SIP/2.0", headers)
        body = (
            f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 0\r\n"
        )
        return sip_text.write(f"INVITE sip:check@{host} SIP/2.0", [*headers, ("Content-Type", "application/sdp")], body)

    @property
    def first_sound_ms(self) -> float | None:
        """From the ACK to the first packet that is not silence; None when none came."""
        return 1_000 * (self.sound_at_s - self.answered_at_s) if self.sound_at_s else None

    def spacing_errors_ms(self) -> list[float]:
        """How far each distance of two packets is from 20 ms."""
        return spacing_errors_ms(self.arrived_s)


def spacing_errors_ms(arrived_s: list[float]) -> list[float]:
    """How far each distance of two packets is from 20 ms."""
    return [abs(later - sooner - FRAME_S) * 1_000 for sooner, later in pairwise(arrived_s)]
