"""Clips by language and text: an operator's own recording, then the shipped pack, then what was synthesised."""

from __future__ import annotations

import asyncio
import hashlib
import re
import unicodedata
from collections import OrderedDict
from datetime import date, time
from functools import cache
from importlib import resources
from pathlib import Path
from types import ModuleType

import structlog

from tenderline.core.money import Money
from tenderline.flows import check
from tenderline.flows.graph import Flow
from tenderline.flows.spoken import Digits, Number, Part, Pause, Sound, Spoken, Words, said
from tenderline.voice.packet import CLOCK_HZ, FRAME_SAMPLES
from tenderline.voice.prompts import sounds, synthesis, wording_en, wording_es
from tenderline.voice.prompts.synthesis import NoVoiceError, Synthesis

log: structlog.stdlib.BoundLogger = structlog.get_logger()

OWN_FOLDER = "prompts"
MADE_FOLDER = "prompts-made"
MEMORY_BYTES_MAX = 64 << 20
GAP_MS = 40
PAUSE_MS_MAX = 10_000
_SILENCE = b"\xff"
_WORDINGS: dict[str, ModuleType] = {"en": wording_en, "es": wording_es}


def clip_name(text: str) -> str:
    """The name under which an operator's recording of a text is found: its words, and four letters of its hash."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].rstrip("-")
    return f"{slug}-{hashlib.sha256(text.encode()).hexdigest()[:4]}"


@cache
def shipped(language: str) -> dict[str, bytes]:
    """The clips that come with Tenderline, by text; none for other languages."""
    folder = resources.files("tenderline.voice.prompts").joinpath("packs")
    manifest = folder.joinpath(f"{language}.tsv")
    if not manifest.is_file():
        return {}
    data = folder.joinpath(f"{language}.ulaw").read_bytes()
    found = {}
    for line in manifest.read_text("utf-8").splitlines():
        start, length, text = line.split("\t")
        found[text] = data[int(start) : int(start) + int(length)]
    return found


class Prompts:
    """Sound for what is said. `own` recordings lie in data_dir/prompts/LANGUAGE/NAME.wav."""

    def __init__(self, data_dir: Path) -> None:
        self._own = data_dir / OWN_FOLDER
        self._synthesis = Synthesis(data_dir / MADE_FOLDER)
        self._memory: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._memory_bytes = 0

    async def prepare(self, spoken: Spoken) -> list[bytes]:
        """Frames of 160 bytes in mu-law. What nobody can say is left out, and logged: a call is not lost for a word."""
        sound = bytearray()
        for part in spoken.parts:
            for text in _texts(part, spoken.language):
                try:
                    sound += await self.clip(text, spoken.language)
                except NoVoiceError as error:
                    log.error("nothing_said", why=error.detail, language=spoken.language)
                sound += _SILENCE * (CLOCK_HZ * GAP_MS // 1_000)
            if isinstance(part, Pause):
                sound += _SILENCE * (CLOCK_HZ * min(part.duration_ms, PAUSE_MS_MAX) // 1_000)
            elif isinstance(part, Sound):
                sound += await self._sound(part.name, spoken.language)
        sound += _SILENCE * (-len(sound) % FRAME_SAMPLES)
        return [bytes(sound[at : at + FRAME_SAMPLES]) for at in range(0, len(sound), FRAME_SAMPLES)]

    async def make_ready(self, flow: Flow) -> None:
        """Says every fixed text of a flow once, so that no caller waits for a voice."""
        for language, texts in check.words_of(flow).items():
            for text in texts:
                await self.prepare(said(language, [text]))

    async def clip(self, text: str, language: str) -> bytes:
        """One clip; raises `NoVoiceError`."""
        key = (language, text)
        found = self._memory.get(key)
        if found is not None:
            self._memory.move_to_end(key)
            return found
        found = await self._recorded(clip_name(text), language)
        if found is None:
            found = shipped(_base(language)).get(text)
        if found is None:
            found = await self._synthesis.say(text, language)
        self._memory[key] = found
        self._memory_bytes += len(found)
        while self._memory_bytes > MEMORY_BYTES_MAX:
            self._memory_bytes -= len(self._memory.popitem(last=False)[1])
        return found

    async def _sound(self, name: str, language: str) -> bytes:
        found = await self._recorded(name, language)
        if found is None and name in sounds.NAMES:
            found = await asyncio.to_thread(sounds.ulaw, name)
        return found or b""

    async def _recorded(self, name: str, language: str) -> bytes | None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            return None
        for one in dict.fromkeys((language, _base(language))):
            path = self._own / one / f"{name}.wav"
            try:
                return await asyncio.to_thread(lambda path=path: synthesis.from_wav(path.read_bytes()))  # type: ignore[misc]
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                log.error("recording_not_usable", file=str(path), why=str(error))
        return None

    def missing(self, spoken: Spoken) -> list[str]:
        """Texts that are in no pack and were not recorded: they are synthesised."""
        pack = shipped(_base(spoken.language))
        return [
            text
            for part in spoken.parts
            for text in _texts(part, spoken.language)
            if text not in pack and not (self._own / spoken.language / f"{clip_name(text)}.wav").exists()
        ]


def _base(language: str) -> str:
    return language.split("-")[0]


def _texts(part: Part, language: str) -> list[str]:
    """A part as the texts of clips; in a language without a wording values are said as they are written."""
    wording = _WORDINGS.get(_base(language))
    match part:
        case Words(text):
            return [text]
        case Pause() | Sound():
            return []
    if wording is None:
        return [_written(part)]
    match part:
        case Digits(characters):
            found = wording.digits(characters)
        case Number(value):
            found = wording.number(min(max(value, 0), wording.VALUE_MAX))
        case Money():
            found = wording.money(part)
        case date():
            found = wording.day(part)
        case time():
            found = wording.clock(part)
    return list(found)


def _written(part: Digits | Number | Money | date | time) -> str:
    match part:
        case Digits(characters):
            return " ".join(characters)
        case Number(value):
            return str(value)
        case Money():
            return part.format()
    return part.isoformat()
