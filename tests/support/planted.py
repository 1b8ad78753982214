"""Card data put where it must be found: published test numbers in two halves, key tones, and scans of few places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from support import services
from tenderline.scan import run
from tenderline.scan.canaries import Canaries
from tenderline.scan.result import Place

VISA = "42424242" + "42424242"
AMEX = "37828224" + "6310005"
LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)


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
