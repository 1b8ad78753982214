"""baresip, a telephone that is not ours, as a process, and a network interface for it: it will not use the loopback."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from support.sip_edge import running
from tenderline.voice import codec
from tenderline.voice.packet import PCMU

WAIT_S = 20.0
EVENTS_MAX = 1_000
PIECE_BYTES = 80
"""What is compared with what it heard: 10 ms of mu-law."""
LOUD = 0x40
HEARD_SHARE_MIN = 0.6

# What it hears goes back by `aubridge`, which needs no sound card, and into a WAV file by `sndfile`.
CONFIGURATION = """
sip_listen {host}:0
net_interface {interface}
rtp_ports 12000-12098
audio_player aubridge,loop
audio_source aubridge,loop
audio_alert aubridge,alert
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
module_path /usr/lib/baresip/modules
module g711.so
module sndfile.so
module aubridge.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
snd_path {folder}
ctrl_tcp_listen {host}:4444
module cons.so
cons_listen {host}:5555
"""
KEY_IS_LET_GO = b"\x04"


@dataclass(frozen=True, slots=True)
class Wire:
    """A cable from this machine to a room of its own (a network namespace), where the telephone stands.

    On one side of it, both would be local, and the kernel would send the telephone's sound from the node's address.
    """

    node_host: str
    host: str
    interface: str
    room: str


@asynccontextmanager
async def wire() -> AsyncIterator[Wire]:
    """Made by root or through sudo, under names and a network of its own, and gone with the block."""
    number = random.randrange(1 << 16)
    network = f"10.231.{number >> 8}"
    low = (number & 0xFF) // 4 * 4
    near, far, room = f"tl{number:04x}a", f"tl{number:04x}b", f"tl{number:04x}"
    made = Wire(f"{network}.{low + 1}", f"{network}.{low + 2}", far, room)
    await _ip("netns", "add", room)
    try:
        await _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", room)
        await _ip("addr", "add", f"{made.node_host}/30", "dev", near)
        await _ip("link", "set", near, "up")
        await _ip("-n", room, "addr", "add", f"{made.host}/30", "dev", far)
        await _ip("-n", room, "link", "set", far, "up")
        yield made
    finally:
        await _ip("netns", "del", room)  # and the cable with it


def _ip_words(*words: str) -> tuple[str, ...]:
    return ("ip", *words) if os.geteuid() == 0 else ("sudo", "-n", "ip", *words)


async def _ip(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *_ip_words(*words), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), WAIT_S)
    assert process.returncode == 0, (
        f"ip {' '.join(words)}: {said.decode()} (root, or sudo without a password, is needed)"
    )


class Baresip:
    """One telephone. `account` is as a line of its accounts file."""

    def __init__(self, folder: Path, wire: Wire, account: str) -> None:
        self._folder, self._wire, self._account = folder, wire, account
        self._events: asyncio.Queue[dict[str, str]] = asyncio.Queue(EVENTS_MAX)
        self._answers: asyncio.Queue[dict[str, str]] = asyncio.Queue(EVENTS_MAX)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Baresip]:
        """Until the end of the block."""
        self._folder.mkdir()
        said = CONFIGURATION.format(host=self._wire.host, interface=self._wire.interface, folder=self._folder)
        (self._folder / "config").write_text(said)
        for name in ("accounts", "contacts"):  # it would write examples where there are none
            (self._folder / name).touch()
        log = self._folder / "baresip.log"
        command = _ip_words("netns", "exec", self._wire.room, "baresip", "-f", str(self._folder))
        async with running(*command, log=log, stop_s=1.0) as process:
            reader, self._writer = await self._connect(process, 4444)
            _, self._keypad = await self._connect(process, 5555)
            reading = asyncio.get_running_loop().create_task(self._read(reader))
            try:
                await self.command("uanew", self._account)  # only now: what happens before is told to nobody
                yield self
            finally:
                reading.cancel()
                self._writer.close()
                self._keypad.close()

    async def _connect(self, process, port):
        async with asyncio.timeout(WAIT_S):
            while process.returncode is None:
                with suppress(OSError):
                    return await asyncio.open_connection(self._wire.host, port)
                await asyncio.sleep(0.05)
        raise AssertionError(f"baresip ended: {(self._folder / 'baresip.log').read_text(errors='replace')}")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:  # netstrings: LENGTH:JSON,
                length = int((await reader.readuntil(b":"))[:-1])
                found = json.loads((await reader.readexactly(length + 1))[:-1])
                await (self._events if found.get("event") else self._answers).put(found)

    async def command(self, name: str, words: str = "") -> str:
        """What it said to a command of its menu."""
        data = json.dumps({"command": name, "params": words}).encode()
        self._writer.write(b"%d:%s," % (len(data), data))
        async with asyncio.timeout(WAIT_S):
            found = await self._answers.get()
        assert found.get("ok"), f"{name} {words}: {found}"
        return found.get("data") or ""

    async def told(self, kind: str) -> dict[str, str]:
        """Waits for an event: REGISTER_OK, CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED …"""
        seen = []
        try:
            async with asyncio.timeout(WAIT_S):
                while (event := await self._events.get())["type"] != kind:
                    seen.append(event["type"])
        except TimeoutError:
            raise AssertionError(f"{kind} did not come, but {seen}") from None
        return event

    async def press(self, key: str) -> None:
        """One key, for as long as a finger rests on it."""
        self._keypad.write(key.encode())
        await asyncio.sleep(0.12)
        self._keypad.write(KEY_IS_LET_GO)
        await asyncio.sleep(0.12)

    async def heard(self, clip: bytes) -> None:
        """Waits until most pieces of this clip (mu-law) were in its ear, sample by sample: its own clock drops some."""
        sound = _as_decoded(codec.to_samples(clip, PCMU).astype("<i2").tobytes())
        pieces = [sound[at : at + PIECE_BYTES] for at in range(0, len(sound) - PIECE_BYTES, PIECE_BYTES)]
        loud = [piece for piece in pieces if max(0x7F - (one & 0x7F) for one in piece) >= LOUD]
        assert loud, "a clip of silence proves nothing"
        found = 0
        try:
            async with asyncio.timeout(WAIT_S):
                while found < len(loud) * HEARD_SHARE_MIN:
                    await asyncio.sleep(0.1)
                    ear = b"".join(_as_decoded(file.read_bytes()[44:]) for file in self._folder.glob("dump-*-dec.wav"))
                    found = sum(piece in ear for piece in loud)
        except TimeoutError:
            raise AssertionError(f"{found} of {len(loud)} pieces were heard") from None


def _as_decoded(pcm: bytes) -> bytes:
    """In mu-law: baresip's decoder gives silence another sign."""
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.int16)
    return codec.from_samples(samples, PCMU)
