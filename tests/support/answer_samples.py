"""Made answers to calls: people and machines by a speech synthesiser on made lines, the same at every run.

They are no recordings of telephone calls; docs/reference/machine-detection.md says what that means for figures. One
half of the voices, with every other wording, is there to choose settings with; the other half is reported.
"""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from support.answer_texts import PERSON_KINDS, TEXTS
from tenderline.voice import codec
from tenderline.voice.packet import CLOCK_HZ, FRAME_SAMPLES, PCMA, PCMU
from tenderline.voice.prompts import synthesis

Half = Literal["tune", "report"]
Truth = Literal["person", "machine", "silence"]
Wave = NDArray[np.float64]

VARIANTS: dict[Half, tuple[str, ...]] = {"tune": ("", "+f2", "+m4"), "report": ("+f3", "+m3", "+f4")}
LANGUAGES = ("en-us", "en-gb", "es", "es-419", "fr")
SPEEDS_WORDS_A_MINUTE = (135, 160, 185)
PITCHES = (35, 50, 65)
NOISES_DBOV = (-75.0, -62.0, -52.0, -45.0)
HUMS_DBOV = (None, None, -45.0, -35.0)
GAINS_DB = (-12.0, -6.0, 0.0, 5.0)
LEADS_S = (0.0, 0.3, 0.7, 1.2, 2.5)
TAIL_S = 12.0
LINES = 3


@dataclass(frozen=True)
class Sample:
    """One answered call. `greeting_end_s`: when whoever answered has said the last word (or the beep is over)."""

    name: str
    kind: str
    truth: Truth
    frames: list[bytes]
    payload_type: int
    first_word_s: float
    greeting_end_s: float


@dataclass(frozen=True)
class _Plan:
    kind: str
    voice: str
    text: str
    line: int

    @property
    def chance(self) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.kind}|{self.voice}|{self.text}|{self.line}".encode()))


def available() -> bool:
    """Whether the synthesiser is there."""
    return shutil.which(synthesis.PROGRAM) is not None


def plans(half: Half) -> list[_Plan]:
    """All samples of one half, before they are made: every text by every voice on several lines."""
    return [plan for line in range(LINES) for plan in _plans_on(half, line)]


def _plans_on(half: Half, line: int) -> list[_Plan]:
    made: list[_Plan] = []
    for language in LANGUAGES:
        for kind, by_language in TEXTS.items():
            texts = by_language[language[:2]][0 if half == "tune" else 1 :: 2]
            made += [_Plan(kind, language + variant, text, line) for variant in VARIANTS[half] for text in texts]
    for kind in ("nobody", "fax"):
        made += [_Plan(kind, half, str(number), line) for number in range(12)]
    return made


def samples(half: Half, *, every: int = 1) -> Iterator[Sample]:
    """Made one after the other (two at a time), each `every`th of them."""
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(_make, plans(half)[::every])


def _make(plan: _Plan) -> Sample:
    chance = plan.chance
    gain = 10 ** (float(chance.choice(GAINS_DB)) / 20)
    said = _said(plan, chance) * gain
    lead_s = float(chance.choice(LEADS_S))
    whole = np.concatenate([np.zeros(round(lead_s * CLOCK_HZ)), said, np.zeros(round(TAIL_S * CLOCK_HZ))])
    line = whole + _line(whole.size, chance)
    law = int(chance.choice((PCMU, PCMU, PCMU, PCMA)))
    coded = codec.from_samples(np.clip(line, -32_768, 32_767).astype(np.int16), law)
    frames = [coded[at : at + FRAME_SAMPLES] for at in range(0, len(coded) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]
    truth: Truth = "silence" if plan.kind == "nobody" else "person" if plan.kind in PERSON_KINDS else "machine"
    end_s = lead_s + said.size / CLOCK_HZ
    return Sample(f"{plan.voice}: {plan.text}", plan.kind, truth, frames, law, lead_s, end_s)


def _line(size: int, chance: np.random.Generator) -> Wave:
    """Hiss, hum with its harmonics, and now and then a click as the line is put through."""
    line = chance.normal(0, 32_768 * 10 ** (float(chance.choice(NOISES_DBOV)) / 20), size)
    hum_dbov = HUMS_DBOV[int(chance.integers(len(HUMS_DBOV)))]
    if hum_dbov is not None:
        mains_hz = float(chance.choice((50, 60)))
        at = np.arange(size) / CLOCK_HZ
        for harmonic, share in ((1, 1.0), (2, 0.5), (3, 0.3), (5, 0.1)):
            amplitude = 32_768 * 10 ** (hum_dbov / 20) * share
            line += amplitude * np.sin(2 * np.pi * mains_hz * harmonic * at + float(chance.uniform(0, 6)))
    if chance.random() < 0.5:
        begin = int(chance.integers(0, CLOCK_HZ // 8))
        click = chance.normal(0, 6_000, 100) * np.exp(-np.arange(100) / 25)
        line[begin : begin + click.size] += click[: max(0, size - begin)]
    return line


def _said(plan: _Plan, chance: np.random.Generator) -> Wave:
    if plan.kind == "nobody":
        return np.zeros(0)
    if plan.kind == "fax":
        if int(plan.text) % 2:
            return np.concatenate([_tone(2_100, 3.0, 3_000), np.zeros(CLOCK_HZ)])  # ITU-T T.30: it answers
        return np.concatenate([_tone(1_100, 0.5, 3_000), np.zeros(3 * CLOCK_HZ), _tone(1_100, 0.5, 3_000)])
    speed, pitch = int(chance.choice(SPEEDS_WORDS_A_MINUTE)), int(chance.choice(PITCHES))
    parts: list[Wave] = []
    for piece in plan.text.split("|"):
        if piece == "beep":
            parts.append(_beep(chance))
        elif piece.startswith("pause "):
            parts.append(np.zeros(round(float(piece.removeprefix("pause ")) * CLOCK_HZ)))
        else:
            parts.append(_speech(piece, plan.voice, speed, pitch))
    return np.concatenate(parts)


def _beep(chance: np.random.Generator) -> Wave:
    hz, length_s = float(chance.choice((440, 620, 850, 1_000, 1_400, 1_850))), float(chance.choice((0.15, 0.3, 0.6)))
    return np.concatenate([np.zeros(int(chance.uniform(0.3, 1.2) * CLOCK_HZ)), _tone(hz, length_s, 4_000)])


def _tone(hz: float, length_s: float, amplitude: float) -> Wave:
    wave_: Wave = amplitude * np.sin(2 * np.pi * hz * np.arange(round(length_s * CLOCK_HZ)) / CLOCK_HZ)
    return wave_


@cache
def _speech(text: str, voice: str, speed: int, pitch: int) -> Wave:
    """Speech at 20 dB below full scale, trimmed, at 8 kHz in the band of a telephone."""
    spoken = subprocess.run(
        [synthesis.PROGRAM, "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdin", "--stdout"],
        input=text.encode(),
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    made: Wave = codec.to_samples(synthesis.from_wav(spoken), PCMU).astype(np.float64)
    return made
