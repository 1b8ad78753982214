"""Measures machine detection on made answers and writes docs/reference/machine-detection.md.

`python scripts/measure-machine-detection.py docs/reference/machine-detection.md`; needs espeak-ng. With `--tune` it
prints, for the half that settings are chosen on, what some other settings would give, and writes nothing.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support import answer_samples  # noqa: E402
from support.answer_samples import Sample  # noqa: E402
from tenderline.voice import line_sound  # noqa: E402
from tenderline.voice.answer_watch import AnswerWatch  # noqa: E402
from tenderline.voice.cadence import Cadence  # noqa: E402
from tenderline.voice.call_progress import CallProgress  # noqa: E402
from tenderline.voice.line_sound import FRAME_S, Sound  # noqa: E402

TIMED_FRAMES = 20_000
TRUTHS = ("person", "machine", "silence")


@dataclass(frozen=True)
class Result:
    """What became of one sample. Times in milliseconds; `waited_ms` counts from the end of what was said."""

    kind: str
    truth: str
    verdict: str
    decided_ms: float
    waited_ms: float
    beeped: bool
    greeting_over: str | None
    over_after_ms: float


def sounds_of(sample: Sample) -> list[Sound]:
    """What each frame sounds like: the same whatever the settings are."""
    return [line_sound.sound_of(line_sound.samples_of(frame, sample.payload_type)) for frame in sample.frames]


def judged(sample: Sample, sounds: list[Sound], cadence: Cadence) -> Result:
    """One sample, heard to its end."""
    watch = AnswerWatch(cadence)
    decided_s = over_s = 0.0
    for sound in sounds:
        if watch.feed_sound(sound) is not None and not decided_s:
            decided_s = watch.frames * FRAME_S
        if watch.greeting_over is not None and not over_s:
            over_s = watch.frames * FRAME_S
    assert watch.verdict is not None, "every sample is longer than the analysis"
    return Result(
        sample.kind,
        sample.truth,
        watch.verdict,
        decided_s * 1_000,
        (decided_s - sample.greeting_end_s) * 1_000,
        watch.beeped,
        watch.greeting_over,
        (over_s - sample.greeting_end_s) * 1_000,
    )


def half_of(name: answer_samples.Half, cadence: Cadence) -> list[Result]:
    """All samples of one half."""
    return [judged(one, sounds_of(one), cadence) for one in answer_samples.samples(name)]


def confusion(results: list[Result]) -> list[str]:
    """Rows by what answered, columns by what was said of it."""
    lines = ["| answered | samples | said `person` | said `machine` | said `silence` |", "|---|---|---|---|---|"]
    for truth in TRUTHS:
        of = [one for one in results if one.truth == truth]
        counts = [sum(one.verdict == said for one in of) for said in TRUTHS]
        lines.append(f"| {truth} | {len(of)} | " + " | ".join(map(str, counts)) + " |")
    return lines


def by_kind(results: list[Result]) -> list[str]:
    """Errors and times for each kind of answer."""
    lines = [
        "| answer | truth | samples | wrong | decided after the answer, p50 | p95 | after the last word, p50 | p95 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for one in results:
        groups[one.kind, one.truth].append(one)
    for (kind, truth), of in groups.items():
        wrong = sum(one.verdict != truth for one in of)
        decided = np.percentile([one.decided_ms for one in of], [50, 95])
        waited = np.percentile([one.waited_ms for one in of], [50, 95])
        after = f"{waited[0]:.0f} ms | {waited[1]:.0f} ms" if truth == "person" else "- | -"
        lines.append(
            f"| {kind} | {truth} | {len(of)} | {wrong} | {decided[0]:.0f} ms | {decided[1]:.0f} ms | {after} |"
        )
    return lines


def rate(results: list[Result], truth: str, verdict: str) -> str:
    """Such as `3 of 120 (2.5 %)`."""
    of = [one for one in results if one.truth == truth]
    count = sum(one.verdict == verdict for one in of)
    return f"{count} of {len(of)} ({100 * count / len(of):.1f} %)"


def greeting_ends(results: list[Result]) -> str:
    """What ended the greetings of machines that leave room for a message."""
    of = [one for one in results if one.truth == one.verdict == "machine" and one.kind != "fax"]
    good = sum(one.greeting_over == "beep" and -100 <= one.over_after_ms <= 300 for one in of)
    early = sum(one.greeting_over is not None and one.over_after_ms < -100 for one in of)
    late = np.percentile([one.over_after_ms for one in of], 95)
    return (
        f"Of {len(of)} greetings with a beep that were known for a machine's, {good} were over by the beep within\n"
        f"300 ms of its end; {early} were thought over before it (a message would have begun over the greeting).\n"
        f"95 % were over within {late:.0f} ms."
    )


def frame_cost() -> dict[str, float]:
    """Microseconds for one frame, the best of five runs over speech, noise and tones."""
    frames = [frame for one in itertools.islice(answer_samples.samples("report", every=20), 8) for frame in one.frames]
    frames = list(itertools.islice(itertools.cycle(frames), TIMED_FRAMES))

    def once(what: str) -> float:
        watch, progress = AnswerWatch(), CallProgress()
        begun = time.perf_counter()
        for frame in frames:
            if what == "both":
                samples = line_sound.samples_of(frame, 0)
                sound = line_sound.sound_of(samples)
                watch.feed_sound(sound)
                progress.feed_sound(sound, samples)
            elif what == "answer":
                watch.feed(frame, 0)
            else:
                progress.feed(frame, 0)
        return (time.perf_counter() - begun) / len(frames) * 1e6

    return {what: min(once(what) for _ in range(5)) for what in ("answer", "progress", "both")}


PAGE = """# Machine detection

An outgoing call that is answered is listened to for some seconds: `AnswerWatch` says `person`, `machine` or `silence`,
and after `machine` when the greeting is over, so that a message can be left. It looks at loudness and at single tones
only: nothing that is said is understood or kept. `CallProgress` knows the tones of the network before (and after) the
answer.

This page is written by `scripts/measure-machine-detection.py`.

## What the figures are worth

**The samples are made, not recorded.** A speech synthesiser (espeak-ng: English, Spanish, French; several voices,
speeds and pitches) says greetings on made lines: hiss, hum, clicks, gain, a pause before the first word, both laws.
Real people laugh, cough, have a television on, hold the telephone away and are answered by children; real machines
play music. Expect more errors on a real line, and watch your own: which calls ended within seconds after `machine`, and
which messages were begun over a greeting. The samples share wordings and lines, so they are not independent, and
a count of none does not mean never: with {persons} independent samples it would still leave room for {bound:.1f} %.

The settings were chosen on one half of the voices ({tuned} samples, other wordings) and are reported on the other
half ({reported} samples). That half was measured once before: 3 of 120 people were called machines, 24 of 72 machines
people. Then each text was put on more lines and rules and settings were improved, on the first half alone.

## Result on the reported half

{confusion}

- A person called a machine, the harmful error (somebody hears nothing from us): **{harmful}**.
- A machine called a person: {harmless}. It hears what a person would have heard. Of these, {corrected} were
  corrected by the beep that followed (`beeped`).
- A person of whom nothing was heard: {unheard}.
- On the half that settings were chosen on: {tune_harmful} and {tune_harmless}.

{kinds}

Leading silence of up to 2.5 s is in the times after the answer. How long a person waits after the last word is what
they notice; it follows from `silence_after_s`.

{ends}

The hard cases: a business greeting of four or five seconds sounds like a machine until it stops, so
`greeting_s_max` is long and a machine is known late, after that time or by its beep. "Hi, it's Bob, leave a message"
sounds like a person until the beep; when the beep comes later than `silence_after_s`, it is called a person first.
A greeting of two parts with a pause as long as `silence_after_s` is called a person too: in the reported half that
pause is 1.1 s in every text, in the other 0.7 s, so most of the difference between the halves is there.

## Settings

Fields of `Cadence` (`src/tenderline/voice/cadence.py`), all with their unit in the name:

{settings}

To wait less after a person's greeting, lower `silence_after_s`: more machines are called a person. To know machines
sooner, lower `greeting_s_max`: people who answer for a business are called machines. Change one at a time and measure.

Federal rules for telemarketing in the United States give a caller two seconds from the end of a person's greeting
(16 CFR 310.4(b)(4)(iii)): `silence_after_s` and what follows it must stay below that.

## What it costs

Microseconds of one core for a frame of 20 ms: `AnswerWatch` {answer:.0f}, `CallProgress` {progress:.0f}, both with the
look at the frame shared (`feed_sound`) {both:.0f}. At 200 calls that are all listened to, both take {share:.0f} % of a
core. Measured by the script, on the machine that wrote this page; the best of five runs.

## What is not known

- British ringback (two bursts of 400 and 450 Hz) is not told, and where busy is as fast as congestion elsewhere
  (Mexico 0.25 s, Spain 0.2 s) it is called congestion.
- Special information tones are looked for in the order and lengths of ITU-T E.180/Q.35. The reasons are the North
  American ones; the plain tones of other countries are `sit_unknown`. They were tried on made tones only, and their
  table was compared in several descriptions of Bellcore SR-2275, not in the document itself.
- A tone below 500 Hz is taken for a switchboard's ringback until a machine is known: such a beep corrects no `person`.
  On the half that settings were chosen on, every beep that corrected nothing was one of 440 Hz.
- A beep is not looked for after its caller stopped feeding frames: whoever wants `beeped` must go on after `person`.
- Music on hold right after the answer is a machine as soon as it is longer than `greeting_s_max`.

## To repeat it

```sh
.venv/bin/python scripts/measure-machine-detection.py docs/reference/machine-detection.md
.venv/bin/python scripts/measure-machine-detection.py --tune
```

It needs espeak-ng (another version of it speaks a little differently). `tests/support/answer_samples.py` makes the
samples; the second command shows what other settings give on the half that settings are chosen on.
"""


def settings() -> str:
    """A table of all settings with their defaults."""
    lines = ["| setting | default |", "|---|---|"]
    lines += [f"| `{field.name}` | {field.default:g} |" for field in msgspec.structs.fields(Cadence)]
    return "\n".join(lines)


def page() -> str:
    """The whole page, measured now."""
    tuned, reported, cost = half_of("tune", Cadence()), half_of("report", Cadence()), frame_cost()
    persons = sum(one.truth == "person" for one in reported)
    missed = [one for one in reported if (one.truth, one.verdict) == ("machine", "person")]
    return PAGE.format(
        persons=persons,
        bound=300 / persons,  # the rule of three: 95 % sure that the rate is below 3/n when none of n failed
        tuned=len(tuned),
        reported=len(reported),
        confusion="\n".join(confusion(reported)),
        harmful=rate(reported, "person", "machine"),
        harmless=rate(reported, "machine", "person"),
        unheard=rate(reported, "person", "silence"),
        corrected=f"{sum(one.beeped for one in missed)} of {len(missed)}",
        tune_harmful=rate(tuned, "person", "machine"),
        tune_harmless=rate(tuned, "machine", "person"),
        kinds="\n".join(by_kind(reported)),
        ends=greeting_ends(reported),
        settings=settings(),
        share=cost["both"] * 200 * 50 / 1e6 * 100,
        **cost,
    )


def tune() -> None:
    """Prints the two errors for settings around the defaults."""
    heard = [(one, sounds_of(one)) for one in answer_samples.samples("tune")]
    print("| greeting_s_max | silence_after_s | person called machine | machine called person |\n|---|---|---|---|")
    for greeting_s, silence_s in itertools.product((3.6, 4.8, 5.6, 6.0, 6.4, 6.8), (0.8, 1.0, 1.1, 1.2)):
        cadence = Cadence(greeting_s_max=greeting_s, silence_after_s=silence_s)
        results = [judged(one, sounds, cadence) for one, sounds in heard]
        errors = rate(results, "person", "machine"), rate(results, "machine", "person")
        print(f"| {greeting_s} | {silence_s} | {errors[0]} | {errors[1]} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["--tune"]:
        tune()
    else:
        text = page()
        Path(sys.argv[1]).write_text(text, "utf-8")
        print(text)
