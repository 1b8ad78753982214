"""Speech by espeak-ng, for texts that nobody recorded: a program beside us, asked by pipe, its answers kept by text."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import secrets
import shutil
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenderline.core.errors import TenderlineError
from tenderline.voice import codec
from tenderline.voice.packet import CLOCK_HZ, PCMU

PROGRAM = "espeak-ng"
VOICES = {"en": "en-us", "es": "es-419"}
WORDS_A_MINUTE = 155
TIMEOUT_S = 15.0
AT_ONCE_MAX = 2
SPEECH_BYTES_MAX = 20 << 20
VERSION = "1"
"""Raised when anything here changes the sound: what was kept before is not used any more."""

Wave = NDArray[np.float64]

_NOT_SAID = re.compile(r"[\x00-\x1f\x7f<>\[\]|]")


class NoVoiceError(TenderlineError):
    """There is nobody to say this: install espeak-ng, or record the clip yourself."""

    code = "no_voice"
    status = 503


class Synthesis:
    """Keeps what it said below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._gate = asyncio.Semaphore(AT_ONCE_MAX)

    async def say(self, text: str, language: str) -> bytes:
        """8 kHz mu-law; raises `NoVoiceError`."""
        path = self._path(text, language)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError:
            pass
        async with self._gate:
            sound = await asyncio.to_thread(from_wav, await speak(text, language))
        await asyncio.to_thread(_keep, path, sound)
        return sound

    def _path(self, text: str, language: str) -> Path:
        voice = VOICES.get(language.split("-")[0], language)
        name = hashlib.sha256(f"{VERSION}\0{voice}\0{WORDS_A_MINUTE}\0{text}".encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.ulaw"


async def speak(text: str, language: str) -> bytes:
    """A WAV file of a text. The text goes in by the pipe: it can be neither an option nor a command."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise NoVoiceError()
    voice = VOICES.get(language.split("-")[0], language)
    if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]+)*", voice):
        raise NoVoiceError(f"There is no voice for {language!r}.")
    process = await asyncio.create_subprocess_exec(
        program,
        *("-v", voice, "-s", str(WORDS_A_MINUTE), "--stdin", "--stdout"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            spoken, _ = await process.communicate(_NOT_SAID.sub(" ", text).encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NoVoiceError("The voice did not answer in time.") from None
    if process.returncode != 0 or len(spoken) < 44 or len(spoken) > SPEECH_BYTES_MAX:
        raise NoVoiceError(f"The voice failed to say a text in {language!r}.")
    return spoken


def _keep(path: Path, sound: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")  # others may say the same at this moment
    fresh.write_bytes(sound)
    fresh.replace(path)


def from_wav(data: bytes) -> bytes:
    """8 kHz mu-law of a 16-bit WAV file of any rate, mono or stereo: filtered, trimmed, at an even level.

    Raises `ValueError` for anything else.
    """
    if data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") > len(data):
        # espeak-ng does not know the length when it begins to write to a pipe.
        data = (
            data[:4]
            + (len(data) - 8).to_bytes(4, "little")
            + data[8:40]
            + (len(data) - 44).to_bytes(4, "little")
            + data[44:]
        )
    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getsampwidth() != 2 or file.getnchannels() not in (1, 2):
                raise ValueError("a WAV file of 16 bits, mono or stereo, is needed")
            rate, channels = file.getframerate(), file.getnchannels()
            raw = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64)
    except (wave.Error, EOFError) as error:
        raise ValueError(f"no WAV file of 16 bits: {error}") from None
    samples = raw.reshape(-1, channels).mean(1)
    return codec.from_samples(_even(_trim(_to_8k(samples, rate))), PCMU)


def _to_8k(samples: Wave, rate: int) -> Wave:
    if rate == CLOCK_HZ or not samples.size:
        return samples
    if not CLOCK_HZ <= rate <= 192_000:
        raise ValueError(f"a rate of {rate} Hz cannot be used; 8,000 to 192,000 can")
    # A windowed sinc that ends at 3.4 kHz, where a telephone's band does.
    taps = 2 * (rate // 400) + 1
    at = np.arange(taps) - taps // 2
    cut = 2 * 3_400 / rate
    kernel = np.sinc(cut * at) * cut * np.hamming(taps)
    smooth = np.convolve(samples, kernel / kernel.sum(), mode="same")
    wanted = np.arange(0, samples.size, rate / CLOCK_HZ)
    resampled: Wave = np.interp(wanted, np.arange(samples.size), smooth)
    return resampled


def _trim(samples: Wave) -> Wave:
    loud = np.flatnonzero(np.abs(samples) > 200)
    if not loud.size:
        return samples
    edge = CLOCK_HZ // 50
    return samples[max(0, loud[0] - edge) : loud[-1] + edge]


def _even(samples: Wave) -> codec.Samples:
    """At 20 dB below full scale, as telephones are set for speech; never clipped."""
    level = float(np.sqrt(np.mean(samples**2))) if samples.size else 0.0
    if level < 1:
        return samples.astype(np.int16)
    gain = min(3_277 / level, 30_000 / float(np.abs(samples).max()))
    return (samples * gain).astype(np.int16)
