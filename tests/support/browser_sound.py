"""Tones between an agent's browser and a caller's telephone, measured at both ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Page

from support import tones
from tenderline.voice.trial_phone import TrialPhone

AGENT_HZ, CALLER_HZ = 440, 700
MEASURE_S = 1.2
# The strongest frequency of what the page plays, in Hz, and how loud it is in decibels.
HEARS = """async (ms) => {
  const stream = document.getElementById("phone-audio").srcObject;
  const context = new AudioContext(), ear = context.createAnalyser();
  await context.resume();
  ear.fftSize = 8192;
  ear.smoothingTimeConstant = 0;
  context.createMediaStreamSource(stream).connect(ear);
  const bins = new Float32Array(ear.frequencyBinCount);
  let best = [0, -200];
  for (const until = performance.now() + ms; performance.now() < until;) {
    await new Promise((done) => setTimeout(done, 50));
    ear.getFloatFrequencyData(bins);
    bins.forEach((one, at) => { if (at > 8 && one > best[1]) best = [at * context.sampleRate / ear.fftSize, one]; });
  }
  await context.close();
  return best;
}"""


def microphone(path: Path) -> list[str]:
    """What chromium is started with, so that its microphone plays the agent's tone; the file is made at `path`."""
    tones.write_beeps(path, AGENT_HZ)
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    ]


async def heard_by(caller: TrialPhone, seconds: float = MEASURE_S) -> bytes:
    """What the caller hears from now on."""
    begin = len(caller.heard)
    async with asyncio.timeout(seconds * 5):
        while len(caller.heard) < begin + int(seconds * 8_000):
            await asyncio.sleep(0.05)
    return bytes(caller.heard[begin:])


async def hears_the_agent(caller: TrialPhone) -> None:
    """Waits until the agent's tone is what the caller hears."""
    async with asyncio.timeout(15):
        while tones.share_of(await heard_by(caller), AGENT_HZ) < 0.5:
            pass


async def agent_hears(page: Page, caller: TrialPhone, frequency_hz: float) -> tuple[float, float, float]:
    """(strongest frequency, loudness in dB, level that the page shows), while the caller plays a tone."""
    speaking = asyncio.create_task(caller.speak(tones.ulaw(frequency_hz, 3.0)))
    await asyncio.sleep(0.5)
    found = await page.evaluate(HEARS, 1_500)
    level = await page.evaluate("document.getElementById('phone-theirs').value")
    await speaking
    return found[0], found[1], level
