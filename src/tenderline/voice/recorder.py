"""Records one call: the caller left, everybody else right, silence wherever it must not listen.

It is fed by the clock of the caller's leg, one frame of each side every 20 ms; so it is as long as the call, and both
sides stay together. Writing happens on a thread: the media loop only fills a buffer and encrypts it every 2 s.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenderline.core import recording_file
from tenderline.voice import codec
from tenderline.voice.packet import FRAME_MS, FRAME_SAMPLES, PCMU
from tenderline.voice.tones import LOOK_BACK_FRAMES

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CHUNK_MS = 2_000
DURATION_MS_MAX = 4 * 3_600_000
WRITES_WAITING_MAX = 30

_CHUNK = CHUNK_MS // FRAME_MS * FRAME_SAMPLES
_SILENCE = recording_file.ULAW_SILENCE * FRAME_SAMPLES


@dataclass(frozen=True, slots=True)
class Mark:
    """From here the recording is silent on purpose (`paused`), or sounds again."""

    at_ms: int
    paused: bool


class Recorder:
    """One recording. `feed` is the tap of the caller's leg."""

    def __init__(self, recording_id: UUID, key: bytes, path: Path, writer: ThreadPoolExecutor) -> None:
        self.recording_id, self.path = recording_id, path
        self._cipher, self._writer = AESGCM(key), writer
        self._caller, self._other = bytearray(), bytearray()
        self._chunks = 0
        self._waiting = 0
        self._failed: str | None = None
        self._paused = False
        self._still_silent_frames = 0
        self.duration_ms = 0
        self.marks: list[Mark] = []
        self._submit(recording_file.header(recording_id), first=True)

    @property
    def failed(self) -> str | None:
        """Why nothing is recorded any more, if so."""
        return self._failed

    def pause(self, paused: bool) -> None:
        """Silence from here on, or sound again; the time goes on either way."""
        if paused != self._paused:
            self._paused = paused
            self._still_silent_frames = 0 if paused else LOOK_BACK_FRAMES
            self.marks.append(Mark(self.duration_ms, paused))

    def feed(self, caller: bytes, other: bytes, payload_type: int) -> None:
        """One frame of each side, in the payload type of the leg."""
        if self._failed is not None or self.duration_ms >= DURATION_MS_MAX:
            return
        if self._paused or self._still_silent_frames > 0:
            # A frame comes 60 ms after it sounded: the first ones after a pause are still from within it.
            self._still_silent_frames -= not self._paused
            caller = other = _SILENCE
        elif payload_type != PCMU:
            caller = codec.convert(caller, payload_type, PCMU)
            other = codec.convert(other, payload_type, PCMU)
        self._caller += caller
        self._other += other
        self.duration_ms += FRAME_MS
        if len(self._caller) >= _CHUNK:
            self._flush()

    async def finish(self) -> None:
        """Writes what is left; returns when it is on the disk."""
        if self._caller and self._failed is None:
            self._flush()
        await asyncio.get_running_loop().run_in_executor(self._writer, lambda: None)

    def _flush(self) -> None:
        data = recording_file.chunk(
            self._cipher, self.recording_id, self._chunks, bytes(self._caller), bytes(self._other)
        )
        self._chunks += 1
        self._caller.clear()
        self._other.clear()
        self._submit(data)

    def _submit(self, data: bytes, *, first: bool = False) -> None:
        if self._waiting >= WRITES_WAITING_MAX:
            self._fail("the disk is too slow")
            return
        self._waiting += 1
        done = asyncio.get_running_loop().run_in_executor(self._writer, _append, self.path, data, first)
        done.add_done_callback(self._written)

    def _written(self, done: asyncio.Future[None]) -> None:
        self._waiting -= 1
        if not done.cancelled() and (error := done.exception()) is not None:
            self._fail(str(error))

    def _fail(self, why: str) -> None:
        if self._failed is None:
            self._failed = why
            log.error("recording_failed", recording=str(self.recording_id), why=why)


def _append(path: Path, data: bytes, first: bool) -> None:
    if first:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    with path.open("ab") as file:
        file.write(data)
