"""Whatever calls say is said in a third of its time: the same sounds, every third sample of them, and then a moment in
which a telephone hears what is still under way when the call ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tenderline.voice.prompts.pack import Prompts

QUIET = b"\xff" * 1_600
"""200 ms of mu-law."""


@contextmanager
def quick_voice() -> Iterator[None]:
    """For as long as the block lasts."""
    with pytest.MonkeyPatch.context() as patch:
        clip = Prompts.clip

        async def quickly(self: Prompts, text: str, language: str) -> bytes:
            return (await clip(self, text, language))[::3] + QUIET

        patch.setattr(Prompts, "clip", quickly)
        yield
