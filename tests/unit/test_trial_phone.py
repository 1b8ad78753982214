"""What a trial telephone takes for a prompt: most of its loudest part, on a line that loses frames."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenderline.voice.packet import FRAME_SAMPLES
from tenderline.voice.trial_phone import SAMPLE_FRAMES, SAMPLE_SHARE_MIN, CallFailedError, Sample

QUIET = b"\xff" * FRAME_SAMPLES
LOST_MAX = int(SAMPLE_FRAMES * (1 - SAMPLE_SHARE_MIN))


def spoken(frames: int) -> list[bytes]:
    return [os.urandom(FRAME_SAMPLES) for _ in range(frames)]


def is_known(prompt: list[bytes], line: list[bytes]) -> bool:
    sample = Sample(prompt)
    return any([sample.hear(frame) for frame in line])


@given(st.sets(st.integers(0, SAMPLE_FRAMES - 1)), st.integers(0, 30), st.integers(0, 30))
def test_a_prompt_is_known_as_long_as_no_more_of_it_is_lost_than_a_line_may_lose(lost, before, after):
    words = spoken(SAMPLE_FRAMES)
    line = [QUIET if at in lost else frame for at, frame in enumerate(words)]
    prompt = [QUIET] * before + words + [QUIET] * after
    assert is_known(prompt, [*spoken(10), *line, *spoken(10)]) == (len(lost) <= LOST_MAX)


@given(st.integers(1, 40))
def test_another_prompt_is_not_taken_for_it(frames):
    assert not is_known(spoken(frames), spoken(60) + [QUIET] * 60)


@given(st.integers(1, SAMPLE_FRAMES))
def test_how_much_of_its_loudest_part_is_still_to_come_is_told(frames):
    words = spoken(frames)
    sample = Sample(words)
    known_at = [sample.hear(frame) for frame in words[: frames - int(frames * (1 - SAMPLE_SHARE_MIN))]].index(True)
    assert known_at + 1 + sample.left == frames


def test_silence_cannot_be_listened_for():
    with pytest.raises(CallFailedError):
        Sample([QUIET] * 20)
