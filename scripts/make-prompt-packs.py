"""Makes the packs of clips with espeak-ng: one file of sound and one list of its clips for each language."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tenderline.voice.prompts import synthesis, wording_en, wording_es

PACKS = Path(__file__).parents[1] / "src/tenderline/voice/prompts/packs"


async def make(language: str, texts: list[str]) -> None:
    """Says every text of a language, one after the other."""
    sound, lines = bytearray(), []
    for text in texts:
        clip = synthesis.from_wav(await synthesis.speak(text, language))
        lines.append(f"{len(sound)}\t{len(clip)}\t{text}")
        sound += clip
    PACKS.mkdir(exist_ok=True)
    (PACKS / f"{language}.ulaw").write_bytes(sound)
    (PACKS / f"{language}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{language}: {len(texts)} clips, {len(sound)} bytes")


if __name__ == "__main__":
    asyncio.run(make("en", wording_en.clips()))
    asyncio.run(make("es", wording_es.clips()))
