"""Flows are tried by telephone and script: what must be heard is heard, and what goes wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenderline.flows import shipped
from tenderline.voice import trial

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
WELCOME = shipped.flow("welcome")


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda one: one.stem)
async def test_the_examples_go_as_they_say(tmp_path, example):
    report = await trial.run(
        WELCOME, trial.read(example.name, example.read_text("utf-8")), tmp_path, scripts_dir=EXAMPLES
    )
    assert report.why == ""
    assert report.ok


async def call(tmp_path, text):
    return await trial.run(WELCOME, trial.read("script.toml", text), tmp_path, scripts_dir=tmp_path)


async def test_what_was_not_heard_is_named_with_its_step(tmp_path):
    report = await call(tmp_path, '[[do]]\nhear = "Something that nobody says"\nwithin_s = 1.0\n')
    assert not report.ok
    assert report.why.startswith("step 1 ('Something that nobody says')")


async def test_another_way_than_the_script_says_is_named(tmp_path):
    text = 'at = 2026-11-18T03:00:00Z\ntakes = ["greeting", "opening_hours", "menu"]\n'
    text += '[[do]]\nhear = "This call may be recorded."\n[[do]]\nwait_s = 3.0\n[[do]]\npress = "2"\n'
    text += "[[do]]\nhung_up = true\nwithin_s = 30.0\n"
    report = await call(tmp_path, text)
    assert "closed_menu" in report.nodes
    assert report.why.startswith("the call took another way: greeting > announcement > recording > opening_hours")
    assert report.asked == ["record", "call back +12025550100"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("do = [", "not valid TOML"),
        ("do = []", "length >= 1"),
        ('[[do]]\npress = "x"', "matching regex"),
        ('[[do]]\npress = "1"\nhear = "x"', "step 1 must do exactly one thing"),
        ("[[do]]\nwithin_s = 1.0", "step 1 must do exactly one thing"),
        ("[[do]]\nwait_s = 9999.0", "<= 120"),
        ("colour = 1\n[[do]]\nhang_up = true", "unknown field `colour`"),
    ],
)
def test_a_script_that_cannot_be_used_is_refused_with_its_reason(text, why):
    with pytest.raises(trial.InvalidScriptError, match=why):
        trial.read("script.toml", text)


async def test_a_recording_that_is_not_there_is_named(tmp_path):
    report = await call(tmp_path, '[[do]]\nspeak = "nothing.wav"\n')
    assert "nothing.wav cannot be spoken" in report.why
