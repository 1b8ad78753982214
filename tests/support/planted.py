"""Card data put where it must be found: published test numbers in two halves, key tones, and scans of few places."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from support import services
from tenderline.core import recording_file
from tenderline.core.ids import uuid7
from tenderline.scan import run
from tenderline.scan.canaries import Canaries
from tenderline.scan.result import Place
from tenderline.store import conversations, recordings, voice_nodes
from tenderline.store.recording_store import RecordingStore

VISA = "42424242" + "42424242"
AMEX = "37828224" + "6310005"
LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
AT = datetime(2026, 11, 20, 15, tzinfo=UTC)


def wanted(*places: str, passing: list[Path] | None = None, paths: list[Path] | None = None, canaries: Any = None):
    """A scan of these places, and of no temporary files of this machine unless told."""
    return run.Wanted(
        started_by="test",
        places=tuple(Place(one) for one in places),
        canaries=Canaries(canaries) if canaries else None,
        paths=paths or [],
        passing=passing or [],
    )


async def scan(pool: Any, data_dir: Path, *places: str, **options: Any) -> run.Done:
    """One scan; `flags` are settings."""
    flags = options.pop("flags", {})
    made = services.make(pool, data_dir=str(data_dir), **flags)
    return await run.Scan(made, wanted(*places, **options)).run()


def tones(keys: str, *, tone_ms: int = 90, pause_ms: int = 80, level: float = 0.1) -> bytes:
    """Key tones in mu-law."""
    from tenderline.voice import codec

    parts: list[Any] = []
    for key in keys:
        row = next(index for index, row in enumerate(("123A", "456B", "789C", "*0#D")) if key in row)
        column = ("123A", "456B", "789C", "*0#D")[row].index(key)
        time = np.arange(tone_ms * 8) / 8_000
        wave = np.sin(2 * np.pi * LOW_HZ[row] * time) + np.sin(2 * np.pi * HIGH_HZ[column] * time)
        parts += [wave * level * 16_000, np.zeros(pause_ms * 8)]
    return codec.from_samples(np.concatenate(parts).astype(np.int16), 0)


async def record(pool: Any, made: Any, sound: bytes, *, spoil: bool = False) -> UUID:
    """A stored recording of this sound on the caller's channel."""
    store = RecordingStore(made.settings)
    node, call, tape, key = uuid7(), uuid7(), uuid7(), recording_file.new_key()
    sealed = recording_file.seal_key(key, made.key_for("recordings"), tape)
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, node, "192.0.2.1:5060", 1)
        started = conversations.Started(call, node, "inbound", None, "400", None, None, None, None, AT)
        await conversations.start(connection, started)
        await recordings.begin(connection, tape, call, sensitive=True, sealed_key=sealed, path=f"{tape}.tlr", at=AT)
        await recordings.stored(connection, tape, duration_ms=1, marks=[], keep=AT - AT)
    pieces = [sound[at : at + 8_000] for at in range(0, len(sound), 8_000)]
    chunks = [
        recording_file.chunk(AESGCM(key), tape, number, one, b"\xff" * len(one)) for number, one in enumerate(pieces)
    ]
    whole = recording_file.header(tape) + b"".join(chunks)
    spool = store.spool / f"{tape}.tlr"
    store.spool.mkdir(parents=True, exist_ok=True)
    spool.write_bytes(whole[:500] + b"!" + whole[501:] if spoil else whole)
    await store.keep(spool, f"{tape}.tlr", sensitive=True)
    return tape
