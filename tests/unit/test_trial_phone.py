"""What a trial telephone takes for a prompt: most of its loudest part, on a line that loses frames."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.voice.packet import FRAME_SAMPLES
from tenderline.voice.trial_phone import PIECE_SAMPLES, SAMPLE_FRAMES, SAMPLE_SHARE_MIN, CallFailedError, Sample

QUIET = b"\xff" * FRAME_SAMPLES
LOST_MAX = int(SAMPLE_FRAMES * (1 - SAMPLE_SHARE_MIN))


def spoken(frames: int) -> list[bytes]:
    return [os.urandom(FRAME_SAMPLES) for _ in range(frames)]


def is_known(prompt: list[bytes], line: list[bytes]) -> bool:
    return Sample(prompt).find(b"".join(line), 0) is not None


@given(st.sets(st.integers(0, SAMPLE_FRAMES - 1)), st.integers(0, 30), st.integers(0, FRAME_SAMPLES))
def test_a_prompt_is_known_as_long_as_no_more_of_it_is_lost_than_a_line_may_lose(lost, around, shift):
    words = spoken(SAMPLE_FRAMES)
    line = [QUIET if at in lost else frame for at, frame in enumerate(words)]
    prompt = [QUIET] * around + words + [QUIET] * around
    assert is_known(prompt, [*spoken(10), QUIET[:shift], *line, *spoken(10)]) == (len(lost) <= LOST_MAX)


@given(st.integers(1, 40))
def test_another_prompt_is_not_taken_for_it(frames):
    assert not is_known(spoken(frames), spoken(60) + [QUIET] * 60)


@given(st.integers(1, SAMPLE_FRAMES), st.integers(0, 2_000), st.lists(st.integers(1, 900), max_size=40))
def test_it_is_known_in_however_many_pieces_it_comes_and_where_it_ends_is_told(frames, before, sizes):
    words = b"".join(spoken(frames))
    sample, line = (
        Sample([words[at : at + FRAME_SAMPLES] for at in range(0, len(words), FRAME_SAMPLES)]),
        os.urandom(before),
    )
    heard, begin, found = bytearray(), 0, None
    rest = line + words
    for size in [*sizes, len(rest)]:
        heard, rest = heard + rest[:size], rest[size:]
        if (found := sample.find(heard, begin)) is not None:
            break
        begin = max(begin, len(heard) - PIECE_SAMPLES + 1)
    assert found == before + len(words)


def test_silence_cannot_be_listened_for():
    with pytest.raises(CallFailedError):
        Sample([QUIET] * 20)
