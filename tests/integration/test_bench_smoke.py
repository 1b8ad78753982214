"""The benchmarks still run and lose nothing. How fast anything is, is never asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600.0  # it takes two minutes on two cores that do nothing else
NAMES = {"inbox", "gate", "spike", "decide", "verify", "start", "voice", "bridged", "browsers", "greeting"}
NAMES |= {"captures", "confirmed", "desks", "floor", "routing"}


@pytest.fixture(scope="module")
def report() -> dict[str, object]:
    """What one quick run of everything tells a program."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--json"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))


def test_every_benchmark_reports_figures_and_loses_nothing(report) -> None:
    results = {result["name"]: result["figures"] for result in report["results"]}
    assert set(results) == NAMES
    for name, figures in results.items():
        assert figures, name
        for figure in figures:
            if figure["kind"] == "count":
                assert figure["met"], (name, figure)
            else:
                assert figure["value"] > 0, (name, figure)


def test_a_quick_run_is_not_written_down(report) -> None:
    assert report["full"] is False
