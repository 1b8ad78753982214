"""Keywords spotted on this machine, with the recogniser itself: a hint, found often enough to be one."""

from __future__ import annotations

import asyncio

import pytest

from support.spoken import said
from tenderline.core.ids import uuid7
from tenderline.voice.local_speech import CALLS_MAX, WORDS, LocalKeywords
from tenderline.voice.packet import FRAME_SAMPLES, PCMU
from tenderline.voice.speech import Frames

VOICES = ("en-us", "en-gb", "en-us+f3", "en+m3")
SPOKEN = ("this is a fraud", "it is a scam", "I am forced to pay", "I think about suicide")
HARMLESS = (
    "I would like to give fifty dollars to the water fund",
    "my name is Anna and I live in Boston",
    "can you send me a receipt by mail please",
    "how much did I give last year",
)


async def heard(source, sound, language="en"):
    found, frames = [], Frames(len(sound))

    async def on_heard(one):
        assert one.is_final
        found.append(one.text)

    for at in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        frames.hear(sound[at : at + FRAME_SAMPLES], PCMU)
    frames.end()
    await source.listen(uuid7(), language, frames, on_heard)
    return found


async def test_of_what_callers_say_keywords_are_found_more_often_than_they_are_imagined():
    source = LocalKeywords()
    found, imagined = 0, 0
    for voice in VOICES:
        for text in SPOKEN + HARMLESS:
            words = await heard(source, said(text, voice))
            assert set(words) <= set(WORDS)
            found += any(word in text.split() for word in words)
            imagined += any(word not in text.split() for word in words)
    assert found >= len(VOICES) * len(SPOKEN) // 4
    assert imagined * 2 <= found
    await source.close()


@pytest.mark.parametrize("language", ["es", "fr"])
async def test_nothing_is_heard_in_a_language_that_the_model_does_not_know(language):
    assert await heard(LocalKeywords(), said("this is a fraud") * 2, language) == []


async def test_no_more_calls_are_listened_to_than_a_machine_with_media_on_it_can_stand():
    source, frames = LocalKeywords(), [Frames() for _ in range(CALLS_MAX + 1)]

    async def on_heard(_):
        pass

    listening = [asyncio.ensure_future(source.listen(uuid7(), "en", one, on_heard)) for one in frames]
    async with asyncio.timeout(60):
        await listening[CALLS_MAX]
    assert not any(one.done() for one in listening[:CALLS_MAX])
    for one in frames:
        one.end()
    await asyncio.gather(*listening)
    assert [word for text in SPOKEN for word in await heard(source, said(text))], "their places are free again"
