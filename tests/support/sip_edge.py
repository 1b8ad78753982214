"""The edge of `deploy/edge` on free ports of the loopback: Kamailio and rtpengine, and voice nodes behind them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.floor_client import FloorClient

CONFIGURATION = Path(__file__).parents[2] / "deploy/edge"
HOST = "127.0.0.1"
ORIGIN = "https://floor.example.org"
START_S = 30.0
STOP_S = 10.0
# Below those that sipp takes in other tests and those the system hands out, so that nobody comes between look and bind.
PORTS = range(23_000, 29_000, 4)


def free_ports(count: int) -> list[int]:
    """Ports that can be bound for UDP and TCP; media wants even ones."""
    found: list[int] = []
    for port in random.sample(PORTS, 400):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind((HOST, port))
                tcp.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"{count} free ports were not found")


@asynccontextmanager
async def running(*command: str, log: Path, environment: dict[str, str] | None = None, stop_s: float = STOP_S):
    """A process that is ended with the block, and whoever it started with it; killed when it takes too long."""
    with log.open("ab") as kept:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=kept,
            stderr=kept,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), stop_s)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # children that outlived it
        await process.wait()


@dataclass(frozen=True, slots=True)
class Node:
    """A process of `tenderline voice`."""

    process: asyncio.subprocess.Process
    port: int


@asynccontextmanager
async def voice_node(folder: Path, database_url: str) -> AsyncIterator[Node]:
    """A real voice node that knows the edge: it is a network without limits, and all nodes share one secret key."""
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "TENDERLINE_DATABASE_URL": database_url,
        "TENDERLINE_DATA_DIR": str(folder / f"node-{port}"),
        "TENDERLINE_SECRET_KEY": "one secret key for all nodes behind one edge",
        "TENDERLINE_VOICE__SIP_PORT": str(port),
        "TENDERLINE_VOICE__UNLIMITED_NETWORKS": "127.0.0.1/32",
    }
    command = (sys.executable, "-m", "tenderline", "voice")
    async with running(*command, log=folder / f"node-{port}.log", environment=environment) as process:
        await _answers(process, port, folder / f"node-{port}.log")
        yield Node(process, port)


async def _answers(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_S
    while loop.time() < deadline and process.returncode is None:
        async with FloorClient("udp", HOST, port) as client:
            with suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(client.options(), 0.3)
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{port} does not answer: {log.read_text(errors='replace')[-2_000:]}")


class Edge:
    """A Kamailio that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "kamailio.log"
        self.certificate = folder / "certificate.pem"
        self.udp, self.tls, self.ws, self.wss, self.rtpengine = free_ports(5)

    def client(self, transport: str) -> FloorClient:
        """A telephone that comes in by "udp", "tcp", "tls", "ws" or "wss"."""
        port = {"udp": self.udp, "tcp": self.udp, "tls": self.tls, "ws": self.ws, "wss": self.wss}[transport]
        safe = self.certificate if transport in ("tls", "wss") else None
        return FloorClient(transport.replace("wss", "ws"), HOST, port, certificate=safe, origin=ORIGIN)

    def command(self) -> list[str]:
        """The shipped configuration, on these ports."""
        said = {
            "EDGE_HOST": HOST,
            "EDGE_NAME": '"floor.example.org"',
            "SIP_PORT": self.udp,
            "TLS_PORT": self.tls,
            "WS_PORT": self.ws,
            "WSS_PORT": self.wss,
            "WEB_ORIGINS": f'"^{ORIGIN}$"',
            "TLS_FILE": f'"{self.folder / "tls.cfg"}"',
            "NODES_FILE": f'"{self.folder / "dispatcher.list"}"',
            "RTPENGINE": f'"udp:{HOST}:{self.rtpengine}"',
            "CONTROL": f'"{self.control}"',
            "PING_S": 1,
            "NODE_SILENT_MS": 1000,
        }
        defines = [word for name, value in said.items() for word in ("-A", f"{name}={value}")]
        # In the foreground; its folders are the test's. Little memory: two may run beside a browser.
        rest = ("-DD", "-E", "-m", "48", "-M", "8", "-w", str(self.folder), "-Y", str(self.folder))
        return ["kamailio", "-f", str(CONFIGURATION / "kamailio.cfg"), *defines, *rest]

    @property
    def control(self) -> str:
        """The socket of kamcmd; a short name, for such names have 108 bytes at most."""
        return f"unix:/tmp/edge-{os.getpid()}-{self.udp}"

    async def nodes_up(self, *ports: int) -> None:
        """Waits until new calls go to these nodes, and to no others."""
        async with asyncio.timeout(START_S):
            while await self._nodes_up() != set(ports):
                await asyncio.sleep(0.1)

    async def _nodes_up(self) -> set[int]:
        asked = await asyncio.create_subprocess_exec(
            *("kamcmd", "-s", self.control, "dispatcher.list"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await asyncio.wait_for(asked.communicate(), START_S)
        found, port = set(), 0
        for line in said.decode().splitlines():
            name, _, value = line.strip().partition(": ")
            if name == "URI":
                port = int(value.split(";")[0].rpartition(":")[2])
            elif name == "FLAGS" and value.startswith("A"):
                found.add(port)
        return found


@asynccontextmanager
async def edge(folder: Path, *nodes: Node, media: bool = False) -> AsyncIterator[Edge]:
    """Kamailio in front of these nodes, and with `media` rtpengine beside it; both have found each other."""
    made = Edge(folder)
    write_certificate(made.certificate, folder / "key.pem")
    tls = (CONFIGURATION / "tls.cfg").read_text().replace("/etc/tenderline-edge/", f"{folder}/")
    (folder / "tls.cfg").write_text(tls)
    (folder / "dispatcher.list").write_text("".join(f"1 sip:{HOST}:{node.port}\n" for node in nodes))
    async with AsyncExitStack() as stack:
        if media:
            await stack.enter_async_context(running(*_rtpengine(made), log=folder / "rtpengine.log"))
        process = await stack.enter_async_context(running(*made.command(), log=made.log))
        await _answers(process, made.udp, made.log)
        await made.nodes_up(*(node.port for node in nodes))
        yield made


def _rtpengine(made: Edge) -> list[str]:
    """With the shipped configuration; what is said here comes before what stands there."""
    own = ("--interface", HOST, "--listen-ng", f"{HOST}:{made.rtpengine}", "--port-min", "32100", "--port-max", "32700")
    shipped = ("--config-file", str(CONFIGURATION / "rtpengine.conf"), "--config-section", "rtpengine")
    return [
        "rtpengine",
        *shipped,
        *own,
        "--foreground",
        "--log-stderr",
        "--pidfile",
        str(made.folder / "rtpengine.pid"),
    ]


def write_certificate(certificate: Path, key: Path) -> None:
    """A certificate of the loopback that vouches for itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "floor.example.org")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key.write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
