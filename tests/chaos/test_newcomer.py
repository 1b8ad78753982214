"""A newcomer's path: a fresh clone, an empty HOME, and one command."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINUTES_MAX = 15


def test_a_fresh_clone_with_an_empty_home_plays_the_demo(tmp_path):
    clone, home = tmp_path / "tenderline", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    # What is not committed yet belongs to the path too, so that the test tells of the tree it stands in.
    changed = subprocess.run(
        ["git", "-C", str(ROOT), "diff", "--binary", "HEAD"], check=True, capture_output=True
    ).stdout
    if changed:
        subprocess.run(["git", "-C", str(clone), "apply", "-"], input=changed, check=True)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("TENDERLINE_", "VIRTUAL_ENV"))
    }
    played = subprocess.run(
        ["make", "demo", "ARGS=--once --json"], cwd=clone, env=environment | {"HOME": str(home)},
        capture_output=True, text=True, timeout=MINUTES_MAX * 60,
    )  # fmt: skip
    assert played.returncode == 0, played.stdout[-3000:] + played.stderr[-3000:]
    reports = [json.loads(line) for line in played.stdout.splitlines() if line.startswith("{")]
    assert len(reports) >= 10
    assert all(report["ok"] for report in reports)
    assert "Installing" in played.stdout, "what is installed is said"
    assert list(home.rglob("*.pickle")) == []
