"""Tones between an agent's browser and a caller's telephone, measured at both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page

from support import tones
from support.telephones import heard_next
from tenderline.voice.trial_phone import TrialPhone

AGENT_HZ, CALLER_HZ = 440, 700
MEASURE_S, WITHIN_S = 1.2, 20.0
SILENT_DB = -90
CLEAR_DB = -40
LEVEL_SHARE_MIN = 0.1
# Measures what the page plays from now on: the strongest frequency in Hz, and how loud it is in decibels.
BEGIN = """async () => {
  const stream = document.getElementById("phone-audio").srcObject;
  const context = new AudioContext(), ear = context.createAnalyser();
  await context.resume();
  ear.fftSize = 8192;
  ear.smoothingTimeConstant = 0;
  context.createMediaStreamSource(stream).connect(ear);
  const bins = new Float32Array(ear.frequencyBinCount), step = context.sampleRate / ear.fftSize;
  const measuring = window.measuring = { until: Infinity };
  measuring.found = (async () => {
    let best = [0, -200];
    while (performance.now() < measuring.until) {
      await new Promise((done) => setTimeout(done, 50));
      ear.getFloatFrequencyData(bins);
      bins.forEach((one, at) => { if (at > 8 && one > best[1]) best = [at * step, one]; });
    }
    await context.close();
    return best;
  })();
}"""
# It goes on for so long, and then tells.
END = """async (ms) => {
  measuring.until = performance.now() + ms;
  return [...await measuring.found, document.getElementById("phone-theirs").value];
}"""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a browser played: its strongest frequency, how loud that was, and the level that the page shows."""

    frequency_hz: float
    loud_db: float
    level: float

    def is_tone(self, frequency_hz: float) -> bool:
        """Whether it was this one, clearly, and shown."""
        near = abs(self.frequency_hz - frequency_hz) < 12
        return near and self.loud_db > CLEAR_DB and self.level > LEVEL_SHARE_MIN


def microphone(path: Path) -> list[str]:
    """What chromium is started with, so that its microphone plays the agent's tone; the file is made at `path`."""
    tones.write_beeps(path, AGENT_HZ)
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    ]


async def hears_the_agent(caller: TrialPhone) -> None:
    """Waits until the agent's tone is what the caller hears."""
    async with asyncio.timeout(WITHIN_S):
        while tones.share_of(await heard_next(caller, MEASURE_S), AGENT_HZ) < 0.5:
            pass


async def hears_silence(caller: TrialPhone) -> None:
    """Waits until the caller hears nothing."""
    async with asyncio.timeout(WITHIN_S):
        while tones.loudness(await heard_next(caller, MEASURE_S)) >= 0.003:
            pass


async def agent_hears(page: Page, caller: TrialPhone, frequency_hz: float) -> None:
    """Waits until the browser plays the tone that the caller says, and the page shows that somebody speaks."""
    async with asyncio.timeout(WITHIN_S), _speaking(caller, frequency_hz):
        while not (await _measured(page)).is_tone(frequency_hz):
            pass


async def agent_hears_nothing(
    page: Page, caller: TrialPhone, frequency_hz: float, meanwhile: Awaitable[None] | None = None
) -> Heard:
    """What the browser plays while the caller says a tone, and `meanwhile` is done: measured once nothing of before
    comes any more, until what was said must have arrived."""
    async with asyncio.timeout(WITHIN_S):
        while (await _measured(page)).loud_db >= SILENT_DB:
            pass
    await page.evaluate(BEGIN)
    async with _speaking(caller, frequency_hz):
        sent = caller.party.leg.sent_packets
        if meanwhile is not None:
            await meanwhile
        async with asyncio.timeout(WITHIN_S):
            while caller.party.leg.sent_packets < sent + 50:
                await asyncio.sleep(0.05)
        return Heard(*await page.evaluate(END, 1_000))


async def _measured(page: Page) -> Heard:
    await page.evaluate(BEGIN)
    return Heard(*await page.evaluate(END, 800))


@asynccontextmanager
async def _speaking(caller: TrialPhone, frequency_hz: float) -> AsyncIterator[None]:
    """The caller says a tone for as long."""

    async def speak() -> None:
        while True:
            await caller.speak(tones.ulaw(frequency_hz, 1.0))

    task = asyncio.create_task(speak())
    try:
        yield
    finally:
        task.cancel()
        caller.party.leg.be_quiet()
