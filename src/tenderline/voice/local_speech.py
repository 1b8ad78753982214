"""Spotting keywords on this machine, for trying things out. It only ever gives a hint.

Measured with pocketsphinx 5.1.1 over 128 made clips (505 s) in the telephone band: 31 of 64 sentences with one of these
words were found, with 12 false alarms; with "error" among the words 26 and 90, so it is not. So it turns nothing off by
itself: a supervisor is asked to look.
"""

from __future__ import annotations

import asyncio
import importlib
import tempfile
from typing import Any, Final
from uuid import UUID

import numpy as np
import structlog

from tenderline.voice import codec
from tenderline.voice.packet import PCMU
from tenderline.voice.speech import Frames, Heard, OnHeard, SpeechUnavailableError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

INSTALL: Final = (
    "distress.listen is pocketsphinx, which is not installed: install it (pip install 'tenderline[local-speech]'), or "
    "choose websocket or off."
)
WORDS: Final = ("fraud", "scam", "forced", "suicide")
THRESHOLD: Final = "1e-20"
CALLS_MAX: Final = 8
"""At once: each takes 3 % of a core, beside the media of every call."""
CHUNK_FRAMES: Final = 5
"""100 ms: 3 ms of work at a time."""


class LocalKeywords:
    """English only. Raises `SpeechUnavailableError` where pocketsphinx is not installed."""

    is_hint = True

    def __init__(self) -> None:
        try:
            self._sphinx: Any = importlib.import_module("pocketsphinx")
        except ImportError:
            raise SpeechUnavailableError(INSTALL) from None
        self._calls = 0

    async def close(self) -> None:
        """Nothing is open."""

    async def listen(self, conversation_id: UUID, language: str, frames: Frames, on_heard: OnHeard) -> None:
        """A tenth of a second at a time, on a thread."""
        if not language.startswith("en"):
            return
        if self._calls >= CALLS_MAX:
            log.warning("nobody_listens", conversation=str(conversation_id), why=f"{CALLS_MAX} calls are listened to")
            return
        self._calls += 1
        try:
            decoder = await asyncio.to_thread(self._decoder)
            waiting: list[bytes] = []
            async for frame in frames:
                waiting.append(frame)
                if len(waiting) < CHUNK_FRAMES:
                    continue
                word = await asyncio.to_thread(self._spot, decoder, b"".join(waiting))
                waiting.clear()
                if word is not None:
                    await on_heard(Heard(word, True))
        finally:
            self._calls -= 1

    def _decoder(self) -> Any:
        decoder = self._sphinx.Decoder(lm=None, logfn="/dev/null")
        with tempfile.NamedTemporaryFile("w", suffix=".kws") as words:
            words.writelines(f"{word} /{THRESHOLD}/\n" for word in WORDS)
            words.flush()
            decoder.add_kws("distress", words.name)
        decoder.activate_search("distress")
        decoder.start_utt()
        return decoder

    @staticmethod
    def _spot(decoder: Any, ulaw: bytes) -> str | None:
        samples = codec.to_samples(ulaw, PCMU)
        places = np.arange(len(samples) * 2) / 2  # its model wants 16 kHz
        wide = np.interp(places, np.arange(len(samples)), samples).astype(np.int16)
        decoder.process_raw(wide.tobytes(), False, False)
        found = decoder.hyp()
        if found is None:
            return None
        decoder.end_utt()
        decoder.start_utt()
        return str(found.hypstr).strip()
