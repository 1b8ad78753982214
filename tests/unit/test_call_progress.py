"""Tones of the network, made by their standards: each is found, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenderline.voice import codec
from tenderline.voice.call_progress import CallProgress, Progress
from tenderline.voice.packet import CLOCK_HZ, FRAME_SAMPLES, PCMA, PCMU

LAWS = [PCMU, PCMA]
SHORT_S, LONG_S = 0.274, 0.380
# Bellcore SR-2275: frequency and length of the first and of the second tone.
SIT = [
    ("nc one", 985.2, LONG_S, 1428.5, LONG_S, Progress.SIT_NO_CIRCUIT),
    ("nc two", 913.8, LONG_S, 1370.6, LONG_S, Progress.SIT_NO_CIRCUIT),
    ("ic", 913.8, SHORT_S, 1370.6, SHORT_S, Progress.SIT_INTERCEPT),
    ("vc", 985.2, LONG_S, 1370.6, SHORT_S, Progress.SIT_VACANT),
    ("ro one", 913.8, SHORT_S, 1428.5, LONG_S, Progress.SIT_REORDER),
    ("ro two", 985.2, SHORT_S, 1370.6, LONG_S, Progress.SIT_REORDER),
    ("reserved one", 913.8, LONG_S, 1428.5, SHORT_S, Progress.SIT_UNKNOWN),
    ("reserved two", 985.2, SHORT_S, 1428.5, SHORT_S, Progress.SIT_UNKNOWN),
    ("plain", 950.0, 0.330, 1400.0, 0.330, Progress.SIT_UNKNOWN),
]


def tone(duration_s, *frequencies_hz, level_dbov=-24.0, phase=0.3):
    """Tones at once, each at this level (dB below full scale)."""
    at = np.arange(round(duration_s * CLOCK_HZ)) / CLOCK_HZ
    amplitude = 32_768 * 10 ** (level_dbov / 20) * 2**0.5
    return sum(amplitude * np.sin(2 * np.pi * one * at + phase) for one in frequencies_hz)


def quiet(duration_s):
    return np.zeros(round(duration_s * CLOCK_HZ))


def noisy(sound, level_dbov, seed=1):
    return sound + np.random.default_rng(seed).normal(0, 32_768 * 10 ** (level_dbov / 20), sound.size)


def frames_of(sound, law):
    samples = np.clip(sound, -32_768, 32_767).astype(np.int16)
    coded = codec.from_samples(samples[: samples.size // FRAME_SAMPLES * FRAME_SAMPLES], law)
    return [coded[at : at + FRAME_SAMPLES] for at in range(0, len(coded), FRAME_SAMPLES)]


def listen(sound, law=PCMU):
    """Everything that was heard, in order, each once."""
    ear, said = CallProgress(), []
    for frame in frames_of(sound, law):
        found = ear.feed(frame, law)
        if found is not None and (not said or said[-1] is not found):
            said.append(found)
    return said


def sit(first_hz, first_s, second_hz, second_s, *, speed=1.0, gap_s=0.0, level_dbov=-24.0, third=(1776.7, LONG_S)):
    parts = [(first_hz, first_s), (second_hz, second_s), third]
    return np.concatenate([np.append(tone(s, hz * speed, level_dbov=level_dbov), quiet(gap_s)) for hz, s in parts])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("speed", [0.98, 0.993, 1.0, 1.007, 1.02])
@pytest.mark.parametrize(("first_hz", "first_s", "second_hz", "second_s", "kind"), [row[1:] for row in SIT])
def test_every_special_information_tone_is_found_and_named(first_hz, first_s, second_hz, second_s, kind, speed, law):
    third = (1800.0, 0.330) if first_hz == 950.0 else (1776.7, LONG_S)
    for number, lead_s in enumerate(np.arange(0.3, 0.32, 0.0027)):
        for gap_s in (0.0, 0.004, 0.030):
            for level_dbov, noise_dbov in ((-24, -70), (-24, -40), (-38, -58)):
                tones = sit(first_hz, first_s, second_hz, second_s, speed=speed, gap_s=gap_s, level_dbov=level_dbov,
                            third=third)  # fmt: skip
                sound = noisy(np.concatenate([quiet(lead_s), tones, quiet(0.5)]), noise_dbov, number)
                assert listen(sound, law) == [kind], (lead_s, gap_s, level_dbov)


def cadence(on_s, off_s, *frequencies_hz, times=3, level_dbov=-24.0):
    one = np.concatenate([tone(on_s, *frequencies_hz, level_dbov=level_dbov), quiet(off_s)])
    return np.concatenate([quiet(0.11), *[one] * times])


PROGRESS = [
    (cadence(2, 4, 440, 480), Progress.RINGBACK),
    (cadence(1, 4, 425), Progress.RINGBACK),
    (cadence(1.5, 3.5, 440), Progress.RINGBACK),
    (cadence(0.5, 0.5, 480, 620, times=4), Progress.BUSY),
    (cadence(0.5, 0.5, 425, times=4), Progress.BUSY),
    (cadence(0.375, 0.375, 400, times=4), Progress.BUSY),
    (cadence(0.25, 0.25, 480, 620, times=8), Progress.CONGESTION),
    (cadence(0.25, 0.25, 425, times=8), Progress.CONGESTION),
    (cadence(0.2, 0.2, 425, times=8), Progress.CONGESTION),
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("noise_dbov", [-75, -60, -42])
@pytest.mark.parametrize(("sound", "kind"), PROGRESS)
def test_ringback_busy_and_congestion_are_told_by_tone_and_cadence(sound, kind, noise_dbov, law):
    assert listen(noisy(sound, noise_dbov), law) == [kind]


def test_a_line_that_rang_may_turn_busy_but_a_busy_one_does_not_ring():
    ringing, busy = cadence(2, 4, 440, 480, times=1), cadence(0.5, 0.5, 480, 620, times=4)
    assert listen(np.concatenate([ringing, busy, ringing])) == [Progress.RINGBACK, Progress.BUSY]


def test_special_information_tones_after_ringing_are_found_and_are_final():
    tones = sit(985.2, LONG_S, 1370.6, SHORT_S)
    sound = np.concatenate([cadence(2, 4, 440, 480, times=1), tones, cadence(0.5, 0.5, 425)])
    assert listen(sound) == [Progress.RINGBACK, Progress.SIT_VACANT]


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0), (0, 0, 2), (1, 2, 2)])
def test_the_same_tones_in_another_order_are_none(order):
    parts = [tone(LONG_S, hz) for hz in (950, 1400, 1800)]
    assert listen(np.concatenate([parts[one] for one in order] + [quiet(0.5)])) == []


@pytest.mark.parametrize("length_s", [0.1, 0.6])
def test_tones_that_are_too_short_or_too_long_are_none(length_s):
    assert listen(np.concatenate([*(tone(length_s, hz) for hz in (950, 1400, 1800)), quiet(0.5)])) == []


def test_keys_are_never_taken_for_anything():
    low_hz, high_hz = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
    for on_s in (0.1, 0.3, 0.38):
        presses = [np.append(tone(on_s, low, high), quiet(0.02)) for low in low_hz for high in high_hz]
        assert listen(np.concatenate(presses)) == []


def music(seed, voices):
    """Notes with overtones, several at once, of any length: what is played to callers who wait."""
    chance = np.random.default_rng(seed)
    whole = np.zeros(20 * CLOCK_HZ)
    for _ in range(voices):
        at = 0
        while at < whole.size - 2 * CLOCK_HZ:
            length = int(chance.choice([0.15, 0.274, 0.33, 0.38, 0.5]) * CLOCK_HZ)
            hz = 110 * 2 ** (chance.integers(0, 48) / 12)
            note = sum(tone(length / CLOCK_HZ, k * hz, level_dbov=-26 - 5 * k) for k in range(1, 5) if k * hz < 3_800)
            whole[at : at + length] += note[:length]
            at += length
    return whole


@pytest.mark.parametrize("voices", [1, 2, 4])
@pytest.mark.parametrize("seed", range(8))
def test_music_is_never_taken_for_a_special_information_tone(seed, voices):
    assert not [one for one in listen(music(seed, voices)) if one.is_sit]


@given(st.lists(st.tuples(st.binary(max_size=400), st.sampled_from([0, 8, 13])), max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_bytes_raise_and_the_same_bytes_are_heard_the_same(frames):
    one, other = CallProgress(), CallProgress()
    for frame, law in frames:
        assert one.feed(frame, law) == other.feed(frame, law)


def test_memory_stays_bounded_however_long_a_tone_lasts():
    ear = CallProgress()
    for frame in frames_of(np.concatenate([tone(30, 425), cadence(0.1, 0.1, 425, times=200)]), PCMU):
        ear.feed(frame, PCMU)
        assert len(ear._cadence._samples) <= 10
        assert len(ear._cadence._bursts) <= 3
        assert len(ear._sit._ended) <= 2
