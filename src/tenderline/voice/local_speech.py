"""Spotting keywords on this machine, for trying things out. It only ever gives a hint.

Measured with pocketsphinx 5.1.1 over 112 made clips in the telephone band: 7 to 32 of 48 keywords were found, with 2 to
115 false alarms; no setting was usable. So it turns nothing off by itself: a supervisor is asked to look.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, Final
from uuid import UUID

import numpy as np

from tenderline.voice import codec
from tenderline.voice.packet import PCMU
from tenderline.voice.speech import Frames, Heard, OnHeard, SpeechUnavailableError

INSTALL: Final = (
    "distress.listen is pocketsphinx, which is not installed: install it (pip install 'pocketsphinx>=5.1', BSD "
    "licence, with an English model in it) beside Tenderline, or choose websocket or off."
)
WORDS: Final = ("fraud", "scam", "forced", "error", "suicide")
THRESHOLD_SHARE: Final = 1e-20
_CHUNK_FRAMES: Final = 25


class LocalKeywords:
    """English only. Raises `SpeechUnavailableError` where pocketsphinx is not installed."""

    is_hint = True

    def __init__(self) -> None:
        try:
            self._sphinx: Any = importlib.import_module("pocketsphinx")
        except ImportError:
            raise SpeechUnavailableError(INSTALL) from None

    async def close(self) -> None:
        """Nothing is open."""

    async def listen(self, conversation_id: UUID, language: str, frames: Frames, on_heard: OnHeard) -> None:
        """Half a second at a time, on a thread."""
        del conversation_id
        if not language.startswith("en"):
            return
        decoder = await asyncio.to_thread(self._decoder)
        waiting: list[bytes] = []
        async for frame in frames:
            waiting.append(frame)
            if len(waiting) < _CHUNK_FRAMES:
                continue
            word = await asyncio.to_thread(self._spot, decoder, b"".join(waiting))
            waiting.clear()
            if word is not None:
                await on_heard(Heard(word, True))

    def _decoder(self) -> Any:
        decoder = self._sphinx.Decoder(lm=None, logfn="/dev/null")
        decoder.add_kws_list("distress", [(word, THRESHOLD_SHARE) for word in WORDS])
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
        return str(found.hypstr)
