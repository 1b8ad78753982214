"""Calls at once: one voice node as a process, callers by sipp, and a few lines on which packets are timed."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import asyncpg

from tenderline.store import lines
from tenderline.voice import packet, sip_text
from tests.bench.ground import BenchmarkError, Ground, Say, child, environment
from tests.bench.report import Figure, Result, middle, percentile
from tests.bench.sizes import Sizes
from tests.support.sipp import sipp_command

SCENARIO = Path(__file__).parents[1] / "call" / "sixteen_keys.xml"
KEYS = "1234567890987654"
TIMED_LINES = 5
RATE = 20
WAIT_S = 120.0
FRAME_S = packet.FRAME_MS / 1_000
FLOW = """
name = "line_check"
title = "Sixteen keys"
language = "en"
start = "ask"
[node.ask]
step = "collect"
text = "Sixteen keys, please. Thank you for waiting while everybody else presses theirs too."
variable = "keyed"
digits_min = 16
digits_max = 16
timeout_s = 60
tries_max = 1
exits = { collected = "bye", no_input = "bye", invalid = "bye" }
[node.bye]
step = "hangup"
text = "Goodbye."
"""
HOW = (
    "`tenderline voice` as a process of its own; {calls} calls of sipp at once ({rate} new ones a second), each plays"
    " audio, presses sixteen keys and is recorded; the flow speaks, collects and says goodbye. Processor time is the"
    " node's own, from the first call to the last. Send spacing is measured where it arrives, on five lines beside"
    " them: the distance of packets to 20 ms, with whatever the receiving threads add. sipp, the database and the"
    " receivers share the machine."
)


class TimedLine(threading.Thread):
    """A caller that only listens, and notes when each packet comes."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for one in (self._sip, self._rtp):
            one.bind(("127.0.0.1", 0))
            one.settimeout(5)
        self._node = ("127.0.0.1", port)
        self.arrived_s: list[float] = []
        self.answered_at_s = self.sound_at_s = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Calls, listens until it is told to stop, hangs up."""
        host, port = self._sip.getsockname()
        name = f"t{port}"
        body = (
            f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 0\r\n"
        )

        def request(method: str, number: int, to_tag: str = "") -> bytes:
            headers = [
                ("Via", f"SIP/2.0/UDP {host}:{port};branch=z9hG4bK{name}{method}"),
                ("From", f"<sip:+12025550100@{host}>;tag={name}"),
                ("To", f"<sip:check@{host}>{to_tag}"),
                ("Call-ID", name),
                ("CSeq", f"{number} {method}"),
                ("Max-Forwards", "70"),
                ("Contact", f"<sip:timed@{host}:{port}>"),
            ]
            said = body if method == "INVITE" else ""
            headers += [("Content-Type", "application/sdp")] if said else []
            return sip_text.write(f"{method} sip:check@{host} SIP/2.0", headers, said)

        self._sip.sendto(request("INVITE", 1), self._node)
        while (answer := sip_text.read(self._sip.recv(65_535))).status < 200:
            pass
        if answer.status != 200:
            return
        tag = f";tag={sip_text.tag_of(answer.first('to') or '')}"
        self._sip.sendto(request("ACK", 1, tag), self._node)
        self.answered_at_s = time.monotonic()
        while not self.stopping.is_set():
            try:
                data = self._rtp.recv(2_000)
            except TimeoutError:
                break
            now_s = time.monotonic()
            self.arrived_s.append(now_s)
            if not self.sound_at_s and data[12:] != b"\xff" * 160:
                self.sound_at_s = now_s
        self._sip.sendto(request("BYE", 2, tag), self._node)

    def spacing_errors_ms(self) -> list[float]:
        """How far each distance of two packets is from 20 ms."""
        return [
            abs(later - sooner - FRAME_S) * 1_000
            for sooner, later in zip(self.arrived_s, self.arrived_s[1:], strict=False)
        ]


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Calls, as many at once as the size says."""
    calls = sizes.telephone_calls
    async with ground.database() as url, asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        await _prepare(pool)
        port = _free_udp_port()
        with tempfile.TemporaryDirectory() as folder:
            settings = {
                "DATABASE_URL": url,
                "VOICE__SIP_PORT": str(port),
                "VOICE__CALLS_MAX": str(calls + 2 * TIMED_LINES),
                "VOICE__UNLIMITED_NETWORKS": "127.0.0.0/8",
                "VOICE__MEDIA_TIMEOUT_S": "300",
            }
            say("voice: the node starts")
            async with child("tenderline", "voice", env=environment(Path(folder), 4000, **settings)) as node:
                await _until_up(pool)
                timed = [TimedLine(port) for _ in range(TIMED_LINES)]
                for one in timed:
                    one.start()
                began_s, used_s = time.monotonic(), _cpu_s(node.pid)
                say(f"voice: {calls} calls")
                await asyncio.to_thread(_sipp, port, calls)
                cores = (_cpu_s(node.pid) - used_s) / (time.monotonic() - began_s)
                for one in timed:
                    one.stopping.set()
                for one in timed:
                    await asyncio.to_thread(one.join, 10)
                exact = await _until_counted(pool, calls)
    errors = sorted(error for one in timed for error in one.spacing_errors_ms())
    first_ms = [1_000 * (one.sound_at_s - one.answered_at_s) for one in timed if one.sound_at_s]
    if not errors or not first_ms:
        raise BenchmarkError("no packet came on the timed lines")
    return Result(
        name="voice",
        title="Calls at once",
        how=HOW.format(calls=calls, rate=RATE),
        figures=[
            middle(f"{calls} calls with keys and recordings: cores used by the node", [cores], "ratio", at_most=0.5),
            middle("send spacing, p99 of the distance to 20 ms", [percentile(errors, 99)], unit="ms", at_most=5),
            middle("send spacing, median of the distance to 20 ms", [percentile(errors, 50)], unit="ms"),
            middle("first sound after the ACK", first_ms, unit="ms", at_most=100),
            Figure(
                what=f"calls whose sixteen keys arrived exactly, of {calls}",
                value=exact,
                kind="count",
                bar=f"{calls}",
                met=exact == calls,
            ),
        ],
    )


async def _prepare(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "line_check", FLOW, by="bench")
        await lines.put_line(
            connection,
            number="check",
            campaign="bench",
            flow="line_check",
            language="en",
            currency="USD",
            fund=None,
            record=True,
            by="bench",
        )


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _until_up(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await pool.fetchval("SELECT count(*) FROM voice_node WHERE state = 'up'"):
            await asyncio.sleep(0.1)
    await asyncio.sleep(4)  # what the flow says is made ready


def _sipp(port: int, calls: int) -> None:
    done = subprocess.run(
        sipp_command(SCENARIO, "check", port, calls=calls, rate=RATE),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tempfile.gettempdir(),
        timeout=WAIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"sipp ended with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")


async def _until_counted(pool: asyncpg.Pool[asyncpg.Record], calls: int) -> int:
    async with asyncio.timeout(30):
        while await pool.fetchval("SELECT count(*) FROM conversation WHERE ended_at IS NULL"):
            await asyncio.sleep(0.1)
    return int(await pool.fetchval("SELECT count(*) FROM conversation WHERE keys = $1", KEYS))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
